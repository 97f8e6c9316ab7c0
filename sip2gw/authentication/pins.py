"""Verifying PINs against the hashes of our own store (B19, B20, C1, C99).

How many wrong ones are judged at all, `guesses` decides. Failures belong to the patron: all cards
share them, even lost and blocked ones.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from sip2gw.authentication.guesses import Guesses, PinRules
from sip2gw.authentication.replacing import HashReplacing
from sip2gw.authentication.verification import SlowVerifier
from sip2gw.backend.base import Backend
from sip2gw.foundation.hashing import verify_pin
from sip2gw.model import Card, FailedPins, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.shared.door_memory import Admissions
from sip2gw.shared.pin_guesses import PinGuesses


class _Guess(Discreet, Struct, frozen=True):
    """A presented PIN that was not verified recently."""

    seen: PatronRecord
    """The patron as just read, or as last seen if the store is unavailable."""
    card_number: str
    pin: Hidden[str]
    terminal: str
    now: datetime
    store_away: bool
    goes_first: bool
    """Whether it is hashed before those without this mark."""


class _PatronFailures:
    """Failures of patrons that our store knows."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def record(
        self, name: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        return await self._backend.record_pin_failure(name, now, failures_max, lock_until)

    async def clear(self, name: str) -> None:
        await self._backend.clear_pin_failures(name)


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
        """`admissions` learns whose PIN was right and whose was not (C110). For `rules` and
        `on_lock` see `Guesses`.
        """
        self._backend = backend
        self._verifier = verifier
        self._secret = pin_secret
        self.guesses = Guesses(
            _PatronFailures(backend), rules, on_lock, terminals, verifier.monotonic
        )
        self._unwritten = self.guesses.unwritten
        self._admissions = admissions or Admissions()
        self.replacing = HashReplacing(backend, verifier, pin_secret)

    @property
    def rules(self) -> PinRules:
        """The limits; they may be replaced at any time."""
        return self.guesses.rules

    @rules.setter
    def rules(self, rules: PinRules) -> None:
        self.guesses.rules = rules

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
        goes_first = at_door and self.guesses.may_go_first(terminal, now)
        guess = _Guess(record, card_number, pin, terminal, now, store_away, goes_first)
        return await self.guesses.judge(terminal, now, lambda: self._verify(guess))

    async def _verify(self, guess: _Guess) -> PinState:
        async with self.guesses.turns.held(guess.seen.id):
            record: PatronRecord | None = guess.seen
            if not guess.store_away:
                record = await self._backend.find_by_card(guess.card_number)
            card = record.card(guess.card_number) if record is not None else None
            if record is None or card is None:
                return PinState.WRONG
            state = PinState.LOCKED
            stored = FailedPins(card.pin_failures, card.pin_locked_until)
            guessed_at = guess.store_away and self._admissions.is_guessed_at(record.id)
            if not guessed_at and not self.guesses.is_locked(record.id, stored, guess.now):
                state = await self._verify_unlocked(record, stored, guess)
            self._admissions.see(record, right=state is PinState.OK)
            if state is PinState.OK:
                self._backend.note_activity(record.id, guess.now)
            return state

    async def _verify_unlocked(
        self, record: PatronRecord, stored: FailedPins, guess: _Guess
    ) -> PinState:
        """Verify a guess at a PIN that is not locked, while the patron's next guess waits."""
        guesses, now, away = self.guesses, guess.now, guess.store_away
        failed_before = guesses.has_failed(record.id, stored)
        if not self._is_known_right(record, guess.pin):
            failures = None
            if failed_before:
                failures = await guesses.count(record.id, stored, now, store_away=away)
                if failures is None:
                    return PinState.LOCKED
            if not await self.matches(record, guess.pin, first=guess.goes_first):
                if not failed_before:
                    failures = await guesses.count(record.id, stored, now, store_away=away)
                await guesses.note_failure(guess.terminal, now, failures)
                return PinState.WRONG
        if failed_before:
            await guesses.take_back(record.id, store_away=away)
        if not away:
            self.replacing.of(record, guess.pin)
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

    async def hold_back(self, terminal: str, now: datetime, began_s: float) -> None:
        """See `Guesses.hold_back`."""
        await self.guesses.hold_back(terminal, now, began_s)
