"""When a library system that does not answer is left alone, and when it is tried again (B71)."""

from __future__ import annotations

import random
from collections.abc import Callable

from sip2gw.backend.system import BreakerState

FAILURES_MAX = 5
"""So many failed requests in a row, and nobody waits for the library system any more."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 5.0
"""Before a line is opened again. Not longer: terminals must hear soon that it is back (B77), and
one connection in some seconds is no burden."""
FIRST_REFUSED_S, LONGEST_REFUSED_S = 30.0, 600.0
"""The same after a login that was refused: library systems lock accounts."""

Jitter = Callable[[], float]
"""A random number from 0 to 1."""


class Backoff:
    """Waits that double from the first to the longest. Each is up to a half longer than that, so
    that gateways that lost a library system together do not come back together."""

    def __init__(self, first_s: float, longest_s: float, jitter: Jitter = random.random) -> None:
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s
        self._jitter = jitter

    def next_s(self) -> float:
        """Seconds to wait now; the next wait is longer."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._longest_s)
        return wait_s * (1 + self._jitter() / 2)

    def reset(self) -> None:
        """Begin anew with the first wait."""
        self._next_s = self._first_s


class Breaker:
    """`closed`: requests go up. `open`: nobody asks until a wait is over. `half_open`: one probe is
    under way, and still nobody else asks.

    A probe that succeeds closes it on trial: one failure before the first real answer opens it
    again, for longer.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._failures = 0
        self._on_trial = False
        self._open_until = 0.0
        self.state: BreakerState = "closed"
        self.is_closed = True
        """Whether anybody may ask."""
        self.is_well = True
        """Whether `answered` would change nothing, as after nearly all answers."""

    def failed(self, now: float) -> bool:
        """A request failed; whether the breaker has opened because of that."""
        self._failures += 1
        self.is_well = False
        if not self.is_closed or (self._failures < FAILURES_MAX and not self._on_trial):
            return False
        self.trip(now + self._backoff.next_s())
        return True

    def trip(self, until: float) -> None:
        """Open, whatever was before."""
        self._turn("open")
        self._open_until, self.is_well = until, False

    def answered(self) -> None:
        """A request was answered: all is well."""
        self._turn("closed")
        self._failures, self._on_trial, self.is_well = 0, False, True
        self._backoff.reset()

    def may_probe(self, now: float) -> bool:
        """Whether the one probe is to begin now."""
        return self.state == "open" and now >= self._open_until

    def probe_began(self) -> None:
        """The probe is under way; `trip` says that it failed."""
        self._turn("half_open")

    def probe_succeeded(self) -> None:
        """Close, on trial."""
        if not self.is_closed:
            self._turn("closed")
            self._failures, self._on_trial = 0, True

    def _turn(self, state: BreakerState) -> None:
        self.state, self.is_closed = state, state == "closed"
