"""Wrong PINs at each terminal, of any patron (C19, C99)."""

from __future__ import annotations

import asyncio
from collections import deque

JUDGED_AT_ONCE_MAX = 2
"""At most this many unremembered PINs are judged at a time at a terminal with too many failures."""


class TerminalGuesses:
    """The failures at one terminal, and its guesses that are being judged."""

    __slots__ = ("failures", "judged", "turn")

    def __init__(self, failures_max: int) -> None:
        self.failures: deque[float] = deque(maxlen=failures_max)
        """The times of the newest failures, in seconds of the wall clock."""
        self.judged = 0
        """Guesses that have been begun and have no result yet."""
        self.turn = asyncio.Semaphore(JUDGED_AT_ONCE_MAX)

    def too_many(self, now: float, window_s: float, more: int = 0) -> bool:
        """Whether, with `more` failures now, the limit is reached within the last `window_s`."""
        assert self.failures.maxlen is not None
        older = self.failures.maxlen - more
        return older <= 0 or self.has_failed(older, now, window_s)

    def has_failed(self, times: int, now: float, window_s: float) -> bool:
        """Whether there were at least this many failures within the last `window_s`."""
        return len(self.failures) >= times and now - self.failures[-times] <= window_s


class PinGuesses:
    """The guesses at every terminal."""

    def __init__(self) -> None:
        self._terminals: dict[str, TerminalGuesses] = {}

    def of(self, terminal: str, failures_max: int) -> TerminalGuesses:
        """The guesses at the terminal of that name; another limit begins a new count."""
        known = self._terminals.get(terminal)
        if known is None or known.failures.maxlen != failures_max:
            known = self._terminals[terminal] = TerminalGuesses(failures_max)
        return known
