"""Whatever workers and terminals do, and in whatever order messages arrive (B87, C131, C8, C99).

A door asks on its newest line only, and at once when it may. It may hang up while its request is
running, without the worker's noticing, and log in at any worker. Workers die. Still a door always
finds what it did before, one line is left of each, and in the end everybody knows the same.
"""

import asyncio
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from together import World

from sip2gw.model import Card, PatronRecord
from sip2gw.shared.pin_guesses import TerminalLimit
from sip2gw.shared.together import courier

WORKERS = 3
DOORS = ("door-1", "door-2")
PATRONS = ("1001", "1002")
HOUR_S = 3600.0
LIMIT = TerminalLimit(1_000, HOUR_S)

_DOOR, _PATRON = st.sampled_from(DOORS), st.sampled_from(PATRONS)
_WORKER = st.integers(0, WORKERS - 1)
_USUAL = (
    st.tuples(st.just("login"), _DOOR, _WORKER),
    st.tuples(st.just("ask"), _DOOR, _PATRON),
    st.tuples(st.just("end"), _DOOR, st.booleans()),
    st.tuples(st.just("deliver"), st.integers(1, 8), st.none()),
)
_RARE = (
    st.tuples(st.just("hang_up"), _DOOR, st.none()),
    st.tuples(st.just("see"), _PATRON, _WORKER),
    st.tuples(st.just("refuse"), _PATRON, _WORKER),
    st.tuples(st.just("die"), _WORKER, st.none()),
)
STEPS = st.sampled_from((*_USUAL, *_USUAL, *_USUAL, *_USUAL, *_RARE)).flatmap(lambda step: step)


class Door:
    """A terminal as its machine sees it."""

    def __init__(self):
        self.line: Any = None
        self.worker: Any = None
        self.running = []
        """Requests that a worker has begun: the worker, the line and the card."""
        self.passages = {}
        self.failures = 0


class Play:
    """One sequence of steps."""

    def __init__(self, seed):
        # Many logins in a row, of which the parent has heard nothing yet, all find a place.
        self.world = World(WORKERS, seed=seed, max_connections=1_000, per_address=500)
        self.workers = self.world.workers
        self.doors = {name: Door() for name in DOORS}
        self.versions: Counter[str] = Counter()

    async def step(self, what, who, value):
        await getattr(self, what)(who, value)

    async def login(self, name, at):
        door, worker = self.doors[name], self.workers[at]
        assert self.world.arrive(worker)
        worker.state.doorkeeper.recognise("192.0.2.1")
        door.worker, door.line = worker, worker.login(name)

    async def ask(self, name, card):
        """Begin a request, if the line may: the door must find what it did before."""
        door = self.doors[name]
        line, worker = door.line, door.worker
        if line is None or line.closed_for or worker.is_dead or not line.settled.done():
            return
        if line.running is not None and not line.running.done():
            return  # one at a time
        passages, now_s = worker.state.passages, self.world.monotonic()
        for known, at_s in door.passages.items():
            assert passages.goes_on(name, known, now_s, HOUR_S), (name, known, at_s)
        failures = worker.state.pin_guesses.of(name, LIMIT.failures_max).failures
        assert len(failures) == door.failures
        line.begin()
        door.running.append((worker, line, card))

    async def end(self, name, fails):
        """The oldest running request ends with what it does."""
        door = self.doors[name]
        if not door.running:
            return
        worker, line, card = door.running.pop(0)
        if worker.is_dead:
            return
        if fails:
            counting = worker.state.pin_guesses.fail(name, LIMIT, self.world.monotonic())
            task = asyncio.create_task(counting)
            await self.world.quiet()
            task.result()
            door.failures += 1
        else:
            now_s = self.world.monotonic()
            if worker.state.passages.begins(name, card, now_s, 0.0):
                door.passages[card] = now_s
            record = self.record(card)
            worker.state.admissions.remember(name, card, record, now_s)
        line.running.set_result(None)
        if line.closed_for:
            self.ended(worker, line)

    async def hang_up(self, name, _):
        """The worker notices only if no request is running."""
        door = self.doors[name]
        line, worker, door.line = door.line, door.worker, None
        if line is None or worker.is_dead:
            return
        if line.running is None or line.running.done():
            worker.state.connected.leave(name, line)
            self.ended(worker, line)

    def ended(self, worker, line):
        if not getattr(line, "has_ended", False):
            line.has_ended = True
            worker.state.doorkeeper.leave("192.0.2.1", stranger=False)

    def record(self, patron_id, *, changed=False):
        self.versions[patron_id] += changed
        name = f"Anna {self.versions[patron_id]}"
        return PatronRecord(patron_id, name, cards=(Card(patron_id),))

    async def see(self, patron_id, at):
        worker = self.workers[at]
        if not worker.is_dead:
            worker.state.admissions.see(self.record(patron_id, changed=True))

    async def refuse(self, patron_id, at):
        worker = self.workers[at]
        if not worker.is_dead:
            worker.state.admissions.forget(patron_id)

    async def deliver(self, times, _):
        for _ in range(times):
            await asyncio.sleep(0)
            ways = [way for worker in self.workers for way in worker.ways]
            if ways:
                end, receive, other = self.world.choose(ways)
                end.deliver(receive, other)

    async def die(self, at, _):
        """What was still gathered is forgotten; another worker takes its place."""
        worker = self.workers[at]
        worker.die()
        await self.world.quiet()
        self.workers[at] = self.world.more()
        self.workers.pop()
        await self.world.quiet()
        known = self.workers[at].state.passages
        for name, door in self.doors.items():
            if door.worker is worker:
                door.line = None
            lost = [
                card
                for card in door.passages
                if not known.goes_on(name, card, self.world.now_s, HOUR_S)
            ]
            for card in lost:
                del door.passages[card]

    async def finish(self):
        """All requests end, and everything is told."""
        for name, door in self.doors.items():
            while door.running:
                await self.end(name, fails=False)
        await self.world.quiet()
        newcomer = self.world.more()
        await self.world.quiet()
        self.everybody_knows_the_same()
        newcomer.die()
        self.workers.remove(newcomer)
        self.one_line_is_left_of_each()
        self.caps_are_exact()

    def everybody_knows_the_same(self):
        truth = self.world.together
        admissions = truth._admissions
        passages: Any = self.workers[0].state.passages
        for state in (worker.state for worker in self.workers):
            assert state.passages._begun == passages._begun
            assert sorted(state.pin_guesses.counted()) == sorted(truth._guesses.counted())
            assert set(state.admissions.patrons()) == set(admissions.patrons())
            for patron_id in admissions.patrons():
                mine: Any = state.admissions.known(patron_id)
                theirs: Any = admissions.known(patron_id)
                assert (mine.times_s, mine.seen_s) == (theirs.times_s, theirs.seen_s)

    def one_line_is_left_of_each(self):
        for name, door in self.doors.items():
            lines = [line for worker in self.workers for line in worker.lines_of(name)]
            assert len(lines) <= 1
            told = self.world.together._lines.of(name)
            assert [line.number for line in told] == [line.number for line in lines]
            assert all(line.settled.done() for line in lines)
            if door.line is not None:
                assert lines == [door.line]

    def caps_are_exact(self):
        lines = sum(worker.side.lines for worker in self.workers)
        assert lines == self.world.doorkeeper._lines
        assert not any(worker.side.strangers for worker in self.workers)


async def play(steps, seed):
    game = Play(seed)
    for step in steps:
        await game.step(*step)
    await game.finish()


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(STEPS, min_size=20, max_size=60), seed=st.integers(0, 2**16))
def test_a_door_always_finds_what_it_did_before(steps, seed):
    linger_s, courier.LINGER_S = courier.LINGER_S, 0.0
    try:
        asyncio.run(play(steps, seed))
    finally:
        courier.LINGER_S = linger_s
