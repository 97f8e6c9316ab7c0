"""Which newcomers are taken in: caps and networks, counted from accept.  (B14, C100, C101)

A line counts from the moment its connection is accepted, before any TLS handshake. Whoever has not
logged in is a stranger; of one address only so many are kept that others still find a place, also
when the system gives us few descriptors.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from sip2gw.serving.login import neighbourhood

if TYPE_CHECKING:
    from sip2gw.serving.site import Site

DESCRIPTORS_RESERVED = 64
"""Kept back for the store, the log, HTTP and whatever else must go on working at the cap."""
STRANGERS_SHARE = 4
"""One address has at most this part of the free places for lines that have not logged in, so that
several of them together cannot take all."""
STRANGERS_MIN = 16


def descriptors_allowed() -> int:
    """Files and sockets that this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Doorkeeper:
    """Counts the lines, and says who finds no place."""

    def __init__(
        self, site: Callable[[], Site], descriptors: Callable[[], int] = descriptors_allowed
    ) -> None:
        self._site = site
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
        if self._per_address[address] >= self._site().config.server.max_connections_per_address:
            return "address"
        free = self._places_in_all() - self._lines + 1  # its own was free when it came
        share = max(STRANGERS_MIN, free // STRANGERS_SHARE)
        if self._strangers[neighbourhood(address)] >= share:
            return "strangers"
        return "" if self._site().is_expected(address) else "network"

    def _places_in_all(self) -> int:
        return min(self._site().config.server.max_connections, self._places)

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


SHARED_TIMES = 3
SHARED_WITHIN_S = 600.0
HEARD_WITHIN_S = 120.0
"""A line that sent something so lately is in use; replacing it is no reconnection."""


class Replacements:
    """Notices terminals that replace each other's lines because they share a login (C102)."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}

    def note(self, terminal: str, last_heard: float, now: float) -> bool:
        """A line of `terminal`, last heard at `last_heard`, is being replaced.

        Returns:
            True when lines in use were replaced three times within ten minutes: once each time.
        """
        if now - last_heard > HEARD_WITHIN_S:
            return False
        times = [at for at in self._times.get(terminal, ()) if now - at < SHARED_WITHIN_S]
        times.append(now)
        shared = len(times) >= SHARED_TIMES
        self._times[terminal] = [] if shared else times
        return shared
