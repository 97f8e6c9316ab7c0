"""Who went out while the store was away goes out of it as soon as it is back (C10, C67)."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from sip2gw.backend.base import Backend, BackendError
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
        self.waiting: deque[Departure] = deque(maxlen=DEPARTURES_MAX)

    async def tell(self, backend: Backend) -> None:
        """Tell `backend` of all that wait, oldest first, unless it still fails."""
        while self.waiting:
            departure = self.waiting[0]
            try:
                await _leave(backend, departure)
            except BackendError:
                return
            if self.waiting and self.waiting[0] is departure:  # nobody else has told it meanwhile
                self.waiting.popleft()


async def _leave(backend: Backend, departure: Departure) -> None:
    """A card that only a library system knows is a patron by itself (C151)."""
    holder = await backend.find_by_card(departure.card)
    patron_id = holder.id if holder is not None else departure.card
    await backend.leave_branch(departure.branch, patron_id)
    for passage in departure.passages:
        await backend.leave_by_passage(departure.branch, passage)
