"""Guesses at PINs: at each terminal, of any patron, and one after the other (C19, C99)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from sip2gw.shared.turns import NameTurns

JUDGED_AT_ONCE_MAX = 2
"""At most this many unremembered PINs are judged at a time at a terminal with too many failures."""


class TerminalLimit(Struct, frozen=True):
    """How many PINs may fail at a terminal, and in what time."""

    failures_max: int
    window_s: float


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

    def end(self) -> None:
        """A guess has its result."""
        self.judged -= 1

    def end_turn(self) -> None:
        """The same for one that had a turn."""
        self.judged -= 1
        self.turn.release()


class GuessPlace(Protocol):
    """What a guess that is being judged holds."""

    def leave(self) -> None:
        """It has been judged."""


class _Place(Struct, frozen=True):
    guesses: TerminalGuesses
    crowded: bool

    def leave(self) -> None:
        if self.crowded:
            self.guesses.end_turn()
        else:
            self.guesses.end()


class PinGuesses:
    """The guesses at every terminal, and whose turn it is at every patron's PIN."""

    def __init__(self, turns: NameTurns | None = None) -> None:
        self.turns = turns or NameTurns()
        self._terminals: dict[str, TerminalGuesses] = {}
        self.on_unwritten: Callable[[str, int, datetime], None] = lambda name, change, until: None
        """Called with what another worker says of a patron; see `tell_unwritten`."""

    def tell_unwritten(self, name: str, change: int, until: float) -> None:
        """Failures of a patron that the store could not count: so many more; 0: none any more.

        They count until `until`, in seconds of the wall clock. Here nobody else needs to know.
        """

    def of(self, terminal: str, failures_max: int) -> TerminalGuesses:
        """The guesses at the terminal of that name; another limit begins a new count."""
        known = self._terminals.get(terminal)
        if known is None or known.failures.maxlen != failures_max:
            known = self._terminals[terminal] = TerminalGuesses(failures_max)
        return known

    async def begin(self, terminal: str, limit: TerminalLimit, now: float) -> GuessPlace:
        """Begin a guess at `terminal`, when it may be judged.

        All guesses under way at a terminal may fail. Counting them denies extra ones to those who
        hang up.
        """
        known = self.of(terminal, limit.failures_max)
        crowded = known.too_many(now, limit.window_s, known.judged)
        if crowded:
            await known.turn.acquire()
        known.judged += 1
        return _Place(known, crowded)

    async def fail(self, terminal: str, limit: TerminalLimit, now: float) -> bool:
        """Count a failure; returns whether it is the one that reaches the limit."""
        return self.learn(terminal, limit, now)

    def learn(self, terminal: str, limit: TerminalLimit, now: float) -> bool:
        """The same; nobody has to wait for it."""
        known = self.of(terminal, limit.failures_max)
        before = known.too_many(now, limit.window_s)
        known.failures.append(now)
        return not before and known.too_many(now, limit.window_s)

    def restore(self, terminal: str, failures_max: int, failures: Iterable[float]) -> None:
        """Count these failures."""
        self.of(terminal, failures_max).failures.extend(failures)

    def counted(self) -> Iterator[tuple[str, int, tuple[float, ...]]]:
        """Terminal, limit and failures, wherever there are any; see `restore`."""
        for terminal, known in self._terminals.items():
            if known.failures:
                assert known.failures.maxlen is not None
                yield terminal, known.failures.maxlen, tuple(known.failures)
