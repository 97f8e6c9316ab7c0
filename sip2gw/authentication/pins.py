"""Verifying PINs, and limiting how often one can be guessed (B19, B20, C1, C19, C99).

The gateway judges at most `pin_failures_max` wrong PINs of a patron before it locks the PIN, and
one more for each further gateway on the same store. No failure of a connection, a process or the
store raises that number. A guess counts as judged once its answer has left or could be timed.

- Failures belong to the patron. All cards share them, even lost and blocked ones.
- The guesses at one patron's PIN are judged one after the other, each in a task of its own. Hanging
  up, or the deadline, does not undo a guess: its task goes on, and the next guess waits for it.
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
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from sip2gw.authentication.verification import SlowVerifier
from sip2gw.backend.base import Backend, BackendError, HungUpError
from sip2gw.foundation.hashing import verify_pin
from sip2gw.model import Card, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.shared.door_memory import Admissions
from sip2gw.shared.pin_guesses import PinGuesses, TerminalGuesses

FAILURES_LAST = 3
"""A door with this many failures within the window no longer goes first."""
LATE_MAX_S = 2.0
"""Delay of the failing answers of such a terminal."""
UNWRITTEN_PATRONS_MAX = 20_000
WRITE_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class PinRules:
    """The limits on wrong PINs of a patron and of a terminal (C19), and when failing answers leave
    (C99).
    """

    failures_max: int = 5
    lock: timedelta = timedelta(minutes=15)
    terminal_failures_max: int = 50
    terminal_window: timedelta = timedelta(minutes=15)
    answer_slot_s: float = 0.5
    """Failing answers leave a whole number of these seconds after the request; 0: at once."""


@dataclass(frozen=True, slots=True)
class _Guess:
    """A presented PIN that was not verified recently."""

    seen: PatronRecord
    """The patron as just read, or as last seen if the store is unavailable."""
    card_number: str
    pin: str = field(repr=False)
    terminal: str
    now: datetime
    store_away: bool
    goes_first: bool
    """Whether it is hashed before those without this mark."""


@dataclass(slots=True)
class _Unwritten:
    """Failures of a patron that the store could not count."""

    failures: int
    until: datetime
    """When memory forgets the failures, just as the store would end a lock."""


class PinService:
    """Verifies PINs, counts failures, and locks PINs."""

    def __init__(
        self,
        backend: Backend,
        verifier: SlowVerifier,
        pin_secret: bytes,
        rules: PinRules,
        on_lock: Callable[[str, str], None],
        admissions: Admissions | None = None,
        terminals: PinGuesses | None = None,
    ) -> None:
        """`on_lock` is called with `card` or `terminal` when one of the two limits is reached, and
        with the terminal at which it was;
        `admissions` learns whose PIN was right and whose was not (C110).

        `rules` may be replaced at any time; locks that exist stay as they are.
        """
        self._backend = backend
        self._verifier = verifier
        self._secret = pin_secret
        self.rules = rules
        self._on_lock = on_lock
        self._admissions = admissions or Admissions()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._guesses: set[asyncio.Task[PinState]] = set()
        self._terminals = terminals or PinGuesses()
        self._unwritten: dict[str, _Unwritten] = {}
        self._writing: asyncio.Task[None] | None = None

    # What a PIN is worth --------------------------------------------------------------------------

    def remembers(self, record: PatronRecord, card: Card, pin: str) -> bool:
        """Whether `pin` was right recently and no wrong one came since; takes microseconds."""
        pin_hash, verifier = record.pin_hash, self._verifier
        if card.pin_failures or pin_hash is None or record.id in self._unwritten:
            return False
        return verifier.is_remembered(verifier.digest(record.id, pin, pin_hash))

    async def check(
        self,
        record: PatronRecord,
        card_number: str,
        pin: str | None,
        terminal: str,
        now: datetime,
        *,
        store_away: bool = False,
        at_door: bool = False,
    ) -> PinState:
        """Judge `pin` for `card_number`; when this returns, a wrong one has been counted.

        It suspends only if the PIN was not verified recently.

        Args:
            record: the holder of the card.
            card_number: the card as scanned.
            pin: None or empty is `ABSENT`.
            terminal: the name of the terminal; its failures are counted too.
            now: the wall clock.
            store_away: `record` is the patron as last seen; memory counts the guess (B40, C110).
            at_door: somebody is waiting at a door; the guess goes first, unless many fail there.

        Raises:
            BackendError: the store or the hashing threads cannot judge it, so nothing was judged.
        """
        if not pin:
            return PinState.ABSENT
        card = record.card(card_number)
        if card is not None and self.remembers(record, card, pin):
            return PinState.OK
        known = self._terminal(terminal)
        goes_first = at_door and not self._has_failed(known, FAILURES_LAST, now)
        guess = _Guess(record, card_number, pin, terminal, now, store_away, goes_first)
        # All guesses under way may fail. Counting them denies extra ones to those who hang up.
        crowded = self._too_many(known, now, known.judged)
        if crowded:
            await known.turn.acquire()
        return await asyncio.shield(self._begin(guess, known, crowded=crowded))

    def _begin(
        self, guess: _Guess, known: TerminalGuesses, *, crowded: bool
    ) -> asyncio.Task[PinState]:
        """Verify `guess` in a task of its own, which goes on even if the caller gives up."""
        judging = asyncio.get_running_loop().create_task(self._verify(guess))
        known.judged += 1
        self._guesses.add(judging)

        def done(task: asyncio.Task[PinState]) -> None:
            self._guesses.discard(task)
            known.judged -= 1
            if crowded:
                known.turn.release()
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not report it again

        judging.add_done_callback(done)
        return judging

    async def _verify(self, guess: _Guess) -> PinState:
        turn = self._turns.setdefault(guess.seen.id, asyncio.Lock())
        async with turn:
            record: PatronRecord | None = guess.seen
            if not guess.store_away:
                record = await self._backend.find_by_card(guess.card_number)
            card = record.card(guess.card_number) if record is not None else None
            if record is None or card is None:
                return PinState.WRONG
            state = PinState.LOCKED
            guessed_at = guess.store_away and self._admissions.is_guessed_at(record.id)
            if not guessed_at and not self._is_locked(record, card, guess.now):
                state = await self._verify_unlocked(record, card, guess)
            self._admissions.see(record, right=state is PinState.OK)
            if state is PinState.OK:
                self._backend.note_activity(record.id, guess.now)
            return state

    async def _verify_unlocked(self, record: PatronRecord, card: Card, guess: _Guess) -> PinState:
        """Verify a guess at a PIN that is not locked, while the patron's next guess waits."""
        failed_before = bool(card.pin_failures) or record.id in self._unwritten
        if not self._is_known_right(record, guess.pin):
            failures = await self._count(record, card, guess) if failed_before else None
            if failed_before and failures is None:
                return PinState.LOCKED
            if not await self.matches(record, guess.pin, first=guess.goes_first):
                if not failed_before:
                    failures = await self._count(record, card, guess)
                self._note_failure(guess, failures)
                return PinState.WRONG
        if failed_before:
            await self._take_back(record.id, store_away=guess.store_away)
        return PinState.OK

    def _is_known_right(self, record: PatronRecord, pin: str) -> bool:
        pin_hash = record.pin_hash
        return pin_hash is not None and self._verifier.is_remembered(
            self._verifier.digest(record.id, pin, pin_hash)
        )

    async def matches(self, record: PatronRecord, pin: str, *, first: bool = True) -> bool:
        """Whether `pin` is right for `record`; this neither asks the store nor counts anything.

        For `first` see `SlowVerifier.run`.
        """
        pin_hash = record.pin_hash
        if pin_hash is None:
            return False
        if self._is_known_right(record, pin):
            return True
        secret = self._secret
        matches = await self._verifier.run(lambda: verify_pin(secret, pin_hash, pin), first=first)
        if matches:
            self._verifier.remember(self._verifier.digest(record.id, pin, pin_hash))
        return matches

    # Counting -------------------------------------------------------------------------------------

    def _is_locked(self, record: PatronRecord, card: Card, now: datetime) -> bool:
        if card.pin_locked_until is not None and now < card.pin_locked_until:
            return True
        unwritten = self._unwritten_of(record.id, now)
        if unwritten is None:
            return len(self._unwritten) >= UNWRITTEN_PATRONS_MAX
        return self._stored(card) + unwritten.failures >= self.rules.failures_max

    @staticmethod
    def _stored(card: Card) -> int:
        """The failures that the store has counted; an expired lock starts again at 0 (C81)."""
        return card.pin_failures if card.pin_locked_until is None else 0

    async def _count(self, record: PatronRecord, card: Card, guess: _Guess) -> int | None:
        """Count a failure of the patron; returns the new count, or None if the PIN is locked."""
        rules, now = self.rules, guess.now
        if not guess.store_away:
            try:
                return await self._backend.record_pin_failure(
                    record.id, now, rules.failures_max, now + rules.lock
                )
            except BackendError:
                pass  # memory counts it instead
        return self._stored(card) + self._keep(record.id, now)

    async def _take_back(self, patron_id: str, *, store_away: bool) -> None:
        """Reset the count after a right PIN; it stays if the store cannot be written."""
        self._unwritten.pop(patron_id, None)
        if store_away:
            return
        try:
            await self._backend.clear_pin_failures(patron_id)
        except BackendError:
            return

    def _unwritten_of(self, patron_id: str, now: datetime) -> _Unwritten | None:
        unwritten = self._unwritten.get(patron_id)
        if unwritten is not None and now >= unwritten.until:
            del self._unwritten[patron_id]
            return None
        return unwritten

    def _keep(self, patron_id: str, now: datetime) -> int:
        """Count in memory what the store cannot count, for writing later; returns the count."""
        unwritten = self._unwritten_of(patron_id, now)
        failures = 1 if unwritten is None else unwritten.failures + 1
        self._unwritten[patron_id] = _Unwritten(failures, now + self.rules.lock)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        return failures

    async def _write(self) -> None:
        """Write to the store what memory has counted, as soon as the store accepts it."""
        try:
            while self._unwritten:
                await asyncio.sleep(WRITE_AGAIN_S)
                for patron_id in list(self._unwritten):
                    if not await self._write_one(patron_id):
                        break
        finally:
            self._writing = None

    async def _write_one(self, patron_id: str) -> bool:
        turn = self._turns.setdefault(patron_id, asyncio.Lock())
        async with turn:
            unwritten = self._unwritten.get(patron_id)
            while unwritten is not None and unwritten.failures:
                since = unwritten.until - self.rules.lock
                try:
                    await self._backend.record_pin_failure(
                        patron_id, since, self.rules.failures_max, unwritten.until
                    )
                except BackendError:
                    return False
                unwritten.failures -= 1
            self._unwritten.pop(patron_id, None)
        return True

    # Terminals ------------------------------------------------------------------------------------

    def _terminal(self, name: str) -> TerminalGuesses:
        return self._terminals.of(name, self.rules.terminal_failures_max)

    def _too_many(self, terminal: TerminalGuesses, now: datetime, more: int = 0) -> bool:
        window_s = self.rules.terminal_window.total_seconds()
        return terminal.too_many(now.timestamp(), window_s, more)

    def _has_failed(self, terminal: TerminalGuesses, times: int, now: datetime) -> bool:
        window_s = self.rules.terminal_window.total_seconds()
        return terminal.has_failed(times, now.timestamp(), window_s)

    def _note_failure(self, guess: _Guess, failures: int | None) -> None:
        """Count a failure at a terminal, the patron's `failures`-th, and report a limit reached."""
        if failures is not None and failures >= self.rules.failures_max:
            self._on_lock("card", guess.terminal)
        terminal = self._terminal(guess.terminal)
        before = self._too_many(terminal, guess.now)
        terminal.failures.append(guess.now.timestamp())
        if not before and self._too_many(terminal, guess.now):
            self._on_lock("terminal", guess.terminal)

    async def hold_back(self, terminal: str, now: datetime, began_s: float) -> None:
        """Wait until a failing answer may leave, or until the deadline.

        Args:
            terminal: if it has too many failures, its answers leave later.
            now: the wall clock.
            began_s: when the request began, on the verifier's monotonic clock.
        """
        slot_s = self.rules.answer_slot_s
        if not slot_s:
            return
        late = self._too_many(self._terminal(terminal), now)
        elapsed_s = self._verifier.monotonic() - began_s
        try:
            await asyncio.sleep(next_slot_s(elapsed_s, LATE_MAX_S if late else slot_s) - elapsed_s)
        except HungUpError:
            raise
        except asyncio.CancelledError:
            return  # the deadline: the result stands, and the terminal gets it


def next_slot_s(elapsed_s: float, slot_s: float) -> float:
    """The end of the current slot, in seconds after the request; at least one whole slot."""
    return max(1, math.ceil(elapsed_s / slot_s)) * slot_s
