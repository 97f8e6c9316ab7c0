"""Who is not inside, though the store may count them: it is told as soon as it is back (C10, C67).

They went out while it was away, or it noted an entry of which nobody heard, so no door opened.
"""

from __future__ import annotations

import asyncio
from collections import deque

from msgspec import Struct

from sip2gw.backend.base import Backend, BackendError, EntryOrder
from sip2gw.protocol.structs import Discreet, Hidden

DEPARTURES_MAX = 10_000
"""The oldest makes room."""


class Departure(Discreet, Struct, frozen=True):
    """A card at an exit of a branch that counts people."""

    branch: str
    card: Hidden[str]
    passages: Hidden[tuple[str, ...]]
    """Those by which somebody came in with the same card, as stays name them."""


class Departures:
    """What the store is still to be told. In memory only: a restart forgets it."""

    def __init__(self) -> None:
        self.waiting: deque[Departure | EntryOrder] = deque(maxlen=DEPARTURES_MAX)
        """An order is an entry whose outcome nobody heard."""
        self._telling = asyncio.Lock()

    async def tell(self, backend: Backend) -> None:
        """Tell `backend` of all that wait, oldest first, unless it still fails.

        When this returns nothing is under way that could end a later stay.
        """
        async with self._telling:
            while self.waiting:
                told = self.waiting[0]
                try:
                    if isinstance(told, Departure):
                        await _leave(backend, told)
                    else:
                        await backend.take_back(told)
                except BackendError:
                    return
                if self.waiting[0] is told:  # else it has made room
                    self.waiting.popleft()


async def _leave(backend: Backend, departure: Departure) -> None:
    """A card that only a library system knows is a patron by itself (C151)."""
    holder = await backend.find_by_card(departure.card)
    patron_id = holder.id if holder is not None else departure.card
    await backend.leave_branch(departure.branch, patron_id)
    for passage in departure.passages:
        await backend.leave_by_passage(departure.branch, passage)
