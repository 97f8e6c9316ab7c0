"""Which newcomers find a place: caps, counted from accept.  (B14, C100, C101)

A line counts from the moment its connection is accepted, before any TLS handshake. Whoever has not
logged in is a stranger; of one address only so many are kept that others still find a place, also
when the system gives us few descriptors.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from sip2gw.shared.callers import neighbourhood

DESCRIPTORS_RESERVED = 64
"""Kept back for the store, the log, HTTP and whatever else must go on working at the cap."""
STRANGERS_SHARE = 4
"""One address has at most this part of the free places for lines that have not logged in, so that
several of them together cannot take all."""
STRANGERS_MIN = 16


def descriptors_allowed() -> int:
    """Files and sockets that this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Caps(Protocol):
    """The operator's limits on connections."""

    @property
    def max_connections(self) -> int:
        """In all."""
        ...

    @property
    def max_connections_per_address(self) -> int:
        """From one address."""
        ...


class Doorkeeper:
    """Counts the lines, and says which newcomers find no place."""

    def __init__(
        self,
        limits: Callable[[], Caps],
        descriptors: Callable[[], int] = descriptors_allowed,
    ) -> None:
        """`limits` gives the caps as they are configured now."""
        self._limits = limits
        self._places = max(1, descriptors() - DESCRIPTORS_RESERVED)
        self._lines = 0
        self._per_address: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()

    def take_place(self) -> bool:
        """Count a connection that was accepted; False when all places are taken."""
        if self._lines >= self._places_in_all():
            return False
        self._lines += 1
        return True

    def leave_place(self) -> None:
        """A connection has ended."""
        self._lines -= 1

    def obstacle(self, address: str) -> str:
        """Why the newcomer that has taken a place, and comes from `address`, is refused all the
        same, as a metric label; empty when it may enter."""
        if self._per_address[address] >= self._limits().max_connections_per_address:
            return "address"
        free = self._places_in_all() - self._lines + 1  # its own was free when it came
        share = max(STRANGERS_MIN, free // STRANGERS_SHARE)
        return "strangers" if self._strangers[neighbourhood(address)] >= share else ""

    def _places_in_all(self) -> int:
        return min(self._limits().max_connections, self._places)

    def enter(self, address: str) -> None:
        """A newcomer has been taken in."""
        self._per_address[address] += 1
        self._strangers[neighbourhood(address)] += 1

    def recognise(self, address: str) -> None:
        """A stranger has logged in."""
        _take_one(self._strangers, neighbourhood(address))

    def leave(self, address: str, *, stranger: bool) -> None:
        """A line that was taken in has ended."""
        _take_one(self._per_address, address)
        if stranger:
            _take_one(self._strangers, neighbourhood(address))


def _take_one(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
