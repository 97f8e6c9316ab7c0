"""The one way up for requests about items and blocks: passed through, never decided here.

Rules: B73, B74, C98, C106, C120, C125, C153, C155.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from sip2gw.backend.system import Sent
from sip2gw.handlers.base import Answer, Send, Session
from sip2gw.handlers.items.circulation import refusal_texts
from sip2gw.handlers.upstream.behind import identifier_of, library_of
from sip2gw.handlers.upstream.once import OnceRequest, send_beside, send_once
from sip2gw.handlers.upstream.turn import AboutItem, wait_for_turn
from sip2gw.policy.items.decisions import refusal
from sip2gw.policy.reasons import CirculationReason
from sip2gw.policy.upstream.passing import deed_of, passing_up, unknown_there
from sip2gw.policy.upstream.questions import given_pin
from sip2gw.protocol.codec import NO_CHARACTER, parse_request_body
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.messages import ItemInformation

AnyRequest = TypeVar("AnyRequest", bound=Request)

_IDENTIFYING = frozenset({"patron_identifier", "item_identifier", "patron_password"})


class RefusedHereError(Exception):
    """The library system is not asked at all."""

    def __init__(self, reason: CirculationReason) -> None:
        super().__init__(reason)
        self.reason = reason


async def pass_on(session: Session, request: Request) -> Response:
    """Send `request` up once, in the account's name and manner, and give the answer as it came.

    A locked PIN is not asked there, and one that nobody has verified here is a guess (B74).

    Raises:
        RefusedHereError: nobody was asked.
        LibrarySystemError: it did not answer, or was not asked.
        OutcomeUnknownError: nobody knows whether it is done; that is noted.
        BackendError: our store failed, so nobody was asked.
    """
    library, manner = library_of(session)
    terminal = session.terminal
    unknown = unknown_there(request, manner.text)
    if unknown is not None:
        raise RefusedHereError(unknown)
    up = in_their_manner(session, with_kept_bytes(session, request))
    if isinstance(request, AboutItem):
        await wait_for_turn(session, request)
    # A door keeps no state there, and must not keep a line from others (C122).
    lease = None if terminal.is_door else session.lease

    async def send(sent: Sent | None) -> Response:
        return await library.ask(manner.account, terminal.name, up, lease, sent)

    if isinstance(request, OnceRequest):
        return await send_once(session, request, send, partial(_judged, session, request))
    if isinstance(request, ItemInformation):
        return await send(None)
    return await send_beside(session, request, send, partial(_judged, session, request))


def in_their_manner(session: Session, request: AnyRequest) -> AnyRequest:
    """`request` in the account's name and manner."""
    _, manner = library_of(session)
    terminal = session.terminal
    return passing_up(
        request,
        manner.institution,
        terminal.branch,
        terminal.zone,
        manner.date_zone,
        terminal.wire.text,
        manner.text,
    )


async def _judged(session: Session, request: Request, send: Send) -> Response:
    """The answer that `send` gets. A PIN is judged by it, so `send` may never be called."""
    pin = given_pin(getattr(request, "patron_password", None))
    if pin is None:
        return await send()
    number: str = getattr(request, "patron_identifier", "")
    answer = await identifier_of(session).judge(session, number, pin, deed_of(request), send)
    if answer is None:
        raise wrong_pin(session)
    return answer


def wrong_pin(session: Session) -> RefusedHereError:
    """Why nobody is asked with a PIN that is wrong or locked, as the profile says it."""
    hides = session.terminal.identification.wrong_pin_hides_card
    return RefusedHereError(
        CirculationReason.UNKNOWN_CARD if hides else CirculationReason.WRONG_PIN
    )


def refuse_here(session: Session, request: Request, reason: CirculationReason) -> Answer:
    """The failure form of a request about which nobody was asked."""
    return refuse_with(session, request, reason, refusal_texts(session, refusal(reason), None))


def refuse_with(session: Session, request: Request, reason: str, texts: tuple[str, ...]) -> Answer:
    """The same, for a reason with texts of its own."""
    response = request.failure_form(session.terminal.institution_id, session.now(), texts)
    number: str = getattr(request, "patron_identifier", "")
    if getattr(response, "patron_identifier", None):
        # Not every response has an AA, and a type checker does not see that this one has.
        response.patron_identifier = session.as_scanned(number)  # type: ignore[attr-defined]
    return Answer(response, "refused", reason, number)


def with_kept_bytes(session: Session, request: AnyRequest) -> AnyRequest:
    """`request` with texts in which bytes that are no character stay what they are (C153).

    Numbers and PINs are not among them: what cannot be read is nobody's.
    """
    body = session.link.pending_body if session.link is not None else b""
    odd = [] if body.isascii() else _odd_texts(request)  # nearly always none
    if not odd:
        return request
    wire = replace(session.terminal.wire, keeps_bytes=True)
    kept = parse_request_body(body, wire)
    return replace(request, **{name: getattr(kept, name) for name in odd})


def _odd_texts(request: Request) -> list[str]:
    """The attributes of `request` with bytes that are no character."""
    names = [name for name in request.__struct_fields__ if name not in _IDENTIFYING]
    return [name for name in names if NO_CHARACTER in str(getattr(request, name))]
