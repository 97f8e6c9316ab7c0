"""One worker as its parent sees it: its process, its connections, whether it takes its turns."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from sip2gw.config import Config
from sip2gw.config.passing import write_config
from sip2gw.control.channel import Channel, GatewayGoneError
from sip2gw.control.messages import (
    AnyAnswer,
    Numbers,
    ReadNumbers,
    Request,
)
from sip2gw.daemon.fleet.messages import (
    AnyMessage,
    Arrived,
    Converse,
    End,
    Follow,
    Left,
    Look,
    Over,
    Recognised,
    Serving,
    Taken,
    Turn,
)
from sip2gw.foundation.link import Link, LinkLostError
from sip2gw.monitoring.metrics import Family
from sip2gw.serving.arrivals import Arrival
from sip2gw.shared.doorkeeper import Doorkeeper

SILENT_AFTER = 1
"""A worker that owes an answer when it is asked again (`LOOK_EVERY_S`) gets no new connections."""
STUCK_AFTER = 10
"""And one that has let so many questions pass is killed."""
ANSWER_WITHIN_S = 2.0
"""For operators nobody waits longer for a worker."""
REAP_WITHIN_S = 0.7
"""Seconds in which a process must end by itself before it is killed."""


@dataclass(frozen=True, slots=True)
class Process:
    """A worker's process, just started."""

    link: socket.socket
    control: socket.socket
    process: subprocess.Popen[bytes]


class Owner(Protocol):
    """Who has several of them."""

    def serves(self, member: Member) -> None:
        """It can take connections, for the first time or again."""
        ...


class Member:
    """A worker from the start of its process to its end; of one place there are several in turn.

    Args:
        number: its place among the workers.
        doorkeeper: counts the connections of all.
    """

    def __init__(self, number: int, owner: Owner, doorkeeper: Doorkeeper) -> None:
        self.number = number
        self.serving = False
        """Whether it has said that it serves, and has not ended."""
        self.store_works = False
        """What it said last of the store."""
        self.config: Config | None = None
        """What it has in force."""
        self.why_killed = ""
        self.families: Sequence[Family] = ()
        """Its numbers when they were read last."""
        self._owner, self._doorkeeper = owner, doorkeeper
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None
        self._channel: Channel | None = None
        self._untaken: dict[int, Arrival] = {}
        self._lines: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()
        self._unanswered = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def lines(self) -> int:
        """How many connections it has."""
        return self._lines.total()

    @property
    def takes_turns(self) -> bool:
        """Whether new connections are in good hands with it."""
        return self.serving and self._unanswered <= SILENT_AFTER

    # Its process ---------------------------------------------------------------------------

    async def live(self, started: Process) -> int:
        """Speak with a process until it has ended; returns its exit status."""
        self._process = started.process
        loop = asyncio.get_running_loop()
        self._link = link = Link(started.link, AnyMessage, self._told)
        _, self._channel = await loop.create_unix_connection(Channel, sock=started.control)
        await link.lost
        self.serving = False
        return await asyncio.to_thread(_reap, started.process)

    def kill(self, why: str) -> None:
        """End it at once; why is counted."""
        if self._process is not None and not self.why_killed:
            self.why_killed = why
            with suppress(ProcessLookupError):
                self._process.kill()

    def leave(self) -> list[Arrival]:
        """Give back the places of a process that has ended; the connections that it never took."""
        untaken = list(self._untaken.values())
        self._untaken.clear()
        for arrival in untaken:
            self._forget(arrival.address, stranger=True)
        for address, lines in list(self._lines.items()):
            for _ in range(lines):
                self._gone(address, stranger=self._strangers[address] > 0)
        if self._channel is not None:
            self._channel.close()
        return untaken

    # Connections ---------------------------------------------------------------------------

    def hand(self, number: int, arrival: Arrival, listener: int) -> None:
        """Hand over a connection, which counts as its own from now on."""
        assert self._link is not None
        self._untaken[number] = arrival
        self._lines[arrival.address] += 1
        self._strangers[arrival.address] += 1
        self._link.tell(
            Arrived(number, arrival.address, listener, arrival.accepted_at),
            arrival.sock.fileno(),
        )

    def _told(self, message: AnyMessage, descriptor: int | None) -> object:
        match message:
            case Serving():
                self.serving = True
                self._owner.serves(self)
            case Taken(number):
                self._untaken.pop(number).sock.close()
            case Recognised(address):
                self._strangers[address] -= 1
                self._doorkeeper.recognise(address)
            case Left(address, stranger):
                self._gone(address, stranger=stranger)
        return None

    def _gone(self, address: str, *, stranger: bool) -> None:
        self._forget(address, stranger=stranger)
        self._doorkeeper.leave(address, stranger=stranger)
        self._doorkeeper.leave_place()

    def _forget(self, address: str, *, stranger: bool) -> None:
        self._lines[address] -= 1
        self._strangers[address] -= stranger
        if not self._lines[address]:
            del self._lines[address], self._strangers[address]

    # Whether it takes its turns ------------------------------------------------------------

    def look(self) -> None:
        """Ask whether it takes its turns, unless it still owes an answer; kill it if it owes many.

        Questions are counted, not seconds: a machine that stood still for a while harms nobody.
        """
        if not self.serving:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        self._unanswered += 1
        if self._unanswered > STUCK_AFTER:
            self.kill("stuck")

    async def _look(self) -> None:
        assert self._link is not None
        with suppress(LinkLostError):
            turn: Turn = await self._link.ask(Look())
            self.store_works = turn.store_works
            was_silent = not self.takes_turns
            self._unanswered = 0
            if was_silent:
                self._owner.serves(self)

    # Requests ------------------------------------------------------------------------------

    async def ask(self, request: Request) -> AnyAnswer:
        """Its answer, whenever it comes.

        Raises:
            GatewayGoneError: none will come.
        """
        if self._channel is None:
            raise GatewayGoneError
        return await self._channel.ask(request)

    async def ask_in_time(self, request: Request) -> AnyAnswer | None:
        """Its answer; None if it has none in time, or at all."""
        if not self.takes_turns:
            return None
        with suppress(GatewayGoneError, TimeoutError):
            return await asyncio.wait_for(self.ask(request), ANSWER_WITHIN_S)
        return None

    async def read_numbers(self) -> None:
        """Bring `families` up to date, if it answers in time."""
        answer = await self.ask_in_time(ReadNumbers())
        if isinstance(answer, Numbers):
            self.families = answer.families

    async def converse(self, hear: Callable[[AnyAnswer], None] | None = None) -> Channel | None:
        """A channel of its own, for what takes long or has several answers; `hear` gets those.

        Closing it ends what was asked on it. None: the worker does not serve.
        """
        if self._link is None or not self.serving:
            return None
        ours, theirs = socket.socketpair()
        with theirs:
            self._link.tell(Converse(), theirs.fileno())
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: Channel(hear), sock=ours)
        return channel

    async def follow(self, config: Config, within_s: float) -> bool:
        """Let it put `config` in force; whether it did."""
        if self._link is None:
            return False
        descriptor = write_config(config)
        try:
            await asyncio.wait_for(self._link.ask(Follow(), descriptor), within_s)
        except (LinkLostError, TimeoutError):
            return False
        finally:
            os.close(descriptor)
        self.config = config
        return True

    async def end(self) -> list[str]:
        """Let it end in peace; returns what it gave up.

        Raises:
            LinkLostError: it has ended before it could say so.
        """
        if self._link is None:
            return []
        over: Any = await self._link.ask(End())
        assert isinstance(over, Over)
        return over.given_up


def _reap(process: subprocess.Popen[bytes]) -> int:
    """Wait until the process ends, and kill it after `REAP_WITHIN_S`; blocks."""
    try:
        return process.wait(REAP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
