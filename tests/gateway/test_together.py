"""What several workers of one gateway share, with messages in any order (B87, C131)."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from answers_of_systems import DECODE, information
from harness import HANGS_S, NOON
from msgspec.structs import replace
from together import World, at_once

from sip2gw.authentication.guesses import Guesses, PinRules
from sip2gw.backend.base import BackendError, BackendTimeoutError
from sip2gw.foundation.link import MESSAGE_BYTES_MAX
from sip2gw.model import Block, BlockType, Card, CardHere, FailedPins, LibraryWord, PatronRecord
from sip2gw.policy.reasons import NO_FLAGS
from sip2gw.policy.upstream.facts import read_facts, record_of
from sip2gw.policy.upstream.rules import Fact, FactRules
from sip2gw.shared.callers import JUDGED_AT_ONCE_MAX
from sip2gw.shared.door_memory import WRONG_PINS_MAX, Lead
from sip2gw.shared.pin_guesses import TerminalLimit
from sip2gw.shared.together import lately, sealing
from sip2gw.shared.together.doors import passages_changed
from sip2gw.shared.together.messages import (
    Admitted,
    AdmittedAgain,
    Answered,
    Asked,
    KnownPatron,
    LoginFailed,
    Refused,
    Replace,
    Seen,
    Told,
)

ANNA = PatronRecord("1001", "Anna", cards=(Card("1001"), Card("1009")))
BLOCKED = PatronRecord("1001", "Anna", blocks=(Block(BlockType.GENERAL),), cards=ANNA.cards)
WINDOW_S = 900.0


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    at_once(monkeypatch)


async def turns(number=10):
    for _ in range(number):
        await asyncio.sleep(0)


class TestTakeOver:
    """B14, C8, C102."""

    async def test_a_login_closes_the_older_line_at_another_worker(self):
        world = World()
        first, second = world.workers
        older = first.login("kiosk-1")
        await world.quiet()
        newer = second.login("kiosk-1", address="192.0.2.2")
        await world.quiet()
        assert older.closed_for == "192.0.2.2"
        assert first.lines_of("kiosk-1") == []
        assert second.lines_of("kiosk-1") == [newer]
        assert newer.closed_for is None

    async def test_and_at_the_same_worker(self):
        world = World()
        older, newer = (world.workers[0].login("kiosk-1") for _ in range(2))
        await world.quiet()
        assert older.closed_for is not None
        assert world.workers[0].lines_of("kiosk-1") == [newer]

    async def test_the_later_login_stays_even_if_it_is_heard_of_first(self):
        world = World()
        first, second = world.workers
        older = first.login("kiosk-1")
        newer = second.login("kiosk-1")
        await turns()
        world.choose = lambda ways: ways[-1]  # the second worker's first
        await world.quiet()
        assert older.closed_for is not None
        assert newer.closed_for is None
        assert older.settled.done()  # so that it can close

    @pytest.mark.parametrize(("allowed", "left"), [(1, [4]), (2, [3, 4]), (0, [1, 2, 3, 4])])
    async def test_so_many_lines_are_allowed_in_all(self, allowed, left):
        world = World(3)
        lines = []
        for number in range(4):
            worker = world.workers[number % 3]
            lines.append(worker.login("auth-1", allowed=allowed))
            await world.quiet()
        open_ = [at for at, line in enumerate(lines, 1) if line.closed_for is None]
        assert open_ == left

    async def test_a_line_that_has_ended_is_not_counted(self):
        world = World()
        first, second = world.workers
        gone = first.login("auth-1", allowed=2)
        first.state.connected.leave("auth-1", gone)
        lines = [second.login("auth-1", allowed=2) for _ in range(2)]
        await world.quiet()
        assert [line.closed_for for line in lines] == [None, None]

    async def test_after_a_reload_another_number_is_allowed(self):
        world = World(3)
        lines = [worker.login("auth-1", allowed=0) for worker in world.workers]
        await world.quiet()
        lines.append(world.workers[0].login("auth-1", allowed=2))
        await world.quiet()
        assert [line.closed_for is None for line in lines] == [False, False, True, True]

    async def test_a_line_that_became_another_terminals_replaces_its_line(self):
        world = World()
        first, second = world.workers
        theirs = first.login("kiosk-2")
        line = second.login("kiosk-1")
        await world.quiet()
        second.state.connected.leave("kiosk-1", line)
        second.state.connected.join("kiosk-2", line, 1)
        again = first.login("kiosk-1")
        await world.quiet()
        assert theirs.closed_for is not None
        assert line.closed_for is None
        assert again.closed_for is None

    async def test_a_terminal_that_logs_in_again_on_its_line_keeps_it(self):
        world = World()
        worker = world.workers[0]
        line = worker.login("kiosk-1")
        await world.quiet()
        worker.state.connected.leave("kiosk-1", line)
        worker.state.connected.join("kiosk-1", line, 1)
        await world.quiet()
        assert line.closed_for is None
        assert worker.lines_of("kiosk-1") == [line]

    @pytest.mark.parametrize(("silent_s", "times"), [(100, 1), (130, 0)])
    async def test_two_machines_with_one_login_are_reported_once(self, silent_s, times):
        """A line that was silent for two minutes is replaced by a reconnection."""
        world = World()
        for number in range(4):  # three replacements
            worker = world.workers[number % 2]
            heard_s = world.now_s - silent_s
            worker.login("kiosk-1", address=f"192.0.2.{number % 2}", heard_s=heard_s)
            await world.quiet()
        assert world.shared_logins == [("kiosk-1", ["192.0.2.0", "192.0.2.1"])] * times


class TestBarrier:
    """A terminal that moves to another worker finds everything known there."""

    async def test_at_the_first_login_there_is_nothing_to_wait_for(self):
        world = World()
        line = world.workers[0].login("door-1")
        await world.quiet()
        assert line.settled.done()

    async def test_what_the_earlier_worker_did_is_known_first(self):
        world = World()
        first, second = world.workers
        first.login("door-1")
        await world.quiet()
        first.state.passages.begins("door-1", "1001", 999.0, 5.0)
        line = second.login("door-1")
        await turns()
        # The login is heard of first, and the passage as late as possible.
        world.choose = lambda ways: ways[-1]
        known_when_settled = []
        line.settled.add_done_callback(
            lambda _: known_when_settled.append(
                second.state.passages.goes_on("door-1", "1001", 1000.0, 5.0)
            )
        )
        await world.quiet()
        assert known_when_settled == [True]

    async def test_even_if_it_lingers_and_the_older_line_stays(self, monkeypatch):
        monkeypatch.setattr("sip2gw.shared.together.courier.LINGER_S", 3600.0)
        world = World()
        first, second = world.workers
        first.login("door-1", allowed=2)
        await world.quiet()
        first.state.passages.begins("door-1", "1001", 999.0, 5.0)
        await world.quiet()
        assert not second.state.passages.goes_on("door-1", "1001", 1000.0, 5.0)
        line = second.login("door-1", allowed=2)
        await world.quiet()
        assert line.settled.done()
        assert second.state.passages.goes_on("door-1", "1001", 1000.0, 5.0)

    async def test_the_running_request_on_the_older_line_ends_first(self):
        world = World()
        first, second = world.workers
        older = first.login("door-1")
        await world.quiet()
        older.begin()
        newer = second.login("door-1")
        await world.quiet()
        assert older.closed_for is not None
        assert not newer.settled.done()
        first.state.passages.begins("door-1", "1001", 999.0, 5.0)
        older.running.set_result(None)
        await world.quiet()
        assert newer.settled.done()
        assert second.state.passages.goes_on("door-1", "1001", 1000.0, 5.0)

    async def test_a_third_worker_waits_for_the_first_as_well(self):
        world = World(3)
        first, second, third = world.workers
        older = first.login("door-1")
        await world.quiet()
        older.begin()
        second.login("door-1")
        await world.quiet()
        newest = third.login("door-1")
        await world.quiet()
        assert not newest.settled.done()
        older.running.set_result(None)
        await world.quiet()
        assert newest.settled.done()

    async def test_a_line_that_is_replaced_while_it_waits_need_not_wait(self):
        """Otherwise workers that replace each other's lines would wait for each other."""
        world = World()
        first, second = world.workers
        first.login("door-1").begin()
        await world.quiet()
        waits = second.login("door-1")
        await world.quiet()
        assert not waits.settled.done()
        second.lines.take_replace(Replace("door-1", waits.number, "192.0.2.3"))
        assert waits.settled.done()

    async def test_a_line_that_logs_in_again_waits_for_its_own_login(self):
        world = World()
        first, second = world.workers
        first.login("door-1").begin()
        await world.quiet()
        line = second.login("door-2")
        second.state.connected.leave("door-2", line)
        second.state.connected.join("door-1", line, 1)
        settled = second.state.connected.settled(line)
        await world.quiet()  # nothing was to be waited for at the first login
        assert settled is not None
        assert not settled.done()

    async def test_only_requests_on_lines_replaced_until_now_are_waited_for(self):
        worker = World(1).workers[0]
        older, newer = worker.login("door-1"), worker.login("door-1")
        older.begin()
        newer.begin()
        lines = worker.lines
        lines.take_replace(Replace("door-1", older.number, "192.0.2.3"))
        resting = asyncio.ensure_future(lines.come_to_rest("door-1"))
        lines.take_replace(Replace("door-1", newer.number, "192.0.2.3"))
        older.running.set_result(None)
        await turns()
        assert resting.done()

    async def test_lines_beside_each_other_do_not_wait_for_each_other(self):
        world = World()
        first, second = world.workers
        first.login("auth-1", allowed=0).begin()
        await world.quiet()
        beside = second.login("auth-1", allowed=0)
        await world.quiet()
        assert beside.settled.done()

    async def test_nobody_waits_for_a_dead_worker(self):
        world = World()
        first, second = world.workers
        older = first.login("door-1")
        await world.quiet()
        older.begin()
        newer = second.login("door-1")
        await world.quiet()
        assert not newer.settled.done()
        first.die()
        await world.quiet()
        assert newer.settled.done()

    async def test_what_a_worker_told_before_it_died_is_known(self):
        world = World()
        first, second = world.workers
        first.login("door-1")
        first.state.passages.begins("door-1", "1001", 999.0, 5.0)
        await turns()
        first.die()
        second.login("door-1")
        await world.quiet()
        assert second.state.passages.goes_on("door-1", "1001", 1000.0, 5.0)

    async def test_a_worker_that_keeps_a_line_is_asked_each_time(self, monkeypatch):
        monkeypatch.setattr("sip2gw.shared.together.courier.LINGER_S", 3600.0)
        world = World()
        first, second = world.workers
        first.login("door-1", allowed=0)
        for card in ("1001", "1002"):
            first.state.passages.begins("door-1", card, 999.0, 5.0)
            second.login("door-1", allowed=0)
            await world.quiet()
            assert second.state.passages.goes_on("door-1", card, 1000.0, 5.0)

    async def test_once_settled_an_earlier_worker_is_not_asked_again(self):
        world = World()
        first, second = world.workers
        first.login("door-1")
        await world.quiet()
        second.login("door-1")
        await world.quiet()
        first.is_stuck = True
        again = second.login("door-1")
        await world.quiet()
        assert again.settled.done()


class TestCaps:
    """B14, C101."""

    async def test_lines_of_an_address_count_at_whatever_worker(self):
        world = World(per_address=2)
        first, second = world.workers
        assert world.arrive(first)
        assert world.arrive(second)
        assert not world.arrive(first)
        first.state.doorkeeper.leave("192.0.2.1", stranger=True)
        await world.quiet()
        assert world.arrive(second)

    async def test_who_has_logged_in_is_no_stranger(self):
        world = World(max_connections=40)
        for _ in range(16):
            assert world.arrive(world.workers[0])
        assert not world.arrive(world.workers[1])
        world.workers[0].state.doorkeeper.recognise("192.0.2.1")
        await world.quiet()
        assert world.arrive(world.workers[1])

    async def test_a_dead_worker_gives_its_places_back(self):
        world = World(max_connections=3)
        first, second = world.workers
        assert all(world.arrive(worker) for worker in (first, first, second))
        first.state.doorkeeper.recognise("192.0.2.1")
        await world.quiet()
        assert not world.arrive(second)
        assert (first.side.lines, second.side.lines) == (2, 1)
        first.die()
        assert [world.arrive(second) for _ in range(3)] == [True, True, False]

    async def test_lines_that_have_ended_leave_nothing_behind(self):
        world = World()
        worker = world.workers[0]
        world.arrive(worker)
        worker.state.doorkeeper.recognise("192.0.2.1")
        worker.state.doorkeeper.leave("192.0.2.1", stranger=False)
        await world.quiet()
        assert worker.side.known == worker.side.strangers == {}
        assert world.doorkeeper._lines == 0

    async def test_a_worker_cannot_give_back_what_it_does_not_have(self):
        world = World(max_connections=1)
        worker = world.workers[0]
        world.arrive(worker)
        for _ in range(2):
            worker.state.doorkeeper.leave("192.0.2.1", stranger=True)
            worker.state.doorkeeper.leave("192.0.2.1", stranger=False)
        worker.state.doorkeeper.recognise("192.0.2.1")
        await world.quiet()
        assert [world.arrive(worker) for _ in range(2)] == [True, False]


class TestPasswords:
    """C100."""

    async def take(self, world, *workers):
        taking = [asyncio.create_task(one.state.callers.take_place("a")) for one in workers]
        await world.quiet()
        return taking

    async def test_two_passwords_of_an_address_are_judged_at_a_time(self):
        world = World(3)
        taking = await self.take(world, *world.workers)
        assert [task.done() for task in taking].count(True) == JUDGED_AT_ONCE_MAX
        world.workers[0].state.callers.leave_place("a")
        await world.quiet()
        assert [task.result() for task in taking] == [True, True, True]

    async def test_a_failure_anywhere_sends_away_who_waits_anywhere(self):
        world = World(3)
        first, second, third = world.workers
        taking = await self.take(world, first, second, third)
        failing = asyncio.create_task(first.state.callers.note_failure("a", 2.0))
        await world.quiet()
        assert failing.result() == 2.0
        assert [task.result() for task in taking] == [True, True, False]
        failing = asyncio.create_task(second.state.callers.note_failure("a", 2.0))
        await world.quiet()
        assert failing.result() == 4.0

    async def test_a_dead_worker_gives_its_places_back(self):
        world = World()
        first, second = world.workers
        await self.take(world, first, first)
        waiting = await self.take(world, second)
        assert not waiting[0].done()
        first.die()
        await world.quiet()
        assert waiting[0].result()

    async def test_who_gives_up_waiting_gives_the_place_back(self):
        world = World()
        first, second = world.workers
        await self.take(world, first, first)
        (gone,) = await self.take(world, second)
        gone.cancel()
        first.state.callers.leave_place("a")
        first.state.callers.leave_place("a")
        await world.quiet()
        assert not second.side.places
        assert all(task.done() for task in await self.take(world, first, first))

    async def test_without_a_parent_there_is_no_place(self):
        world = World(1)
        (worker,) = world.workers
        worker.die()
        assert not await worker.state.callers.take_place("a")
        assert await worker.state.callers.note_failure("a", 2.0) == 2.0


class TestPins:
    """C19, C99: the gateway's limits are those of all its workers."""

    LIMIT = TerminalLimit(3, WINDOW_S)

    async def guess(self, world, worker, *, fails=True, now=100.0):
        """One whole guess; whether it reached the limit."""
        guesses = worker.state.pin_guesses

        async def judged():
            place = await guesses.begin("door-1", self.LIMIT, now)
            reached = fails and await guesses.fail("door-1", self.LIMIT, now)
            place.leave()
            return reached

        task = asyncio.create_task(judged())
        await world.quiet()
        return task.result()

    async def begin(self, world, *workers):
        """Guesses that are begun at the same time."""
        tasks = [
            asyncio.create_task(worker.state.pin_guesses.begin("door-1", self.LIMIT, 100.0))
            for worker in workers
        ]
        await world.quiet()
        return tasks

    async def test_the_limit_of_a_terminal_is_reached_once_in_all(self):
        world = World(3)
        reached = [await self.guess(world, world.workers[at % 3]) for at in range(6)]
        assert reached == [False, False, True, False, False, False]

    async def test_every_worker_knows_the_failures(self):
        world = World(3)
        for worker in world.workers:
            await self.guess(world, worker)
        for worker in world.workers:
            assert worker.state.pin_guesses.of("door-1", 3).too_many(101.0, WINDOW_S)
            assert not worker.state.pin_guesses.of("door-1", 3).too_many(2000.0, WINDOW_S)

    async def test_past_it_two_guesses_are_judged_at_once_at_all_workers_together(self):
        world = World(3)
        for worker in world.workers:
            await self.guess(world, worker)
        begun = await self.begin(world, *world.workers, *world.workers)
        assert [task.done() for task in begun].count(True) == 2
        next(task for task in begun if task.done()).result().leave()
        await world.quiet()
        assert [task.done() for task in begun].count(True) == 3

    async def test_guesses_under_way_count_as_failures(self):
        world = World(3)
        begun = await self.begin(world, *world.workers, *world.workers)
        # Three may fail; then two more have their turn, and one waits.
        assert [task.done() for task in begun].count(True) == 5

    async def test_a_failure_counts_before_its_answer_leaves(self):
        """The copies of others may be behind: the parent is asked whenever a guess begins."""
        world = World()
        first, second = world.workers
        second.is_stuck = True  # hears nothing
        for _ in range(3):
            await self.guess(world, first)
        assert not second.state.pin_guesses.of("door-1", 3).failures
        second.is_stuck = False
        begun = await self.begin(world, second, second, second)
        assert [task.done() for task in begun] == [True, True, False]

    async def test_a_dead_worker_gives_its_turns_back(self):
        world = World()
        first, second = world.workers
        for _ in range(3):
            await self.guess(world, second)
        await self.begin(world, first, first)
        waiting = await self.begin(world, second)
        assert not waiting[0].done()
        first.die()
        await world.quiet()
        assert waiting[0].done()

    async def test_who_gives_up_waiting_gives_the_turn_back(self):
        world = World()
        first, second = world.workers
        for _ in range(3):
            await self.guess(world, first)
        held = await self.begin(world, first, first)
        gone, patient = await self.begin(world, second, second)
        gone.cancel()
        for task in held[:1]:
            task.result().leave()
        await world.quiet()
        assert patient.done()

    async def test_who_dies_while_waiting_takes_no_turn(self):
        world = World(3)
        first, second, third = world.workers
        for _ in range(3):
            await self.guess(world, first)
        held = await self.begin(world, first, first)
        await self.begin(world, second)
        turns_of_1001 = second.state.pin_guesses.turns
        waiting = asyncio.create_task(first.state.pin_guesses.turns.take(("1001",)))
        await world.quiet()
        also = asyncio.create_task(turns_of_1001.take(("1001",)))
        await world.quiet()
        second.die()
        for task in held:
            task.result().leave()
        first.state.pin_guesses.turns.release(("1001",))
        begun = await self.begin(world, third, third)
        assert all(task.done() for task in begun)
        last = asyncio.create_task(third.state.pin_guesses.turns.take(("1001",)))
        await world.quiet()
        assert last.done()
        assert waiting.done()
        assert isinstance(also.exception(), BackendTimeoutError)

    async def test_who_gives_up_waiting_leaves_the_patron_to_others(self):
        world = World()
        first, second = world.workers
        names = ("1001",)

        async def take(worker):
            task = asyncio.create_task(worker.state.pin_guesses.turns.take(names))
            await world.quiet()
            return task

        await take(first)
        gone = await take(second)
        gone.cancel()
        first.state.pin_guesses.turns.release(names)
        await world.quiet()
        assert (await take(second)).done()
        second.state.pin_guesses.turns.release(names)
        assert (await take(first)).done()

    async def test_one_patron_is_guessed_at_by_one_worker_at_a_time(self):
        world = World()
        judged = []

        async def judge(worker):
            async with worker.state.pin_guesses.turns.held("1001"):
                judged.append("begins")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                judged.append("ends")

        tasks = [asyncio.create_task(judge(world.workers[at % 2])) for at in range(4)]
        await world.quiet()
        assert all(task.done() for task in tasks)
        assert judged == ["begins", "ends"] * 4

    async def test_a_dead_worker_leaves_the_patron_to_others(self):
        world = World()
        first, second = world.workers
        tasks = [asyncio.create_task(first.state.pin_guesses.turns.take(("1001",)))]
        await world.quiet()
        tasks.append(asyncio.create_task(second.state.pin_guesses.turns.take(("1001",))))
        await world.quiet()
        assert [task.done() for task in tasks] == [True, False]
        first.die()
        await world.quiet()
        assert tasks[1].done()


class Counts:
    """Where failures are counted durably, if that works."""

    def __init__(self):
        self.works = False
        self.recorded = []

    async def record(self, name, now, failures_max, lock_until):
        if not self.works:
            raise BackendError
        self.recorded.append(name)
        return len(self.recorded)

    async def clear(self, name):
        if not self.works:
            raise BackendError
        self.recorded.clear()


class TestUnwritten:
    """C99: what the store cannot count, all workers together do."""

    def guesses(self, worker, counts, failures_max=5):
        rules = PinRules(failures_max=failures_max)
        pins = worker.state.pin_guesses
        return Guesses(counts, rules, lambda what, terminal: None, pins, lambda: 0.0)

    async def do(self, world, doing):
        task = asyncio.create_task(doing)
        await world.quiet()
        return task.result()

    async def test_failures_at_several_workers_add_up_to_one_lock(self):
        world = World()
        both = [self.guesses(worker, Counts()) for worker in world.workers]
        for number in range(5):
            assert not any(one.is_locked("1001", FailedPins(), NOON) for one in both)
            counting = both[number % 2].count("1001", FailedPins(), NOON, store_away=True)
            assert await self.do(world, counting) == number + 1
        assert all(one.is_locked("1001", FailedPins(), NOON) for one in both)
        assert all(one.has_failed("1001", FailedPins()) for one in both)

    async def test_they_count_until_a_lock_after_the_last_of_them_would_end(self):
        world = World()
        both = [self.guesses(worker, Counts(), failures_max=2) for worker in world.workers]
        for at, one in zip((NOON, NOON + timedelta(minutes=5)), both, strict=True):
            await self.do(world, one.count("1001", FailedPins(), at, store_away=True))
        for minutes, locked in ((19, True), (20, False)):
            later = NOON + timedelta(minutes=minutes)
            assert [one.is_locked("1001", FailedPins(), later) for one in both] == [locked] * 2

    async def test_a_right_pin_at_any_clears_them_at_all(self):
        world = World()
        first, second = (self.guesses(worker, Counts()) for worker in world.workers)
        await self.do(world, first.count("1001", FailedPins(), NOON, store_away=True))
        await self.do(world, second.take_back("1001", store_away=True))
        assert first.unwritten == second.unwritten == {}
        assert not world.together._unwritten

    async def test_each_worker_writes_its_own_and_then_nobody_counts_them_twice(self, monkeypatch):
        monkeypatch.setattr("sip2gw.authentication.guesses.WRITE_AGAIN_S", 0.02)
        world = World()
        counts = Counts()
        first, second = (self.guesses(worker, counts) for worker in world.workers)
        for one in (first, first, second):
            await self.do(world, one.count("1001", FailedPins(), NOON))
        assert second.unwritten["1001"].elsewhere == 2
        counts.works = True
        while first.writing or second.writing:
            await asyncio.sleep(0.005)
            await world.quiet()
        assert counts.recorded == ["1001"] * 3
        assert first.unwritten == second.unwritten == {}
        assert not world.together._unwritten

    async def test_what_another_worker_has_not_written_still_counts(self, monkeypatch):
        monkeypatch.setattr("sip2gw.authentication.guesses.WRITE_AGAIN_S", 0.02)
        world = World()
        first, second = (self.guesses(worker, Counts()) for worker in world.workers)
        first._counts.works = True
        await self.do(world, second.count("1001", FailedPins(), NOON))
        await self.do(world, first.count("1001", FailedPins(), NOON, store_away=True))
        async with asyncio.timeout(HANGS_S):
            while first.writing:
                await asyncio.sleep(0.005)
                await world.quiet()
        assert first.unwritten["1001"].failures == 0
        assert first.unwritten["1001"].elsewhere == 1

    async def test_a_new_worker_hears_of_them(self):
        world = World()
        first, second = (self.guesses(worker, Counts()) for worker in world.workers)
        for one in (first, second, second):
            await self.do(world, one.count("1001", FailedPins(), NOON, store_away=True))
        world.workers[0].die()
        new = self.guesses(world.more(), Counts(), failures_max=4)
        await world.quiet()
        assert not new.is_locked("1001", FailedPins(), NOON)
        assert await self.do(world, new.count("1001", FailedPins(), NOON, store_away=True)) == 4
        assert new.is_locked("1001", FailedPins(), NOON)

    async def test_there_is_an_end_to_what_is_remembered(self, monkeypatch):
        monkeypatch.setattr("sip2gw.authentication.guesses.UNWRITTEN_PATRONS_MAX", 1)
        monkeypatch.setattr("sip2gw.shared.together.parent.UNWRITTEN_MAX", 1)
        world = World()
        first, second = (self.guesses(worker, Counts()) for worker in world.workers)
        for patron_id in ("1001", "1002"):
            await self.do(world, first.count(patron_id, FailedPins(), NOON, store_away=True))
        assert list(second.unwritten) == ["1001"]
        assert second.is_locked("1002", FailedPins(), NOON)  # so nobody is guessed at
        assert list(world.together._unwritten) == ["1002"]


class TestDoors:
    """B40, B41, C110, C142."""

    async def test_a_passage_goes_on_at_another_worker(self):
        world = World()
        first, second = world.workers
        assert first.state.passages.begins("door-1", "1001", 100.0, 5.0)
        await world.quiet()
        assert not second.state.passages.begins("door-1", "1001", 104.0, 5.0)
        assert second.state.passages.begins("door-1", "1001", 105.0, 5.0)

    async def test_leaving_by_another_door_ends_it_everywhere(self):
        world = World()
        first, second = world.workers
        first.state.passages.begins("door-1", "1001", 100.0, 5.0)
        await world.quiet()
        second.state.passages.end("door-1", "1001")
        await world.quiet()
        assert not first.state.passages.goes_on("door-1", "1001", 101.0, 5.0)

    async def test_children_follow_at_another_worker(self):
        world = World()
        first, second = world.workers
        lead = Lead("1001", ("ONBE",), 100.0)
        first.state.passages.begins("door-1", "1001", 100.0, 5.0)
        first.state.passages.lead("door-1", ["1002"], lead)
        await world.quiet()
        assert second.state.passages.lead_of("door-1", "1002", "1002", 101.0, 5.0) == lead

    async def test_many_decisions_of_a_moment_are_told_in_one_packet(self):
        world = World()
        first, second = world.workers
        before = first.up.packets, second.down.packets
        for card in range(100):
            first.state.passages.begins("door-1", str(card), 100.0, 5.0)
            first.state.passages.end("door-2", str(card))  # nobody went there: nothing to tell
        await world.quiet()
        assert (first.up.packets - before[0], second.down.packets - before[1]) == (1, 1)

    async def test_nothing_is_told_of_a_passage_that_nobody_began(self):
        world = World()
        worker = world.workers[0]
        worker.state.passages.end("door-1", "1001")
        worker.state.passages.begins("door-1", "1001", 100.0, 5.0)
        worker.state.passages.begins("door-1", "1001", 101.0, 5.0)
        await world.quiet()
        assert worker.up.said == [passages_changed([(("door-1", "1001"), 100.0)])]

    async def test_passages_are_one_message_and_it_comes_last(self):
        world = World()
        first, second = world.workers
        first.state.passages.begins("door-1", "1001", 100.0, 5.0)
        first.state.passages.begins("door-1", "1002", 101.0, 5.0)
        first.state.passages.end("door-1", "1001")
        first.state.admissions.remember("door-1", "1001", ANNA, 102.0)
        first.state.passages.begins("door-1", "1001", 103.0, 5.0)
        await world.quiet()
        assert (first.up.packets, second.down.packets) == (1, 1)
        admitted, passages = first.up.said
        one, two = ("door-1", "1001"), ("door-1", "1002")
        assert isinstance(admitted, Admitted)
        assert passages == passages_changed([(one, 100.0), (two, 101.0), (one, None), (one, 103.0)])
        assert second.down.said == first.up.said
        assert not second.state.passages.goes_on("door-1", "1001", 108.0, 5.0)
        assert second.state.passages.goes_on("door-1", "1001", 107.9, 5.0)

    async def test_of_passages_that_cross_each_other_the_later_one_counts(self):
        world = World()
        first, second = world.workers
        first.state.passages.begins("door-1", "1001", 100.0, 5.0)
        second.state.passages.begins("door-1", "1001", 101.0, 5.0)
        await world.quiet()
        for worker in world.workers:
            assert worker.state.passages.goes_on("door-1", "1001", 105.9, 5.0)

    async def test_no_packet_is_too_long_for_a_link(self):
        world = World()
        worker = world.workers[0]
        for number in range(500):
            worker.state.admissions.remember(
                "door-1", str(number), PatronRecord(str(number), "A" * 500), 100.0
            )
        await turns(1)
        assert len(worker.up.under_way) > 1
        assert max(len(data) for _, data in worker.up.under_way) < MESSAGE_BYTES_MAX - 8
        await world.quiet()
        assert len(world.workers[1].state.admissions.patrons()) == 500

    async def test_nor_is_a_message_of_many_passages(self):
        world = World()
        first, second = world.workers
        cards = [f"{number:0500}" for number in range(301)]
        for card in cards:
            first.state.passages.begins("door-1", card, 100.0, 5.0)
        await turns()
        assert len(first.up.under_way) == 4
        assert max(len(data) for _, data in first.up.under_way) < MESSAGE_BYTES_MAX - 8
        await world.quiet()
        goes_on = second.state.passages.goes_on
        assert all(goes_on("door-1", card, 101.0, 5.0) for card in cards)

    async def test_a_question_comes_after_what_was_said_before(self):
        world = World(1)
        (worker,) = world.workers
        worker.state.passages.begins("door-1", "1001", 100.0, 5.0)
        asking = asyncio.create_task(worker.state.callers.note_failure("a", 1.0))
        await turns(1)
        assert [number for number, _ in worker.up.under_way] == [None, 1]
        await world.quiet()
        assert asking.result() == 1.0

    async def test_an_answer_comes_after_what_was_said_before(self):
        world = World()
        first, second = world.workers
        told = Told([passages_changed([(("door-1", "1001"), 100.0)])])
        world.together.receive(first.side, told)
        answer: Any = world.together.receive(second.side, Asked(LoginFailed("a", 1.0)))
        assert await answer == Answered(1.0)
        assert second.down.said == told.messages

    async def test_an_admission_anywhere_counts_in_an_emergency(self):
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1009", ANNA, 100.0)
        await world.quiet()
        assert second.state.admissions.recall("door-1", "1009", 101.0, 60.0) == ANNA
        assert second.state.admissions.recall("door-2", "1009", 101.0, 60.0) is None

    async def test_a_block_that_was_seen_anywhere_counts_everywhere(self):
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        second.state.admissions.see(BLOCKED)
        await world.quiet()
        assert first.state.admissions.holder("1001") == BLOCKED

    async def test_a_refusal_anywhere_ends_admissions_everywhere(self):
        world = World(3)
        first, second, third = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        second.state.admissions.forget("1001")
        await world.quiet()
        assert not any(worker.state.admissions.knows("1001") for worker in (first, second, third))

    async def test_wrong_pins_count_everywhere_and_a_right_one_clears_them(self):
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        for at in range(WRONG_PINS_MAX):
            assert not first.state.admissions.is_guessed_at("1001")
            world.workers[at % 2].state.admissions.see(ANNA, right=False)
            await world.quiet()
        assert all(one.state.admissions.is_guessed_at("1001") for one in world.workers)
        second.state.admissions.see(ANNA, right=True)
        await world.quiet()
        assert not any(one.state.admissions.is_guessed_at("1001") for one in world.workers)

    async def test_only_admitted_patrons_are_told(self):
        world = World()
        worker = world.workers[0]
        before = worker.up.packets
        worker.state.admissions.see(BLOCKED, right=False)
        worker.state.admissions.note_pin("1001", right=False)
        worker.state.admissions.forget("1001")
        await world.quiet()
        assert worker.up.packets == before

    async def test_nothing_is_told_when_nothing_has_changed(self):
        world = World()
        worker = world.workers[0]
        worker.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        before = worker.up.packets
        same = PatronRecord("1001", "Anna", cards=ANNA.cards)
        worker.state.admissions.see(same, right=True)
        await world.quiet()
        assert worker.up.packets == before

    async def test_the_same_record_is_not_told_twice(self, monkeypatch):
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, 100.0)
        await world.quiet()
        monkeypatch.setattr("sip2gw.shared.together.doors.seal", None)
        same = PatronRecord("1001", "Anna", cards=ANNA.cards)
        second.state.admissions.remember("door-2", "1001", same, 101.0)
        await world.quiet()
        assert first.state.admissions.recall("door-2", "1001", 102.0, 60.0) == ANNA

    async def test_admissions_with_no_other_news_are_one_message(self):
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, 100.0)
        await world.quiet()
        first.state.admissions.remember("door-1", "1001", ANNA, 101.0)
        first.state.admissions.remember("door-2", "1009", ANNA, 102.0)
        await world.quiet()
        again = [("1001", "door-1", "1001", 101.0), ("1001", "door-2", "1009", 102.0)]
        assert first.up.said[1:] == [AdmittedAgain(again)]
        recall = second.state.admissions.recall
        assert recall("door-1", "1001", 161.0, 60.0) == ANNA
        assert recall("door-1", "1001", 161.1, 60.0) is None
        assert recall("door-2", "1009", 162.0, 60.0) == ANNA

    async def test_admissions_can_wait(self, monkeypatch):
        monkeypatch.setattr("sip2gw.shared.together.courier.LINGER_S", 3600.0)
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, 100.0)
        await world.quiet()
        assert not second.state.admissions.knows("1001")
        first.state.admissions.see(BLOCKED)  # which cannot
        await world.quiet()
        assert second.state.admissions.holder("1001") == BLOCKED

    async def test_an_admission_clears_wrong_pins_everywhere(self):
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, 100.0)
        first.state.admissions.see(ANNA, right=False)
        await world.quiet()
        second.state.admissions.remember("door-1", "1001", ANNA, 101.0)
        await world.quiet()
        known: list[Any] = [worker.state.admissions.known("1001") for worker in world.workers]
        assert [one.wrong_pins for one in known] == [0, 0]

    async def test_of_two_records_under_way_the_later_one_counts(self):
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        renamed = PatronRecord("1001", "Ann", cards=ANNA.cards)
        first.state.admissions.see(renamed)
        second.state.admissions.see(BLOCKED)
        await turns()
        world.choose = lambda ways: ways[-1]
        await world.quiet()
        for worker in world.workers:
            assert worker.state.admissions.holder("1001") == BLOCKED

    async def test_an_older_record_under_way_does_not_undo_a_block(self):
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        renamed = PatronRecord("1001", "Ann", cards=ANNA.cards)
        first.state.admissions.remember("door-2", "1001", renamed, world.monotonic())
        second.state.admissions.see(BLOCKED)
        await turns()
        world.choose = lambda ways: ways[-1]
        await world.quiet()
        for worker in world.workers:
            assert worker.state.admissions.recall("door-2", "1001", world.now_s, 9) == BLOCKED

    @pytest.mark.parametrize("name", ["Ann", "Anna"])
    async def test_an_admission_under_way_does_not_undo_a_refusal(self, name):
        world = World(3)
        first, second, _ = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        perhaps_renamed = PatronRecord("1001", name, cards=ANNA.cards)
        first.state.admissions.remember("door-1", "1001", perhaps_renamed, world.monotonic())
        second.state.admissions.forget("1001")
        await turns()
        world.choose = lambda ways: ways[-1]  # the refusal is heard of first
        await world.quiet()
        assert not any(worker.state.admissions.knows("1001") for worker in world.workers)

    async def test_an_admission_after_a_refusal_counts_everywhere(self):
        world = World(3)
        first, second, _ = world.workers
        for door in ("door-1", "door-2"):
            first.state.admissions.remember(door, "1001", ANNA, world.monotonic())
        await world.quiet()
        second.state.admissions.forget("1001")
        # At door 1 nobody has heard of it, and everybody knows the record.
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await turns()
        world.choose = lambda ways: ways[-1]
        await world.quiet()
        for worker in world.workers:
            assert worker.state.admissions.recall("door-1", "1001", world.now_s, 9) == ANNA
            assert worker.state.admissions.recall("door-2", "1001", world.now_s, 9) is None
        # And of its record everybody knows when it was seen.
        known: list[Any] = [worker.state.admissions.known("1001") for worker in world.workers]
        assert len({one.seen_s for one in known}) == 1

    async def test_of_two_admissions_at_a_door_the_later_one_counts(self):
        world = World()
        worker = world.workers[1]
        admissions: Any = worker.state.admissions
        for at_s in (101.0, 100.0):
            told = KnownPatron("1001", 99.0, sealing.seal(ANNA), [("door-1", "1001", at_s)], 0)
            admissions.take_known(told)
        for at_s in (103.0, 102.0):
            admissions.take_admitted_again(AdmittedAgain([("1001", "door-2", "1009", at_s)]))
        assert admissions.known("1001").times_s == {
            ("door-1", "1001"): 101.0,
            ("door-2", "1009"): 103.0,
        }

    async def test_an_admission_told_after_a_later_refusal_does_not_count(self):
        admissions: Any = World(1).workers[0].state.admissions
        admissions.remember("door-1", "1001", ANNA, 102.0)
        admissions.take_refused(Refused("1001", 101.0))
        again = [(patron_id, "door-2", patron_id, 101.0) for patron_id in ("1002", "1001")]
        admissions.take_admitted_again(AdmittedAgain(again))
        assert admissions.known("1001").times_s == {("door-1", "1001"): 102.0}
        assert not admissions.knows("1002")
        admissions.take_admitted_again(AdmittedAgain([*again, ("1001", "door-2", "1001", 103.0)]))
        assert admissions.recall("door-2", "1001", 104.0, 60.0) == ANNA

    async def test_only_the_latest_refusals_are_kept(self, monkeypatch):
        monkeypatch.setattr("sip2gw.shared.together.doors.REFUSED_MAX", 2)
        admissions: Any = World(1).workers[0].state.admissions
        for at_s, patron_id in enumerate(("1001", "1002", "1001", "1003")):
            admissions.take_refused(Refused(patron_id, at_s))
        assert admissions._refused_s == {"1001": 2, "1003": 3}

    async def test_whose_record_is_too_long_is_remembered_by_one_worker(self, monkeypatch):
        monkeypatch.setattr(sealing, "SEALED_BYTES_MAX", 200)
        world = World()
        first, second = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        assert second.state.admissions.knows("1001")
        endless = PatronRecord("1001", "Anna" * 100, cards=ANNA.cards)
        first.state.admissions.see(endless)
        await world.quiet()
        assert first.state.admissions.holder("1001") == endless
        assert not second.state.admissions.knows("1001")
        assert Seen not in map(type, first.up.said)
        told = len(first.up.said)
        first.state.admissions.remember("door-1", "1001", PatronRecord("1001", "Eve" * 100), 9e9)
        await world.quiet()
        assert set(map(type, first.up.said[told:])) == {Refused}
        assert not second.state.admissions.knows("1001")


class TestNewWorker:
    """One that takes the place of a dead worker knows what the others know."""

    async def test_it_hears_of_passages_failures_and_admissions(self, monkeypatch):
        monkeypatch.setattr("sip2gw.shared.together.parent.PATRONS_PER_TURN", 1)
        world = World()
        (first, _) = world.workers
        now_s = world.now_s
        first.state.passages.begins("door-1", "1001", now_s, 5.0)
        first.state.passages.lead("door-1", ["1002"], Lead("1001", (), now_s))
        first.state.admissions.remember("door-1", "1009", ANNA, now_s)
        for patron_id in ("2001", "2002"):
            other = PatronRecord(patron_id, "Bob")
            first.state.admissions.remember("door-1", patron_id, other, now_s)
        first.state.admissions.remember("door-2", "1009", ANNA, now_s)
        first.state.admissions.see(ANNA, right=False)
        first.state.admissions.forget("2002")
        failing = asyncio.create_task(
            first.state.pin_guesses.fail("door-1", TerminalLimit(3, WINDOW_S), 100.0)
        )
        await world.quiet()
        assert failing.result() is False
        first.die()
        new = world.more().state
        await world.quiet()
        assert new.passages.goes_on("door-1", "1001", now_s + 1, 5.0)
        assert new.passages.lead_of("door-1", "1002", "1002", now_s + 1, 5.0)
        for door in ("door-1", "door-2"):
            assert new.admissions.recall(door, "1009", now_s + 1, 60.0) == ANNA
        patron = new.admissions.known("1001")
        assert patron is not None
        assert patron.wrong_pins == 1
        assert new.admissions.knows("2001")
        assert not new.admissions.knows("2002")
        assert list(new.pin_guesses.of("door-1", 3).failures) == [100.0]

    async def test_it_hears_of_them_before_any_line_is_handed_to_it(self):
        world = World(1)
        passages = world.workers[0].state.passages
        passages.begins("door-1", "1001", 999.0, 5.0)
        passages.lead("door-1", ["1002"], Lead("1001", (), 999.0))
        await world.quiet()
        passages.end("door-1", "1001")
        await world.quiet()
        assert world.more().down.said == world.workers[0].up.said

    async def test_it_does_not_hear_of_passages_that_are_long_over(self):
        world = World(1)
        passages = world.workers[0].state.passages
        passages.begins("door-1", "1001", world.now_s, 5.0)
        await world.quiet()
        world.now_s += lately.KEPT_S / 2
        passages.begins("door-1", "1002", world.now_s, 5.0)
        await world.quiet()
        world.now_s += lately.KEPT_S / 2
        assert world.more().down.said == world.workers[0].up.said[1:]

    async def test_only_the_last_passages_are_kept_for_it(self, monkeypatch):
        world = World(1)
        worker = world.workers[0]
        for card in range(6):
            worker.state.passages.begins("door-1", f"{card:010}", 999.0, 5.0)
            await world.quiet()
            size = len(msgspec.msgpack.encode(worker.up.said[0]))
            monkeypatch.setattr(lately, "KEPT_BYTES_MAX", 3 * size)
        assert world.more().down.said == worker.up.said[-3:]

    async def test_what_changes_meanwhile_is_told_as_well(self, monkeypatch):
        monkeypatch.setattr("sip2gw.shared.together.parent.PATRONS_PER_TURN", 1)
        world = World(1)
        (first,) = world.workers
        first.state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        new = world.more()
        first.state.admissions.see(BLOCKED)
        await turns()
        world.choose = lambda ways: ways[0]  # the change reaches the parent first
        await world.quiet()
        assert new.state.admissions.holder("1001") == BLOCKED

    async def test_one_that_dies_at_once_harms_nobody(self, monkeypatch):
        monkeypatch.setattr("sip2gw.shared.together.parent.PATRONS_PER_TURN", 1)
        world = World(1)
        world.workers[0].state.admissions.remember("door-1", "1001", ANNA, world.monotonic())
        await world.quiet()
        world.more().die()
        await world.quiet()
        assert not world.together._tasks


def test_what_a_library_system_said_is_the_same_at_every_worker():
    """An emergency makes the snapshot anew of it (B77)."""
    rules = FactRules(birth_date=Fact("PB"), badges=Fact("GL"), fees="av_evergreen")
    fields = b'AA1001|AEAnna|PB19800501|GLONBE|BV3.50|AV7 $3.50 "FINE" late|AFHello|'
    facts = read_facts(information(fields, b"Y"), rules, "EUR", DECODE)
    assert facts.fees
    assert facts.lines
    record = record_of(facts, "1001", CardHere(ANNA), None)
    assert sealing.unseal(sealing.seal(record)) == record
    apart = replace(record, word=LibraryWord(NO_FLAGS))
    assert sealing.unseal(sealing.seal(apart)) == apart


def test_nothing_personal_shows():
    message = Admitted("1001", "door-1", "1009", 1.0, sealing.seal(ANNA))
    shown = f"{message!r}{Told([message])!r}{sealing.Sealed('1001', b'Anna')!r}"
    assert shown == "<Admitted><Told><Sealed>"
