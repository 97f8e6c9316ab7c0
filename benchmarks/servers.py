"""Servers under test as processes of their own, and what the kernel says about them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Address = tuple[str, int]

SERVER_CPU = 0
LOAD_CPU = 1
STOP_TIMEOUT_S = 30.0


def use_load_cpu() -> None:
    """Keep this process off the server's core, where there are two."""
    _stay_on(LOAD_CPU)


def raise_file_limit() -> None:
    """Allow this process, and those it starts, as many sockets as the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _stay_on(cpu: int) -> None:
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {cpu})


def _cpu_s(pid: int) -> float:
    # The kernel's clock id of another process: its complement, shifted, and CPUCLOCK_SCHED.
    return time.clock_gettime((~pid << 3) | 2)


@dataclass(slots=True)
class Server:
    """A running server process."""

    process: subprocess.Popen[bytes]
    address: Address

    def cpu_s(self) -> float:
        """Seconds of CPU, user and system, of all its threads since its start."""
        return _cpu_s(self.process.pid)

    def children_cpu_s(self) -> float:
        """The same of the processes that it has started."""
        return sum(map(_cpu_s, self.children()))

    def rss_bytes(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def use_all_cpus(self) -> None:
        """Let its threads and its processes run anywhere, as in production."""
        for pid in (self.process.pid, *self.children()):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), range(os.cpu_count() or 1))

    def children(self) -> list[int]:
        """The processes that it has started."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    def second_address(self) -> Address:
        """What it tells on the next line of its output."""
        assert self.process.stdout is not None
        return _address(self.process.stdout.readline())

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that is not enough."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def spawn(
    arguments: Sequence[str], *, stderr: IO[bytes] | None = None, cpu: int = SERVER_CPU
) -> subprocess.Popen[bytes]:
    """Start `python ARGUMENTS` on core `cpu`; its children and threads stay there."""
    here = os.sched_getaffinity(0)
    _stay_on(cpu)
    try:
        return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=stderr)
    finally:
        os.sched_setaffinity(0, here)


def _address(line: bytes) -> Address:
    """`host:port`, or nothing."""
    host, _, port = line.decode().strip().rpartition(":")
    return host, int(port) if host else 0


@contextmanager
def running(
    arguments: Sequence[str], *, stderr: IO[bytes] | None = None, cpu: int = SERVER_CPU
) -> Iterator[Server]:
    """A server that tells its `host:port` on the first line of its output."""
    process = spawn(arguments, stderr=stderr, cpu=cpu)
    assert process.stdout is not None
    server = Server(process, _address(process.stdout.readline()))
    try:
        if not server.address[0]:
            raise RuntimeError(f"the server did not start: {' '.join(arguments)}")
        yield server
    finally:
        server.stop()


@contextmanager
def gateway(config: Path, loop: str, profile: Path | None = None) -> Iterator[Server]:
    """The gateway with everything on; its log goes to a file beside `config`."""
    arguments = ["-m", "benchmarks.gateway", str(config), loop]
    if profile is not None:
        arguments.append(str(profile))
    with (config.parent / "gateway.log").open("ab") as log, running(arguments, stderr=log) as run:
        yield run


@contextmanager
def bare_responder(body: bytes, loop: str) -> Iterator[Server]:
    """A bare responder that answers `body`."""
    with running(["-m", "benchmarks.bare", body.hex(), loop]) as run:
        yield run


@contextmanager
def bare_relay(library: str, loop: str) -> Iterator[Server]:
    """What passes all bytes on to the library system at `library`, and nothing else."""
    with running(["-m", "benchmarks.bare_relay", library, loop]) as run:
        yield run


@contextmanager
def bare_library(
    loop: str, cpu: int, delay_ms: float = 0.0, *, has_books: bool = False
) -> Iterator[Server]:
    """A library system that answers at once, or after `delay_ms`; with books if it `has_books`."""
    arguments = ["-m", "benchmarks.bare_library", loop, str(delay_ms)]
    arguments += ["books"] if has_books else []
    with running(arguments, cpu=cpu) as run:
        yield run
