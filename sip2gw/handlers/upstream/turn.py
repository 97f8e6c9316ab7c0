"""Nothing newer about an item goes up before what was taken off line about it (B77, C125)."""

from __future__ import annotations

import asyncio

from sip2gw.backend.base import BackendError
from sip2gw.backend.system import NotAskedError
from sip2gw.handlers.base import Session
from sip2gw.handlers.upstream.behind import library_of
from sip2gw.protocol.messages import Checkin, Checkout, ItemInformation, Renew

AboutItem = Checkout | Checkin | Renew | ItemInformation
"""What waits; a hold is not about the copy that somebody took or brought."""
WITHIN_S = 2.0
"""So long at most a request waits. A terminal expects its answer, and the journal may be long."""
EVERY_S = 0.05


async def wait_for_turn(session: Session, request: AboutItem) -> None:
    """Come back when nothing about the item of `request` waits in the journal any more.

    Raises:
        NotAskedError: it still waits, so the request must not go up.
        BackendError: the store cannot say, and something may wait.
    """
    clock = session.services.clock
    library, manner = library_of(session)
    item, until_s = request.item_identifier, clock.monotonic() + WITHIN_S
    while item and await _is_journalled(session, item):
        if library.is_away(manner.account) or clock.monotonic() >= until_s:
            raise NotAskedError
        await asyncio.sleep(EVERY_S)


async def _is_journalled(session: Session, item: str) -> bool:
    try:
        return await session.services.backend.journalled(item) is not None
    except BackendError:
        # A store that fails keeps nobody from borrowing, where there is nothing to wait for.
        if session.services.journal.is_empty:
            return False
        raise
