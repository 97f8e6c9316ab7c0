"""A parent and its workers in one process; the test says in which order messages arrive."""

import asyncio
import random
from collections import deque
from types import SimpleNamespace
from typing import Any

import msgspec

from sip2gw.foundation.link import LinkLostError
from sip2gw.shared.doorkeeper import Doorkeeper
from sip2gw.shared.together import courier
from sip2gw.shared.together.messages import Answered, Asked, Told
from sip2gw.shared.together.parent import Together
from sip2gw.shared.together.worker import WorkerState

_DECODE = msgspec.msgpack.Decoder(Told | Asked | Answered).decode
QUIET_TURNS = 6
"""After so many turns of the loop in which nothing was said, nothing more will be."""


class End:
    """One end of a link in memory; what it says stays under way until it is delivered."""

    def __init__(self):
        self.under_way: deque[Any] = deque()
        self.packets = 0
        self.said = []
        """Everything that was told, message by message."""
        self.is_cut = False
        self._asked = {}
        self._answering: set[asyncio.Future[Answered]] = set()

    def tell(self, message):
        self._send(None, message)

    async def ask(self, message):
        answer = asyncio.get_running_loop().create_future()
        number = len(self._asked) + 1
        self._asked[number] = answer
        if self.is_cut:
            raise LinkLostError
        self._send(number, message)
        return await answer

    def _send(self, number, message):
        self.packets += 1
        if isinstance(message, Told):
            self.said += _DECODE(msgspec.msgpack.encode(message)).messages
        if not self.is_cut:
            self.under_way.append((number, msgspec.msgpack.encode(message)))

    def deliver(self, receive, other):
        """The oldest packet under way arrives at `receive`, the other end."""
        number, data = self.under_way.popleft()
        message = _DECODE(data)
        if isinstance(message, Answered):
            other.answered(number, message)
            return
        answer = receive(message)
        if number is not None:
            other.begin_to_answer(number, answer)

    def begin_to_answer(self, number, answer):
        answering = asyncio.ensure_future(answer)
        self._answering.add(answering)
        answering.add_done_callback(lambda done: self._answer(number, done))

    def _answer(self, number, done):
        self._answering.discard(done)
        if not done.cancelled():
            self._send(number, done.result())

    def answered(self, number, message):
        if not self._asked[number].done():
            self._asked[number].set_result(message)

    def cut(self):
        self.is_cut = True
        self.under_way.clear()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(LinkLostError())
        for answering in self._answering:
            answering.cancel()


class Line:
    """A terminal's line at a worker."""

    def __init__(self, number, address="192.0.2.1"):
        self.number = number
        self.address = address
        self.closed_for: str | None = None
        self.heard_s = 0.0
        self.settled: asyncio.Future[None] | None = None
        self.running: asyncio.Future[None] | None = None
        """The request under way: done when it has ended."""

    def begin(self):
        """Begin a request; returns what ends it."""
        self.running = asyncio.get_running_loop().create_future()
        return self.running

    def at_rest(self):
        if self.running is None:
            self.begin().set_result(None)
        return self.running


class Worker:
    """A worker with its link to the parent."""

    def __init__(self, world):
        self.up, self.down = End(), End()
        self.is_dead = False
        self.is_stuck = False
        self.state = WorkerState(lambda: world.caps, world.monotonic, self.up)
        self.side = world.together.came(self.down)
        self._together = world.together
        self._now_s = lambda: world.now_s
        self._numbers = iter(range(1, 1_000_000))
        self.lines: Any = self.state.connected
        self.state.connected.on_replaced = self._replaced

    def _replaced(self, terminal, line, address):
        line.closed_for = address
        addresses = sorted({line.address, address})
        self.state.replacements.note(terminal, line.heard_s, self._now_s(), addresses)
        self.state.connected.leave(terminal, line)

    def login(self, terminal, *, allowed=1, address="192.0.2.1", heard_s=0.0):
        """A terminal logs in on a new line."""
        line = Line(next(self._numbers), address)
        line.heard_s = heard_s
        self.state.connected.join(terminal, line, allowed)
        line.settled = self.state.connected.settled(line)
        return line

    def lines_of(self, terminal):
        return list(self.state.connected.of(terminal))

    @property
    def ways(self):
        """What can arrive: the end with something under way, and where it goes."""
        if self.is_dead:
            return []
        ways = [(self.up, lambda m: self._together.receive(self.side, m), self.down)]
        if not self.is_stuck:
            ways.append((self.down, self.state.receive, self.up))
        return [way for way in ways if way[0].under_way]

    def die(self):
        """What it has said arrives, and nothing else."""
        while self.up.under_way:
            self.up.deliver(lambda m: self._together.receive(self.side, m), self.down)
        self.up.cut()
        self.down.cut()
        self.is_dead = True
        self._together.gone(self.side)


class World:
    """A gateway of several workers."""

    def __init__(self, workers=2, *, seed=None, max_connections=100, per_address=50):
        self.caps = SimpleNamespace(
            max_connections=max_connections, max_connections_per_address=per_address
        )
        self.now_s = 1000.0
        self.shared_logins: list[tuple[str, object]] = []
        self.doorkeeper = Doorkeeper(lambda: self.caps, lambda: 10_000)
        self.together = Together(
            self.doorkeeper,
            self.monotonic,
            lambda terminal, addresses: self.shared_logins.append((terminal, addresses)),
        )
        self.choose = random.Random(seed).choice if seed is not None else lambda ways: ways[0]
        self.workers = [Worker(self) for _ in range(workers)]

    def monotonic(self):
        """Each look at the clock is a moment later."""
        self.now_s += 0.000_001
        return self.now_s

    def more(self):
        """One more worker begins."""
        self.workers.append(Worker(self))
        return self.workers[-1]

    def arrive(self, worker, address="192.0.2.1"):
        """A connection is let in and handed to `worker`; False if it is refused."""
        if not self.doorkeeper.take_place():
            return False
        if self.doorkeeper.obstacle(address):
            self.doorkeeper.leave_place()
            return False
        self.doorkeeper.enter(address)
        self.together.handed(worker.side, address)
        return True

    async def quiet(self):
        """Deliver everything, in the order that `choose` makes, until nobody says more."""
        still = 0
        while still < QUIET_TURNS:
            await asyncio.sleep(0)
            ways = [way for worker in self.workers for way in worker.ways]
            still = 0 if ways else still + 1
            if ways:
                end, receive, other = self.choose(ways)
                end.deliver(receive, other)


def at_once(monkeypatch):
    """Nothing lingers: what can wait leaves in the next turn as well."""
    monkeypatch.setattr(courier, "LINGER_S", 0.0)
