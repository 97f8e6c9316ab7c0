"""Caps on connections, counted from accept on (B14, C100, C101).

A line counts as soon as its connection is accepted, before any TLS handshake. Until it logs in it
is a stranger. Each address may have only so many strangers that others still find a place, even if
the system allows us few descriptors.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from sip2gw.shared.callers import neighbourhood

DESCRIPTORS_RESERVED = 64
"""Reserved for the store, the log, HTTP and all else that must still work at the cap."""
STRANGERS_SHARE = 4
"""The strangers of an address get at most this part of the free places, so that even several
addresses together cannot take all of them."""
STRANGERS_MIN = 16


def descriptors_allowed() -> int:
    """How many files and sockets this process may have open."""
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
    """Counts lines, and refuses new ones when a cap is reached."""

    def __init__(
        self,
        limits: Callable[[], Caps],
        descriptors: Callable[[], int] = descriptors_allowed,
    ) -> None:
        """`limits` returns the caps as they are configured now."""
        self._limits = limits
        self._places = max(1, descriptors() - DESCRIPTORS_RESERVED)
        self._lines = 0
        self._per_address: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()

    def take_place(self) -> bool:
        """Count an accepted connection; False if all places are taken."""
        if self._lines >= self._places_in_all():
            return False
        self._lines += 1
        return True

    def leave_place(self) -> None:
        """A connection has ended."""
        self._lines -= 1

    def obstacle(self, address: str) -> str:
        """Why to refuse the line from `address` that has just taken a place, as a metric label;
        empty: admit it."""
        if self._per_address[address] >= self._limits().max_connections_per_address:
            return "address"
        free = self._places_in_all() - self._lines + 1  # its own was free when it came
        share = max(STRANGERS_MIN, free // STRANGERS_SHARE)
        return "strangers" if self._strangers[neighbourhood(address)] >= share else ""

    def _places_in_all(self) -> int:
        return min(self._limits().max_connections, self._places)

    def enter(self, address: str) -> None:
        """Count a line that has been admitted."""
        self._per_address[address] += 1
        self._strangers[neighbourhood(address)] += 1

    def recognise(self, address: str) -> None:
        """Stop counting a stranger, who has logged in."""
        _take_one(self._strangers, neighbourhood(address))

    def leave(self, address: str, *, stranger: bool) -> None:
        """Stop counting an admitted line, which has ended."""
        _take_one(self._per_address, address)
        if stranger:
            _take_one(self._strangers, neighbourhood(address))


def _take_one(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
