"""Loans, returns, renewals and holds go up once.  (B79, C69, C88, C89, C97, C98, C127)

A terminal that asks again, perhaps after a reconnect, gets the answer that it missed; while its
request is under way, it waits for that answer; while nobody knows what became of it, it hears so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from sip2gw.backend.attempts import UnknownSending
from sip2gw.backend.base import (
    BackendTimeoutError,
    HungUpError,
    OutcomeUnknownError,
    UnavailableError,
)
from sip2gw.backend.ids import new_id
from sip2gw.backend.system import BadAnswerError, NoAnswerError, NotAskedError
from sip2gw.handlers.base import Session
from sip2gw.handlers.items.circulation import order_key
from sip2gw.handlers.items.hold import hold_key
from sip2gw.handlers.upstream.behind import library_of
from sip2gw.protocol.message import Response
from sip2gw.protocol.messages import Checkin, Checkout, Hold, Renew, Request
from sip2gw.shared.sendings import Passage, key_of

OnceRequest = Checkout | Checkin | Renew | Hold
Send = Callable[[], Awaitable[Response]]
"""Asks the library system; raises its errors."""


async def send_once(session: Session, request: OnceRequest, send: Send) -> Response:
    """The library system's answer to `request`, which `send` gets unless it went up before.

    A session that ends does not end what is under way: its terminal comes back for the answer.

    Raises:
        OutcomeUnknownError: nobody knows whether it is done; that is noted.
        NotAskedError: certainly nothing was done.
        BackendError: our store failed, and nothing went up.
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
        known.begin(passage, _send(session, passage, send))
    return await _wait(session, passage)


async def _wait(session: Session, passage: Passage) -> Response:
    """The answer; the request goes on when nobody waits for it any more."""
    passage.waiting += 1
    try:
        return _copied(await asyncio.shield(passage.task))
    except HungUpError:
        raise
    except asyncio.CancelledError:
        if not passage.is_sent:
            raise BackendTimeoutError("it did not go up in time") from None
        await session.services.backend.note_sending(passage.sending)
        raise OutcomeUnknownError("the deadline passed while it was under way") from None
    finally:
        passage.waiting -= 1


def sent_beside(session: Session, request: Request) -> None:
    """`request`, which may go up twice, goes up now: what was answered before about its item and
    patron may no longer be so."""
    item, patron = (
        getattr(request, name, None) for name in ("item_identifier", "patron_identifier")
    )
    session.services.sendings.went_up(new_id(), item or "", patron or "")


def sending_of(session: Session, request: OnceRequest) -> UnknownSending:
    """What is noted of `request`."""
    _, manner = library_of(session)
    patron = getattr(request, "patron_identifier", "")
    if isinstance(request, Hold):
        key = hold_key(session, request, patron)
    else:
        key = order_key(session, request, patron)
    sending_id, item = new_id(), request.item_identifier or ""
    if key is None:
        key = f"#{sending_id}"
    elif not item:
        key += f"|{getattr(request, 'title_identifier', None) or ''}"
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


async def _send(session: Session, passage: Passage, send: Send) -> Response:
    """Send it, and remember how that ended, whoever waits for it."""
    services, sending = session.services, passage.sending
    backend, known = services.backend, services.sendings
    await backend.begin_sending(sending)
    if not passage.waiting:
        backend.end_sending(sending)
        raise NotAskedError
    passage.is_sent = True
    known.went_up(sending.id, sending.item_id, sending.patron_id)
    try:
        response = await send()
    except NotAskedError:
        backend.end_sending(sending)
        raise
    except (NoAnswerError, BadAnswerError) as error:
        raise await _doubt(session, sending) from error
    except BaseException:
        await _doubt(session, sending)
        raise
    backend.end_sending(sending)
    if getattr(response, "ok", False):
        known.keep(sending, response, services.clock.monotonic())
    return response


async def _doubt(session: Session, sending: UnknownSending) -> OutcomeUnknownError:
    session.services.sendings.doubt(sending)
    await session.services.backend.note_sending(sending)
    return OutcomeUnknownError("the library system did not answer")


def _copied(response: Response) -> Response:
    """For one who lays something over it: it may be told again."""
    return replace(response, extra_fields=list(response.extra_fields))
