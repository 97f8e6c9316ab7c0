"""The parent's truth about what its workers share (B87, C131).

Each worker tells what happens and asks where it must not decide alone. What a worker told is taken
in, and passed on to the others, before anything that it says later. So when a worker answers
`Settle`, everybody is told all that it did before.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from sip2gw.shared.callers import AddressGuard
from sip2gw.shared.connected import Replacements
from sip2gw.shared.doorkeeper import Doorkeeper
from sip2gw.shared.pin_guesses import GuessPlace, PinGuesses, TerminalLimit
from sip2gw.shared.together.courier import Courier, Wire, written
from sip2gw.shared.together.doors import ToldAdmissions, known_patron
from sip2gw.shared.together.lately import ToldLately
from sip2gw.shared.together.messages import (
    Admitted,
    AdmittedAgain,
    Answered,
    Asked,
    BeginGuess,
    GuessEnded,
    Joined,
    KnownPatron,
    Led,
    Left,
    LoginFailed,
    Message,
    Parted,
    PassagesChanged,
    PinFailed,
    PinSeen,
    PinsFailed,
    PlaceLeft,
    Question,
    Recognised,
    Refused,
    Replace,
    Replaced,
    Seen,
    Settle,
    Settled,
    TakePlace,
    TakeTurn,
    Told,
    TurnOver,
    Unwritten,
)
from sip2gw.shared.together.sealing import Sealed
from sip2gw.shared.together.takeover import FarLine, TakeOver
from sip2gw.shared.turns import NameTurns

UNWRITTEN_MAX = 20_000
"""Patrons of whose failures a new worker hears that the store could not count."""
PATRONS_PER_TURN = 200
"""Patrons of whom a new worker hears in one turn of the loop."""


class Side:
    """A worker, as the parent knows it."""

    def __init__(self, wire: Wire) -> None:
        self.courier = Courier(wire)
        self.has_gone = False
        self.strangers: Counter[str] = Counter()
        """By address; those of terminals that have logged in are in `known`."""
        self.known: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        """Passwords that are being judged, by address."""
        self.turns: Counter[str] = Counter()
        """Patrons at whose PIN it guesses."""
        self.guesses: dict[int, GuessPlace] = {}

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return self.strangers.total() + self.known.total()


class Together:
    """What the workers of a gateway have in common.

    Args:
        doorkeeper: has let in each line before it is `handed` to a worker.
        monotonic: the clock of all processes.
        on_login_shared: called with a terminal and two addresses when two machines seem to share
            its login (C102).
    """

    def __init__(
        self,
        doorkeeper: Doorkeeper,
        monotonic: Callable[[], float],
        on_login_shared: Callable[[str, Sequence[str]], None],
    ) -> None:
        self._doorkeeper = doorkeeper
        self._monotonic = monotonic
        self._on_login_shared = on_login_shared
        self._guard = AddressGuard(monotonic)
        self._guesses = PinGuesses()
        self._turns = NameTurns()
        self._unwritten: OrderedDict[str, Unwritten] = OrderedDict()
        """Failures of patrons that the store could not count, of all workers together."""
        self._passages = ToldLately(monotonic)
        self._admissions: ToldAdmissions[Sealed] = ToldAdmissions(Sealed)
        self._lines: TakeOver[Side] = TakeOver()
        self._replacements = Replacements()
        self._sides: list[Side] = []
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._takes: dict[type[Message], Callable[[Side, Any], None]] = {
            Joined: self._joined,
            Parted: lambda side, told: self._lines.part(told.terminal, side, told.line),
            Replaced: self._replaced,
            Recognised: self._recognised,
            Left: self._left,
            PlaceLeft: self._place_left,
            GuessEnded: self._guess_ended,
            TurnOver: self._turn_over,
            Unwritten: self._not_written,
            PassagesChanged: lambda side, told: self._passages.keep(written(told)),
            Led: lambda side, told: self._passages.keep(written(told)),
            Admitted: lambda side, told: self._admissions.take_admitted(told),
            AdmittedAgain: lambda side, told: self._admissions.take_admitted_again(told),
            Seen: lambda side, told: self._admissions.take_seen(told),
            PinSeen: lambda side, told: self._admissions.take_pin(told),
            Refused: lambda side, told: self._admissions.take_refused(told),
            KnownPatron: lambda side, told: self._admissions.take_known(told),
        }
        self._answers: dict[type[Message], Callable[[Side, Any], Awaitable[float]]] = {
            TakePlace: self._take_place,
            LoginFailed: self._login_failed,
            BeginGuess: self._begin_guess,
            PinFailed: self._pin_failed,
            TakeTurn: self._take_turn,
        }

    # Workers -------------------------------------------------------------------------------

    def came(self, wire: Wire) -> Side:
        """A new worker; it is told what the others know, and no line before that."""
        side = Side(wire)
        for message in self._known_to_all():
            side.courier.tell(message)
        for passed_on in self._passages:
            side.courier.pass_on(passed_on)
        side.courier.flush()
        self._sides.append(side)
        self._do(self._tell_patrons(side))
        return side

    def receive(self, side: Side, message: Told | Asked) -> Awaitable[Answered] | None:
        """Take in what a worker says; returns the answer to a question."""
        if isinstance(message, Asked):
            return self._answer(side, message.question)
        for told in message.messages:
            self._takes[type(told)](side, told)
            if type(told) in _PASSED_ON:
                self._pass_on(side, told)
        return None

    def handed(self, side: Side, address: str) -> None:
        """A line that has entered is the worker's from now on."""
        side.strangers[address] += 1

    def taken_back(self, side: Side, address: str) -> None:
        """A line that was handed to the worker was never taken, and goes to another."""
        _took_one(side.strangers, address)

    def gone(self, side: Side) -> None:
        """A worker has ended: whatever it held is free, and its lines are no more."""
        side.has_gone = True
        self._sides.remove(side)
        self._lines.gone(side)
        for address in side.strangers.elements():
            self._doorkeeper.leave(address, stranger=True)
            self._doorkeeper.leave_place()
        for address in side.known.elements():
            self._doorkeeper.leave(address, stranger=False)
            self._doorkeeper.leave_place()
        for address in side.places.elements():
            self._guard.leave_place(address)
        for place in side.guesses.values():
            place.leave()
        self._turns.release(list(side.turns.elements()))

    def _pass_on(self, side: Side, told: Message) -> None:
        message = written(told)
        for other in self._sides:
            if other is not side:
                other.courier.pass_on(message)

    # What a new worker hears ---------------------------------------------------------------

    def _known_to_all(self) -> Iterator[Message]:
        for terminal, failures_max, failures in self._guesses.counted():
            yield PinsFailed(terminal, failures_max, list(failures))
        yield from self._unwritten.values()

    async def _tell_patrons(self, side: Side) -> None:
        """They may be many, so it takes turns. What changes meanwhile is told in between, and each
        patron is told as they are by then."""
        for at, patron_id in enumerate(self._admissions.patrons()):
            if at % PATRONS_PER_TURN == 0:
                await asyncio.sleep(0)
            if side.has_gone:
                return
            known = self._admissions.known(patron_id)
            told = known_patron(patron_id, known, lambda record: record.data)
            if told is not None:
                side.courier.tell(told)

    # Lines ---------------------------------------------------------------------------------

    def _joined(self, side: Side, told: Joined) -> None:
        line = FarLine(side, told.line, told.at_s, told.address)
        replaced = self._lines.join(told.terminal, line, told.allowed)
        for older in replaced:
            newer = self._lines.of(told.terminal)[-1]
            message = Replace(told.terminal, older.number, newer.address)
            older.worker.courier.tell(message)
        elsewhere = self._lines.elsewhere(told.terminal, side)
        if elsewhere:
            self._do(self._settle(side, told, elsewhere))
        else:
            side.courier.tell(Settled(told.line, told.at_s))

    async def _settle(self, side: Side, told: Joined, elsewhere: Sequence[Side]) -> None:
        """Let the terminal begin when nothing of its own is under way elsewhere.

        Here nothing bounds the wait: whoever waits does (`TerminalLine.hold_next`), and a worker
        that is stuck is killed.
        """
        asking = [other.courier.ask(Settle(told.terminal)) for other in elsewhere]
        await asyncio.gather(*asking, return_exceptions=True)
        self._lines.settled(told.terminal, elsewhere)
        side.courier.tell(Settled(told.line, told.at_s))

    def _replaced(self, side: Side, told: Replaced) -> None:
        if self._replacements.note(told.terminal, told.at_s, told.at_s):
            self._on_login_shared(told.terminal, told.addresses)

    def _recognised(self, side: Side, told: Recognised) -> None:
        if _took_one(side.strangers, told.address):
            side.known[told.address] += 1
            self._doorkeeper.recognise(told.address)

    def _left(self, side: Side, told: Left) -> None:
        lines = side.strangers if told.stranger else side.known
        if _took_one(lines, told.address):
            self._doorkeeper.leave(told.address, stranger=told.stranger)
            self._doorkeeper.leave_place()

    # Guesses -------------------------------------------------------------------------------

    async def _answer(self, side: Side, question: Question) -> Answered:
        value = await self._answers[type(question)](side, question)
        side.courier.flush()  # the answer is not to arrive before what was said until now
        return Answered(float(value))

    async def _take_place(self, side: Side, asked: TakePlace) -> float:
        if not await self._guard.take_place(asked.address):
            return 0
        if side.has_gone:
            self._guard.leave_place(asked.address)
            return 0
        side.places[asked.address] += 1
        return 1

    def _place_left(self, side: Side, told: PlaceLeft) -> None:
        if _took_one(side.places, told.address):
            self._guard.leave_place(told.address)

    async def _login_failed(self, side: Side, asked: LoginFailed) -> float:
        return await self._guard.note_failure(asked.address, asked.step_s)

    async def _begin_guess(self, side: Side, asked: BeginGuess) -> float:
        limit = TerminalLimit(asked.failures_max, asked.window_s)
        place = await self._guesses.begin(asked.terminal, limit, asked.now)
        if side.has_gone:
            place.leave()
            return 0
        number = next(self._numbers)
        side.guesses[number] = place
        return number

    def _guess_ended(self, side: Side, told: GuessEnded) -> None:
        place = side.guesses.pop(told.guess, None)
        if place is not None:
            place.leave()

    async def _pin_failed(self, side: Side, asked: PinFailed) -> float:
        self._pass_on(side, asked)
        limit = TerminalLimit(asked.failures_max, asked.window_s)
        return self._guesses.learn(asked.terminal, limit, asked.at)

    async def _take_turn(self, side: Side, asked: TakeTurn) -> float:
        await self._turns.take(asked.names)
        if side.has_gone:
            self._turns.release(asked.names)
            return 0
        side.turns.update(asked.names)
        return 1

    def _turn_over(self, side: Side, told: TurnOver) -> None:
        for name in told.names:
            if _took_one(side.turns, name):
                self._turns.release((name,))

    def _not_written(self, side: Side, told: Unwritten) -> None:
        known = self._unwritten.pop(told.name, None)
        failures = told.change + (known.change if known is not None and told.change else 0)
        if failures > 0:
            self._unwritten[told.name] = Unwritten(told.name, failures, told.until)
        if len(self._unwritten) > UNWRITTEN_MAX:
            self._unwritten.popitem(last=False)

    # ---------------------------------------------------------------------------------------

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_PASSED_ON = frozenset(
    {
        Unwritten,
        PassagesChanged,
        Led,
        Admitted,
        AdmittedAgain,
        Seen,
        PinSeen,
        Refused,
        KnownPatron,
    }
)


def _took_one(counter: Counter[str], key: str) -> bool:
    """Count one less; False if there is none."""
    left = counter.pop(key, 0) - 1
    if left > 0:
        counter[key] = left
    return left >= 0
