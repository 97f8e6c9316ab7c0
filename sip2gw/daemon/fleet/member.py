"""One worker as its parent sees it: its process, its connections, whether it takes its turns."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from msgspec import Struct

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
    HaveSpool,
    Look,
    Over,
    Serving,
    Taken,
    Turn,
)
from sip2gw.foundation.children import cpu_ticks
from sip2gw.foundation.link import Link, LinkLostError
from sip2gw.monitoring.metrics import Family
from sip2gw.serving.arrivals import Arrival
from sip2gw.shared.together.messages import Asked, Told
from sip2gw.shared.together.parent import Side, Together

SILENT_AFTER = 1
"""A worker that owes an answer when it is asked again (`LOOK_EVERY_S`) gets no new connections."""
STUCK_AFTER = 10
"""And one that has let so many questions pass and computed nothing meanwhile is killed."""
HOPELESS_AFTER = 6 * STUCK_AFTER
"""So many questions may one let pass that computes: on a busy machine it may only be slow."""
ANSWER_WITHIN_S = 2.0
"""For operators nobody waits longer for a worker."""
REAP_WITHIN_S = 3.0
"""Seconds in which a process must end by itself before it is killed."""


class Child(Protocol):
    """What is needed of `subprocess.Popen`."""

    pid: int

    def kill(self) -> None:
        """End it at once."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended."""


class Process(Struct, frozen=True):
    """A worker's process, just started."""

    link: socket.socket
    control: socket.socket
    process: Child


class Owner(Protocol):
    """Who has several of them."""

    def serves(self, member: Member) -> None:
        """It can take connections, for the first time or again."""
        ...


class Member:
    """A worker from the start of its process to its end; of one place there are several in turn.

    Args:
        number: its place among the workers.
        together: what the workers share, and who has which connection.
    """

    def __init__(self, number: int, owner: Owner, together: Together) -> None:
        self.number = number
        self.serving = False
        """Whether it has said that it serves, and has not ended."""
        self.has_served = False
        self.has_spool = False
        """Whether it was told to take it, as it had to be if another gateway had it before."""
        self.expected_until = float("-inf")
        """Until then connections wait for it, on the owner's clock, if it does not serve yet."""
        self.waiting: deque[Arrival] = deque()
        """Connections that wait for it."""
        self.store_works = False
        """What it said last of the store."""
        self.config: Config | None = None
        """What it has in force."""
        self.why_killed = ""
        self.families: Sequence[Family] = ()
        """Its numbers when they were read last."""
        self._owner, self._together = owner, together
        self._side: Side | None = None
        self._process: Child | None = None
        self._link: Link | None = None
        self._channel: Channel | None = None
        self._untaken: dict[int, Arrival] = {}
        self._unanswered = self._idle = 0
        """How many questions it owes an answer, and for how many of them it computed nothing."""
        self._computed = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def lines(self) -> int:
        """How many connections it has or will have."""
        return len(self.waiting) + (self._side.lines if self._side is not None else 0)

    @property
    def takes_turns(self) -> bool:
        """Whether new connections are in good hands with it."""
        return self.serving and self._unanswered <= SILENT_AFTER

    @property
    def is_stuck(self) -> bool:
        """Whether only killing it will help its terminals; not so when that was done."""
        if not self.serving or self.why_killed:
            return False
        return self._idle > STUCK_AFTER or self._unanswered > HOPELESS_AFTER

    # Its process ---------------------------------------------------------------------------

    async def live(self, started: Process) -> int:
        """Speak with a process until it has ended; returns its exit status."""
        self._process = started.process
        loop = asyncio.get_running_loop()
        try:
            self._link = link = Link(started.link, AnyMessage, self._told)
            self._side = self._together.came(link)
            _, self._channel = await loop.create_unix_connection(Channel, sock=started.control)
            await link.lost
        finally:
            self.serving = False
            status = await asyncio.to_thread(_reap, started.process)
        return status

    def kill(self, why: str) -> None:
        """End it at once; why is counted."""
        if self._process is not None and not self.why_killed:
            self.why_killed = why
            with suppress(ProcessLookupError):
                self._process.kill()

    def leave(self) -> list[Arrival]:
        """Give back what a process that has ended had; the connections that it never took."""
        untaken = [*self._untaken.values(), *self.waiting]
        if self._side is not None:
            for arrival in self._untaken.values():
                self._together.taken_back(self._side, arrival.address)
            self._together.gone(self._side)
        if self._channel is not None:
            self._channel.close()
        return untaken

    # Connections ---------------------------------------------------------------------------

    def hand(self, number: int, arrival: Arrival, listener: int) -> None:
        """Hand over a connection, which counts as its own from now on."""
        assert self._link is not None
        assert self._side is not None
        self._untaken[number] = arrival
        self._together.handed(self._side, arrival.address)
        self._link.tell(
            Arrived(number, arrival.address, listener, arrival.accepted_at),
            arrival.sock.fileno(),
        )

    def _told(self, message: AnyMessage, descriptor: int | None) -> object:
        match message:
            case Serving(store_works):
                self.store_works = store_works
                self._owner.serves(self)
            case Taken(number):
                self._untaken.pop(number).sock.close()
            case Told() | Asked():
                assert self._side is not None
                return self._together.receive(self._side, message)
        return None

    # Whether it takes its turns ------------------------------------------------------------

    def look(self) -> None:
        """Ask whether it takes its turns, unless it still owes an answer.

        Questions are counted, not seconds: a machine that stood still for a while harms nobody.
        """
        if not self.serving or self._process is None:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        self._unanswered += 1
        before, self._computed = self._computed, cpu_ticks(self._process.pid)
        self._idle = self._idle + 1 if self._computed == before else 0

    async def _look(self) -> None:
        assert self._link is not None
        with suppress(LinkLostError):
            turn: Turn = await self._link.ask(Look())
            self.store_works = turn.store_works
            was_silent = not self.takes_turns
            self._unanswered = self._idle = 0
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
        if not self.serving:
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
        try:
            descriptor = await asyncio.to_thread(write_config, config)
            try:
                await asyncio.wait_for(self._link.ask(Follow(), descriptor), within_s)
            finally:
                os.close(descriptor)
        except (LinkLostError, TimeoutError, OSError):
            return False
        self.config = config
        return True

    async def have_spool(self) -> None:
        """Let it take its spool, which a gateway before this one may have had."""
        self.has_spool = True
        if self._link is not None:
            with suppress(LinkLostError, TimeoutError):
                await asyncio.wait_for(self._link.ask(HaveSpool()), ANSWER_WITHIN_S)

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


def _reap(process: Child) -> int:
    """Wait until the process ends, and kill it after `REAP_WITHIN_S`; blocks."""
    try:
        return process.wait(REAP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
