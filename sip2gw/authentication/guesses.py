"""Limiting how often a PIN can be guessed, whoever judges it (B19, B20, B74, C19, C99).

The gateway lets at most `pin_failures_max` wrong PINs of a patron be judged before it locks the
PIN, and one more for each further gateway on the same store. No failure of a connection, a process
or the store raises that number. A guess counts as judged once its answer has left or could be
timed.

- The guesses at one patron's PIN are judged one after the other. Hanging up, or the deadline, does
  not undo a guess: it goes on by itself, and the next guess waits for it.
- While no failure is known, a guess is judged first and counted before its answer leaves. Two
  gateways may do this at the same time; that is the one further guess of each gateway.
- After a failure, each guess is counted durably *before* it is judged. The store grants no more
  guesses than the limit. A right PIN resets the count.
- A terminal's limit includes its guesses that are still being judged, so hanging up and connecting
  again does not get more of them judged at a time.
- If the store cannot count a failure, memory does, and writes it to the store as soon as that
  works. A patron whose failures can be kept nowhere is treated as locked.
- Answers to wrong and locked PINs, and to unknown cards where the profile hides them, leave at
  fixed times after the request, so their timing reveals nothing. Nothing is hashed for this.

A patron is a *name* here: an id, or whatever else failures are counted under.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from sip2gw.backend.base import BackendError, HungUpError
from sip2gw.foundation.eager import Detached
from sip2gw.model import FailedPins
from sip2gw.shared.pin_guesses import GuessPlace, PinGuesses, TerminalGuesses, TerminalLimit

FAILURES_LAST = 3
"""A door with this many failures within the window no longer goes first."""
LATE_MAX_S = 2.0
"""Delay of the failing answers of such a terminal."""
UNWRITTEN_PATRONS_MAX = 20_000
WRITE_AGAIN_S = 1.0

T = TypeVar("T")


class PinRules(Struct, frozen=True):
    """The limits on wrong PINs of a patron and of a terminal (C19), and when failing answers leave
    (C99).
    """

    failures_max: int = 5
    lock: timedelta = timedelta(minutes=15)
    terminal_failures_max: int = 50
    terminal_window: timedelta = timedelta(minutes=15)
    answer_slot_s: float = 0.5
    """Failing answers leave a whole number of these seconds after the request; 0: at once."""


class FailureCounts(Protocol):
    """Where failures are counted durably."""

    async def record(
        self, name: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """Count a failure; how many there are now, or None if the PIN was locked already."""
        ...

    async def clear(self, name: str) -> None:
        """Forget the failures after a right PIN."""
        ...


class _Unwritten(Struct):
    """Failures of a patron that the store could not count."""

    failures: int
    until: datetime
    """When memory forgets the failures, just as the store would end a lock."""
    elsewhere: int = 0
    """Failures that other workers could not have counted either, and will write."""


class Guesses:
    """Counts failures of patrons and terminals, and says when a guess may be judged."""

    def __init__(
        self,
        counts: FailureCounts,
        rules: PinRules,
        on_lock: Callable[[str, str], None],
        terminals: PinGuesses | None,
        monotonic: Callable[[], float],
    ) -> None:
        """`on_lock` is called with `card` or `terminal` when one of the two limits is reached, and
        with the terminal at which it was.

        `rules` may be replaced at any time; locks that exist stay as they are.
        """
        self._counts = counts
        self.rules = rules
        self._on_lock = on_lock
        self._monotonic = monotonic
        self.under_way: set[asyncio.Task[Any]] = set()
        """Guesses that are being judged, also for somebody who has gone."""
        self.left: set[asyncio.Future[None]] = set()
        """Those of `judge_elsewhere` for somebody who has gone; done when they have been judged."""
        self.terminals = terminals or PinGuesses()
        self.turns = self.terminals.turns
        self.terminals.on_unwritten = self._hear_unwritten
        self.unwritten: dict[str, _Unwritten] = {}
        self.writing: asyncio.Task[None] | None = None

    # One after the other --------------------------------------------------------------------------

    async def judge(
        self, terminal: str, now: datetime, judging: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """The result of `judging`, which goes on even if the caller gives up."""
        place = await self.terminals.begin(terminal, self._limit(), now.timestamp())
        return await asyncio.shield(self._begin(judging(), place))

    def judge_elsewhere(
        self, terminal: str, now: datetime, judging: Coroutine[Any, Any, T]
    ) -> Awaitable[T]:
        """The same where judging is waiting for somebody else's answer, so no task is needed."""
        known = self.terminals.of(terminal, self.rules.terminal_failures_max)
        if known.failures and self._too_many(known, now, known.judged):
            return self._judge_in_turn(known, judging)
        known.judged += 1
        work: Detached[T] = Detached(self.left, known.end)
        return work.run(judging)

    async def _judge_in_turn(self, known: TerminalGuesses, judging: Coroutine[Any, Any, T]) -> T:
        try:
            await known.turn.acquire()
        except BaseException:
            judging.close()
            raise
        known.judged += 1
        work: Detached[T] = Detached(self.left, known.end_turn)
        return await work.run(judging)

    def _begin(self, judging: Coroutine[Any, Any, T], place: GuessPlace) -> asyncio.Task[T]:
        begun = asyncio.get_running_loop().create_task(judging)
        self.under_way.add(begun)

        def done(task: asyncio.Task[T]) -> None:
            self.under_way.discard(task)
            place.leave()
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not report it again

        begun.add_done_callback(done)
        return begun

    # Counting -------------------------------------------------------------------------------------

    def is_locked(self, name: str, stored: FailedPins, now: datetime) -> bool:
        """Whether no guess may be judged now; `stored` is what the store has counted."""
        if stored.are_locked(now):
            return True
        unwritten = self._unwritten_of(name, now)
        if unwritten is None:
            return len(self.unwritten) >= UNWRITTEN_PATRONS_MAX
        failures = unwritten.failures + unwritten.elsewhere
        return stored.since_lock + failures >= self.rules.failures_max

    def has_failed(self, name: str, stored: FailedPins) -> bool:
        """Whether the next guess has to be counted before it is judged."""
        return bool(stored.failures) or name in self.unwritten

    async def count(
        self, name: str, stored: FailedPins, now: datetime, *, store_away: bool = False
    ) -> int | None:
        """Count a failure of the patron; returns the new count, or None if the PIN is locked."""
        if not store_away:
            try:
                return await self._counts.record(
                    name, now, self.rules.failures_max, now + self.rules.lock
                )
            except BackendError:
                pass  # memory counts it instead
        return stored.since_lock + self._keep(name, now)

    async def take_back(self, name: str, *, store_away: bool = False) -> None:
        """Reset the count after a right PIN; it stays if the store cannot be written."""
        unwritten = self.unwritten.pop(name, None)
        if unwritten is not None:
            self.terminals.tell_unwritten(name, 0, unwritten.until.timestamp())
        if store_away:
            return
        try:
            await self._counts.clear(name)
        except BackendError:
            return

    def forget_unwritten(self, name: str) -> bool:
        """Forget one failure that the store has not counted yet; False if there is none."""
        unwritten = self.unwritten.get(name)
        if unwritten is None:
            return False
        self._one_less(name, unwritten)
        return True

    def _one_less(self, name: str, unwritten: _Unwritten) -> None:
        unwritten.failures -= 1
        if not unwritten.failures and not unwritten.elsewhere:
            self.unwritten.pop(name, None)
        self.terminals.tell_unwritten(name, -1, unwritten.until.timestamp())

    def _hear_unwritten(self, name: str, change: int, until: datetime) -> None:
        """Another worker has so many more failures to write; 0: the count is cleared."""
        unwritten = self.unwritten.get(name)
        if unwritten is None and change > 0 and len(self.unwritten) < UNWRITTEN_PATRONS_MAX:
            unwritten = self.unwritten[name] = _Unwritten(0, until)
        if unwritten is None:
            return
        unwritten.elsewhere = max(0, unwritten.elsewhere + change)
        unwritten.until = max(unwritten.until, until)
        if not change or not (unwritten.failures or unwritten.elsewhere):
            del self.unwritten[name]

    def _unwritten_of(self, name: str, now: datetime) -> _Unwritten | None:
        unwritten = self.unwritten.get(name)
        if unwritten is not None and now >= unwritten.until:
            del self.unwritten[name]
            return None
        return unwritten

    def _keep(self, name: str, now: datetime) -> int:
        """Count in memory what the store cannot count, for writing later; returns the count."""
        unwritten = self._unwritten_of(name, now)
        if unwritten is None:
            unwritten = self.unwritten[name] = _Unwritten(0, now)
        unwritten.failures += 1
        unwritten.until = now + self.rules.lock
        self.terminals.tell_unwritten(name, 1, unwritten.until.timestamp())
        if self.writing is None:
            self.writing = asyncio.get_running_loop().create_task(self._write())
        return unwritten.failures + unwritten.elsewhere

    async def _write(self) -> None:
        """Write to the store what memory has counted, as soon as the store accepts it."""
        try:
            while names := [name for name, it in self.unwritten.items() if it.failures]:
                await asyncio.sleep(WRITE_AGAIN_S)
                for name in names:
                    if not await self._write_one(name):
                        break
        finally:
            self.writing = None

    async def _write_one(self, name: str) -> bool:
        async with self.turns.held(name):
            unwritten = self.unwritten.get(name)
            while unwritten is not None and unwritten.failures:
                since = unwritten.until - self.rules.lock
                try:
                    await self._counts.record(name, since, self.rules.failures_max, unwritten.until)
                except Exception:  # even a bug: memory keeps the failure until the store has it
                    return False
                self._one_less(name, unwritten)
        return True

    # Terminals ------------------------------------------------------------------------------------

    def terminal(self, name: str) -> TerminalGuesses:
        """The guesses at the terminal of that name."""
        return self.terminals.of(name, self.rules.terminal_failures_max)

    def _limit(self) -> TerminalLimit:
        rules = self.rules
        return TerminalLimit(rules.terminal_failures_max, rules.terminal_window.total_seconds())

    def _too_many(self, terminal: TerminalGuesses, now: datetime, more: int = 0) -> bool:
        window_s = self.rules.terminal_window.total_seconds()
        return terminal.too_many(now.timestamp(), window_s, more)

    def may_go_first(self, terminal: str, now: datetime) -> bool:
        """Whether few PINs have failed at that door lately."""
        window_s = self.rules.terminal_window.total_seconds()
        return not self.terminal(terminal).has_failed(FAILURES_LAST, now.timestamp(), window_s)

    async def note_failure(self, terminal: str, now: datetime, failures: int | None) -> None:
        """Count a failure at a terminal, the patron's `failures`-th, and report a limit reached."""
        if failures is not None and failures >= self.rules.failures_max:
            self._on_lock("card", terminal)
        if await self.terminals.fail(terminal, self._limit(), now.timestamp()):
            self._on_lock("terminal", terminal)

    async def hold_back(self, terminal: str, now: datetime, began_s: float) -> None:
        """Wait until a failing answer may leave, or until the deadline.

        Args:
            terminal: if it has too many failures, its answers leave later.
            now: the wall clock.
            began_s: when the request began, on the monotonic clock.
        """
        slot_s = self.rules.answer_slot_s
        if not slot_s:
            return
        late = self._too_many(self.terminal(terminal), now)
        elapsed_s = self._monotonic() - began_s
        try:
            await asyncio.sleep(next_slot_s(elapsed_s, LATE_MAX_S if late else slot_s) - elapsed_s)
        except HungUpError:
            raise
        except asyncio.CancelledError:
            return  # the deadline: the result stands, and the terminal gets it


def next_slot_s(elapsed_s: float, slot_s: float) -> float:
    """The end of the current slot, in seconds after the request; at least one whole slot."""
    return max(1, math.ceil(elapsed_s / slot_s)) * slot_s
