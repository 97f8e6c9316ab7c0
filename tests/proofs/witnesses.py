"""Terminals that pay, lend and take back, and remember all that they were told.

A third of them never asks again, a third does a few times, a third until it is told yes; what stays
open they may ask once more much later. Each kiosk has copies and readers of its own, so that it
knows where a copy must be: what was answered no shows when the copy is asked for next.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from harness import ask_37

from proofs.outages import LOST, Line
from proofs.trouble import Place
from sip2gw.texts.english import TEXTS

COPIES_PER_KIOSK = 150
READERS_PER_KIOSK = 5
PARKED_AFTER_NO = 0.15
"""How often a copy whose loan or return was refused stays as it is until the end."""
OPEN_ASKED_LATER = 0.2
STARTED = time.monotonic()
"""What seconds in a report count from."""
REPEATED = 0.05
"""How often a payment that was accepted is asked for once more."""
BREATH_S = 0.3
"""What a terminal waits before it tries again."""

SYSTEM = b"|AF" + TEXTS["system"].encode() + b"|"
UNSURE = tuple(
    b"|AF" + text.encode() + b"|"
    for key, text in TEXTS.items()
    if key.startswith("unknown_outcome")
)


class Told(Enum):
    """What a terminal makes of an answer."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"
    LOST = "lost"
    """None came."""


@dataclass(frozen=True, slots=True)
class Try:
    """One request with its answer; moments of `time.monotonic`."""

    told: Told
    answer: bytes
    begun: float
    ended: float


@dataclass(eq=False)
class Errand:
    """Something that a terminal wants done, as often as it asks for it."""

    code: str
    terminal: str
    subject: str
    """The payment's BK, or the copy."""
    patron: str
    amount: int
    body: bytes
    tries: list[Try] = field(default_factory=list)

    @property
    def heard(self) -> list[Told]:
        """What was answered, in order."""
        return [one.told for one in self.tries]

    @property
    def accepted(self) -> bool:
        """Whether it was ever told yes."""
        return Told.YES in self.heard

    @property
    def name(self) -> str:
        """For a person who reads a report; with the second of each try, see `STARTED`."""
        told = " ".join(f"{one.told.value} {one.begun - STARTED:.1f} s" for one in self.tries)
        return f"{self.terminal} {self.code} {self.subject} {self.patron} ({told})"


@dataclass
class Scene:
    """What all terminals of one run share."""

    place: Place
    chance: random.Random
    patience_s: float
    """The time-out that 98 tells."""
    think_s: tuple[float, float]
    """Between two errands of a terminal."""
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    errands: list[Errand] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    in_vain: list[tuple[Errand, float, float]] = field(default_factory=list)
    """What got no answer within the time-out, with when it was asked and given up."""
    _stamps: int = 0

    def stamp(self) -> str:
        """A transaction date that no other request has."""
        self._stamps += 1
        day = datetime.now().replace(hour=0, minute=0, second=0) - timedelta(days=1)
        return (day + timedelta(seconds=self._stamps)).strftime("%Y%m%d    %H%M%S")


class Witness(ABC):
    """A terminal."""

    kind = ""
    forms: dict[str, tuple[bytes, bytes]] = {}
    """By request: how yes and no begin."""

    def __init__(self, scene: Scene, number: int) -> None:
        self.scene = scene
        self.name = f"{self.kind}-{number}"
        self._tries = (1, 4, 1_000)[number % 3]
        self._line: Line | None = None
        self._open: list[Errand] = []

    async def run(self) -> None:
        """One errand after the other, until the scene ends."""
        while not self.scene.ending.is_set():
            if self._open and self.scene.chance.random() < OPEN_ASKED_LATER:
                await self._once_more(self._open.pop(0))
            else:
                await self._errand()
            await asyncio.sleep(self.scene.chance.uniform(*self.scene.think_s))
        self.hang_up()

    @abstractmethod
    async def _errand(self) -> None: ...

    def new(self, code: str, subject: str, patron: str, body: bytes, amount: int = 0) -> Errand:
        """An errand that begins."""
        errand = Errand(code, self.name, subject, patron, amount, body)
        self.scene.errands.append(errand)
        return errand

    async def pursue(self, errand: Errand) -> Told:
        """Ask as often as this terminal does."""
        told = Told.LOST
        for number in range(self._tries):
            if number:
                await asyncio.sleep(self.scene.chance.uniform(0.3, 1) * BREATH_S * min(number, 5))
            told = await self.ask(errand)
            again = told is not Told.YES and (told is not Told.NO or self._tries > 4)
            if not again or self.scene.ending.is_set():
                break
        if told in (Told.UNSURE, Told.LOST) and self._tries > 1:
            self._open.append(errand)
        return told

    async def _once_more(self, errand: Errand) -> None:
        await self.ask(errand)

    async def ask(self, errand: Errand) -> Told:
        """Ask once."""
        await self.scene.place.host.up.wait()
        begun, answer = time.monotonic(), b""
        try:
            if self._line is None:
                self._line = await self._connect()
            begun = time.monotonic()
            async with asyncio.timeout(self.scene.patience_s):
                answer = await self._line.ask(errand.body)
            told = self._understood(errand, answer)
        except TimeoutError:
            told = Told.LOST
            self.scene.in_vain.append((errand, begun, time.monotonic()))
        except LOST:
            told = Told.LOST
        if told is Told.LOST:
            self.hang_up()
        one = Try(told, answer, begun, time.monotonic())
        errand.tries.append(one)
        self.scene.tries.append(one)
        return told

    async def _connect(self) -> Line:
        async with asyncio.timeout(self.scene.patience_s):
            return await Line.open(self.scene.place.host, self.name, self.scene.failures)

    def _understood(self, errand: Errand, answer: bytes) -> Told:
        """What `answer` says; what no fault explains is a failure of the proof."""
        yes, no = self.forms[errand.code]
        if answer.startswith(yes):
            return Told.YES
        if answer.startswith(no) and any(text in answer for text in UNSURE):
            return Told.UNSURE
        if not (answer.startswith(no) and SYSTEM in answer):
            self.scene.failures.append(f"{errand.name} was told {answer!r}")
        return Told.NO

    def hang_up(self) -> None:
        """Connect anew for the next request."""
        if self._line is not None:
            self._line.close()
        self._line = None


class Till(Witness):
    """Takes payments, each with a BK of its own."""

    kind = "pay"
    forms = {"37": (b"38Y", b"38N")}

    def __init__(self, scene: Scene, number: int, payers: list[str]) -> None:
        super().__init__(scene, number)
        self._payers = payers
        self._sold = 0

    async def _errand(self) -> None:
        self._sold += 1
        payer, bk = self.scene.chance.choice(self._payers), f"{self.name}/{self._sold}"
        amount = self.scene.chance.randint(1, 300)
        body = ask_37(payer, f"{amount / 100:.2f}", pin=payer, bk=bk).encode("ascii")
        errand = self.new("37", bk, payer, body, amount)
        if await self.pursue(errand) is Told.YES and self.scene.chance.random() < REPEATED:
            self._open.append(errand)


class Where(Enum):
    """What a kiosk knows of a copy."""

    HOME = "home"
    LENT = "lent"
    EITHER = "either"


@dataclass(eq=False)
class Copy:
    """A copy of a kiosk's own."""

    id: str
    where: Where = Where.HOME
    borrower: str = ""
    """Who has it when it is lent, or might have it."""
    errands: list[Errand] = field(default_factory=list)
    """Its loans and returns, the last ones of them at least."""

    @property
    def past(self) -> str:
        """For a person who reads a report."""
        return f"{self.id} ({'; '.join(errand.name for errand in self.errands[-3:])})"


def readers_of(kiosk: int) -> list[str]:
    """Who borrows at that kiosk and nowhere else."""
    return [f"R{kiosk}X{number}" for number in range(READERS_PER_KIOSK)]


def copies_of(kiosk: int) -> list[str]:
    """What only that kiosk lends."""
    return [f"C{kiosk}X{number}" for number in range(COPIES_PER_KIOSK)]


class Kiosk(Witness):
    """Lends and takes back copies that no other terminal touches."""

    kind = "kiosk"
    forms = {"11": (b"121N", b"120"), "09": (b"101", b"100")}

    def __init__(self, scene: Scene, number: int) -> None:
        super().__init__(scene, number)
        self._readers = readers_of(number)
        self.copies = [Copy(copy) for copy in copies_of(number)]
        self._in_use = list(self.copies)

    async def _errand(self) -> None:
        if not self._in_use:
            self.scene.failures.append(f"{self.name} has no copy left")
            self.scene.ending.set()
            return
        copy = self.scene.chance.choice(self._in_use)
        stamp = self.scene.stamp()
        if copy.where is Where.HOME:
            reader = self.scene.chance.choice(self._readers)
            text = f"11NN{stamp}{' ' * 18}AOHUB|AA{reader}|AB{copy.id}|AC|"
            errand = self.new("11", copy.id, reader, text.encode("ascii"))
        else:
            text = f"09N{stamp}{stamp}APMAIN|AOHUB|AB{copy.id}|AC|"
            errand = self.new("09", copy.id, copy.borrower, text.encode("ascii"))
        copy.errands.append(errand)
        self._learn(copy, errand, await self.pursue(errand))

    def _learn(self, copy: Copy, errand: Errand, told: Told) -> None:
        """Where the copy is now; what nobody knows, and some that were refused, are left alone."""
        if told in (Told.UNSURE, Told.LOST) or (told is Told.NO and Told.LOST in errand.heard):
            copy.where = Where.EITHER
        else:
            lent = (errand.code == "11") is (told is Told.YES)
            copy.where = Where.LENT if lent else Where.HOME
            copy.borrower = errand.patron if lent else ""
        refused = told is Told.NO and self.scene.chance.random() < PARKED_AFTER_NO
        if (refused or copy.where is Where.EITHER) and copy in self._in_use:
            self._in_use.remove(copy)

    async def _once_more(self, errand: Errand) -> None:
        copy = next(copy for copy in self.copies if copy.id == errand.subject)
        self._learn(copy, errand, await self.ask(errand))


def line_cutter(witnesses: list[Witness]) -> Callable[[], None]:
    """Hangs up for all of them."""

    def cut() -> None:
        for witness in witnesses:
            witness.hang_up()

    return cut
