"""Costs of this version against another: `python -m benchmarks.against DIRECTORY`.

`DIRECTORY` is a checkout of the other version. Both run in turns, each in a process of its own, so
that whatever else the machine does burdens both alike (C136): by default `benchmarks.hotpath`,
which gives the own CPU per request, or with `--served` those parts of `python -m benchmarks` that
need a real gateway. A ratio above 1 means that this version takes more. It is worse when the median
of the ratios is above 1.05 and their confidence interval does not include 1.

With `--instructions` valgrind counts what a request of `hotpath` takes. The count says nothing of
caches, but hardly differs from run to run (2 % at most so far), however busy the machine is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import comb
from pathlib import Path

TOLERATED = 1.05
_NEVER_COMPILED = "PYTHONDONTWRITEBYTECODE"
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
_COUNTED = """
import asyncio, gc, itertools, os, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from benchmarks import hotpath
from benchmarks.library import Library, build
name, count, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
gc.set_threshold(50_000, 20, 100)
library = Library(3_000, 3_000)
if not count:
    place.mkdir()
    (place / "config").write_text(build(library, place, print).name)
    sys.exit()
Terminals = getattr(hotpath, "Terminals", None) or hotpath._Terminals
async def drive(server, workload, _count):
    terminals = Terminals(server)
    batch = len(terminals.wires)
    await terminals.ask([hotpath.hello(f"{workload.profile}-{n}") for n in range(batch)])
    await terminals.ask(workload.warm_up())
    frames = itertools.cycle(workload.frames(1_200))
    await terminals.ask(list(itertools.islice(frames, count)))
    assert all(workload.expected.is_good(wire.last) for wire in terminals.wires)
    return 0.0, None
hotpath._drive = drive
config = hotpath.load_config(place / (place / "config").read_text())
asyncio.run(hotpath._profile(library, config, [name], 1_000, 0))
"""
"""So many requests on a library that was made before, or with 0 the library."""
_COUNTS = 200, 700
"""What is the same for both is not the requests'."""
_VALGRIND = "valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null"
_TOTAL = re.compile(r"I +refs: +([0-9,]+)")
_LINE = re.compile(r"^== (?P<workload>.+): (?P<us>[0-9.]+) µs$", re.MULTILINE)


HOT = ("status", "door", "patron", "fees", "pay")
SERVED = ("kiosk", "visit", "idle", "start")

Measure = Callable[[Path], Mapping[str, float]]
"""What a checkout costs, by a name that says the unit, too."""


def own_cpu(arguments: Sequence[str], checkout: Path) -> dict[str, float]:
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
    return {f"{it['workload']}, µs": float(it["us"]) for it in _LINE.finditer(done.stdout)}


def served(arguments: Sequence[str], libraries: Path, checkout: Path) -> dict[str, float]:
    """CPU of a real gateway per request, its memory and its start, as `python -m benchmarks` says.

    Raises:
        subprocess.CalledProcessError: the benchmark of that version failed.
    """
    library = libraries / checkout.resolve().name
    result = libraries / "result.json"
    places = ["--dir", str(library), "--json", str(result)]
    command = [sys.executable, "-m", "benchmarks", *places, *arguments]
    subprocess.run(
        command, cwd=checkout, check=True, capture_output=True, env=_compiled(library / "compiled")
    )
    report = json.loads(result.read_text())
    costs = {
        f"{it['title']}, µs": statistics.median(run["cpu_us"] for run in it["gateway"])
        for it in report["comparisons"]
    }
    return costs | {f"{it['title']}, {it['unit']}": it["value"] for it in report["figures"]}


def instructions(workloads: Sequence[str], libraries: Path, checkout: Path) -> dict[str, float]:
    """How many instructions a request takes, by workload.

    Raises:
        FileNotFoundError: there is no valgrind on this machine.
        subprocess.CalledProcessError: the hot path of that version failed.
    """
    environment = {**_compiled(libraries / "compiled"), "PYTHONHASHSEED": "0"}

    def run(before: Sequence[str], workload: str, count: int, place: Path) -> str:
        command = [*before, sys.executable, "-c", _COUNTED, workload, str(count), str(place)]
        return subprocess.run(
            command, cwd=checkout, check=True, capture_output=True, text=True, env=environment
        ).stderr

    counted = {}
    for workload in workloads:
        with tempfile.TemporaryDirectory(dir=libraries) as directory:
            made = Path(directory) / "made"
            run((), workload, 0, made)
            totals = []
            for count in _COUNTS:
                place = Path(shutil.copytree(made, Path(directory) / str(count)))
                (total,) = _TOTAL.findall(run(_VALGRIND.split(), workload, count, place))
                totals.append(int(total.replace(",", "")))
        counted[f"{workload}, instructions"] = (totals[1] - totals[0]) / (_COUNTS[1] - _COUNTS[0])
    return counted


def _compiled(directory: Path) -> dict[str, str]:
    """The environment in which modules are compiled once, as those of an installation are.

    Otherwise most of a start would be the compiler's, and so would a part of the memory.
    """
    here = {name: value for name, value in os.environ.items() if name != _NEVER_COMPILED}
    return {**here, "PYTHONPYCACHEPREFIX": str(directory)}


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


def compared(measure: Measure, checkout: Path, pairs: int) -> bool:
    """Print a line for each cost; whether one is worse here than in `checkout`."""
    ours: list[Mapping[str, float]] = []
    theirs: list[Mapping[str, float]] = []
    for number in range(pairs):
        turns = [(Path.cwd(), ours), (checkout, theirs)]
        for version, figures in turns if number % 2 else turns[::-1]:
            figures.append(measure(version))
        print(f"pair {number + 1} of {pairs}", file=sys.stderr)
    is_worse = False
    for name in ours[0]:
        mine, others = ([it[name] for it in figures] for figures in (ours, theirs))
        ratios = [one / other for one, other in zip(mine, others, strict=True)]
        low, high = interval(ratios)
        is_worse |= verdict(ratios) == "worse"
        print(
            f"{name}: {_short(statistics.median(mine))}, there {_short(statistics.median(others))};"
            f" {statistics.median(ratios):.3f} times ({low:.3f} to {high:.3f}): {verdict(ratios)}"
        )
    return is_worse


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"


def main() -> None:
    """Print a line for each cost; ends with 1 when one is worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("checkout", type=Path, metavar="DIRECTORY")
    parser.add_argument("--served", action="store_true", help="with a real gateway")
    parser.add_argument("--instructions", action="store_true", help="count them: needs valgrind")
    parser.add_argument("--only", nargs="+", help=f"default: {' '.join(HOT)}; served: {SERVED}")
    parser.add_argument("--requests", type=int, default=4_000, help="of each hot path")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each served run")
    parser.add_argument("--pairs", type=int, help="default: 15; 1 of instructions")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sip2gw-against-") as libraries:
        if chosen.instructions:
            measure: Measure = partial(instructions, chosen.only or HOT, Path(libraries))
        elif chosen.served:
            passed = ["--runs", "1", "--seconds", str(chosen.seconds), "--only"]
            measure = partial(served, [*passed, *(chosen.only or SERVED)], Path(libraries))
        else:
            passed = ["--rows", "0", "--requests", str(chosen.requests), "--only"]
            measure = partial(own_cpu, [*passed, *(chosen.only or HOT)])
        is_worse = compared(
            measure, chosen.checkout, chosen.pairs or (1 if chosen.instructions else 15)
        )
    sys.exit(1 if is_worse else 0)


if __name__ == "__main__":
    main()
