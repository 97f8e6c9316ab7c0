"""Own CPU per request of this version against another: `python -m benchmarks.against DIRECTORY`.

`DIRECTORY` is a checkout of the other version. Both run `benchmarks.hotpath` in turns, each in a
process of its own, so that whatever else the machine does burdens both alike (C136). A ratio above
1 means that this version takes more. It is worse when the median of the ratios is above 1.05 and
their confidence interval does not include 1.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from math import comb
from pathlib import Path

TOLERATED = 1.05
CONFIDENCE = 0.95
_RUN = """
import gc, os, runpy, sys, time
sys.path.insert(0, os.getcwd())
time.perf_counter = time.process_time
gc.set_threshold(50_000, 20, 100)
runpy.run_module("benchmarks.hotpath", run_name="__main__")
"""
"""What any version can run: its own hotpath, by its CPU time, with the garbage collector set as
`App.run` sets it."""
_LINE = re.compile(r"^== (?P<workload>.+): (?P<us>[0-9.]+) µs$", re.MULTILINE)


def own_cpu(checkout: Path, arguments: Sequence[str]) -> dict[str, float]:
    """µs of CPU per request, all threads together, by workload.

    Raises:
        subprocess.CalledProcessError: the benchmark of that version failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    )
    return {match["workload"]: float(match["us"]) for match in _LINE.finditer(done.stdout)}


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Between which two of `ratios` the median of all runs lies, by the sign test."""
    ordered, count = sorted(ratios), len(ratios)
    outside, rank = 0.0, 0
    while rank < (count - 1) // 2:
        outside += 2 * comb(count, rank) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        rank += 1
    lowest = max(rank - 1, 0)
    return ordered[lowest], ordered[count - 1 - lowest]


def verdict(ratios: Sequence[float]) -> str:
    """`worse`, or `not worse` as C136 has it."""
    low, high = interval(ratios)
    return (
        "worse" if statistics.median(ratios) > TOLERATED and not low <= 1 <= high else "not worse"
    )


def main() -> None:
    """Print a line for each workload; ends with 1 when one is worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("checkout", type=Path, metavar="DIRECTORY")
    parser.add_argument("--only", nargs="+", default=["status", "door", "patron", "fees", "pay"])
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--pairs", type=int, default=15)
    arguments = parser.parse_args()
    passed = ["--rows", "0", "--requests", str(arguments.requests), "--only", *arguments.only]
    pairs: list[tuple[dict[str, float], dict[str, float]]] = []
    for number in range(arguments.pairs):
        versions = [Path.cwd(), arguments.checkout]
        order = versions if number % 2 else versions[::-1]
        figures = {version: own_cpu(version, passed) for version in order}
        pairs.append((figures[versions[0]], figures[versions[1]]))
        print(f"pair {number + 1} of {arguments.pairs}", file=sys.stderr)
    is_worse = False
    for workload in pairs[0][0]:
        ours = [pair[0][workload] for pair in pairs]
        theirs = [pair[1][workload] for pair in pairs]
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        low, high = interval(ratios)
        is_worse |= verdict(ratios) == "worse"
        print(
            f"{workload}: {statistics.median(ours):.1f} µs, there {statistics.median(theirs):.1f}"
            f" µs; {statistics.median(ratios):.3f} times ({low:.3f} to {high:.3f}):"
            f" {verdict(ratios)}"
        )
    sys.exit(1 if is_worse else 0)


if __name__ == "__main__":
    main()
