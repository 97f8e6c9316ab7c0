"""Nobody guesses a PIN that a library system judges, whatever they do (B74, C99, C151).

Twenty terminals try wrong PINs at patrons of three kinds, in a library system that answers some
requests too late and some never: patrons with one card, with two cards that our store knows, and
with three numbers of which only the library system knows that they are of one patron (`aliases`).
They wait for the answer or hang up. Meanwhile gateways are killed. Beside them others go through a
door.

The library system counts the wrong PINs of each patron that reach it. There may be

- `pin_failures_max`, and one more for each further gateway (C99);
- one more for each kill before the first guess was counted, of which nobody saw the answer;
- for each further number that nobody has told us the holder of, one more at each gateway.

At the end every locked patron's right PIN is refused by every gateway, and answers to wrong,
locked and (where the profile hides them) unknown cards are compared, and their times.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import re
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness import CONFIG, Terminal, ask_23, ask_63, without_http
from hostile_library import Heard, HostileLibrary, right_answer
from postgres import running_server

from proofs.besiegers import logged_in
from proofs.process import GatewayProcess, prepare, twins
from proofs.report import Report

FAILURES_MAX = 5
PIN = b"4711"
LINES = 20
GUESTS = 500
SLOT_S = 0.2
TIMES_APART_MAX = 0.1
PAUSE_S = 2.0
"""Between two kills."""
TIMEOUT_S = 1.0
UNSEEN_S = TIMEOUT_S + 0.5
"""A guess that is older than this when its gateway is killed has been counted."""
KINDS = ("one", "ours", "alias")
NUMBERS = {"one": ("",), "ours": ("", "x"), "alias": ("", "x", "u")}
"""The endings of the numbers of a patron of each kind: a card, a second one, a user name."""

SETTINGS = f"""
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:PORT"
login = "gateway"
password = "behind"
aliases = true
connections = 8
timeout_s = {TIMEOUT_S}
[profiles.gate]
kind = "door"
door = {{ require_pin = true }}
[profiles.hiding]
kind = "selfcheck"
wrong_pin_hides_card = true
[terminals.gate]
profile = "gate"
branch = "MAIN"
password = "pw"
"""


@dataclass(frozen=True)
class Size:
    """How much is done."""

    tries: int = 10_000
    victims: int = 100
    times: int = 100


def kind_of(patron: str) -> str:
    """Of patrons that are guessed at, by their number."""
    return KINDS[int(patron[1:]) % len(KINDS)]


def configuration(port: int, store: str) -> str:
    """Terminals for guessers, for guests, and for those who compare answers."""
    terminals = "".join(
        f'[terminals.{name}{number}]\nprofile = "{profile}"\nbranch = "MAIN"\npassword = "pw"\n'
        for name, profile in (("k", "kiosk"), ("h", "hiding"))
        for number in range(LINES)
    )
    text = without_http(CONFIG).replace("sqlite:library.db", store)
    text = text.replace(
        "failing_answer_slot_s = 0\n",
        f"failing_answer_slot_s = {SLOT_S}\nterminal_pin_failures_max = 10000\n",
    )
    return text + SETTINGS.replace("PORT", str(port)) + terminals


def records(victims: int) -> list[dict[str, object]]:
    """What our store knows: patrons of the kind `ours`, and their second card."""
    return [
        {"kind": "patron", "id": f"V{n}", "name": "", "cards": [{"number": f"V{n}x"}]}
        for n in range(victims)
        if kind_of(f"V{n}") == "ours"
    ]


class Judge:
    """What the library system says and does; it counts what it was asked."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.wrong: defaultdict[str, list[float]] = defaultdict(list)
        """When which patron's wrong PINs arrived."""
        self.is_calm = False

    def behave(self, heard: Heard) -> str:
        """Some guesses are answered after the deadline; what others ask is answered at once."""
        if self.is_calm or not heard.value(b"AA").startswith(b"V"):
            return "right"
        return "late" if self._chance.random() < 0.03 else "pieces"

    def told(self, heard: Heard, **_other: bytes) -> bytes:
        """The patron's own number in AA where the kind is `alias`."""
        number, pin = heard.value(b"AA"), heard.value(b"AD")
        if heard.code not in (b"23", b"63"):
            return right_answer(heard)
        if not re.fullmatch(rb"[VGF]\d+[xu]?", number):
            return right_answer(heard).replace(b"BLY|CQY", b"BLN|CQN")
        patron = number.rstrip(b"xu").decode()
        is_alias = number[:1] == b"V" and kind_of(patron) == "alias"
        body = right_answer(heard, patron.encode() if is_alias else None)
        if pin in (b"", PIN):
            return body
        self.wrong[patron].append(time.monotonic())
        return body.replace(b"CQY", b"CQN")


@dataclass
class Siege:
    """Who attacks whom, and what was seen."""

    gateways: list[GatewayProcess]
    judge: Judge
    size: Size
    chance: random.Random
    tries_left: int
    kills: int = 0
    unseen: Counter[str] = field(default_factory=Counter)
    """How many kills came while a guess at the patron may not have been counted."""
    opened: list[str] = field(default_factory=list)
    entered: int = 0
    not_entered: int = 0

    async def guess(self, name: str) -> None:
        """One terminal: guess, and come again when the line is closed."""
        while self.tries_left > 0:
            with suppress(OSError, EOFError, AssertionError):
                line = await logged_in(self.chance.choice(self.gateways).address, name)
                try:
                    while self.tries_left > 0 and await self._guess(line):
                        pass
                finally:
                    line.writer.transport.abort()
            await asyncio.sleep(0.01)

    async def _guess(self, line: Terminal) -> bool:
        """Try a wrong PIN; False when we have hung up."""
        self.tries_left -= 1
        patron = f"V{self.chance.randrange(self.size.victims)}"
        number = patron + self.chance.choice(NUMBERS[kind_of(patron)])
        ask = self.chance.choice((ask_23, ask_63))
        await line.send(ask(number, f"{self.chance.randrange(10_000):04}w"))
        if self.chance.random() < 0.5:
            await asyncio.sleep(self.chance.random() / 20)
            return False
        if "CQY" in await line.read():
            self.opened.append(number)
        return True

    async def kill(self) -> None:
        """Kill one gateway after the other."""
        while True:
            await asyncio.sleep(PAUSE_S)
            gateway = self.chance.choice(self.gateways)
            await gateway.kill()
            now = time.monotonic()
            for patron, moments in self.judge.wrong.items():
                self.unseen[patron] += self._may_be_uncounted(patron, moments, now)
            self.kills += 1
            await gateway.start()

    def _may_be_uncounted(self, patron: str, moments: list[float], now: float) -> bool:
        """Whether the last guess at the patron was not counted before the kill. Once a failure of
        theirs is known, each is counted before it is sent; of the kind `alias` it may be known
        under another number."""
        is_first = len(moments) - self.unseen[patron] <= 1
        is_known_elsewhere = patron.startswith("V") and kind_of(patron) == "alias"
        return moments[-1] > now - UNSEEN_S and (is_first or is_known_elsewhere)

    async def enter(self) -> None:
        """Whom nobody attacks, at the door of a gateway that lives."""
        for number in itertools.count():
            with suppress(OSError, EOFError):
                gateway = self.chance.choice(self.gateways)
                line = await logged_in(gateway.address, "gate")
                try:
                    answer = await line.ask(ask_23(f"G{number % GUESTS}", PIN.decode()))
                finally:
                    line.writer.transport.abort()
                if "CQY" in answer:
                    self.entered += 1
                else:
                    self.not_entered += 1
            await asyncio.sleep(0.1)


async def besiege(siege: Siege) -> None:
    """All of it until the guesses are used up; then all gateways live, and nothing is slow."""
    beside = [asyncio.create_task(siege.kill()), asyncio.create_task(siege.enter())]
    await asyncio.gather(*(siege.guess(f"k{number}") for number in range(LINES)))
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    siege.judge.is_calm = True
    for gateway in siege.gateways:
        with suppress(AssertionError):
            await gateway.kill()
        await gateway.start()


async def still_open(siege: Siege, locked: list[str]) -> list[str]:
    """Of the patrons that must be locked those whose right PIN is taken by a gateway."""
    found: list[str] = []
    left = [(gateway, patron) for gateway in siege.gateways for patron in locked]

    async def one(name: str) -> None:
        for gateway in siege.gateways:
            line = await logged_in(gateway.address, name)
            mine = [pair for pair in left if pair[0] is gateway]
            for pair in mine[int(name[1:]) :: LINES]:
                if "CQY" in await line.ask(ask_23(pair[1], PIN.decode())):
                    found.append(pair[1])
            line.writer.transport.abort()

    await asyncio.gather(*(one(f"k{number}") for number in range(LINES)))
    return found


async def compare(
    gateway: GatewayProcess, locked: str, times: int
) -> dict[str, tuple[set[str], float]]:
    """What wrong, locked and unknown cards are answered where the profile hides them, but for the
    card and the date, and the median of the times in seconds."""
    found: dict[str, tuple[set[str], list[float]]] = {}
    fresh, terminals = itertools.count(), itertools.count()

    async def one(name: str) -> None:
        answers, took = found.setdefault(name, (set(), []))
        line = await logged_in(gateway.address, f"h{next(terminals)}")
        for _ in range(times // 4):
            number = {"wrong": f"F{next(fresh)}", "locked": locked, "unknown": "nobody"}[name]
            began = time.monotonic()
            answer = await line.ask(ask_23(number, "wrong"))
            took.append(time.monotonic() - began)
            answers.add(re.sub(rf"\d{{8}}    \d{{6}}|AA{number}", "", answer))
        line.writer.transport.abort()

    await asyncio.gather(*(one(name) for name in ("wrong", "locked", "unknown") for _ in range(4)))
    return {name: (said, statistics.median(took)) for name, (said, took) in found.items()}


def judge_guesses(report: Report, siege: Siege) -> list[str]:
    """Hold what reached the library system against what may; gives whom it must have locked."""
    most: Counter[str] = Counter()
    further = len(siege.gateways) - 1
    locked = []
    for patron, moments in siege.judge.wrong.items():
        if not patron.startswith("V"):
            continue
        kind, unseen, heard = kind_of(patron), siege.unseen[patron], len(moments)
        untold = len(siege.gateways) * (len(NUMBERS["alias"]) - 1) if kind == "alias" else 0
        allowed = FAILURES_MAX + further + unseen + untold
        report.expect(heard <= allowed, f"{patron} ({kind}): {heard} arrived of {allowed} allowed")
        most[kind] = max(most[kind], heard - unseen)
        if heard - unseen >= FAILURES_MAX + untold:
            locked.append(patron)
    report.numbers |= {f"most_{kind}": most[kind] for kind in KINDS}
    return locked


async def prove(directory: Path, store: str, gateways: int, size: Size, seed: int) -> Report:
    """Run everything; times are measured, not judged."""
    report, judge = Report("upstream-guesses"), Judge(seed)
    async with AsyncExitStack() as stack:
        library = await stack.enter_async_context(
            HostileLibrary(behave=judge.behave, answer=judge.told, late_s=2 * TIMEOUT_S)
        )
        settings = configuration(library.port, store)
        path = await prepare(directory, settings, records(size.victims))
        running = [
            await stack.enter_async_context(GatewayProcess(each, keep_requests=False))
            for each in twins(path, gateways)
        ]
        for gateway in running:
            await gateway.start()
        siege = Siege(running, judge, size, random.Random(seed), size.tries)
        await besiege(siege)
        locked = judge_guesses(report, siege)
        report.expect(bool(locked), "nobody was locked")
        left_open = await still_open(siege, locked)
        compared = await compare(running[0], locked[0] if locked else "V0", size.times)
    report.numbers |= {
        "tries": size.tries,
        "arrived": sum(map(len, judge.wrong.values())),
        "kills": siege.kills,
        "locked": len(locked),
        "entered": siege.entered,
        "not_entered": siege.not_entered,
        **{f"{name}_ms": round(1000 * median, 1) for name, (_, median) in compared.items()},
    }
    report.expect(not siege.opened, f"a wrong PIN was taken for right: {siege.opened[:3]}")
    report.expect(not left_open, f"not locked after the siege: {left_open[:3]}")
    report.expect(siege.kills > 0, "nothing was killed")
    report.expect(siege.entered > 0, "no untouched patron got in")
    told = set().union(*(answers for answers, _ in compared.values()))
    report.expect(len(told) == 1, f"wrong, locked and unknown do not look the same: {told}")
    return report


def judge_times(report: Report) -> None:
    """Compare with the goal, on a machine with little else to do."""
    times = [report.numbers[f"{name}_ms"] for name in ("wrong", "locked", "unknown")]
    apart = max(times) / min(times) - 1
    report.expect(apart <= TIMES_APART_MAX, f"the answers' times are {apart:.0%} apart")


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="upstream-guesses", description=__doc__)
    parser.add_argument("--postgresql", action="store_true", help="two gateways on one database")
    parser.add_argument("--tries", type=int, default=Size.tries)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        server = running_server(durable=True) if options.postgresql else nullcontext()
        with server as database:
            store, gateways = "sqlite:library.db", 1
            if database is not None:
                store, gateways = database.url(database.make_database()), 2
            size = Size(tries=options.tries)
            report = asyncio.run(prove(Path(name), store, gateways, size, options.seed))
    judge_times(report)
    return report.tell()
