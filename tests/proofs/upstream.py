"""Twenty terminals at a library system that does wrong whatever it can (B71).

`run` asks through `Ask`, which says whose answer came: here that is the client of the library
system itself; a whole gateway in between is another `Ask`. Shown, in so many random faults:

- every answer carries its own patron, number and name, and no other;
- every call ends in time;
- the pool recovers: when the faults end, everybody is answered.

And fairness: of a thousand terminals over ten lines nobody waits over three times the mean.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from hostile_library import FAULTS, Drawn, HostileLibrary
from upstream import Client, client_of

from proofs.report import Report
from sip2gw.backend.system import LibrarySystemError

FAULTS_ALL = 10_000
TERMINALS = 20
LINES = 8
TIMEOUT_S = 0.2
SLACK_S = 0.4
"""A call may end so much later than its deadline: the sweep, and two busy cores."""
RECOVERY_S = 10.0
PAUSE_S = 0.01
"""Of a terminal that was not served."""
FAIR_TERMINALS, FAIR_LINES, FAIR_ROUNDS = 1_000, 10, 5
FAIR = 3.0

Ask = Callable[[str, str], Awaitable[tuple[str, str] | None]]
"""A terminal asks about a card: the number and name of the answer, None without one."""


class Crowd:
    """Terminals that ask about random patrons as long as they are let."""

    def __init__(self, ask: Ask, report: Report, limit_s: float) -> None:
        self._ask = ask
        self._report = report
        self._limit_s = limit_s
        self.ends: Counter[str] = Counter()
        self.longest_s = 0.0

    async def ask(self, terminal: str, card: str) -> bool:
        """Ask once, and judge; whether an answer came."""
        began = time.monotonic()
        answer = await self._ask(terminal, card)
        took_s = time.monotonic() - began
        self.longest_s = max(self.longest_s, took_s)
        self._report.expect(took_s < self._limit_s, "a call ended too late")
        self.ends["answered" if answer else "failed"] += 1
        if answer is not None:
            own = (card, f"Patron {card}")
            self._report.expect(answer == own, f"{card} was answered with {answer}")
        return answer is not None

    async def terminal(self, name: str, chance: random.Random, goes_on: Callable[[], bool]) -> None:
        """One terminal, asking on and on."""
        while goes_on():
            # Few cards, so that the answer to another request may be about the same patron.
            if not await self.ask(name, f"21{chance.randrange(30):02}"):
                await asyncio.sleep(PAUSE_S)


async def run(
    ask: Ask, drawn: Drawn, report: Report, *, seed: int, limit_s: float, terminals: int
) -> Crowd:
    """Ask until all faults are used up, then until everybody has been answered."""
    crowd = Crowd(ask, report, limit_s)
    async with asyncio.TaskGroup() as group:
        for number in range(terminals):
            chance = random.Random(f"{seed} {number}")
            group.create_task(crowd.terminal(f"t{number}", chance, lambda: drawn.left > 0))
    ended = time.monotonic()
    for number in range(terminals):
        while not await crowd.ask(f"t{number}", f"22{number:02}"):
            await asyncio.sleep(PAUSE_S)
            if time.monotonic() - ended > RECOVERY_S:
                report.expect(False, "it did not recover")
                return crowd
    report.numbers["recovered_s"] = round(time.monotonic() - ended, 2)
    return crowd


def asking(client: Client) -> Ask:
    """Ask the client itself, by 23s."""

    async def ask(terminal: str, card: str) -> tuple[str, str] | None:
        try:
            answer = await client.status(card, terminal)
        except LibrarySystemError:
            return None
        return answer.patron_identifier, answer.personal_name

    return ask


async def hurry(client: Client) -> None:
    """While the breaker is open time flies: nothing is to be seen then."""
    while True:
        await asyncio.sleep(PAUSE_S)
        if client.is_away("default"):
            client.later(1.0)


async def suffer(
    *, faults: int, seed: int, checksums: str = "bytes", terminals: int = TERMINALS
) -> Report:
    """The faults."""
    report = Report(f"upstream, {faults} faults")
    drawn = Drawn(seed, faults)
    async with HostileLibrary(drawn, late_s=2 * TIMEOUT_S) as library:
        keys = {"connections": LINES, "timeout_s": TIMEOUT_S, "checksums": checksums}
        async with client_of(library, up=False, **keys) as client:
            hurrying = asyncio.create_task(hurry(client))
            crowd = await run(
                asking(client),
                drawn,
                report,
                seed=seed,
                limit_s=TIMEOUT_S + SLACK_S,
                terminals=terminals,
            )
            hurrying.cancel()
            report.expect(client.state.breaker == "closed", "the breaker stayed open")
    report.numbers |= {
        **crowd.ends,
        "kinds": len(drawn.done),
        "lines_opened": library.connections,
        "longest_ms": round(crowd.longest_s * 1000),
    }
    report.expect(
        faults < 50 * len(FAULTS) or set(drawn.done) == set(FAULTS), "not all faults were drawn"
    )
    return report


async def queue(*, terminals: int = FAIR_TERMINALS, rounds: int = FAIR_ROUNDS) -> Report:
    """Many terminals, few lines."""
    report = Report(f"upstream, {terminals} terminals over {FAIR_LINES} lines")
    waits: list[float] = []

    async def terminal(name: str) -> None:
        for _ in range(rounds):
            began = time.monotonic()
            await client.status("2100", name)
            waits.append(time.monotonic() - began)

    async with (
        HostileLibrary(delay_s=0.001) as library,
        client_of(library, connections=FAIR_LINES, timeout_s=60) as client,
    ):
        await asyncio.gather(*(client.status("2100", str(n)) for n in range(FAIR_LINES * 4)))
        async with asyncio.TaskGroup() as group:
            for number in range(terminals):
                group.create_task(terminal(f"t{number}"))
        report.expect(library.connections <= FAIR_LINES, "too many lines")
    mean = statistics.fmean(waits)
    report.numbers |= {
        "mean_ms": round(mean * 1000, 1),
        "longest_over_mean": round(max(waits) / mean, 2),
    }
    report.expect(max(waits) <= FAIR * mean, "somebody waited too long")
    return report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="upstream", description=__doc__)
    parser.add_argument("--faults", type=int, default=FAULTS_ALL, help=f"default {FAULTS_ALL}")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    reports = [
        asyncio.run(suffer(faults=options.faults, seed=options.seed)),
        asyncio.run(queue()),
    ]
    return max([report.tell() for report in reports])
