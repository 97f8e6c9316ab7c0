"""A team of workers in memory: objects at the other ends of real links, instead of processes."""

import asyncio
import io
import json
import socket
from contextlib import suppress
from typing import Any

from sip2gw.config.passing import read_config
from sip2gw.control.server import ControlServer
from sip2gw.daemon.fleet.member import Process
from sip2gw.daemon.fleet.messages import (
    AnyMessage,
    Arrived,
    Converse,
    Done,
    End,
    Follow,
    Followed,
    HaveSpool,
    Look,
    Over,
    Serving,
    Taken,
    Turn,
)
from sip2gw.daemon.fleet.team import Team
from sip2gw.foundation.link import Link, link_pair
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log, Redactor
from sip2gw.serving.arrivals import Arrival
from sip2gw.shared.doorkeeper import Doorkeeper
from sip2gw.shared.together.messages import Left, Told

HERE = "192.0.2.1"


class Worker:
    """The other end of a link; `reads` off: its process stands still."""

    def __init__(self, number, config):
        self.number, self.config = number, config
        ours, theirs = link_pair()
        self.control, their_control = socket.socketpair()
        self.link = Link(ours, AnyMessage, self._told)
        self.lines = {}
        self.reads, self.follows = True, True
        self.given_up = []
        self.spools = 0
        """How often it was told to take its spool."""
        self.pid = 0  # of no process that could be looked at
        self.process = Process(theirs, their_control, self)
        self.status = None
        self.operations: Any = None
        """What carries out requests, once `operate` was called."""

    def serve(self):
        self.link.tell(Serving(store_works=True))

    async def operate(self, operations):
        """Serve, and carry out operators' requests."""
        self.operations = ControlServer(operations)
        await self.operations.adopt(self.control)
        self.serve()

    def _told(self, message, descriptor):
        match message:
            case Arrived():
                self.lines[message.number] = (message, descriptor)
                self.link.tell(Taken(message.number))
                with suppress(OSError):
                    socket.socket(fileno=descriptor).close()
            case Converse():
                line = socket.socket(fileno=descriptor)
                self.conversing = asyncio.ensure_future(self.operations.adopt(line))
            case Look():
                return Turn(store_works=True)
            case HaveSpool():
                self.spools += 1
                return Done()
            case Follow() if self.follows:
                self.config = read_config(descriptor)
                return Followed()
            case Follow():
                raise OSError
            case End():
                asyncio.get_running_loop().call_soon(self.end, 0)
                return Over(self.given_up)
        return None

    def stand_still(self):
        """Read nothing any more, as after SIGSTOP."""
        asyncio.get_running_loop().remove_reader(self.link._socket)

    def leaves(self, number, *, stranger=True):
        """A terminal hangs up."""
        self.lines.pop(number)
        self.link.tell(Told([Left(HERE, stranger)]))

    def end(self, status):
        if self.status is None:
            self.status = status
            self.link.close()
            for line in tuple(self.operations.lines if self.operations else ()):
                line.close()
            self.control.close()

    # What a parent wants of a process

    def kill(self):
        self.end(-9)

    def wait(self, timeout=None):
        return self.status


class House:
    """A team, its caps, and who has arrived."""

    def __init__(self, config):
        self.workers = {}
        self.stream = io.BytesIO()
        self.log = Log(self.stream, Redactor(b"x" * 32), level="debug")
        self.metrics = Metrics()
        self.config = config
        self.now = 1000.0
        self.terminals = []
        self.doorkeeper = Doorkeeper(lambda: self.config.server)
        self.starting = None
        """An error with which no process starts."""
        self.team = Team(
            config,
            self._start,
            self.doorkeeper,
            metrics=self.metrics,
            log=self.log,
            monotonic=lambda: self.now,
        )

    async def _start(self, number, config):
        if self.starting is not None:
            raise self.starting
        worker = self.workers[number] = Worker(number, config)
        return worker.process

    async def until(self, holds):
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110 -- bounded
                await asyncio.sleep(0.001)

    async def open(self, *numbers):
        """Start workers and let them serve."""
        before = {number: self.workers.get(number) for number in numbers}
        self.team.begin(numbers)
        for number in numbers:
            await self.serves(number, before[number])

    async def serves(self, number, before=None):
        """Wait for the next process of this number, and let it serve."""
        await self.until(lambda: self.workers.get(number) is not before)
        self.workers[number].serve()
        await self.until(lambda: self.team.members[number].takes_turns)

    def arrive(self, times=1):
        """So many connections are let in; our ends of them."""
        ends = []
        for _ in range(times):
            terminal, sock = socket.socketpair()
            assert self.doorkeeper.take_place()
            self.doorkeeper.enter(HERE)
            terminal.settimeout(10)
            ends.append(terminal)
            self.terminals.append(terminal)
            self.team.take(Arrival(sock, HERE, self.config.listeners[0], self.now))
        return ends

    def lines(self):
        """How many connections each worker has."""
        return [len(worker.lines) for _, worker in sorted(self.workers.items())]

    @property
    def counted(self):
        """Places, lines of the address, strangers of it."""
        keeper = self.doorkeeper
        return keeper._lines, keeper._per_address[HERE], sum(keeper._strangers.values())

    def logged(self, event):
        self.log.sink.close()
        lines = map(json.loads, self.stream.getvalue().splitlines())
        return [line for line in lines if line["event"] == event]

    async def close(self):
        await self.team.end(0.1)
        for terminal in self.terminals:
            terminal.close()
        self.log.close()
