"""Twenty terminals at a library system that does wrong whatever it can (B71, B73, B78).

They ask three times: the client of the library system itself, a whole gateway before it
(`proofs.in_front`), and the same over TLS that breaks off. Shown, in so many random faults:

- every answer carries its own patron, number and name, and no other;
- every call ends in time;
- the pool recovers: when the faults end, everybody is answered.

And fairness: of a thousand terminals over ten lines nobody waits over three times the mean.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from hostile_library import FAULTS, Drawn, HostileLibrary
from upstream import Client, client_of

from proofs import in_front
from proofs.asking import PAUSE_S, Ask, run
from proofs.report import Report
from sip2gw.backend.system import LibrarySystemError

FAULTS_ALL = 10_000
TLS_SHARE = 5
"""One fault in so many over TLS, whose handshakes take most of the time."""
TERMINALS = 20
LINES = 8
TIMEOUT_S = 0.2
SLACK_S = 0.4
"""A call may end so much later than its deadline: the sweep, and two busy cores."""
FAIR_TERMINALS, FAIR_LINES, FAIR_ROUNDS = 1_000, 10, 5
FAIR = 3.0


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
    report.expect_in_time(max(waits) <= FAIR * mean, "somebody waited too long")
    return report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="upstream", description=__doc__)
    parser.add_argument("--faults", type=int, default=FAULTS_ALL, help=f"default {FAULTS_ALL}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tls", action="store_true", help="only the gateway over TLS")
    options = parser.parse_args(arguments)
    faults, seed = options.faults, options.seed
    with tempfile.TemporaryDirectory() as name:
        secured = in_front.suffer(Path(name), faults=faults // TLS_SHARE, seed=seed, tls=True)
        reports = [asyncio.run(secured)]
    if not options.tls:
        with tempfile.TemporaryDirectory() as name:
            reports.append(asyncio.run(in_front.suffer(Path(name), faults=faults, seed=seed)))
        reports.append(asyncio.run(suffer(faults=faults, seed=seed)))
        reports.append(asyncio.run(queue()))
    return max([report.tell() for report in reports])
