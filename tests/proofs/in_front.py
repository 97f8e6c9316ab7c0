"""The terminals of a whole gateway, with a library system behind it that does wrong (B71, B73).

Kiosks, payment terminals, doors and desks, some of them only observed. Each says one thing after
the other about random cards; the library system puts the card into every field that can hold it.
Judged is each answer: whether it came in time, is of the right type and form, names no other card,
and lets nobody in whose own answer would not: minors and those who do not know their PIN.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import counted
import trustme
from cutting import CuttingProxy
from harness import CONFIG, LIBRARY, STAMP, ask_23, ask_37, ask_63
from hostile_library import OTHER, Drawn, Heard, HostileLibrary, right_answer

from proofs.asking import run
from proofs.judge import ANSWER_TO, Seen, read_answer
from proofs.observe import Line
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from sip2gw.backend.base import BackendTimeoutError, OutcomeUnknownError
from sip2gw.backend.system import BadAnswerError, NoAnswerError, NotAskedError

TIMEOUT_S = 0.3
REQUEST_TIMEOUT_S = 1.0
LATE_S = REQUEST_TIMEOUT_S + 1
"""So much later than it was asked, a terminal has its answer."""
LINES = 8
PIN = "4711"
KINDS = {"kiosk": 7, "cash": 3, "desk": 2, "gate": 4, "facts": 1, "watched": 2, "watchedgate": 1}
"""How many terminals there are of each profile."""
CARD = re.compile(rb"(?<!\d)(?:2[12]\d\d|%b)(?!\d)" % OTHER)
UNCUT = 1 << 20
WARMING = 10
"""After one fault in so many the gateway holds what it holds for good."""
MEMORY_MIB = 160
"""So much may it take, however many faults there were."""
TASKS_MAX = 40 + 10 * sum(KINDS.values())
SHARE = 0.2
"""Of the requests that get a fault: five in a row open the breaker, and nothing is seen then."""
PAUSE_S = 0.1
"""Of a terminal that was not served."""
CUT_SHARE, CUT_BYTES = 0.2, 8_000
"""So many of the connections over TLS break off, after so many bytes at most: the handshake takes
about 2,000."""

PROFILES = """
[profiles.gate]
kind = "door"
door = { minimum_age = 16, require_pin = true }
[profiles.watched]
kind = "selfcheck"
observe = true
[profiles.watchedgate]
kind = "door"
observe = true
door = { minimum_age = 16 }
"""
BACKEND = """[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:PORT"
login = "gateway"
password = "behind"
institution = "HUB"
connections = LINES
timeout_s = TIMEOUT
MORE
[backend.sip2.facts]
birth_date = { field = "PB", format = "%Y%m%d" }
"""


def configuration(port: int, *, ca: Path | None = None) -> str:
    """Of the gateway; with `ca` it speaks TLS with the library system."""
    tls = f'tls = true\ntls_ca = "{ca}"\ntls_name = "ils.example"' if ca is not None else ""
    backend = BACKEND
    for name, value in (("PORT", port), ("LINES", LINES), ("TIMEOUT", TIMEOUT_S), ("MORE", tls)):
        backend = backend.replace(name, str(value))
    terminals = "".join(
        f'[terminals.{kind}{number}]\nprofile = "{kind}"\nbranch = "MAIN"\npassword = "pw"\n'
        for kind, number in names()
    )
    text = CONFIG.replace("[server]\n", f"[server]\nrequest_timeout_s = {REQUEST_TIMEOUT_S}\n")
    return text + backend + PROFILES + terminals


def names() -> list[tuple[str, int]]:
    """All terminals: profile and number."""
    return [(kind, number) for kind, many in KINDS.items() for number in range(many)]


def is_minor(card: bytes) -> bool:
    """Whose own answer says that they are too young for the door."""
    return card.startswith(b"21") and int(card) % 3 == 0


def knows_pin(card: bytes) -> bool:
    """Some try a wrong one, always."""
    return not (card.startswith(b"21") and card.endswith(b"9"))


def told(heard: Heard, patron: bytes | None = None, item: bytes | None = None) -> bytes:
    """The right answer, with the card wherever an answer about a patron has room for it."""
    body = right_answer(heard, patron, item)
    if heard.code not in (b"23", b"63"):
        return body
    card = patron or heard.value(b"AA")
    if heard.value(b"AD") not in (b"", PIN.encode()):
        body = body.replace(b"CQY", b"CQN")
    born = b"20190105" if is_minor(card) else b"19800105"
    lists = b"AST%b|AUT%b|" % (card, card) if heard.code == b"63" else b""
    return body + lists + b"AFHello %b|XZof %b|PB%b|" % (card, card, born)


def _aside(chance: random.Random, card: str) -> str:
    """Something else that a terminal says, about the same card."""
    return chance.choice(
        (
            "9900302.00",
            f"35{STAMP}AOHUB|AA{card}|AC|",
            f"17{STAMP}AOHUB|ABB{card}|",
            f"11NN{STAMP}{STAMP}AOHUB|AA{card}|ABB{card}|AC|AD{PIN}|",
            f"09N{STAMP}{STAMP}APMAIN|AOHUB|ABB{card}|AC|",
            f"29NN{STAMP}{STAMP}AOHUB|AA{card}|AD{PIN}|ABB{card}|",
            ask_37(card, "1.00", pin=PIN, bk=f"K{chance.random()}"),
        )
    )


class Terminals:
    """All terminals; `ask` is one that `proofs.upstream.run` may use."""

    def __init__(self, address: tuple[str, int], report: Report, seed: int) -> None:
        self._address = address
        self._report = report
        self._names = [f"{kind}{number}" for kind, number in names()]
        self._lines: dict[str, Line] = {}
        self._chances = {name: random.Random(f"{seed} {name}") for name in self._names}
        self.seen: Counter[str] = Counter()
        self.longest_s = 0.0

    async def log_in(self) -> None:
        """All of them."""
        for name in self._names:
            line = self._lines[name] = await Line.to(self._address)
            assert await line.ask(f"9300CN{name}|COpw|".encode()) == b"941"

    def leave(self) -> None:
        """All of them."""
        for line in self._lines.values():
            line.close()

    async def ask(self, terminal: str, card: str) -> tuple[str, str] | None:
        """The `t0`-th, `t1`-th… terminal says something about a card, and what its answer to a 23
        or 63 calls the patron; None if it tells nothing of them."""
        name = self._names[int(terminal[1:])]
        chance = self._chances[name]
        if chance.random() < 0.3:
            await self._say(name, card.encode(), _aside(chance, card).encode())
        pin = PIN if knows_pin(card.encode()) else "0815"
        text = ask_23(card, pin) if chance.random() < 0.5 else ask_63(card, pin)
        answer = await self._say(name, card.encode(), text.encode())
        fields = {part[:2]: part[2:] for part in _fields(answer)}
        if not fields.get(b"AE"):
            return None
        return fields[b"AA"].decode(), fields[b"AE"].decode()

    async def _say(self, name: str, card: bytes, body: bytes) -> bytes:
        began = time.monotonic()
        try:
            answer = await self._lines[name].ask(body)
        except (OSError, EOFError, asyncio.LimitOverrunError, AssertionError) as error:
            self._report.expect(False, f"{name} {body[:2]!r}: no answer, {type(error).__name__}")
            raise
        took_s = time.monotonic() - began
        self.longest_s = max(self.longest_s, took_s)
        self._report.expect_in_time(
            took_s <= LATE_S, f"{name}: an answer came after {took_s:.1f} s"
        )
        self._judge(name, card, body, answer)
        return answer

    def _judge(self, name: str, card: bytes, body: bytes, answer: bytes) -> None:
        expect = self._report.expect
        code = answer[:2]
        expect(code == ANSWER_TO[body[:2]], f"{name}: {body[:2]!r} was answered by {code!r}")
        if not name.startswith("watched"):  # what passes them is not ours
            seen = read_answer(answer, value_bytes_max=UNCUT)
            expect(isinstance(seen, Seen), f"{name}: {seen} in {answer[:99]!r}")
        others = set(CARD.findall(answer)) - {card}
        expect(not others, f"{name}: asked about {card!r}, told about {others} in {answer[:99]!r}")
        self.seen[code.decode("latin-1")] += 1
        if name.startswith("gate") and code in (b"24", b"64") and answer[2:3] == b" ":
            self.seen["admitted"] += 1
            expect(not is_minor(card), f"a minor was let in: {card!r}")
            expect(knows_pin(card), f"somebody was let in by a wrong PIN: {card!r}")


_FIXED = {b"24": 37, b"64": 61}


def _fields(answer: bytes) -> list[bytes]:
    return answer[_FIXED.get(answer[:2], 2) :].split(b"|")


# The proof ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footprint:
    """What a gateway process has, now."""

    memory_mib: float
    descriptors: int
    tasks: counted.Tasks

    @classmethod
    def of(cls, gateway: GatewayProcess, tasks: Path) -> Footprint:
        place = Path(f"/proc/{gateway.pid}")
        pages = int((place / "statm").read_text().split()[1])
        memory_mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return cls(memory_mib, len(os.listdir(place / "fd")), counted.tasks(tasks))


def _tls_files(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """For a library system called `ils.example`, and whom the gateway is to trust."""
    authority, ca = trustme.CA(), directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("ils.example").configure_cert(context)
    return context, ca


@asynccontextmanager
async def _hostile(
    drawn: Drawn, context: ssl.SSLContext | None, report: Report
) -> AsyncIterator[int]:
    """The port of a library system that does wrong; with TLS, its connections break off, too."""
    chance = random.Random(drawn.left)

    def lasts() -> int | None:
        return chance.randrange(CUT_BYTES) if drawn.left and chance.random() < CUT_SHARE else None

    late_s = 2 * TIMEOUT_S
    async with HostileLibrary(drawn, late_s=late_s, tls=context, answer=told) as library:
        if context is None:
            yield library.port
        else:
            async with CuttingProxy(library.port, lasts) as proxy:
                yield proxy.port
                report.numbers["tls_cuts"] = proxy.cuts
                report.expect(proxy.cuts > 0, "TLS never broke off")
        report.numbers["lines_opened"] = library.connections


async def suffer(directory: Path, *, faults: int, seed: int, tls: bool = False) -> Report:
    """The faults, as the terminals of a whole gateway process see them."""
    report = Report(f"upstream, a gateway in front{' over TLS' if tls else ''}, {faults} faults")
    drawn, tasks = Drawn(seed, faults // WARMING, SHARE), directory / "tasks"
    context, ca = _tls_files(directory) if tls else (None, None)
    async with _hostile(drawn, context, report) as port:
        config = await prepare(directory, configuration(port, ca=ca), LIBRARY)
        async with GatewayProcess(
            config, keep_requests=False, program=counted.program(tasks)
        ) as gateway:
            await gateway.start()
            terminals = Terminals(gateway.address, report, seed)
            await terminals.log_in()
            asking = partial(run, terminals.ask, drawn, report, limit_s=2 * LATE_S, pause_s=PAUSE_S)
            await asking(seed=seed, terminals=len(names()))
            before = Footprint.of(gateway, tasks)
            drawn.left = faults - faults // WARMING
            crowd = await asking(seed=seed + 1, terminals=len(names()))
            after = Footprint.of(gateway, tasks)
            _, metrics = await gateway.http("/metrics")
            terminals.leave()
            status = await gateway.stop()
            report.expect(status == 0, f"the gateway ended with {status}: {gateway.log[-3:]}")
        _judge_gateway(report, gateway, metrics)
    _judge_footprints(report, before, after)
    report.numbers |= {
        "kinds": len(drawn.done),
        **crowd.ends,
        **terminals.seen,
        "longest_ms": round(terminals.longest_s * 1000),
    }
    report.expect(terminals.seen["admitted"] > 0, "nobody was let in")
    return report


_FAILURES = (
    BackendTimeoutError,
    BadAnswerError,
    NoAnswerError,
    NotAskedError,
    OutcomeUnknownError,
)
THEIRS = {None, *(error.__name__ for error in _FAILURES)}
"""What a log line may name: what the library system did, or may have done, is no fault of ours."""


def _judge_gateway(report: Report, gateway: GatewayProcess, metrics: str) -> None:
    """Nothing went wrong inside."""
    bugs = re.findall(r'sip2gw_backend_errors_total\{[^}]*kind="bug"[^}]*\} [^0].*', metrics)
    report.expect(not bugs, f"faults of ours: {bugs}")
    told = [line for line in gateway.log if line.get("exception") not in THEIRS]
    report.expect(not told, f"logged: {told[:3]}")
    report.expect(not gateway.other_output, f"said: {gateway.other_output[:5]}")


def _judge_footprints(report: Report, before: Footprint, after: Footprint) -> None:
    more_mib = after.memory_mib - before.memory_mib
    report.numbers |= {
        "memory_mib": round(after.memory_mib),
        "more_mib": round(more_mib, 1),
        "tasks": after.tasks.now,
        "most_tasks": after.tasks.most,
    }
    report.expect(after.memory_mib <= MEMORY_MIB, f"it takes {after.memory_mib:.0f} MiB")
    report.expect(after.tasks.most <= TASKS_MAX, f"it had {after.tasks.most} tasks")
    few = after.tasks.now <= before.tasks.now + LINES
    report.expect(few, f"{after.tasks.now} tasks are left of {before.tasks.now}")
    descriptors = after.descriptors - before.descriptors
    report.expect(descriptors <= LINES, f"it holds {descriptors} descriptors more")
