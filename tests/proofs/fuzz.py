"""Spoiled dialogues by the million: the gateway answers each known request and never breaks.

A byte mutator spoils valid dialogues of all requests, before and after login, on terminals of
every kind, dialect, encoding, terminator and way of error detection, in any chunking. Most are
fed to real lines of a gateway in this process, a share through real sockets.

Shown (B1-B9, B68): no unhandled exception (our own catch-all counts as one), no hang, exactly one
answer for each known request, in order, of its own type or a 96; every answer well-formed by an
independent statement of the wire; lines are closed for the declared reasons only; memory flat.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from proofs.dialogues import any_body, login, sealed
from proofs.judge import frames_of, in_order, read_answer
from proofs.mutations import chunks, mutated
from proofs.report import Report
from proofs.rig import TERMINALS, Rig, rigged

FRAMES_PER_CONVERSATION = 60
SOCKET_EVERY = 50
"""Every so many conversations one goes over TCP."""
GROWTH_BYTES_MAX = 24 << 20
"""How much more memory the second half of a run may leave in use."""
WARM_UP_SHARE = 0.3


def dialogue(chance: random.Random) -> bytes:
    """A login, perhaps, and a handful of requests, most of them spoiled."""
    parts: list[bytes] = []
    if chance.random() < 0.9:
        body = login(chance.choice(TERMINALS))
        parts.append((sealed(body, 0) if chance.random() < 0.5 else body) + b"\r")
    for sequence in range(1, chance.randint(2, FRAMES_PER_CONVERSATION)):
        parts.append(mutated(chance, any_body(chance), sequence))
        if chance.random() < 0.05:
            parts.append(parts[-1])
    return b"".join(parts)


def resident_bytes() -> int:
    """Memory in use by this process, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Fuzz:
    """A run of many conversations on one rig."""

    def __init__(self, rig: Rig, frames: int, seed: int) -> None:
        self.rig, self.wanted = rig, frames
        self.chance = random.Random(seed)
        self.report = Report("fuzz")
        self.frames = self.answers = self.conversations = self.over_sockets = 0
        self.closed: Counter[str] = Counter()
        self._told_at = 0

    async def run(self) -> Report:
        """Converse until the wanted number of frames is reached."""
        began = time.monotonic()
        baseline = 0
        while self.frames < self.wanted:
            await self._one()
            if not baseline and self.frames > self.wanted * WARM_UP_SHARE:
                baseline = resident_bytes()
        growth = resident_bytes() - baseline
        self.report.failures += self.rig.faults()
        self.report.expect(growth < GROWTH_BYTES_MAX, f"memory grew by {growth} bytes")
        rejected = dict(self.rig.app.metrics.frames_rejected.items())
        self.report.numbers |= {
            "frames": self.frames,
            "conversations": self.conversations,
            "over_sockets": self.over_sockets,
            "answers": self.answers,
            "closed": dict(self.closed),
            "rejected": rejected,
            "growth_kib": growth >> 10,
            "seconds": round(time.monotonic() - began),
        }
        return self.report

    async def _one(self) -> None:
        self.conversations += 1
        stream = dialogue(self.chance)
        # Locks run out, replays grow old.
        self.rig.clock.advance(self.chance.choice((0.1, 1, 30, 400)))
        if self.conversations % SOCKET_EVERY == 0:
            await self._through_a_socket(stream)
            return
        outcome = await self.rig.converse(chunks(self.chance, stream))
        self.frames += outcome.frames
        self.answers += outcome.answers
        self.closed[outcome.closed] += 1
        for problem in (*outcome.problems, *self.rig.backend_errors):
            self.report.expect(False, f"conversation {self.conversations}: {problem}")
        if self.frames - self._told_at > 100_000:
            self._told_at = self.frames
            sys.stderr.write(f"{self.frames} frames, {len(self.report.failures)} failures\n")

    async def _through_a_socket(self, stream: bytes) -> None:
        """The same over TCP; a last question tells when all before it was answered."""
        marker = b"AAend%d|" % self.conversations
        last = sealed(b"35" + b"20260310    120000AOHUB|" + marker + b"AC|", 9)
        fed = stream + b"\r" + last + b"\r"
        host, _, port = self.rig.app.acceptor.addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        sent, closed = bytearray(), False
        try:
            writer.write(fed)
            async with asyncio.timeout(20):
                while marker not in sent:
                    received = await reader.read(65_536)
                    if not received:
                        closed = True
                        break
                    sent += received
                if not closed and not sent.endswith((b"\r", b"\r\n")):
                    sent += await reader.readuntil(b"\r")
        except ConnectionError:
            closed = True
        except TimeoutError:
            self.report.expect(False, f"conversation {self.conversations}: hangs on a socket")
        writer.close()
        answers = [read_answer(part.strip(b"\n")) for part in bytes(sent).split(b"\r")[:-1]]
        wrong = [answer for answer in answers if isinstance(answer, str)]
        seen = [answer for answer in answers if not isinstance(answer, str)]
        self.report.expect(not wrong, f"conversation {self.conversations} on a socket: {wrong}")
        fits = in_order(frames_of(fed), seen, closed=closed)
        self.report.expect(bool(wrong) or fits, f"conversation {self.conversations}: out of order")
        self.over_sockets += len(frames_of(fed))
        self.frames += len(frames_of(fed))
        self.answers += len(seen)


async def fuzz(directory: Path, frames: int, seed: int) -> Report:
    """Run `frames` spoiled frames against a fresh gateway in `directory`."""
    async with rigged(directory) as rig:
        return await Fuzz(rig, frames, seed).run()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", help="where the store is put (default: temporary)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        report = asyncio.run(fuzz(Path(directory), options.frames, options.seed))
    return report.tell()
