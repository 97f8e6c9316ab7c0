"""Loans, returns, renewals and holds go up once.  (B79, C69, C88, C89, C97, C98, C127)

A terminal that asks again, perhaps after a reconnect, gets the answer that it missed; while its
request is under way, it waits for that answer; while nobody knows what became of it, it hears so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from msgspec.structs import replace

from sip2gw.backend.attempts import UnknownSending
from sip2gw.backend.base import (
    BackendTimeoutError,
    HungUpError,
    OutcomeUnknownError,
    UnavailableError,
)
from sip2gw.backend.ids import new_id
from sip2gw.backend.system import BadAnswerError, NoAnswerError, NotAskedError, Sent
from sip2gw.handlers.base import Send, Session
from sip2gw.handlers.items.circulation import order_key
from sip2gw.handlers.items.hold import hold_key
from sip2gw.handlers.upstream.behind import library_of
from sip2gw.protocol.message import Response
from sip2gw.protocol.messages import (
    Checkin,
    Checkout,
    Hold,
    ItemStatusUpdate,
    Renew,
    RenewAll,
    Request,
)
from sip2gw.shared.sendings import Passage, key_of

OnceRequest = Checkout | Checkin | Renew | Hold
_NOTED = RenewAll | ItemStatusUpdate
"""What may go up twice, but must not be denied when it may be done."""
SendUp = Callable[[Sent], Coroutine[Any, Any, Response]]
"""Asks the library system, and says when the request goes up."""


class _TooLateError(NotAskedError):
    """It was not sent, for its terminal does not wait for it any more (C98)."""


async def send_once(
    session: Session,
    request: OnceRequest,
    send: SendUp,
    ask: Callable[[Send], Awaitable[Response]],
) -> Response:
    """The library system's answer to `request`, unless it went up before.

    A session that ends does not end what is under way: its terminal comes back for the answer.

    Args:
        session: who asks.
        request: what is asked.
        send: asks the library system.
        ask: decides whether to call `send`, and gives its answer.

    Raises:
        OutcomeUnknownError: nobody knows whether it is done; that is noted.
        NotAskedError: certainly nothing was done.
        Exception: whatever `ask` raises before it has called `send`: nothing was done.
    """
    known, clock = session.services.sendings, session.services.clock
    sending = sending_of(session, request)
    if not known.is_recalled:
        raise UnavailableError("what an earlier process has sent is not known yet")
    kept = known.answer(sending, clock.monotonic())
    if kept is not None:
        return _copied(kept)
    if key_of(sending) in known.doubtful:
        raise OutcomeUnknownError("nobody knows yet what became of the first request")
    passage = known.under_way(sending)
    if passage is None:
        library, manner = library_of(session)
        if library.is_away(manner.account):
            raise NotAskedError
        passage = Passage(sending)
        outcome = known.begin(passage, _pass(session, passage, send, ask))
    else:
        outcome = passage.work.join()
    return await _wait(session, passage, outcome)


async def _wait(session: Session, passage: Passage, outcome: Awaitable[Response]) -> Response:
    """The answer; the request goes on when nobody waits for it any more."""
    passage.waiting += 1
    try:
        return _copied(await outcome)
    except HungUpError:
        raise
    except _TooLateError:  # so it is not taken off line either
        raise BackendTimeoutError("it did not go up in time") from None
    except asyncio.CancelledError:
        if not passage.is_sent:
            raise BackendTimeoutError("it did not go up in time") from None
        await session.services.backend.note_sending(passage.sending)
        raise OutcomeUnknownError("the deadline passed while it was under way") from None
    finally:
        passage.waiting -= 1


async def send_beside(
    session: Session,
    request: Request,
    send: SendUp,
    ask: Callable[[Send], Awaitable[Response]],
) -> Response:
    """The library system's answer to a `request` that may go up twice; arguments as above.

    Raises:
        OutcomeUnknownError: nobody knows whether it is done; that is noted.
        LibrarySystemError: certainly nothing was done, or it is one that needs no note.
        Exception: whatever else `ask` raises: nothing was done.
    """
    is_sent = False

    def sent() -> None:
        nonlocal is_sent
        is_sent = True
        item, patron = _about(request)
        session.services.sendings.went_up(new_id(), item, patron)

    try:
        return await ask(partial(send, sent))
    except HungUpError:
        raise
    except (NoAnswerError, BadAnswerError, asyncio.CancelledError) as error:
        if not is_sent or not isinstance(request, _NOTED):
            raise
        sending_id = new_id()
        sending = _unknown(session, request, sending_id, f"#{sending_id}")
        await session.services.backend.note_sending(sending)
        raise OutcomeUnknownError("the library system did not answer") from error


def _about(request: Request) -> tuple[str, str]:
    """Item and patron; empty where the request names none."""
    names = ("item_identifier", "patron_identifier")
    item, patron = (getattr(request, name, None) or "" for name in names)
    return item, patron


def sending_of(session: Session, request: OnceRequest) -> UnknownSending:
    """What is noted of `request`."""
    patron = getattr(request, "patron_identifier", "")
    if isinstance(request, Hold):
        key = hold_key(session, request, patron)
    else:
        key = order_key(session, request, patron)
    sending_id = new_id()
    if key is None:
        key = f"#{sending_id}"
    elif not request.item_identifier:
        key += f"|{getattr(request, 'title_identifier', None) or ''}"
    return _unknown(session, request, sending_id, key)


def _unknown(session: Session, request: Request, sending_id: str, key: str) -> UnknownSending:
    _, manner = library_of(session)
    item, patron = _about(request)
    return UnknownSending(
        id=sending_id,
        time=session.services.clock.now(),
        terminal=session.terminal.name,
        code=request.code,
        item_id=item,
        patron_id=patron,
        key=key,
        account=manner.account,
        cancels=getattr(request, "cancel", False),
    )


async def _pass(
    session: Session,
    passage: Passage,
    send: SendUp,
    ask: Callable[[Send], Awaitable[Response]],
) -> Response:
    """Have it sent, and remember how that ended, whoever waits for it."""
    try:
        response = await ask(partial(_send, session, passage, send))
    except BaseException as error:
        if passage.is_sent and passage.answer is None:
            raise await _doubt(session, passage.sending) from error
        # What was done is not denied because something failed afterwards (C98).
        if passage.answer is None or not getattr(passage.answer, "ok", False):
            raise
        response = passage.answer
    if getattr(response, "ok", False):
        services = session.services
        services.sendings.keep(passage.sending, response, services.clock.monotonic())
    return response


async def _send(session: Session, passage: Passage, send: SendUp) -> Response:
    """Send it, once it is written down that it goes up.

    Raises:
        NotAskedError: it did not go up, or nobody waits for it any more.
        NoAnswerError, BadAnswerError: nobody knows.
    """
    backend, clock = session.services.backend, session.services.clock
    sending, began_s = passage.sending, clock.monotonic()
    await backend.begin_sending(sending)
    # If the process stood still meanwhile, nobody has had time to say that the terminal gave up.
    stood_still = clock.monotonic() - began_s > session.terminal.timeout_s
    if stood_still or not passage.waiting:
        backend.end_sending(sending)
        raise _TooLateError
    passage.is_sent = True
    try:
        passage.answer = await send(partial(session.services.sendings.sent, sending))
    except NotAskedError:
        passage.is_sent = False
        backend.end_sending(sending)
        raise
    backend.end_sending(sending)
    return passage.answer


async def _doubt(session: Session, sending: UnknownSending) -> OutcomeUnknownError:
    session.services.sendings.doubt(sending)
    await session.services.backend.note_sending(sending)
    return OutcomeUnknownError("the library system did not answer")


def _copied(response: Response) -> Response:
    """For one who lays something over it: it may be told again."""
    return replace(response, extra_fields=list(response.extra_fields))
