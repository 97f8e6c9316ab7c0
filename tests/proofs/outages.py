"""Gateway processes that are killed at random moments, and lines of terminals that notice."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from proofs.process import GatewayProcess
from sip2gw.protocol.checksum import seal, split_trailer

LIFE_S = (0.1, 1.2)
"""Seconds that a gateway lives before it is killed."""
REST_S = 0.2
"""Who waits for a gateway to start asks no faster than that: it would only slow the start."""
LOOK_S = 0.02
ANSWER_TIMEOUT_S = 20.0
START_WITHIN_S = 120.0
"""With many workers, on a busy machine."""
WORKERS_KILLED = 0.7
"""Of the kills of gateways with workers, so many hit only one of these."""
LOST = (OSError, EOFError, asyncio.IncompleteReadError)
"""What a terminal sees of a gateway that was killed."""


@dataclass(eq=False)
class Host:
    """One gateway process that lives and dies, and whether it listens now."""

    gateway: GatewayProcess
    up: asyncio.Event = field(default_factory=asyncio.Event)


class Outages:
    """The gateways of a library, killed and started again on the same store.

    `kills_max`: after so many kills nobody is killed any more. On a busy machine a gateway may
    else live too short to get anything done.
    """

    def __init__(
        self, gateways: Iterable[GatewayProcess], seed: int, kills_max: int | None = None
    ) -> None:
        self.kills_max = kills_max
        self.hosts = [Host(gateway) for gateway in gateways]
        self.chance = random.Random(seed)
        self.kills = 0
        self.worker_kills = 0
        self.failures: list[str] = []

    async def rage(self, is_over: Callable[[], bool], life_s: tuple[float, float] = LIFE_S) -> None:
        """Kill all of them, or a worker of theirs, again and again until `is_over`; they are up at
        the end."""
        await asyncio.gather(*(self._rage(host, is_over, life_s) for host in self.hosts))

    async def _rage(
        self, host: Host, is_over: Callable[[], bool], life_s: tuple[float, float]
    ) -> None:
        while True:
            await host.gateway.start(START_WITHIN_S)
            host.up.set()
            while self._enough() and not is_over():  # noqa: ASYNC110 -- the storm tells nobody
                await asyncio.sleep(LOOK_S)
            if is_over():
                return
            await asyncio.sleep(self.chance.uniform(*life_s))
            while (workers := host.gateway.workers) and self.chance.random() < WORKERS_KILLED:
                self._kill(self.chance.choice(sorted(workers.values())))
                await asyncio.sleep(self.chance.uniform(*life_s))
            host.up.clear()
            await host.gateway.kill()
            self.kills += 1

    def _enough(self) -> bool:
        return self.kills_max is not None and self.kills + self.worker_kills >= self.kills_max

    def _kill(self, worker: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
            self.worker_kills += 1

    async def revive(self, is_over: Callable[[], bool]) -> None:
        """Start all of them again whenever they kill themselves, until `is_over`; they are up at
        the end."""
        await asyncio.gather(*(self._revive(host, is_over) for host in self.hosts))

    async def _revive(self, host: Host, is_over: Callable[[], bool]) -> None:
        while True:
            if host.up.is_set() and not host.gateway.is_running:
                host.up.clear()
                await host.gateway.ended()
                self.kills += 1
            if not host.up.is_set():
                await host.gateway.start()
                host.up.set()
            if is_over():
                return
            await asyncio.sleep(LOOK_S)

    async def any_host(self) -> Host:
        """One of the hosts, as soon as it listens."""
        host = self.chance.choice(self.hosts)
        await host.up.wait()
        return host

    async def rest(self) -> None:
        """Wait for a moment if a gateway starts just now."""
        if not all(host.up.is_set() for host in self.hosts):
            await asyncio.sleep(REST_S)

    async def end(self) -> None:
        """SIGTERM, which ends with 0; nothing unforeseen was logged."""
        for host in self.hosts:
            status = await host.gateway.stop()
            unforeseen = [line for line in host.gateway.log if _is_unforeseen(line)]
            if status:
                self.failures.append(f"SIGTERM ended with {status}")
            if unforeseen:
                self.failures.append(f"logged as errors: {unforeseen[:3]}")


def _is_unforeseen(line: Mapping[str, object]) -> bool:
    """Whether it is an error that no kill explains."""
    was_killed = (line.get("event"), line.get("status")) == ("worker_ended", -signal.SIGKILL)
    # What a worker's request waited for went with the parent.
    lost_its_parent = "together/courier.py" in str(line.get("frames"))
    return line.get("level") == "error" and not (was_killed or lost_its_parent)


class Line:
    """A connection of a terminal to one gateway, logged in."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, failures: list[str]
    ) -> None:
        self._reader, self._writer, self._failures = reader, writer, failures
        self._sequence = 0

    @classmethod
    async def open(cls, host: Host, terminal: str, failures: list[str]) -> "Line":
        """Connect and log in.

        Raises:
            OSError, EOFError: the gateway is gone, as from all that a line does.
        """
        line = cls(*await asyncio.open_connection(*host.gateway.address), failures)
        try:
            assert await line.ask(b"9300CN%b|COpw|" % terminal.encode()) == b"941"
        except BaseException:
            line.close()
            raise
        return line

    async def ask(self, body: bytes) -> bytes:
        """The body of the answer, whose sequence and checksum are looked at."""
        self._sequence = (self._sequence + 1) % 10
        digit = b"%d" % self._sequence
        self._writer.write(seal(body, digit, True) + b"\r")
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            frame = (await self._reader.readuntil(b"\r"))[:-1]
        trailer = split_trailer(frame)
        if seal(trailer.body, digit, True) != frame:
            self._failures.append(f"not the sequence or checksum asked for: {frame!r}")
        return trailer.body

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
