"""`python -m benchmarks.workers`: what a request costs two workers and their parent, beside one
process.

Two gateways on one PostgreSQL server (extra `dev`) answer the same load in turn: one of one
process, one with two workers. What counts is the CPU of all processes of a gateway but that for
HTTP, and that both workers are busy. Where two processors are one core with two threads, a second
worker makes the first one slower, and the load, too; `--one-core` keeps all of a gateway on one.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.against import interval
from benchmarks.compare import FLUSHED_S, WARM_UP_S, station_hellos
from benchmarks.library import STATIONS, Library, build
from benchmarks.load import Expected, closed_loop, connected
from benchmarks.servers import SERVER_CPU, Server, gateway, raise_file_limit
from benchmarks.workloads import Workload, workloads

GOAL = 1.1
WORKERS = 2
LEAST_SHARE = 0.3
"""Of the workers' CPU that the less busy one must have at least."""
MEASURED = ("status", "door", "patron")
STARTED_S = 30.0


def _children(pid: int, module: str) -> list[int]:
    """The processes that run `module` for process `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            for child in (task / "children").read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
                found += [int(child)] if module in words else []
    return found


def _cpu_s(pid: int) -> float:
    """Seconds of CPU, user and system, of all threads of a process."""
    return time.clock_gettime((~pid << 3) | 2)


@dataclass(slots=True)
class Side:
    """A gateway under load."""

    server: Server
    sockets: Sequence[socket.socket]

    def cpu_s(self) -> list[float]:
        """Of the first process, and of each worker."""
        pid = self.server.process.pid
        return [_cpu_s(one) for one in (pid, *_children(pid, "sip2gw.daemon.fleet"))]

    def run(self, workload: Workload, seconds: float) -> tuple[float, float, int]:
        """CPU per request in µs, the share of the less busy worker, and unexpected answers."""
        before = self.cpu_s()
        frames = [itertools.cycle(workload.frames(1_000))] * STATIONS
        outcome = closed_loop(self.sockets, frames, workload.expected, seconds)
        time.sleep(FLUSHED_S)
        used = [now - then for now, then in zip(self.cpu_s(), before, strict=True)]
        workers = used[1:] or [0.0]
        share = min(workers) / sum(workers) if sum(workers) else 0.0
        return sum(used) * 1e6 / max(1, outcome.requests), share, outcome.errors


def measure(
    url: str,
    directory: Path,
    *,
    only: Sequence[str],
    pairs: int,
    seconds: float,
    patrons: int,
    cpus: Collection[int],
) -> int:
    """Measure in turn, print; 1 when the goal is missed or an answer was wrong."""
    library = Library(patrons, patrons)
    one = build(library, directory, lambda text: print(text, file=sys.stderr), url)
    many = one.with_name("workers.toml")
    many.write_text(one.read_text().replace("[server]", f"[server]\nworkers = {WORKERS}"))
    missed = False
    for workload in workloads(library):
        if workload.name in only:
            missed |= _compare(workload, one, many, pairs, seconds, cpus)
    return 1 if missed else 0


def _compare(
    workload: Workload, one: Path, many: Path, pairs: int, seconds: float, cpus: Collection[int]
) -> bool:
    with ExitStack() as stack:
        enter = stack.enter_context
        alone, several = (enter(_side(config, workload, cpus)) for config in (one, many))
        costs: list[tuple[float, float]] = []
        shares: list[float] = []
        errors = 0
        for number in range(pairs):
            sides = (alone, several) if number % 2 else (several, alone)
            runs = {id(side): side.run(workload, seconds) for side in sides}
            (cost_one, _, wrong_one), (cost, share, wrong) = runs[id(alone)], runs[id(several)]
            costs.append((cost_one, cost))
            shares.append(share)
            errors += wrong + wrong_one
            print(f"{workload.title}: {cost_one:.1f} µs, {cost:.1f} µs", file=sys.stderr)
    ratios = [ours / other for other, ours in costs]
    ratio, (low, high) = statistics.median(ratios), interval(ratios)
    share = statistics.median(shares)
    other, ours = (statistics.median(column) for column in zip(*costs, strict=True))
    print(
        f"{workload.title}: {ours:.1f} µs with {WORKERS} workers, {other:.1f} µs with one process;"
        f" {ratio:.2f} times ({low:.2f} to {high:.2f}; goal {GOAL}); the less busy worker had"
        f" {share:.0%} of the work; {errors} unexpected answers"
    )
    return ratio > GOAL or share < LEAST_SHARE or errors > 0


@contextmanager
def _side(config: Path, workload: Workload, cpus: Collection[int]) -> Iterator[Side]:
    """A gateway on `config`, warmed up, which runs on these processors."""
    kind = workload.profile
    log = config.parent / "gateway.log"
    begun = log.stat().st_size if log.exists() else 0
    with gateway(config, "asyncio") as server:
        wanted = WORKERS if "workers" in config.name else 0
        until = time.monotonic() + STARTED_S
        while log.read_bytes()[begun:].count(b'"worker_serves"') < wanted:
            if time.monotonic() > until:
                raise RuntimeError("the workers did not start")
            time.sleep(0.1)
        for pid in (server.process.pid, *_children(server.process.pid, "sip2gw.daemon.fleet")):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), cpus)
        with connected(server.address, station_hellos(kind, STATIONS)) as sockets:
            warm_up = [iter(workload.warm_up()) for _ in range(STATIONS)]
            closed_loop(sockets, warm_up, Expected(b""), WARM_UP_S)
            yield Side(server, sockets)


def main(argv: Sequence[str] | None = None) -> int:
    """Start a server and measure on it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15, help="pairs of runs (default 15)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one run (default 2)")
    parser.add_argument("--only", nargs="+", choices=MEASURED, default=MEASURED)
    parser.add_argument("--patrons", type=int, default=400)
    parser.add_argument("--one-core", action="store_true", help="instead of all, as in production")
    options = parser.parse_args(argv)
    raise_file_limit()
    # The same server that the tests start.
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    running_server = importlib.import_module("postgres").running_server
    with (
        running_server() as server,
        tempfile.TemporaryDirectory(prefix="sip2gw-benchmark-") as directory,
    ):
        url = server.url(server.make_database())
        return measure(
            url,
            Path(directory),
            only=options.only,
            pairs=options.pairs,
            seconds=options.seconds,
            patrons=options.patrons,
            cpus={SERVER_CPU} if options.one_core else range(os.cpu_count() or 1),
        )


if __name__ == "__main__":
    sys.exit(main())
