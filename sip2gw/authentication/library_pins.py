"""PINs that a library system judges, and what guessing them costs (B74, C99, C151, C158).

`guesses` decides how many are judged. Here is what is different from our own store:

- Whose a card is, only the library system knows. So failures count at the number that was asked, at
  the patron whom our store has for it, and at the other number (AA) that an answer has told us. All
  of these must be unlocked. A wrong PIN more may get through for each further card whose holder
  nobody has told us before; if that turns out to be a locked patron, the card is locked, too.
  All spellings of a number count as one.
- BLN counts like CQN, because some library systems answer a wrong PIN so. An answer without CQ is
  not right. It counts like CQN where CQY has been said in such answers, for some library systems
  say CQ of right PINs only; elsewhere it counts nothing, for many never say it.
- What certainly was not asked is not counted. What was asked and not answered may have been judged
  there: a library system that answers wrong PINs late would tell so, and would be asked for ever.
  So it counts. But somebody whose library system is slow tries the same PIN again and again, and
  that is one guess for each deed, counted once until it is answered. So a slow library system
  locks nobody who knows the PIN, and whoever tries many PINs is locked.
- A loan or a hold with a PIN that nobody has verified is a guess as well: if the answer has no CQ,
  a no may mean the PIN, so it counts. Some library systems judge the PIN of a hold and ignore that
  of a renewal. So a yes takes back only what the same deed with the same PIN has counted: either
  that PIN was right all along, or no answer to that deed tells anything of a PIN.
- A PIN of which CQ has said lately that it is right is no guess, on whatever line it comes: kiosks
  may open one for each message (B94). It is asked about all the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.authentication.emergency import EmergencyPins
from sip2gw.authentication.guesses import Guesses, PinRules
from sip2gw.authentication.verification import SlowVerifier
from sip2gw.backend.base import Backend, BackendError
from sip2gw.backend.system import LibrarySystemError, NotAskedError
from sip2gw.handlers.base import VERIFIED_TTL_S
from sip2gw.model import NO_FAILURES, FailedPins
from sip2gw.policy.access import PinState
from sip2gw.policy.upstream.questions import spelling
from sip2gw.protocol.structs import Discreet, Hidden, Opaque
from sip2gw.shared.door_memory import Admissions
from sip2gw.shared.pin_guesses import PinGuesses

_OK, _WRONG, _LOCKED = PinState.OK, PinState.WRONG, PinState.LOCKED
"""By name: Python 3.11 takes 0.1 µs to find a member of an enumeration."""

SAID_AGAIN_S = 60.0
"""After so long it is noted again that a PIN is right."""
REMEMBERED_MAX = 20_000
"""Other numbers of cards, and guesses that were not answered."""


class Verdict(Discreet, Struct):
    """What was answered about a PIN."""

    right: bool | None
    """None: it was not said."""
    patron_id: Hidden[str] = ""
    """Whom the answer is about; empty if it does not say."""
    answer: Hidden[Any] = None
    by_deed: bool = False
    """Whether only a yes or a no to what was asked besides tells of it."""
    is_repeated: bool = False
    """Whether it was answered to the same question a moment ago."""


class LibraryGuess(Discreet, Struct):
    """A presented PIN."""

    number: Hidden[str]
    """As scanned."""
    known_as: Hidden[str | None]
    """The patron of our store who has the card."""
    pin: Hidden[str]
    terminal: str
    now: datetime
    account: str
    """The terminal's, at the library system."""
    store_away: bool = False
    """Memory alone counts it (B40)."""
    deed: str = ""
    """What is asked besides, as `deed_of` names it; empty where the PIN alone is judged."""
    may_admit: bool = False
    """Whether it is presented at a door that admits in an emergency (B40)."""
    presented: Hidden[bytes] = b""
    """`LibraryPins.presented`, where it is known already."""


Ask = Callable[[], Awaitable[Verdict]]
Recall = Callable[[], Verdict | None]


class _CardFailures:
    """Failures at cards of the library system."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def record(
        self, name: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        return await self._backend.record_guess(name, now, failures_max, lock_until)

    async def clear(self, name: str) -> None:
        await self._backend.clear_guesses(name)

    async def lock(self, name: str, now: datetime, until: datetime) -> None:
        """Lock a card, whatever was counted; if that cannot be written, it is not locked."""
        with suppress(BackendError):
            await self._backend.record_guess(name, now, 1, until)


class LibraryPins:
    """Has PINs judged elsewhere, counts failures, and locks PINs."""

    def __init__(
        self,
        backend: Backend,
        verifier: SlowVerifier,
        rules: PinRules,
        on_lock: Callable[[str, str], None],
        admissions: Admissions,
        emergency: EmergencyPins,
        terminals: PinGuesses,
    ) -> None:
        self.backend = backend
        self._digest = verifier.digest
        self._monotonic = verifier.monotonic
        self._admissions = admissions
        self._emergency = emergency
        self._cards = _CardFailures(backend)
        self.guesses = Guesses(self._cards, rules, on_lock, terminals, verifier.monotonic)
        self._aliases: OrderedDict[str, str] = OrderedDict()
        """The other number of cards, as it was last told."""
        self._unanswered: OrderedDict[bytes, None] = OrderedDict()
        """Guesses that are counted, but were not answered, as keyed digests."""
        self._by_deed: OrderedDict[str, list[bytes]] = OrderedDict()
        """Which failures of a name may only have been noes to what was asked besides: the deed and
        the PIN of each, as keyed digests."""
        self._right: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        """The PIN of a patron that was right last, as a keyed digest, and when that was said."""

    def learn(self, number: str, patron_id: str) -> None:
        """An answer about `number` named `patron_id`."""
        if patron_id and patron_id != number:
            _remember(self._aliases, number, patron_id)

    def other_number(self, number: str) -> str | None:
        """What `learn` was told last of `number`."""
        return self._aliases.get(number)

    def was_right(self, guess: LibraryGuess) -> bool:
        """Whether CQ has said of this very PIN that it is right, in the last nine to ten minutes
        (`SAID_AGAIN_S`), and no answer or lock has come since that tells otherwise."""
        pin, said_at = self._right.get(_whose(guess), (b"", 0.0))
        return pin == self._presented_by(guess) and self._monotonic() - said_at <= VERIFIED_TTL_S

    def judge(
        self, guess: LibraryGuess, ask: Ask, recall: Recall | None = None
    ) -> Awaitable[tuple[PinState, Verdict | None]]:
        """What the PIN is worth, and what `ask` was told; when this returns, a wrong one has been
        counted. Without a verdict the PIN is locked, and nobody was asked.

        `recall` gives the verdict on the same question a moment ago, which was counted then.

        Raises:
            LibrarySystemError: the library system failed us.
            BackendError: the store cannot say whether the PIN is locked, so nothing was judged.
        """
        judging = self._judge_in_turn(guess, ask, recall)
        return self.guesses.judge_elsewhere(guess.terminal, guess.now, judging)

    def _counted(self, guess: LibraryGuess) -> _Counted:
        """Where `guess` counts: at the numbers that this patron is known to have."""
        number, known_as = guess.number, guess.known_as
        alias = self._aliases.get(number)
        if alias is None and (known_as is None or known_as == number):
            whose = spelling(number)
            return _Counted(self, guess, whose, [number], [whose])
        numbers = sorted(name for name in {number, known_as, alias} if name)
        names = sorted({spelling(name) for name in numbers})
        return _Counted(self, guess, _whose(guess), numbers, names)

    async def _judge_in_turn(
        self, guess: LibraryGuess, ask: Ask, recall: Recall | None
    ) -> tuple[PinState, Verdict | None]:
        turns, counted = self.guesses.turns, self._counted(guess)
        if not turns.take_free(counted.names):
            counted = await self._wait_for_turn(counted)
        names = counted.names
        try:
            stored: Sequence[FailedPins]
            if guess.store_away:
                stored = [NO_FAILURES] * len(names)
            else:
                stored = await self.backend.failed_pins(names)
            # Seldom are failures known anywhere.
            are_any = stored.count(NO_FAILURES) != len(names) or self.guesses.unwritten
            if are_any and counted.take_in(names, stored):
                state, verdict = _LOCKED, None
            elif recall is not None and (known := recall()) is not None:
                self._remember_again(guess, known)
                return _OK if known.right else _WRONG, replace(known, is_repeated=True)
            else:
                state, verdict = await self._judge_unlocked(counted, ask)
            if state is _LOCKED:
                self._forget_locked(counted)
            # A wrong one may be repeated at a door that was told before that it is right.
            if state is _WRONG or guess.may_admit or self._emergency.knows_anybody:
                self._remember_for_emergencies(counted, state, verdict)
            return state, verdict
        finally:
            turns.release(names)

    async def _wait_for_turn(self, counted: _Counted) -> _Counted:
        """Take the turn where the guess counts by then: whoever had it before may have been told of
        another number."""
        turns = self.guesses.turns
        while True:
            await turns.take(counted.names)
            now = self._counted(counted.guess)
            if now.numbers == counted.numbers:
                return counted
            turns.release(counted.names)
            counted = now

    def _remember_for_emergencies(
        self, counted: _Counted, state: PinState, verdict: Verdict | None
    ) -> None:
        """A door without its library system knows what was judged here last (B40)."""
        if verdict is not None and (verdict.by_deed or verdict.right is None):
            return  # of the PIN nothing was said
        guess, right = counted.guess, state is _OK
        for number in counted.numbers:
            self._admissions.note_pin(number, right=right)
            if state is _WRONG:
                self._emergency.note_wrong(number, guess.pin)
        # Without an answer it was this memory itself that found it right.
        if right and verdict is not None and verdict.answer is not None:
            patron_id = verdict.patron_id or guess.number
            self._emergency.note_right(patron_id, guess.pin, may_admit=guess.may_admit)

    def _remember_again(self, guess: LibraryGuess, verdict: Verdict) -> None:
        """What was answered a moment ago is no news; but if the door refused then, and forgot the
        patron, it may admit now."""
        patron_id = verdict.patron_id or guess.number
        if verdict.right:
            self._emergency.note_right_before(patron_id, guess.pin, may_admit=guess.may_admit)

    async def _judge_unlocked(self, counted: _Counted, ask: Ask) -> tuple[PinState, Verdict | None]:
        guess = counted.guess
        counted_before = bool(self._unanswered) and self._question(guess) in self._unanswered
        if not counted_before and counted.failed and not await counted.reserve():
            return _LOCKED, None
        try:
            verdict = await ask()
        except NotAskedError:
            await counted.give_back()
            raise
        except LibrarySystemError:
            if not counted_before:
                await self._count(counted, by_deed=bool(guess.deed))
                _remember(self._unanswered, self._question(guess), None)
            raise
        if self._unanswered and not guess.store_away:
            self._unanswered.pop(self._question(guess), None)
        named = verdict.patron_id
        if named != guess.number and await self._is_of_locked(counted, named):
            return _LOCKED, None
        if verdict.right:
            if verdict.by_deed:
                await counted.give_back()
                for name in self._forget_deed(counted):
                    await self.give_back(name)
                return _OK, verdict
            if counted.failed:
                await counted.clear()
            if self._by_deed:
                self._forget_deeds(counted)
            if verdict.answer is not None:
                self._note_right(guess, counted.whose)
            return _OK, verdict
        if verdict.right is None:
            await counted.give_back()
            return _WRONG, verdict
        if not verdict.by_deed:
            self._forget_deed(counted)  # it was the PIN, so that stays counted
            if self.was_right(guess):
                del self._right[counted.whose]
        failures = None
        if not counted_before:
            failures = await self._count(counted, by_deed=verdict.by_deed)
        await self.guesses.note_failure(guess.terminal, guess.now, failures)
        return _WRONG, verdict

    async def _count(self, counted: _Counted, *, by_deed: bool) -> int | None:
        """Count the guess; gives the highest count.

        Args:
            by_deed: whether a yes to the same deed would take it back.
        """
        failures, failures_max = await counted.count(), self.guesses.rules.failures_max
        if failures is not None and failures >= failures_max:
            self._forget_locked(counted)
        elif failures is not None and by_deed:
            deed = self._deed(counted.guess)
            for name in counted.names:
                noes = [*self._by_deed.get(name, ()), deed]
                _remember(self._by_deed, name, noes[-failures_max:])
        return failures

    async def _is_of_locked(self, counted: _Counted, named: str) -> bool:
        """Whether the answer has `named` a patron who is locked: there it is not counted yet.

        Then the number that was asked is locked, too, for as long. Who it is of is only remembered
        here: after a restart, and at other gateways, it would be asked again.
        """
        guess = counted.guess
        self.learn(guess.number, named)
        if not named or named in counted.numbers or not await counted.is_locked_too(named):
            return False
        if not guess.store_away:
            until = counted.locked_until or guess.now + self.guesses.rules.lock
            await self._cards.lock(spelling(guess.number), guess.now, until)
        await self.join(spelling(guess.number), spelling(named), store_away=guess.store_away)
        return True

    def _note_right(self, guess: LibraryGuess, whose: str) -> None:
        """The PIN was right; in a visit that is said several times, and one of them is enough."""
        presented, now_s = guess.presented or self._presented_by(guess), self._monotonic()
        known = self._right.get(whose)
        if known is None or known[0] != presented or now_s - known[1] > SAID_AGAIN_S:
            _remember(self._right, whose, (presented, now_s))

    def _question(self, guess: LibraryGuess) -> bytes:
        return self._digest("guess", guess.number, guess.pin, guess.account, guess.deed)

    def _deed(self, guess: LibraryGuess) -> bytes:
        """The PIN is the patron's, whatever the card; two spellings may be two patrons."""
        holder = guess.known_as or guess.number
        return self._digest("deed", holder, guess.pin, guess.account, guess.deed)

    def _forget_deed(self, counted: _Counted) -> list[str]:
        """Noes to this deed with this PIN are no longer taken back; gives the name of each."""
        forgotten, deed = [], self._deed(counted.guess)
        for name in counted.names:
            noes = self._by_deed.get(name, [])
            forgotten += [name] * noes.count(deed)
            noes[:] = [no for no in noes if no != deed]
        return forgotten

    def _forget_deeds(self, counted: _Counted) -> None:
        """The count begins anew."""
        for name in counted.names:
            self._by_deed.pop(name, None)

    def _forget_locked(self, counted: _Counted) -> None:
        """What was said before a lock is no longer believed after it."""
        self._forget_deeds(counted)
        for name in counted.names:
            self._right.pop(name, None)
        for number in counted.numbers:
            self._admissions.note_lock(number)

    def presented(self, number: str, pin: str, account: str) -> bytes:
        """A keyed digest of what is presented, empty for no PIN, and of whom is asked."""
        return self._digest("presented", number, pin, account)

    def _presented_by(self, guess: LibraryGuess) -> bytes:
        return guess.presented or self.presented(guess.number, guess.pin, guess.account)

    async def join(self, name: str, other: str, *, store_away: bool) -> None:
        """Both are one patron's: staff end the lock of both by either. What cannot be written now,
        the next guess writes."""
        if store_away:
            return
        with suppress(BackendError):
            await self.backend.join_guesses(name, other)

    async def give_back(self, name: str) -> None:
        """Count one failure less: it was not judged. If that cannot be written, it stays."""
        if self.guesses.forget_unwritten(name):
            return
        try:
            await self.backend.return_guess(name)
        except BackendError:
            return


class _Counted(Opaque, Struct, eq=False):
    """One guess, and where it has been counted already."""

    _pins: LibraryPins
    guess: LibraryGuess
    whose: str
    """The patron, as far as our store knows: one of `names`."""
    numbers: list[str]
    """Those of the patron."""
    names: list[str]
    """Where it counts: the `numbers` by `spelling`, in order."""
    failed: Sequence[str] = ()
    """Those of `names` where failures are known. Nobody else changes that: it is our turn."""
    _stored: Mapping[str, FailedPins] = MappingProxyType({})
    """What the store has counted, where that is anything."""
    _reserved: frozenset[str] = frozenset()
    """Where it has been counted already."""
    _most: int | None = None

    def take_in(self, names: Sequence[str], stored: Sequence[FailedPins]) -> bool:
        """Note what the store has counted under `names`; whether the PIN is locked under any."""
        guesses, is_locked = self._pins.guesses, False
        found = dict(zip(names, stored, strict=True))
        self._stored = {**self._stored, **found}
        for name, counted in found.items():
            if guesses.has_failed(name, counted):
                self.failed = (*self.failed, name)
            is_locked |= guesses.is_locked(name, counted, self.guess.now)
        return is_locked

    async def is_locked_too(self, patron_id: str) -> bool:
        """Whether that patron is locked; from now on it counts there, too."""
        self.numbers = [*self.numbers, patron_id]
        name = spelling(patron_id)
        if name in self.names:
            return False
        self.names = [*self.names, name]
        try:
            return self.take_in([name], await self._pins.backend.failed_pins([name]))
        except BackendError:
            self.take_in([name], [NO_FAILURES])
            return False  # memory counts

    @property
    def locked_until(self) -> datetime | None:
        """When the last lock ends that the store knows of."""
        return max((s.locked_until for s in self._stored.values() if s.locked_until), default=None)

    async def reserve(self) -> bool:
        """Count it where failures are known, before it is judged; False if that locks it out."""
        for name in self.failed:
            if not await self._count(name):
                return False
        return True

    async def count(self) -> int | None:
        """Count it where it was not reserved; gives the highest count."""
        for name in self.names:
            if name not in self._reserved:
                await self._count(name)
        for name in self.names[1:]:
            await self._pins.join(self.names[0], name, store_away=self.guess.store_away)
        return self._most

    async def give_back(self) -> None:
        """It was not judged."""
        for name in self._reserved:
            await self._pins.give_back(name)

    async def clear(self) -> None:
        """It was right."""
        for name in self.failed:
            await self._pins.guesses.take_back(name, store_away=self.guess.store_away)

    async def _count(self, name: str) -> bool:
        failures = await self._pins.guesses.count(
            name,
            self._stored.get(name, NO_FAILURES),
            self.guess.now,
            store_away=self.guess.store_away,
        )
        if failures is None:
            return False
        self._reserved |= {name}
        self._most = max(failures, self._most or 0)
        return True


def _whose(guess: LibraryGuess) -> str:
    return spelling(guess.known_as or guess.number)


def _remember(memory: OrderedDict[Any, Any], key: object, value: object) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED_MAX:
        memory.popitem(last=False)
