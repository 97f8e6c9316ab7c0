"""What the process takes when every cap is reached at once.  (C137)

As many lines as `server.max_connections` allows log in to a real gateway. Each asks for something
that must wait, because another process holds the store's write lock, and then sends as much as the
kernel takes: a message that never ends. The request is as long as it may be. Its end comes together
with what follows, as all of it does when the gateway is busy. Nobody reads the answers, and nobody
reads the log. The resident memory is read meanwhile, that of the process for HTTP beside it. The
program ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import socket
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from harness import CONFIG, LIBRARY, ask_37, without_http

from proofs.process import GatewayProcess, prepare
from proofs.report import Report

MIB = 1 << 20
EMPTY_MIB = 96
"""What the process may take before anybody is there."""
LINE_KIB = 64
"""And for each line, at the worst."""
CHUNK = b"x" * 65_536
ASK_BYTES = 8_000
"""Of one request; a gateway takes 8,192."""
SEND_S = 2.0
READ_PER_S = 400
"""The gateway has the time to read the first parts of so many requests a second, or they may come
with the rest."""
SETTLE_S = 1.0


def configuration(lines: int) -> str:
    """One login for all, and no cap below `lines`."""
    caps = f"[server]\nmax_connections = {lines}\nmax_connections_per_address = {lines}\n"
    caps += "request_timeout_s = 60\nterminal_timeout_s = 90\n"
    caps += "frame_timeout_s = 300\nidle_timeout_s = 3600\n"
    login = '[terminals.crowd]\nprofile = "cash"\nbranch = "MAIN"\npassword = "pw"\n'
    return without_http(CONFIG).replace("[server]\n", caps) + login + "max_connections = 0\n"


def resident_mib(pid: int) -> float:
    """The memory that the process has had at most, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return int(kib) / 1024


def logged_in(address: tuple[str, int]) -> socket.socket:
    """A line that has logged in."""
    line = socket.create_connection(address, timeout=30)
    line.sendall(b"9300CNcrowd|COpw|\r")
    answer = line.recv(64)
    if not answer.startswith(b"941"):
        raise ConnectionError(f"no login: {answer!r}")
    return line


def crowd(address: tuple[str, int], lines: int, stack: ExitStack) -> list[socket.socket]:
    """So many lines."""
    return [stack.enter_context(closing(logged_in(address))) for _ in range(lines)]


def flood(lines: list[socket.socket]) -> int:
    """Ask each line for a payment, then send as much as it takes; how many bytes that were."""
    sent = 0
    for number, line in enumerate(lines):
        line.setblocking(False)
        ask = ask_37("1004", "2.50", pin="1004", fee="D2", bk=f"K{number}")
        sent += line.send(f"{ask}ZZ".encode().ljust(ASK_BYTES, b"z"))
    time.sleep(len(lines) / READ_PER_S)
    for line in lines:
        sent += line.send(b"|\r" + CHUNK)
    end = time.monotonic() + SEND_S
    while time.monotonic() < end:
        for line in lines:
            try:
                sent += line.send(CHUNK)
            except BlockingIOError:
                continue
    return sent


async def memory(directory: Path, lines: int) -> Report:
    """Run all of it."""
    report = Report("memory")
    path = await prepare(directory, configuration(lines), LIBRARY)
    with ExitStack() as stack:
        async with GatewayProcess(path) as gateway:
            await gateway.start()
            empty = resident_mib(gateway.pid)
            sockets = await asyncio.to_thread(crowd, gateway.address, lines, stack)
            quiet = resident_mib(gateway.pid)
            gateway.stuff_log()
            locking = sqlite3.connect(directory / "library.db", isolation_level=None)
            holder = stack.enter_context(closing(locking))
            holder.execute("BEGIN IMMEDIATE")
            sent = await asyncio.to_thread(flood, sockets)
            await asyncio.sleep(SETTLE_S)
            full = resident_mib(gateway.pid)
            gateway.read_log_again()
            await gateway.kill()
    report.numbers = {
        "lines": lines,
        "sent_mib": round(sent / MIB),
        "empty_mib": round(empty, 1),
        "logged_in_mib": round(quiet, 1),
        "full_mib": round(full, 1),
        "line_kib": round(1024 * (full - empty) / lines, 1),
    }
    theirs = lines * LINE_KIB / 1024
    report.expect(empty <= EMPTY_MIB, f"it takes {empty:.0f} MiB before anybody is there")
    report.expect(
        full - empty <= theirs, f"lines take {full - empty:.0f} MiB instead of {theirs:.0f} at most"
    )
    report.expect(sent > lines * 1024, "the lines took next to nothing")
    return report


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python tests/proofs memory", description=__doc__)
    parser.add_argument("--lines", type=int, default=8_000)
    options = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(memory(Path(name), options.lines)).tell()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
