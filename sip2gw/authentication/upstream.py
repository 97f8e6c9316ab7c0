"""The holder of a card and the worth of its PIN, as a library system behind the gateway knows them.

Rules: B40, B72, B74, C1, C56, C110, C112, C122, C151, C155, C158.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from sip2gw.authentication.asking import (
    Asking,
    LibraryAnswer,
    Question,
    as_asked,
    told_nothing,
)
from sip2gw.authentication.emergency import EmergencyPins
from sip2gw.authentication.guesses import PinRules
from sip2gw.authentication.library_pins import LibraryGuess, LibraryPins, Verdict
from sip2gw.authentication.snapshots import reading_of, snapshot_anew, snapshot_kept
from sip2gw.authentication.verification import SlowVerifier
from sip2gw.backend.base import Backend
from sip2gw.backend.system import NoAnswerError, NotAskedError
from sip2gw.foundation.eager import Cancellable
from sip2gw.handlers.base import Asked, Send, Session
from sip2gw.handlers.upstream.behind import library_of
from sip2gw.model import CardHere, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.upstream.facts import completed, pin_word, says_nothing, says_the_same
from sip2gw.policy.upstream.passing import password_word
from sip2gw.policy.upstream.questions import given_pin, going_up
from sip2gw.protocol.encoding import is_exact
from sip2gw.protocol.messages import (
    Response,
)
from sip2gw.shared.door_memory import Admissions
from sip2gw.shared.door_questions import DoorQuestion, DoorQuestions
from sip2gw.shared.pin_guesses import PinGuesses

UNKNOWN_CARDS_MAX = 20_000

_OK, _WRONG = PinState.OK, PinState.WRONG
_LOCKED, _ABSENT = PinState.LOCKED, PinState.ABSENT
"""By name: Python 3.11 takes 0.1 µs to find a member of an enumeration."""


class UpstreamIdentifier(Asking):
    """Asks the library system, lays over its answer what our store knows, and has wrong PINs
    counted; implements `sip2gw.handlers.base.LibraryIdentifier`.
    """

    def __init__(
        self,
        backend: Backend,
        verifier: SlowVerifier,
        pin_secret: bytes,
        rules: PinRules,
        on_lock: Callable[[str, str], None],
        admissions: Admissions,
        terminals: PinGuesses,
        questions: DoorQuestions,
    ) -> None:
        """For `rules` and `on_lock` see `Guesses`; the others are the parts of `SharedState`."""
        super().__init__(backend)
        self._admissions = admissions
        self._questions = questions
        self._emergency = EmergencyPins(verifier, pin_secret, admissions)
        self._pins = LibraryPins(
            backend, verifier, rules, on_lock, admissions, self._emergency, terminals
        )
        self._unknown: OrderedDict[str, None] = OrderedDict()
        """Cards that nobody had there when it was last asked: once they are locked, the answer must
        be the same."""
        self._says_cq: set[tuple[str, str]] = set()
        """The accounts, and the kinds of answers in which they have said that a PIN is right."""

    @property
    def rules(self) -> PinRules:
        """The limits; they may be replaced at any time."""
        return self._pins.guesses.rules

    @rules.setter
    def rules(self, rules: PinRules) -> None:
        self._pins.guesses.rules = rules

    def forget(self) -> None:
        """Forget what was answered about patrons lately."""
        self._questions.forget()

    # What handlers ask ----------------------------------------------------------------------------

    async def ask(self, session: Session, request: Question, *, twice: bool = True) -> Asked:
        """Send `request` up once, in the account's name, unless the PIN is locked, and read the
        answer. Failing answers leave when all of them do (C99).

        Args:
            session: who asks.
            request: what goes up.
            twice: whether the same is asked again although it was a moment ago.

        Raises:
            LibrarySystemError: it did not answer, or was not asked.
            BackendError: our store failed, so nobody was asked.
        """
        number, terminal = request.patron_identifier, session.terminal
        pin, clock = given_pin(request.patron_password), session.services.clock
        began_s, now = clock.monotonic(), clock.now()
        # What the PIN is worth is noted by the handler; this may be too late to hear of it (C94).
        session.note_pin(number, _WRONG if pin else _ABSENT)
        if not number:
            if pin:
                await self._hold_back(session, began_s)
            return Asked(None, None, _ABSENT, None)
        here = await self._backend.find_here(number)
        ours = here.holder
        manner = terminal.upstream
        assert manner is not None
        account = manner.account
        question, presented = None, b""
        if terminal.is_door and not twice:
            presented = self._pins.presented(number, pin or "", account)
            question = (terminal.name, presented)
        if pin:
            known_as = ours.id if ours is not None else None
            guess = LibraryGuess(
                number,
                known_as,
                pin,
                terminal.name,
                now,
                account,
                may_admit=terminal.door.emergency_max_age is not None,
                presented=presented,
            )
            ask = partial(self._answer, session, request, question)
            # A repetition is one from the moment at which it came.
            recall = question and partial(self._questions.recall, question, began_s)
            state, verdict = await self._pins.judge(guess, ask, recall)
        else:
            state, verdict = await self._without_pin(session, request, question)
        answer: Any = verdict.answer if verdict is not None else None
        if state is _OK or (
            state is _ABSENT and answer is not None and not says_nothing(answer, with_pin=False)
        ):
            record = snapshot_kept(session, number, here, answer)
            if record is None:
                asked, record = await self._told(session, request, here, state, answer)
            else:
                asked = as_asked(record, number, state, answer)
            if state is _ABSENT:  # else judging the PIN has taught it
                self._pins.learn(number, record.id)
            admitted = self._admissions.known(record.id)
            if admitted is not None and verdict is not None and verdict.is_repeated:
                record = await self._newest(session, number, record, admitted.record)
                asked = as_asked(record, number, state, answer)
            elif admitted is not None:
                # An admission brings facts of its own, so none is older than the last one (B40).
                self._admissions.see(completed(record, admitted.record))
        else:
            asked = self._told_nothing(session, number, here, state, answer)
        if state is _OK:
            if ours is not None:
                self._backend.note_activity(ours.id, now)
        elif pin:
            await self._hold_back(session, began_s)
        return asked

    async def verify_without_store(
        self, session: Session, record: PatronRecord, number: str, pin: str | None
    ) -> PinState:
        """Verify `pin` against the one that was right last; a wrong one is counted in memory, and
        in the store later (B40, C110). Where nobody can say, it is wrong, and not counted."""
        clock = session.services.clock
        began_s = clock.monotonic()
        session.note_pin(number, _WRONG if pin else _ABSENT)
        if not pin:
            return _ABSENT
        state = _LOCKED
        if not self._admissions.is_guessed_at(record.id):
            terminal, account = session.terminal.name, library_of(session)[1].account
            guess = LibraryGuess(
                number, record.id, pin, terminal, clock.now(), account, store_away=True
            )
            state = await self._compared(guess, record.id) or _WRONG
        if state is not _OK:
            await self._hold_back(session, began_s)
        return state

    async def look_again(self, session: Session, number: str) -> None:
        """What our store says of somebody who was admitted counts at once: bars, badges, blocks,
        and that they are gone (B40, B77)."""
        record = self._admissions.holder(number)
        if record is None:
            return
        now = await snapshot_anew(session, number, record)
        if now is None:
            self._admissions.forget(record.id)
        else:
            self._admissions.see(now)

    def numbers_of(self, number: str) -> tuple[str, ...]:
        """See `LibraryIdentifier.numbers_of`."""
        other = self._pins.other_number(number)
        return (number,) if other is None else (number, other)

    async def judge(
        self, session: Session, number: str, pin: str, deed: str, send: Send
    ) -> Response | None:
        """Have a request sent that carries a PIN; a no to it may mean the PIN (C155).

        If the caller gives up, nothing is sent any more (C98); what was sent counts as a guess.

        Args:
            session: who asks.
            number: whose PIN it is.
            pin: as presented.
            deed: what is asked, as `deed_of` names it.
            send: asks it.

        Returns:
            The answer; None if the PIN is locked or, by CQ, wrong.

        Raises:
            LibrarySystemError: it did not answer, or was not asked.
            BackendError: our store failed, so nobody was asked.
        """
        clock, terminal = session.services.clock, session.terminal
        began_s = clock.monotonic()
        ours = await self._backend.find_by_card(number)
        known_as = ours.id if ours is not None else None
        manner = library_of(session)[1]
        guess = LibraryGuess(
            number, known_as, pin, terminal.name, clock.now(), manner.account, deed=deed
        )
        sending = _Sending(send)

        async def ask() -> Verdict:
            if not is_exact(pin, manner.text):
                return Verdict(False)
            is_verified = self._pins.was_right(guess)
            return deed_verdict(await sending.answer(), is_verified=is_verified)

        try:
            state, verdict = await self._pins.judge(guess, ask)
        except asyncio.CancelledError:
            sending.give_up()
            raise
        answer: Response | None = verdict.answer if verdict is not None else None
        self._pins.learn(number, getattr(answer, "patron_identifier", None) or "")
        if state is _OK:
            return answer
        await self._hold_back(session, began_s)
        if verdict is not None and verdict.by_deed:
            return answer
        session.note_pin(number, _WRONG)
        return None  # wrong, or locked: nobody shall know which

    async def judge_alone(self, session: Session, number: str, pin: str) -> PinState:
        """See `LibraryIdentifier.judge_alone`.

        Raises:
            BackendError: our store cannot say whether the PIN is locked.
        """
        clock = session.services.clock
        began_s = clock.monotonic()
        ours = await self._backend.find_by_card(number)
        known_as = ours.id if ours is not None else None
        patron_id = known_as or self._pins.other_number(number) or number
        terminal, account = session.terminal.name, library_of(session)[1].account
        guess = LibraryGuess(number, known_as, pin, terminal, clock.now(), account)
        state = await self._compared(guess, patron_id)
        if state is None:
            return _ABSENT
        if state is not _OK:
            await self._hold_back(session, began_s)
        return state

    async def _compared(self, guess: LibraryGuess, patron_id: str) -> PinState | None:
        """What the PIN is worth by the one that was right last; None: nobody can say, so nothing is
        counted."""

        async def compare() -> Verdict:
            return Verdict(await self._emergency.matches(patron_id, guess.pin))

        try:
            state, _ = await self._pins.judge(guess, compare)
        except NotAskedError:
            return None
        return state

    # Asking ---------------------------------------------------------------------------------------

    async def _without_pin(
        self, session: Session, request: Question, question: DoorQuestion | None
    ) -> tuple[PinState, Verdict | None]:
        """What was answered where no PIN is judged."""
        if question is not None:
            known = self._questions.recall(question, session.services.clock.monotonic())
            if known is not None:
                return _ABSENT, replace(known, is_repeated=True)
        return _ABSENT, await self._answer(session, request, question)

    async def _newest(
        self, session: Session, number: str, repeated: PatronRecord, seen: PatronRecord
    ) -> PatronRecord:
        """The record that counts where an answer is repeated: that answer may be older than what
        was `seen` of the patron at another terminal since (C110)."""
        if says_the_same(repeated, seen):
            return repeated
        return await snapshot_anew(session, number, seen) or repeated

    async def _answer(
        self, session: Session, request: Question, question: DoorQuestion | None
    ) -> Verdict:
        """What the library system says to `request`."""
        terminal, library = session.terminal, session.services.library
        manner, number = terminal.upstream, request.patron_identifier
        assert library is not None
        assert manner is not None
        up = going_up(
            request,
            manner.institution,
            terminal.wire.text,
            manner.text,
            knows_fw_b=manner.knows_fw_b,
        )
        if up is None:
            return Verdict(False)  # it cannot be asked that
        # A door keeps no state at the library system, and must not keep a line from others (C122).
        lease = None if terminal.is_door else session.lease
        answer: Any = await library.ask(manner.account, terminal.name, up, lease)
        reading = reading_of(answer, number, manner)
        is_known = answer.valid_patron is not False
        if self._unknown or not is_known:
            self._note_card(number, is_known=is_known)
        kind = (manner.account, answer.code)
        right = reading.is_right or pin_word(answer, says_cq=kind in self._says_cq)
        if right and up.patron_password:
            self._says_cq.add(kind)
        verdict = Verdict(right, reading.patron_id, answer)
        if question is not None:
            window_s = terminal.door_manner.passage_window_s
            now_s = session.services.clock.monotonic()
            self._questions.remember(question, verdict, now_s, window_s)
        return verdict

    def _note_card(self, number: str, *, is_known: bool) -> None:
        self._unknown.pop(number, None)
        if not is_known:
            self._unknown[number] = None
            if len(self._unknown) > UNKNOWN_CARDS_MAX:
                self._unknown.popitem(last=False)

    # Reading --------------------------------------------------------------------------------------

    def _told_nothing(
        self,
        session: Session,
        number: str,
        here: CardHere,
        state: PinState,
        answer: LibraryAnswer | None,
    ) -> Asked:
        """A PIN that is not right lets nobody know more than we do (C112)."""
        _, manner = library_of(session)
        is_unknown = number in self._unknown or not is_exact(number, manner.text)
        return told_nothing(number, here, state, answer, is_unknown=is_unknown)

    async def _hold_back(self, session: Session, began_s: float) -> None:
        """Send the failing answer at a moment that reveals nothing (C99)."""
        now = session.services.clock.now()
        await self._pins.guesses.hold_back(session.terminal.name, now, began_s)


class _Sending:
    """A request on its way up, which goes no further when whoever asked has gone."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._under_way: Cancellable[Response] = Cancellable()
        self._is_over = False

    async def answer(self) -> Response:
        """What is answered.

        Raises:
            LibrarySystemError: nothing, or it was given up.
        """
        if self._is_over:
            raise NotAskedError
        try:
            return await self._under_way.run(self._send())
        except asyncio.CancelledError:
            raise NoAnswerError from None

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._is_over = True
        self._under_way.cancel()


def deed_verdict(answer: Response, *, is_verified: bool) -> Verdict:
    """What the answer to a loan or the like says about the PIN; `is_verified`: it is known to be
    right, so a no is about something else, unless CQ says so."""
    said = password_word(answer)
    if said is not None:
        return Verdict(said, answer=answer)
    is_done: bool = is_verified or getattr(answer, "ok", False)
    return Verdict(is_done, answer=answer, by_deed=True)
