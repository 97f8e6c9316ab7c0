"""`python -m benchmarks`: measure the gateway against a bare responder."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import figures, queues
from benchmarks.compare import Comparison, Scale, Site, compare, compare_visits
from benchmarks.figures import Figure
from benchmarks.library import Library, build, count_rows, ledger_problems
from benchmarks.report import Report, as_json, as_text, read_ratios
from benchmarks.servers import Server, raise_file_limit, use_load_cpu
from benchmarks.workloads import workloads

ASKED = 20_000
"""Patrons that are asked about; half of them at the door."""

COMPARED = ("status", "door", "patron", "fees", "pay", "kiosk", "visit")
SHARED: dict[str, Callable[[Site, Server, Scale], list[Figure]]] = {
    "garbage": figures.garbage,
    "guesses": figures.guesses,
}
"""Figures of the gateway that has served the comparisons."""
FRESH: dict[str, Callable[[Site, Scale], list[Figure]]] = {
    "idle": figures.idle_memory,
    "start": figures.start_up,
    "queue": queues.checkout_with_queue,
}
"""Figures that need a gateway of their own."""
PARTS = (*COMPARED, *SHARED, *FRESH)
QUICK = Scale(runs=1, seconds=0.5, idle=1_000, starts=1)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    full = Scale()
    parser.add_argument("--runs", type=int, help=f"pairs of runs (default {full.runs})")
    parser.add_argument("--seconds", type=float, help=f"of one run (default {full.seconds:g})")
    parser.add_argument("--connections", type=int, default=full.connections)
    parser.add_argument("--settle", type=float, help="seconds for a server to settle after a run")
    parser.add_argument("--idle", type=int, help=f"idle connections (default {full.idle})")
    parser.add_argument("--patrons", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="one short run of everything")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
                        help=", ".join(PARTS))  # fmt: skip
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio",
                        help="kind of event loop, of both servers")  # fmt: skip
    parser.add_argument("--dir", type=Path, help="keep the library here and use it again")
    parser.add_argument("--json", type=Path, help="write all runs there")
    parser.add_argument("--against", type=Path, help="an earlier --json: compare the ratios")
    parser.add_argument("--profile", type=Path, help="write cProfile statistics of the gateway")
    return parser.parse_args(argv)


def _scale(arguments: argparse.Namespace) -> Scale:
    base = QUICK if arguments.quick else Scale()
    return Scale(
        runs=arguments.runs or base.runs,
        seconds=arguments.seconds or base.seconds,
        connections=arguments.connections,
        idle=arguments.idle or base.idle,
        starts=base.starts,
        settle_s=base.settle_s if arguments.settle is None else arguments.settle,
    )


def tell(text: str) -> None:
    """Say on stderr what is going on."""
    print(text, file=sys.stderr, flush=True)


def measure(site: Site, scale: Scale, parts: Sequence[str], report: Report) -> None:
    """Fill `report` with the `parts` that are wanted."""
    payments, loans = (count_rows(site.directory, table) for table in ("payment", "circulation"))
    if set(parts) - set(FRESH):
        with site.gateway() as server:
            _measure_together(site, server, scale, parts, report)
    for comparison in report.comparisons:
        if comparison.name == "pay":
            _check_ledger(comparison, site, payments)
        elif comparison.name == "kiosk":
            _check_loans(comparison, site, loans)
    for name, figure in FRESH.items():
        if name in parts:
            tell(name)
            report.figures += figure(site, scale)


def _measure_together(
    site: Site, server: Server, scale: Scale, parts: Sequence[str], report: Report
) -> None:
    for workload in workloads(site.library):
        if workload.name in parts:
            tell(workload.name)
            report.comparisons.append(compare(site, server, workload, scale))
    if "visit" in parts:
        tell("visit")
        report.comparisons.append(compare_visits(site, server, scale))
    for name, figure in SHARED.items():
        if name in parts:
            tell(name)
            report.figures += figure(site, server, scale)


def _check_ledger(comparison: Comparison, site: Site, before: int) -> None:
    """Every acknowledged payment is there once, and the ledger balances."""
    booked = count_rows(site.directory, "payment") - before
    # One more was made to learn the answer for the bare responder.
    acknowledged = comparison.acknowledged + 1
    comparison.note = f"{acknowledged:,} payments acknowledged, {booked:,} in the ledger"
    if booked != acknowledged:
        comparison.problems.append(comparison.note)
    comparison.problems += ledger_problems(site.directory)


def _check_loans(comparison: Comparison, site: Site, before: int) -> None:
    """Every acknowledged loan and return was noted once, and everything has come back."""
    noted = count_rows(site.directory, "circulation") - before
    done = comparison.acknowledged // 2
    comparison.note = f"{done:,} loans and returns acknowledged, {noted:,} noted"
    if noted != done or count_rows(site.directory, "loan"):
        comparison.problems.append(f"{comparison.note}, or not all has come back")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table; 1 when an answer was not as expected."""
    arguments = _arguments(argv)
    scale = _scale(arguments)
    raise_file_limit()
    use_load_cpu()
    library = Library(arguments.patrons, min(arguments.patrons, ASKED))
    report = Report(library.patrons, arguments.loop, scale.runs, scale.seconds)
    with tempfile.TemporaryDirectory(prefix="sip2gw-benchmark-") as temporary:
        directory = arguments.dir or Path(temporary)
        directory.mkdir(exist_ok=True)
        config = build(library, directory, tell)
        site = Site(library, directory, config, arguments.loop, arguments.profile)
        measure(site, scale, arguments.only, report)
    print(as_text(report, read_ratios(arguments.against) if arguments.against else {}))
    if arguments.json:
        arguments.json.write_text(as_json(report))
    return 1 if report.errors else 0


if __name__ == "__main__":
    sys.exit(main())
