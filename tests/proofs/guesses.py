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
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness import CONFIG, LIBRARY, Terminal, ask_23, load, person
from postgres import running_server

from proofs.process import GatewayProcess, today, twins
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
GOODBYE_SHARE = 0.5
"""Of the guesses, so many hang up without waiting for the answer."""
TIMED = {"wrong": "G", "locked": "V0", "unknown": "nobody"}
"""Whose answers must take the same time, and the card that gets them; of guests each gets one."""
TIMED_LINES = 10
"""So many lines of each kind, of terminals of their own: each fails less often than has its guesses
judged one by one."""
LAST_LINES = 40
"""So many lines try the right PINs at the end, since each refusal waits for its moment."""


@dataclass
class Siege:
    """Who attacks whom, and what was seen."""

    gateways: list[GatewayProcess]
    chance: random.Random
    victims: tuple[str, ...]
    tries_left: int
    kills: int = 0
    locks_held: int = 0
    opened: list[str] = field(default_factory=list)
    """Victims whom a wrong PIN let in; there must be none."""
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
    settings = CONFIG.replace("sqlite:library.db", store)
    return settings.replace("failing_answer_slot_s = 0\n", "") + kiosks + hiding


async def prepared(directory: Path, settings: str, victims: int, guests: int) -> tuple[Path, bytes]:
    """The configuration's file, with a library of attacked patrons and of guests."""
    path = directory / "sip2gw.toml"
    path.write_text(settings)
    store = open_backend(load_config(path), "command").store
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


async def attack(siege: Siege, name: str) -> None:
    """One line: guess, and come again when it is closed."""
    while siege.tries_left > 0:
        gateway = siege.chance.choice(siege.gateways)
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError, AssertionError):
            line = await _logged_in(gateway, name)
            try:
                while siege.tries_left > 0:
                    siege.tries_left -= 1
                    if not await _guess(siege, line):
                        break
            finally:
                line.writer.transport.abort()
        await asyncio.sleep(0.01)


async def _logged_in(gateway: GatewayProcess, name: str) -> Terminal:
    host, port = gateway.address
    line = Terminal(*await asyncio.open_connection(host, port))
    if await line.ask(f"9300CN{name}|COpw|") != "941":
        raise ConnectionResetError
    return line


async def _guess(siege: Siege, line: Terminal) -> bool:
    """Try a wrong PIN; False when the line has hung up."""
    victim = siege.chance.choice(siege.victims)
    card = victim + siege.chance.choice(("", "x"))
    await line.send(ask_23(card, f"{siege.chance.randrange(10_000):04}w"))
    if siege.chance.random() < GOODBYE_SHARE:
        if siege.chance.random() < 0.5:
            await asyncio.sleep(siege.chance.random() / 20)
        return False
    if "CQY" in await line.read():
        siege.opened.append(victim)
    return True


async def enter(siege: Siege, guests: int) -> None:
    """Untouched patrons come to the door of a gateway that lives, one after the other."""
    for number in range(guests):
        if siege.tries_left <= 0:
            return
        gateway = siege.gateways[number % len(siege.gateways)]
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError, AssertionError):
            line = await _logged_in(gateway, "door-1")
            started = time.monotonic()
            answer = await line.ask(ask_23(f"G{number}", PIN))
            if "CQY" in answer:
                siege.entered_s.append(time.monotonic() - started)
            else:
                siege.not_entered += 1
            line.writer.transport.abort()
        await asyncio.sleep(0.2)


async def disturb(siege: Siege, database: Path | None) -> None:
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


async def besiege(siege: Siege, lines: int, guests: int, database: Path | None) -> None:
    """All of it until the guesses are used up."""
    disturbing = asyncio.create_task(disturb(siege, database))
    entering = asyncio.create_task(enter(siege, guests))
    await asyncio.gather(*(attack(siege, f"k{number}") for number in range(lines)))
    await entering
    disturbing.cancel()
    await asyncio.gather(disturbing, return_exceptions=True)
    for gateway in siege.gateways:
        with suppress(AssertionError):
            await gateway.kill()
        await gateway.start()


async def still_open(siege: Siege, lines: int) -> list[str]:
    """Attacked patrons whose right PIN is taken now."""
    left = list(siege.victims)
    found: list[str] = []

    async def one(name: str) -> None:
        line = await _logged_in(siege.gateways[0], name)
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
        line = await _logged_in(gateway, f"h{next(terminals)}")
        for _ in range(tries):
            card = f"G{next(numbers)}" if name == "wrong" else TIMED[name]
            started = time.monotonic()
            await line.ask(ask_23(card, "wrong"))
            found[name].append(time.monotonic() - started)
        line.writer.transport.abort()

    lines = min(TIMED_LINES, tries)
    await asyncio.gather(*(one(name, tries // lines) for name in TIMED for _ in range(lines)))
    return {name: statistics.median(values) for name, values in found.items()}


@dataclass
class Size:
    """How much is done."""

    tries: int = 20_000
    lines: int = 200
    victims: int = 400
    guests: int = 600
    times: int = 400


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
        siege = Siege(running, random.Random(seed), victims, size.tries)
        database = directory / "library.db" if store.startswith("sqlite") else None
        await besiege(siege, size.lines, size.guests, database)
        left_open = await still_open(siege, size.lines)
        medians = await measure(running[0], size.times)
        judged = judged_by_patron(siege, secret)
    allowed = FAILURES_MAX + gateways - 1
    report.numbers = {
        "tries": size.tries - siege.tries_left,
        "kills": siege.kills,
        "locks_held": siege.locks_held,
        "most_judged": max(judged.values(), default=0),
        "allowed": allowed,
        "left_open": len(left_open),
        "entered": len(siege.entered_s),
        "not_entered": siege.not_entered,
    }
    report.expect(not siege.opened, f"a wrong PIN was taken for right: {siege.opened[:3]}")
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
    report.expect(p99 <= ENTRY_P99_S, f"untouched patrons waited {p99:.3f} s (p99)")
    apart = max(medians.values()) / min(medians.values()) - 1
    report.expect(apart <= TIMES_APART_MAX, f"the answers' times are {apart:.0%} apart")


def main(arguments: list[str]) -> int:
    """The command."""
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
