"""Own code of a request through a library system: `python -m benchmarks.upstream_hotpath`.

Two gateways in this process, without sockets: one asks its store, which remembers the PIN, the
other a library system that answers at once. Both take the same frames in turns, so that whatever
else the machine does burdens both alike (C136). The time is CPU, best of some slices. What the
library system takes of it, by the same answers to the same frames without us, is measured in the
same pair and left out. The calls of functions, the library system's among them, are the same in
every run.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import itertools
import pstats
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.against import interval
from benchmarks.bare_library import Answers
from benchmarks.hotpath import BATCH, Terminals, Wire
from benchmarks.library import Library, build, in_front_of
from benchmarks.workloads import DIALOGUE, Workload, hello, workloads
from sip2gw.backend.factory import open_backend
from sip2gw.backend.upstream import pool
from sip2gw.backend.upstream.line import Line
from sip2gw.config import load_config
from sip2gw.daemon.app import App
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.garbage import collect_rarely
from sip2gw.monitoring.telemetry import Log, Redactor

GOALS = {"patron": 2.0, "door": 2.0, "kiosk": 1.2, "pay": 2.0}
"""Times the own code of the same from the store, at most."""
_SLICES = 4


class _Responder:
    """The library system: it answers in the loop's next turn."""

    def __init__(self) -> None:
        self._answers = Answers()
        self.asked: deque[bytes] = deque(maxlen=BATCH * DIALOGUE)

    def ask(self, frame: bytes, answered: Callable[[bytes], None]) -> None:
        answer = self._answers.to(frame[:-1])
        asyncio.get_running_loop().call_soon(answered, answer)

    async def us(self, count: int) -> float:
        """What it takes itself for a request, as `_Side.us`."""
        return min([await self._slice(count // _SLICES) for _ in range(_SLICES)])

    async def _slice(self, count: int) -> float:
        frames = tuple(self.asked)
        times = max(1, count // len(frames))
        began = time.process_time()
        for _ in range(times):
            for frame in frames:
                self.ask(frame, lambda _: None)
            await asyncio.sleep(0)
        return (time.process_time() - began) * 1e6 / (times * len(frames))


class _Upstream(Wire):
    """Stands for the socket to a library system."""

    def __init__(self, line: Line, responder: _Responder) -> None:
        super().__init__(lambda: None)
        self._line = line
        self._responder = responder

    def write(self, data: bytes | bytearray | memoryview) -> None:
        frame = bytes(data)
        self._responder.asked.append(frame)
        self._responder.ask(frame, self._line.data_received)


def _connect_here(responder: _Responder) -> None:
    """Let lines to the library system end in this process."""

    async def connect(_account: Any, _tls: Any, line: Line) -> None:
        line.connection_made(_Upstream(line, responder))

    vars(pool)["connect"] = connect


@asynccontextmanager
async def _gateway(config: Path) -> AsyncIterator[App]:
    opened = open_backend(load_config(config), "daemon", "make")
    with config.with_suffix(".log").open("wb") as file:
        log = Log(file, Redactor(opened.store.pin_secret))
        app = App(load_config(config), opened, log, Clock())
        if app.library is not None and app.looker is not None:
            await app.looker.recall()
            await app.library.start()
        try:
            yield app
        finally:
            await app.stop()
            log.close()


@dataclass(slots=True)
class _Side:
    """One of the two gateways, its terminals logged in, under one workload."""

    terminals: Terminals
    supply: Callable[[int], list[bytes]]
    """Gives the next frames: so many, or those that end the dialogues that they begin."""
    workload: Workload
    before: Callable[[], None] = lambda: None
    """Called before each slice."""

    @classmethod
    async def of(cls, app: App, workload: Workload, count: int) -> _Side:
        terminals = Terminals(app.server)
        await terminals.ask([hello(f"{workload.profile}-{number}") for number in range(BATCH)])
        await terminals.ask(workload.warm_up())
        side = cls(terminals, _supply(workload, count), workload)
        frames = side.supply(BATCH * workload.turns)
        for start in range(0, len(frames), BATCH):
            await terminals.ask(frames[start : start + BATCH])
            side._insist()
        return side

    async def us(self, count: int) -> float:
        """CPU per request, µs, in the best slice: others on the machine only ever add to it."""
        return min([await self._slice(count // _SLICES) for _ in range(_SLICES)])

    async def _slice(self, count: int) -> float:
        frames = self.supply(count)
        self.before()
        began = time.process_time()
        await self.terminals.ask(frames)
        took = time.process_time() - began
        self._insist()
        return took * 1e6 / len(frames)

    def _insist(self) -> None:
        """Raise unless the last answer at each terminal is a good one."""
        for wire in self.terminals.wires:
            if not self.workload.expected.is_good(wire.last):
                raise RuntimeError(f"unexpected answer {wire.last!r}")

    async def profile(self, count: int) -> tuple[pstats.Stats, float]:
        """What is called, and how many calls a request takes."""
        self.before()
        profile = cProfile.Profile()
        frames = self.supply(count)
        profile.enable()
        await self.terminals.ask(frames)
        profile.disable()
        stats = pstats.Stats(profile)
        return stats, vars(stats)["total_calls"] / len(frames)


def _supply(workload: Workload, count: int) -> Callable[[int], list[bytes]]:
    if not workload.repeats:
        return workload.frames
    endless = itertools.cycle(workload.frames(count))
    return lambda wanted: list(itertools.islice(endless, wanted))


async def _compare(
    store: _Side, upstream: _Side, responder: _Responder, chosen: argparse.Namespace
) -> bool:
    """Print what both cost; whether the goal is missed."""
    pairs: list[tuple[float, float]] = []

    async def through() -> float:
        return await upstream.us(chosen.requests) - await responder.us(chosen.requests)

    for number in range(chosen.pairs):
        if number % 2:
            ours = await store.us(chosen.requests)
            pairs.append((ours, await through()))
        else:
            theirs = await through()
            pairs.append((await store.us(chosen.requests), theirs))
    ratios = [theirs / ours for ours, theirs in pairs]
    low, high = interval(ratios)
    median = statistics.median(ratios)
    profiles = [await side.profile(chosen.requests) for side in (store, upstream)]
    goal, calls = GOALS[store.workload.name], [number for _, number in profiles]
    store_us, upstream_us = (statistics.median(side) for side in zip(*pairs, strict=True))
    missed = low > goal and not chosen.first
    print(
        f"{store.workload.title}: store {store_us:.1f} µs, library system {upstream_us:.1f} µs;"
        f" {median:.2f} times ({low:.2f} to {high:.2f}), goal {goal:g}:"
        f" {'missed' if missed else 'met' if high <= goal else 'open'};"
        f" calls {calls[0]:.1f} and {calls[1]:.1f}"
    )
    if chosen.rows:
        for stats, _ in profiles:
            stats.sort_stats(chosen.sort).print_stats(chosen.rows)
    return missed


async def _run(
    library: Library,
    configs: tuple[Path, Path],
    responder: _Responder,
    chosen: argparse.Namespace,
) -> bool:
    missed = False
    async with _gateway(configs[0]) as store, _gateway(configs[1]) as upstream:
        collect_rarely()
        for workload in workloads(library):
            if workload.name in chosen.only:
                sides = [
                    await _Side.of(app, workload, chosen.requests) for app in (store, upstream)
                ]
                if chosen.first:
                    sides[1].before = upstream.store.on_change
                missed |= await _compare(sides[0], sides[1], responder, chosen)
    return missed


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each request; 1 when it costs too much."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstream_hotpath")
    parser.add_argument("--only", nargs="+", choices=GOALS, default=GOALS)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--requests", type=int, default=2_000, help="in each turn")
    parser.add_argument(
        "--lines", type=int, default=50, help="to the library system; with fewer, terminals wait"
    )
    parser.add_argument(
        "--first", action="store_true", help="every card is new to the gateway in front of it"
    )
    parser.add_argument("--sort", default="tottime", help="of these")
    parser.add_argument("--rows", type=int, default=0, help="functions to show for each side")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sip2gw-upstream-") as directory:
        library = Library(4 * chosen.requests, 4 * chosen.requests)
        kept, fronting = Path(directory) / "store", Path(directory) / "upstream"
        store = build(library, kept, _tell)
        build(library, fronting, _tell)
        upstream = in_front_of("127.0.0.1:1", fronting, chosen.lines)
        responder = _Responder()
        _connect_here(responder)
        return int(asyncio.run(_run(library, (store, upstream), responder, chosen)))


if __name__ == "__main__":
    sys.exit(main())
