"""Where the time goes inside the gateway, without sockets: `python -m benchmarks.hotpath`.

Feeds frames straight into one terminal's line in this process, so that a profile shows our own
functions only. A µs here is two to three in a server, where caches are cold between requests:
compare these numbers with each other, never with those of `python -m benchmarks`.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import itertools
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.library import Library, build
from benchmarks.workloads import Workload, hello, workloads
from sip2gw.backend.factory import open_backend
from sip2gw.config import Config, load_config
from sip2gw.daemon.app import App
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.telemetry import Log, Redactor
from sip2gw.serving.server import TerminalServer

BATCH = 50
"""Requests for each turn of the loop, as with so many terminals."""
_SLICES = 10
"""The time is that of the best of so many slices: others on the machine only ever add to it."""


class Wire(asyncio.Transport):
    """Stands for a socket: keeps the last answer and tells of it."""

    def __init__(self, answered: Callable[[], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self._answered = answered
        self.last = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it, and tell."""
        self.last = bytes(data)
        self._answered()

    def is_closing(self) -> bool:
        """Never."""
        return False

    def is_reading(self) -> bool:
        """Always."""
        return True

    def pause_reading(self) -> None:
        """Nothing is read anyhow."""

    def resume_reading(self) -> None:
        """Nothing is read anyhow."""

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""


class Terminals:
    """Lines without sockets, all logged in."""

    def __init__(self, server: TerminalServer) -> None:
        self._done = asyncio.Event()
        self._waiting = 0
        self.wires = [Wire(self._answered) for _ in range(BATCH)]
        self._lines = [server.new_line("127.0.0.1", server.monotonic()) for _ in self.wires]
        for wire, line in zip(self.wires, self._lines, strict=True):
            line.connection_made(wire)

    def _answered(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._done.set()

    async def ask(self, frames: Sequence[bytes]) -> None:
        """Send `frames`, one on each line at a time, and wait for the answers."""
        for start in range(0, len(frames), BATCH):
            batch = frames[start : start + BATCH]
            self._waiting = len(batch)
            self._done.clear()
            for line, frame in zip(self._lines, batch, strict=False):
                line.data_received(frame)
            await self._done.wait()
            await asyncio.sleep(0)


async def _drive(
    server: TerminalServer, workload: Workload, count: int
) -> tuple[float, cProfile.Profile]:
    """Seconds per request in the best slice, and a profile of as many again."""
    terminals = Terminals(server)
    await terminals.ask([hello(f"{workload.profile}-{number}") for number in range(BATCH)])
    await terminals.ask(workload.warm_up())
    supply = itertools.cycle(workload.frames(2 * count))
    best = min([await _timed(terminals, supply, count // _SLICES) for _ in range(_SLICES)])
    profile = cProfile.Profile()
    profile.enable()
    await terminals.ask(list(itertools.islice(supply, count)))
    profile.disable()
    wrong = [w.last for w in terminals.wires if not workload.expected.is_good(w.last)]
    if wrong:
        raise RuntimeError(f"unexpected answer {wrong[0]!r}")
    return best, profile


async def _timed(terminals: Terminals, supply: Iterator[bytes], count: int) -> float:
    frames = list(itertools.islice(supply, count))
    began = time.perf_counter()
    await terminals.ask(frames)
    return (time.perf_counter() - began) / count


async def _profile(
    library: Library, config: Config, names: Sequence[str], count: int, rows: int
) -> None:
    opened = open_backend(config, "daemon")
    store = opened.store
    with (config.base_dir / "hotpath.log").open("wb") as file:
        log = Log(file, Redactor(store.pin_secret))
        app = App(config, opened, log, Clock())
        for workload in workloads(library):
            if workload.name not in names:
                continue
            best, profile = await _drive(app.server, workload, count)
            print(f"\n== {workload.title}: {best * 1e6:.1f} µs\n")
            if rows:
                pstats.Stats(profile).sort_stats("tottime").print_stats(rows)
        await app.stop()
        log.close()


def main() -> None:
    """Print a profile for each workload."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hotpath", description=__doc__)
    parser.add_argument("--only", nargs="+", default=["status", "door", "patron", "fees", "pay"])
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--rows", type=int, default=25, help="functions to show (0: times only)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sip2gw-hotpath-") as directory:
        library = Library(4 * arguments.requests, 4 * arguments.requests)
        config = load_config(build(library, Path(directory), print))
        asyncio.run(_profile(library, config, arguments.only, arguments.requests, arguments.rows))


if __name__ == "__main__":
    main()
