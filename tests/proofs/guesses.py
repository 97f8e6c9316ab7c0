"""Nobody guesses a PIN, whatever they do to lines, gateways and store.  (B20, C19, C99)

Two hundred lines of kiosks try wrong PINs on the cards of four hundred patrons: they wait for the
answer or hang up, use any of a patron's cards, and go to another gateway. Meanwhile gateways are
killed, and on SQLite another process holds the write lock for seconds at a time. Beside all that,
patrons whom nobody attacks come to a door with PINs that the gateway has not seen yet.

How many guesses were judged is counted from the gateways' logs, which tell wrong from locked (the
answers do not). At the end each attacked patron's right PIN must be refused. Then the times of
wrong, locked and hidden unknown answers are measured beside load. The program ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
from harness import CONFIG, HANGS_S, LIBRARY, ask_23, load, person, without_http
from postgres import running_server

from proofs import besiegers
from proofs.besiegers import logged_in
from proofs.process import ROOT, GatewayProcess, today, twins
from proofs.report import Report
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.foundation.hashing import hash_pin
from sip2gw.monitoring.telemetry import Redactor

FAILURES_MAX = 5
PIN = "4711"
ENTRY_P99_S = 0.2
TIMES_APART_MAX = 0.1
LOCK_HELD_S = 3.0
PAUSE_S = 2.0
SERVE = "serve-attackers"
"""The argument that makes this program the attackers' process."""
TIMED = {"wrong": "G", "locked": "V0", "unknown": "nobody"}
"""Whose answers must take the same time, and the card that gets them; of guests each gets one."""
TIMED_LINES = 10
"""So many lines of each kind, of terminals of their own: each fails less often than has its guesses
judged one by one."""
LAST_LINES = 40
"""So many lines try the right PINs at the end, since each refusal waits for its moment."""


@dataclass
class Size:
    """How much is done."""

    tries: int = 20_000
    lines: int = 200
    victims: int = 400
    guests: int = 600
    times: int = 400


@dataclass
class Siege:
    """Who attacks whom, and what was seen."""

    gateways: list[GatewayProcess]
    chance: random.Random
    victims: tuple[str, ...]
    over: bool = False
    kills: int = 0
    locks_held: int = 0
    entered_s: list[float] = field(default_factory=list)
    not_entered: int = 0


def configuration(store: str, lines: int) -> str:
    """A door, kiosks for the attackers, and others that hide cards."""
    kiosks = "".join(
        f'[terminals.k{number}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n'
        for number in range(lines)
    )
    hiding = '[profiles.hiding]\nkind = "selfcheck"\nwrong_pin_hides_card = true\n' + "".join(
        f'[terminals.h{number}]\nprofile = "hiding"\nbranch = "MAIN"\npassword = "pw"\n'
        for number in range(len(TIMED) * TIMED_LINES)
    )
    settings = without_http(CONFIG).replace("sqlite:library.db", store)
    return settings.replace("failing_answer_slot_s = 0\n", "") + kiosks + hiding


async def prepared(directory: Path, settings: str, victims: int, guests: int) -> tuple[Path, bytes]:
    """The configuration's file, with a library of attacked patrons and of guests."""
    path = directory / "sip2gw.toml"
    path.write_text(settings)
    store = open_backend(load_config(path), "command", "make").store
    people = [("V", number) for number in range(victims)] + [("G", n) for n in range(guests)]
    records = [one for one in LIBRARY if one["kind"] in ("membership", "badge")]
    hashed = hash_pin(store.pin_secret, PIN)
    for kind, number in people:
        card = f"{kind}{number}"
        record = person(card, f"Patron {card}", cards=[{"number": f"{card}x", "state": "active"}])
        del record["pin"]
        records.append({**record, "pin_hash": hashed})
    load(store, records, now=today())
    secret = store.pin_secret
    await store.close()
    return path, secret


class Attackers:
    """The process of those who guess; see `proofs.besiegers`."""

    def __init__(self, task: besiegers.Task) -> None:
        self._task = task
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Attackers:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(str(Path(__file__).parent), "guesses", SERVE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._send(self._task)
        return self

    def look_for(self, gateways: Sequence[GatewayProcess]) -> None:
        """Tell them where the gateways are now."""
        self._send([gateway.address for gateway in gateways])

    def _send(self, order: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def result(self) -> besiegers.Result:
        """What they did, when they have used up their guesses."""
        assert self._process is not None
        assert self._process.stdout is not None
        return msgspec.json.decode(await self._process.stdout.readline(), type=besiegers.Result)

    async def __aexit__(self, *failure: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


def enter(siege: Siege, guests: int) -> None:
    """Untouched patrons come to the door of a gateway that lives, one after the other.

    In a thread of its own, with a blocking socket, so that only the gateway's time is measured.
    """
    for number in range(guests):
        if siege.over:
            return
        gateway = siege.gateways[number % len(siege.gateways)]
        with (
            suppress(OSError, EOFError),
            socket.create_connection(gateway.address, HANGS_S) as door,
            door.makefile("rb") as answers,
        ):
            if _asked(door, answers, "9300CNdoor-1|COpw|") == "941":
                started = time.monotonic()
                if "CQY" in _asked(door, answers, ask_23(f"G{number}", PIN)):
                    siege.entered_s.append(time.monotonic() - started)
                else:
                    siege.not_entered += 1
        time.sleep(0.2)


def _asked(door: socket.socket, answers: BinaryIO, text: str) -> str:
    """The answer to `text`; EOFError when the line is closed instead."""
    door.sendall(text.encode("cp850") + b"\r")
    answer = bytearray()
    while not answer.endswith(b"\r"):
        byte = answers.read(1)
        if not byte:
            raise EOFError
        answer += byte
    return answer[:-1].decode("cp850")


async def disturb(siege: Siege, attackers: Attackers, database: Path | None) -> None:
    """Kill gateways, and hold SQLite's write lock."""
    for number in itertools.count():
        await asyncio.sleep(PAUSE_S)
        if database is not None and number % 2 == 0:
            # Closed also when it is cancelled: what is asked afterwards must find no lock.
            with (
                closing(sqlite3.connect(database, isolation_level=None)) as holder,
                suppress(sqlite3.OperationalError),
            ):
                holder.execute("BEGIN IMMEDIATE")
                siege.locks_held += 1
                await asyncio.sleep(LOCK_HELD_S)
        else:
            gateway = siege.chance.choice(siege.gateways)
            await gateway.kill()
            siege.kills += 1
            await gateway.start()
            attackers.look_for(siege.gateways)


async def besiege(siege: Siege, size: Size, seed: int, database: Path | None) -> besiegers.Result:
    """All of it until the guesses are used up."""
    task = besiegers.Task(seed, size.tries, size.lines, size.victims)
    async with Attackers(task) as attackers:
        attackers.look_for(siege.gateways)
        disturbing = asyncio.create_task(disturb(siege, attackers, database))
        entering = asyncio.create_task(asyncio.to_thread(enter, siege, size.guests))
        result = await attackers.result()
        siege.over = True
        await entering
        disturbing.cancel()
        await asyncio.gather(disturbing, return_exceptions=True)
    for gateway in siege.gateways:
        with suppress(AssertionError):
            await gateway.kill()
        await gateway.start()
    return result


async def still_open(siege: Siege, lines: int) -> list[str]:
    """Attacked patrons whose right PIN is taken now."""
    left = list(siege.victims)
    found: list[str] = []

    async def one(name: str) -> None:
        line = await logged_in(siege.gateways[0].address, name)
        while left:
            victim = left.pop()
            if "CQY" in await line.ask(ask_23(victim, PIN)):
                found.append(victim)
        line.writer.transport.abort()

    await asyncio.gather(*(one(f"k{number}") for number in range(min(LAST_LINES, lines))))
    return found


def judged_by_patron(siege: Siege, secret: bytes) -> Counter[str]:
    """How many guesses were judged, by attacked patron, as the logs tell."""
    pseudonym = Redactor(secret).pseudonym
    names = {pseudonym(f"{victim}{card}"): victim for victim in siege.victims for card in ("", "x")}
    judged: Counter[str] = Counter()
    for gateway in siege.gateways:
        for line in gateway.log:
            if line.get("reason") == "wrong_pin" and line.get("card") in names:
                judged[names[str(line["card"])]] += 1
    return judged


async def measure(gateway: GatewayProcess, tries: int) -> dict[str, float]:
    """Medians, in seconds, of the answers that must take the same time, beside others' guesses."""
    found: dict[str, list[float]] = {name: [] for name in TIMED}
    numbers, terminals = itertools.count(), itertools.count()

    async def one(name: str, tries: int) -> None:
        line = await logged_in(gateway.address, f"h{next(terminals)}")
        for _ in range(tries):
            card = f"G{next(numbers)}" if name == "wrong" else TIMED[name]
            started = time.monotonic()
            await line.ask(ask_23(card, "wrong"))
            found[name].append(time.monotonic() - started)
        line.writer.transport.abort()

    lines = min(TIMED_LINES, tries)
    await asyncio.gather(*(one(name, tries // lines) for name in TIMED for _ in range(lines)))
    return {name: statistics.median(values) for name, values in found.items()}


async def prove(
    directory: Path, store: str, gateways: int, size: Size, seed: int
) -> tuple[Report, Siege, dict[str, float]]:
    """Run everything; what does not depend on how busy the machine is has been judged then."""
    report = Report("guesses")
    settings = configuration(store, size.lines)
    path, secret = await prepared(directory, settings, size.victims, size.guests)
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(GatewayProcess(each)) for each in twins(path, gateways)
        ]
        for gateway in running:
            await gateway.start()
        victims = tuple(f"V{number}" for number in range(size.victims))
        siege = Siege(running, random.Random(seed), victims)
        database = directory / "library.db" if store.startswith("sqlite") else None
        result = await besiege(siege, size, seed, database)
        left_open = await still_open(siege, size.lines)
        medians = await measure(running[0], size.times)
        judged = judged_by_patron(siege, secret)
    allowed = FAILURES_MAX + gateways - 1
    report.numbers = {
        "tries": result.tries,
        "kills": siege.kills,
        "locks_held": siege.locks_held,
        "most_judged": max(judged.values(), default=0),
        "allowed": allowed,
        "left_open": len(left_open),
        "entered": len(siege.entered_s),
        "not_entered": siege.not_entered,
    }
    report.expect(not result.opened, f"a wrong PIN was taken for right: {result.opened[:3]}")
    report.expect(sum(judged.values()) > 0, "no guess was judged")
    report.expect(
        max(judged.values(), default=0) <= allowed, "more guesses were judged than allowed"
    )
    unlocked = [victim for victim in left_open if judged[victim] >= FAILURES_MAX]
    report.expect(not unlocked, f"not locked after the siege: {unlocked[:3]}")
    report.expect(siege.kills > 0, "nothing was killed")
    report.expect(len(siege.entered_s) > 0, "no untouched patron got in")
    return report, siege, medians


def judge_times(report: Report, siege: Siege, medians: dict[str, float]) -> None:
    """Compare with the goals, on a machine with nothing else to do."""
    ordered = sorted(siege.entered_s)
    p99 = ordered[int(len(ordered) * 0.99)] if ordered else 0.0
    report.numbers["entry_p99_ms"] = round(1000 * p99, 1)
    report.numbers.update({f"{name}_ms": round(1000 * s, 1) for name, s in medians.items()})
    report.expect_in_time(p99 <= ENTRY_P99_S, f"untouched patrons waited {p99:.3f} s (p99)")
    apart = max(medians.values()) / min(medians.values()) - 1
    report.expect(apart <= TIMES_APART_MAX, f"the answers' times are {apart:.0%} apart")


def main(arguments: list[str]) -> int:
    """The command."""
    if arguments == [SERVE]:
        besiegers.serve()
        return 0
    parser = argparse.ArgumentParser(prog="python tests/proofs guesses", description=__doc__)
    parser.add_argument("--postgresql", action="store_true", help="two gateways on one database")
    parser.add_argument("--tries", type=int, default=Size.tries)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    size = Size(tries=options.tries)
    with tempfile.TemporaryDirectory() as name:
        server = running_server(durable=True) if options.postgresql else nullcontext()
        with server as running:
            store, gateways = "sqlite:library.db", 1
            if running is not None:
                store, gateways = running.url(running.make_database()), 2
            report, siege, medians = asyncio.run(
                prove(Path(name), store, gateways, size, options.seed)
            )
    judge_times(report, siege, medians)
    return report.tell()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
