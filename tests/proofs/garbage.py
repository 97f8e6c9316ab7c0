"""How long a polite terminal waits while 200 connections send garbage as fast as they can (C80).

A real gateway process; a process of senders (unknown commands, broken checksums, noise, mutated
requests, now and then a frame beyond all limits; whoever is closed on comes again); and one
terminal whose 99s are timed. Printed: p50, p99 and the longest; the goal is a p99 below 50 ms on a
machine with nothing else to do. The program ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import select
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness import CONFIG, LIBRARY, without_http

from proofs.dialogues import any_body
from proofs.mutations import mutated
from proofs.process import ROOT, GatewayProcess, prepare
from proofs.report import Report

ASK = "9900302.00"
GOAL_S = 0.050
CHUNK_BYTES = 8_192
SENDERS_NICE = 10
"""They share two cores with what they disturb and with who measures."""
MEASURE_PAUSE_S = 0.002


def chunk(chance: random.Random) -> bytes:
    """Some kilobytes of what no terminal would send."""
    parts: list[bytes] = []
    size = 0
    while size < CHUNK_BYTES:
        body = any_body(chance)
        if body[:2] == b"93":
            continue  # a flood of failing logins is another matter: back-off stops it (B11)
        part = mutated(chance, body, chance.randrange(10))
        parts.append(part)
        size += len(part)
    if chance.random() < 0.02:
        parts.append(b"63" + b"x" * 20_000)
    return b"".join(parts)


class Senders:
    """Many sockets that send whenever the kernel takes something, and read what comes back."""

    def __init__(self, address: tuple[str, int], seed: int) -> None:
        self._address = address
        self._chance = random.Random(seed)
        self._chunks = [chunk(self._chance) for _ in range(64)]
        self._poll = select.epoll()
        self._lines: dict[int, socket.socket] = {}
        self.sent = self.reconnected = 0

    def begin(self) -> None:
        """One more connection."""
        line = socket.create_connection(self._address)
        line.setblocking(False)
        self._lines[line.fileno()] = line
        self._poll.register(line, select.EPOLLOUT)

    def run(self, seconds: float) -> None:
        """Send until the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for number, _ in self._poll.poll(0.1):
                self._serve(number)

    def _serve(self, number: int) -> None:
        try:
            self.sent += self._lines[number].send(self._chance.choice(self._chunks))
            if not self._lines[number].recv(1 << 16):
                raise ConnectionResetError
        except BlockingIOError:
            return
        except OSError:
            self._poll.unregister(number)
            self._lines.pop(number).close()
            self.reconnected += 1
            self.begin()

    def close(self) -> None:
        """Hang up."""
        self._poll.close()
        for line in self._lines.values():
            line.close()


def send(host: str, port: int, connections: int, seconds: float) -> None:
    """The senders' process: a word when all are connected, numbers at the end."""
    os.nice(SENDERS_NICE)
    senders = Senders((host, port), seed=2)
    for _ in range(connections):
        senders.begin()
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    senders.run(seconds)
    senders.close()
    sys.stdout.write(f"{senders.sent} {senders.reconnected}\n")


@dataclass
class Waits:
    """How long the answers took, in seconds."""

    seconds: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """The quantile."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def shown(self) -> str:
        """For people, in milliseconds."""
        p50, p99, longest = self.at(0.5), self.at(0.99), max(self.seconds)
        return f"{p50 * 1e3:.1f}/{p99 * 1e3:.1f}/{longest * 1e3:.1f}"


async def _measure(gateway: GatewayProcess, seconds: float) -> Waits:
    terminal = await gateway.terminal("kiosk-1")
    waits = Waits()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        answer = await terminal.ask(ASK)
        waits.seconds.append(time.monotonic() - began)
        assert answer.startswith("98Y"), answer
        await asyncio.sleep(MEASURE_PAUSE_S)
    terminal.close()
    return waits


async def disturb(directory: Path, connections: int, seconds: float) -> Report:
    """Measure in peace, then under garbage."""
    report = Report("garbage")
    limits = f"[server]\nmax_connections_per_address = {connections + 100}"
    config = without_http(CONFIG).replace("[server]", limits)
    path = await prepare(directory, config, LIBRARY)
    async with GatewayProcess(path, keep_requests=False) as gateway:
        await gateway.start()
        quiet = await _measure(gateway, min(1.0, seconds))
        senders = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).parent),
            "garbage",
            "--send-to",
            f"{gateway.address[0]}:{gateway.address[1]}",
            f"--connections={connections}",
            f"--seconds={seconds + 1}",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert senders.stdout is not None
        assert await senders.stdout.readline() == b"connected\n"
        loud = await _measure(gateway, seconds)
        sent, reconnected = (await senders.stdout.read()).split()
        report.expect(await senders.wait() == 0, "the senders broke down")
        report.expect(await gateway.stop() == 0, "the gateway did not end with 0")
        bugs = [line for line in gateway.log if line.get("event") == "request_failed"]
        report.expect(not bugs, f"the gateway's own faults: {bugs[:3]}")
    report.numbers |= {
        "connections": connections,
        "garbage_mb": round(int(sent) / 1e6, 1),
        "reconnected": int(reconnected),
        "asked": len(loud.seconds),
        "quiet_ms(p50/p99/max)": quiet.shown(),
        "loud_ms(p50/p99/max)": loud.shown(),
        "goal_p99_below_50ms": "met" if loud.at(0.99) < GOAL_S else "missed",
    }
    return report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="garbage", description=__doc__)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--send-to", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.send_to:
        host, _, port = options.send_to.rpartition(":")
        send(host, int(port), options.connections, options.seconds)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        report = asyncio.run(disturb(Path(directory), options.connections, options.seconds))
    return report.tell()
