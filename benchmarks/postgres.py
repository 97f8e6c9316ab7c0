"""`python -m benchmarks.postgres`: durable payments on PostgreSQL beside a bare booking loop.

A real server that writes to disk is started (extra `dev`). Fifty terminals pay at the gateway;
in turn with that fifty workers book without any gateway (`benchmarks.bare_postgres`). Goal: the
gateway books at least 60 % of what they do.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import WARM_UP_S, station_hellos
from benchmarks.library import Library, build, ledger_problems, open_library
from benchmarks.load import Expected, Outcome, closed_loop, connected
from benchmarks.servers import gateway
from benchmarks.workloads import workloads
from sip2gw.backend.postgres.pool import CONNECTIONS_MAX

GOAL = 0.6
STATIONS = 50
DURABLE_PER_S_MAX = 5_000


def _bare_rate(url: str, cards: Sequence[str], seconds: float) -> float:
    command = [sys.executable, "-m", "benchmarks.bare_postgres", url, str(seconds)]
    command += [str(STATIONS), str(CONNECTIONS_MAX)]
    done = subprocess.run(
        command, input="\n".join(cards), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


def measure(
    url: str, directory: Path, *, runs: int, seconds: float, patrons: int, loop: str
) -> int:
    """Import, measure in turn, print; 1 when the books are wrong."""
    library = Library(patrons, patrons)
    config = build(library, directory, lambda text: print(text, file=sys.stderr), url)
    pay = next(workload for workload in workloads(library) if workload.name == "pay")
    rates: list[tuple[float, float]] = []
    paid = Outcome()
    with (
        gateway(config, loop) as server,
        connected(server.address, station_hellos("cash", STATIONS)) as sockets,
    ):
        server.use_all_cpus()
        closed_loop(sockets, [iter(pay.warm_up())] * STATIONS, Expected(b""), WARM_UP_S)
        for _ in range(runs):
            bare = _bare_rate(url, library.payer_cards, seconds)
            frames = iter(pay.frames(int(seconds * DURABLE_PER_S_MAX)))
            run = closed_loop(sockets, [frames] * STATIONS, Expected(b"38Y"), seconds)
            paid.errors += run.errors
            paid.latencies_ns.extend(run.latencies_ns)
            paid.sample = paid.sample or run.sample
            rates.append((bare, run.requests / run.seconds))
            print(f"bare {bare:,.0f}/s  gateway {rates[-1][1]:,.0f}/s", file=sys.stderr)
    problems = ledger_problems(directory)
    store = open_library(directory)
    booked = sum(payment.terminal != "bare" for payment in store.payments())
    if booked != paid.requests - paid.errors:
        problems.append(f"{paid.requests - paid.errors} acknowledged, {booked} booked")
    ratio = statistics.median(ours / bare for bare, ours in rates)
    bare, ours = (statistics.median(column) for column in zip(*rates, strict=True))
    print(
        f"payments over {STATIONS} terminals: {ours:,.0f}/s, bare loop {bare:,.0f}/s,"
        f" ratio {ratio:.2f} (goal {GOAL}), p50 {paid.percentile_us(50) / 1000:.1f} ms,"
        f" p99 {paid.percentile_us(99) / 1000:.1f} ms; {booked:,} booked, as acknowledged"
    )
    for problem in [*problems, *([paid.sample.decode("latin-1")] if paid.errors else [])]:
        print(f"FAILED: {problem}")
    return 1 if problems or paid.errors else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Start a server and measure on it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs (default 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of one run (default 5)")
    parser.add_argument("--patrons", type=int, default=20_000)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--volatile", action="store_true",
                        help="a server without fsync: processors decide, not the disk")  # fmt: skip
    options = parser.parse_args(argv)
    # The same server that the tests start.
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    running_server = importlib.import_module("postgres").running_server
    with (
        running_server(durable=not options.volatile) as server,
        tempfile.TemporaryDirectory(prefix="sip2gw-benchmark-") as directory,
    ):
        url = server.url(server.make_database())
        return measure(
            url,
            Path(directory),
            runs=options.runs,
            seconds=options.seconds,
            patrons=options.patrons,
            loop=options.loop,
        )


if __name__ == "__main__":
    sys.exit(main())
