"""What guessing a PIN costs, and that nobody else pays for it.  (B19, B20, C19, C99)"""

import asyncio
import os
import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from harness import CONFIG, LIBRARY, NOON, ask_23, ask_37, person, running

from sip2gw.authentication.guesses import LATE_MAX_S, PinRules, next_slot_s
from sip2gw.authentication.pins import PinService
from sip2gw.authentication.verification import PENDING_MAX, SlowVerifier
from sip2gw.backend.base import (
    BackendError,
    BackendTimeoutError,
    HungUpError,
    UnavailableError,
)
from sip2gw.foundation.eager import start
from sip2gw.model import Card, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.shared.door_memory import Admissions
from sip2gw.shared.pin_guesses import PinGuesses, TerminalGuesses

LOCK = timedelta(minutes=15)


class FakeStore:
    """One patron with two cards, and failures that are counted or cannot be."""

    def __init__(self):
        self.failures, self.locked_until, self.broken = 0, None, False
        self.events = []
        self.error = UnavailableError("full")

    def record(self):
        cards = (Card("1", pin_failures=self.failures, pin_locked_until=self.locked_until),)
        return PatronRecord(id="P", name="Pat", pin_hash="right", cards=cards)

    async def find_by_card(self, number):
        return self.record()

    async def record_pin_failure(self, patron_id, now, failures_max, lock_until):
        await asyncio.sleep(0)
        if self.broken:
            raise self.error
        if self.locked_until is not None and now < self.locked_until:
            return None
        self.failures = 1 if self.locked_until is not None else self.failures + 1
        self.locked_until = lock_until if self.failures >= failures_max else None
        self.events.append("counted")
        return self.failures

    async def clear_pin_failures(self, patron_id):
        if self.broken:
            raise UnavailableError("full")
        self.failures, self.locked_until = 0, None
        self.events.append("cleared")

    def note_activity(self, patron_id, now):
        pass


class Verifier(SlowVerifier):
    """Hashes nothing; every guess that is judged is an event."""

    def __init__(self, store):
        super().__init__(lambda: 0.0, threads=1)
        self._store = store
        self.gate: Any = None
        self.went_first: list[bool] = []

    async def run(self, verify, *, first=True):
        self._store.events.append("judged")
        self.went_first.append(first)
        if self.gate is not None:
            await self.gate.wait()
        return verify()


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(
        "sip2gw.authentication.pins.verify_pin", lambda secret, stored, pin: stored == pin
    )
    return FakeStore()


class Locks(list[str]):
    """Which limits were reached, and at which terminals."""

    def __init__(self):
        self.where = []

    def note(self, what, terminal):
        self.append(what)
        self.where.append(terminal)


@pytest.fixture
def locks():
    return Locks()


@pytest.fixture
def pins(store, locks):
    return PinService(store, Verifier(store), b"", PinRules(), locks.note)


async def guess(pins, store, pin="wrong", now=NOON, terminal="door-1"):
    return await pins.check(store.record(), "1", pin, terminal, now)


# Counting (C99) -----------------------------------------------------------------------------------


async def test_the_first_guess_is_judged_and_counted_the_others_counted_and_judged(pins, store):
    for _ in range(3):
        assert await guess(pins, store) is PinState.WRONG
    assert store.events == ["judged", "counted", *["counted", "judged"] * 2]


async def test_five_wrong_pins_are_judged_and_then_the_right_one_is_not(pins, store, locks):
    answers = [await guess(pins, store) for _ in range(7)]
    assert answers == [PinState.WRONG] * 5 + [PinState.LOCKED] * 2
    assert await guess(pins, store, "right") is PinState.LOCKED
    assert store.events.count("judged") == 5
    assert locks == ["card"]


async def test_the_lock_ends_and_the_count_begins_anew(pins, store):
    for _ in range(5):
        await guess(pins, store)
    assert await guess(pins, store, now=NOON + LOCK - timedelta(seconds=1)) is PinState.LOCKED
    assert await guess(pins, store, now=NOON + LOCK) is PinState.WRONG
    assert store.failures == 1


async def test_a_right_pin_ends_the_count_and_costs_nothing_without_one(pins, store):
    assert await guess(pins, store, "right") is PinState.OK
    assert store.events == ["judged"]
    await guess(pins, store)
    assert await guess(pins, store, "right") is PinState.OK
    assert store.events == ["judged", "judged", "counted", "cleared"]
    assert store.failures == 0


async def test_a_remembered_pin_is_not_taken_for_a_guess(pins, store):
    await guess(pins, store, "right")
    for _ in range(4):
        await guess(pins, store)
    store.events.clear()
    assert await guess(pins, store, "right") is PinState.OK
    assert store.events == ["cleared"]
    assert pins.remembers(store.record(), store.record().cards[0], "right")


async def test_parallel_guesses_come_one_after_the_other(pins, store):
    answers = await asyncio.gather(*(guess(pins, store) for _ in range(20)))
    assert answers.count(PinState.WRONG) == 5
    assert store.events.count("judged") == 5


async def test_whoever_hangs_up_has_guessed_all_the_same(pins, store):
    pins._verifier.gate = asyncio.Event()
    for _ in range(10):
        impatient = asyncio.create_task(guess(pins, store))
        await asyncio.sleep(0)
        impatient.cancel()
    pins._verifier.gate.set()
    await asyncio.gather(*pins.guesses.under_way)
    assert store.failures == 5
    assert store.events.count("judged") == 5
    assert await guess(pins, store, "right") is PinState.LOCKED


async def test_two_gateways_judge_one_guess_more_than_one(pins, store, locks):
    """`pin_failures_max + gateways - 1`: the first of each may be judged at the same time."""
    other = PinService(store, Verifier(store), b"", PinRules(), locks.note)
    answers = await asyncio.gather(*(guess(p, store) for p in (pins, other) for _ in range(20)))
    assert store.events.count("judged") <= 6
    assert answers.count(PinState.WRONG) <= 6


async def test_another_gateway_may_have_locked_between_reading_and_counting(pins, store):
    await guess(pins, store)
    read = store.record()

    async def stale(number):
        return read

    store.find_by_card = stale
    store.failures, store.locked_until = 5, NOON + LOCK
    assert await guess(pins, store, "right") is PinState.LOCKED
    assert store.events == ["judged", "counted"]


async def test_no_pin_is_no_guess_and_an_unknown_card_no_patrons(pins, store):
    assert await guess(pins, store, "") is PinState.ABSENT
    assert await pins.check(store.record(), "other", "wrong", "door-1", NOON) is PinState.WRONG
    assert store.events == []


async def test_a_patron_without_pin_has_none_that_is_right(pins, store):
    record = PatronRecord(id="P", name="Pat", cards=(Card("1"),))
    store.record = lambda: record
    assert await guess(pins, store, "") is PinState.ABSENT
    assert await guess(pins, store, "right") is PinState.WRONG
    assert store.events == ["counted"]


async def test_a_failing_guess_that_nobody_waits_for_disturbs_nobody(pins, store):
    async def fail(number):
        raise BackendError("bug")

    store.find_by_card = fail
    with pytest.raises(BackendError):
        await guess(pins, store)
    impatient = asyncio.create_task(guess(pins, store))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(*pins.guesses.under_way, return_exceptions=True)
    assert pins.guesses.under_way == set()


# A store that cannot be written (C99) -------------------------------------------------------------


async def test_what_the_store_cannot_count_is_counted_in_memory(pins, store, locks):
    store.broken = True
    answers = [await guess(pins, store) for _ in range(7)]
    assert answers == [PinState.WRONG] * 5 + [PinState.LOCKED] * 2
    assert await guess(pins, store, "right") is PinState.LOCKED
    assert locks == ["card"]
    assert await guess(pins, store, now=NOON + LOCK) is PinState.WRONG


async def test_memory_and_store_count_together(pins, store, locks):
    for _ in range(2):
        await guess(pins, store)
    store.broken = True
    answers = [await guess(pins, store) for _ in range(4)]
    assert answers == [PinState.WRONG] * 3 + [PinState.LOCKED]
    assert locks == ["card"]


async def test_an_expired_lock_in_the_store_is_no_failure_in_memory(pins, store):
    for _ in range(5):
        await guess(pins, store)
    store.broken = True
    answers = [await guess(pins, store, now=NOON + LOCK) for _ in range(6)]
    assert answers == [PinState.WRONG] * 5 + [PinState.LOCKED]


async def test_a_store_that_does_not_take_one_is_not_asked_to_take_the_others(
    pins, store, monkeypatch
):
    """20,000 patrons that each wait for a lock would never come to an end."""
    monkeypatch.setattr("sip2gw.authentication.guesses.WRITE_AGAIN_S", 0)
    rounds, tried = asyncio.Semaphore(0), []
    guess_at = many_patrons(store)

    async def record_pin_failure(patron_id, now, failures_max, lock_until):
        tried.append(patron_id)
        await rounds.acquire()
        raise UnavailableError("full")

    guesses = [asyncio.create_task(guess_at(pins, card)) for card in ("A", "B")]
    store.record_pin_failure = record_pin_failure
    await turns()
    for _ in range(4):
        rounds.release()
        await turns()
    await asyncio.gather(*guesses)
    assert tried == ["A", "B", "A", "A", "A"]
    pins.guesses.writing.cancel()


async def test_while_the_store_is_away_nobody_asks_it(pins, store):
    """It would take until the deadline to hear that it is away."""
    seen, asked = store.record(), []

    async def away(*arguments):
        asked.append(arguments)
        raise UnavailableError("away")

    store.find_by_card = store.record_pin_failure = store.clear_pin_failures = away
    for pin, state in [("wrong", PinState.WRONG)] * 2 + [("right", PinState.OK)]:
        assert await pins.check(seen, "1", pin, "door-1", NOON, store_away=True) is state
    assert asked == []
    assert pins.guesses.unwritten == {}


async def test_locked_guesses_are_seen_and_only_count_while_the_store_is_away(store, locks):
    """C110: the one who was admitted, and guessed at since."""
    admissions = Admissions()
    pins = PinService(store, Verifier(store), b"", PinRules(), locks.note, admissions)
    admissions.remember("door-1", "1", store.record(), 0)
    for _ in range(6):
        await guess(pins, store)
    assert admissions.is_guessed_at("P")
    later, seen = NOON + LOCK, store.record()
    away = await pins.check(seen, "1", "right", "door-1", later, store_away=True)
    assert away is PinState.LOCKED
    assert await guess(pins, store, "right", now=later) is PinState.OK
    assert not admissions.is_guessed_at("P")


async def test_the_count_in_memory_goes_to_the_store_when_it_works_again(pins, store, monkeypatch):
    monkeypatch.setattr("sip2gw.authentication.guesses.WRITE_AGAIN_S", 0)
    store.broken = True
    for _ in range(3):
        await guess(pins, store)
    writing = pins.guesses.writing
    for _ in range(10):
        await asyncio.sleep(0)
    assert pins.guesses.unwritten["P"].failures == 3
    store.broken = False
    await writing
    assert (store.failures, pins.guesses.unwritten, pins.guesses.writing) == (3, {}, None)


async def test_the_count_in_memory_survives_a_bug_in_writing_it(pins, store, monkeypatch):
    monkeypatch.setattr("sip2gw.authentication.guesses.WRITE_AGAIN_S", 0)
    store.broken = True
    await guess(pins, store)
    writing = pins.guesses.writing
    store.error = RuntimeError("a bug")
    await turns()
    assert pins.guesses.unwritten["P"].failures == 1
    store.broken = False
    await writing
    assert (store.failures, pins.guesses.unwritten) == (1, {})


async def test_a_right_pin_ends_the_count_in_memory_too(pins, store):
    await guess(pins, store, "right")
    store.broken = True
    await guess(pins, store)
    assert not pins.remembers(store.record(), store.record().cards[0], "right")
    assert await guess(pins, store, "right") is PinState.OK
    assert pins.guesses.unwritten == {}
    assert pins.remembers(store.record(), store.record().cards[0], "right")


async def test_whose_failures_can_be_kept_nowhere_is_treated_as_locked(pins, store, monkeypatch):
    monkeypatch.setattr("sip2gw.authentication.guesses.UNWRITTEN_PATRONS_MAX", 1)
    store.broken = True
    await guess(pins, store)
    other = PatronRecord(id="Q", name="Quinn", pin_hash="right", cards=(Card("1"),))
    store.record = lambda: other
    assert await guess(pins, store, "right") is PinState.LOCKED


# Terminals (C19, C99) -----------------------------------------------------------------------------


async def test_too_many_failures_at_a_terminal_are_reported_once(store, locks):
    rules = PinRules(failures_max=100, terminal_failures_max=3)
    pins = PinService(store, Verifier(store), b"", rules, locks.note)
    for _ in range(2):
        await guess(pins, store)
    assert locks == []
    for _ in range(3):
        await guess(pins, store)
    assert locks == ["terminal"]
    for _ in range(3):
        await guess(pins, store, now=NOON + timedelta(minutes=16))
    assert locks == ["terminal"] * 2
    assert set(locks.where) == {"door-1"}
    await guess(pins, store, terminal="door-2", now=NOON + timedelta(minutes=16))
    assert locks == ["terminal"] * 2


async def test_such_a_terminal_has_two_pins_judged_at_once_and_the_others_do_not_wait(store, locks):
    rules = PinRules(failures_max=100, terminal_failures_max=1)
    verifier = Verifier(store)
    pins = PinService(store, verifier, b"", rules, locks.note)
    await guess(pins, store)
    verifier.gate = asyncio.Event()
    store.events.clear()

    async def guess_of(number, terminal):
        record = PatronRecord(f"{number}", "Pat", pin_hash="right", cards=(Card(f"{number}"),))

        async def find(card):
            return PatronRecord(card, "Pat", pin_hash="right", cards=(Card(card),))

        store.find_by_card = find
        return await pins.check(record, f"{number}", "right", terminal, NOON)

    here = [asyncio.create_task(guess_of(number, "door-1")) for number in range(5)]
    there = [asyncio.create_task(guess_of(number, "door-2")) for number in range(10, 13)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert store.events.count("judged") == 2 + 3
    verifier.gate.set()
    assert await asyncio.gather(*here, *there) == [PinState.OK] * 8


async def test_a_door_goes_first_until_three_pins_have_failed_there(store, locks):
    """Whoever floods kiosks with guesses keeps nobody out who stands before a door."""
    verifier = Verifier(store)
    pins = PinService(store, verifier, b"", PinRules(failures_max=100), locks.note)

    async def guess_at(terminal, now=NOON, *, at_door=True):
        await pins.check(store.record(), "1", "wrong", terminal, now, at_door=at_door)

    await guess_at("kiosk-1", at_door=False)
    for _ in range(4):
        await guess_at("door-1")
    await guess_at("door-2")
    assert verifier.went_first == [False, True, True, True, False, True]
    await guess_at("door-1", NOON + timedelta(minutes=16))
    assert verifier.went_first[-1] is True


async def test_those_that_go_first_have_threads_of_their_own_which_do_not_yield():
    verifier = SlowVerifier(lambda: 0.0, threads=2)

    def yields():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) > own

    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert await verifier.run(yields)
    assert not await verifier.run(yields, first=True)
    held, begun = threading.Event(), []

    def hold(name):
        begun.append(name)
        return held.wait(10)

    crowd = [asyncio.create_task(verifier.run(partial(hold, n), first=False)) for n in range(5)]
    await asyncio.sleep(0)
    assert await verifier.run(lambda: True, first=True)
    assert begun in ([], [0])
    held.set()
    assert await asyncio.gather(*crowd) == [True] * 5
    assert begun == [0, 1, 2, 3, 4]
    verifier.close()


async def test_a_full_queue_of_the_others_refuses_none_that_goes_first():
    verifier = SlowVerifier(lambda: 0.0, threads=2)
    held = threading.Event()
    crowd = [
        asyncio.create_task(verifier.run(lambda: held.wait(10), first=False))
        for _ in range(PENDING_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(BackendTimeoutError):
        await verifier.run(lambda: True, first=False)
    assert await verifier.run(lambda: True, first=True)
    held.set()
    await asyncio.gather(*crowd)
    assert await verifier.run(lambda: True, first=False)
    verifier.close()


def many_patrons(store):
    """A store in which each card has a patron of its own; returns how to guess at one."""

    def patron(card):
        return PatronRecord(card, "Pat", pin_hash="right", cards=(Card(card),))

    async def find(card):
        return patron(card)

    store.find_by_card = find
    return lambda pins, card, terminal="door-1": pins.check(
        patron(card), card, "wrong", terminal, NOON
    )


async def failures(gateway, card):
    return (await gateway.store.find_by_card(card)).cards[0].pin_failures


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_guesses_that_are_being_judged_count_as_failures_before_they_are(store, locks):
    """C99: else whoever is quick enough has any number judged at once, and nobody else any."""
    rules = PinRules(failures_max=100, terminal_failures_max=4)
    verifier = Verifier(store)
    pins = PinService(store, verifier, b"", rules, locks.note)
    guess_at = many_patrons(store)
    await guess_at(pins, "first")
    store.events.clear()
    verifier.gate = asyncio.Event()
    here = [asyncio.create_task(guess_at(pins, f"{number}")) for number in range(20)]
    there = asyncio.create_task(guess_at(pins, "other", "door-2"))
    await turns()
    assert store.events.count("judged") == 3 + 2 + 1
    verifier.gate.set()
    await asyncio.gather(*here, there)
    assert store.events.count("judged") == 21
    known = pins.guesses.terminal("door-1")
    assert (known.judged, known.turn._value) == (0, 2)


async def test_hanging_up_makes_no_room_for_more_guesses_at_a_time(store, locks):
    rules = PinRules(failures_max=100, terminal_failures_max=1)
    verifier = Verifier(store)
    pins = PinService(store, verifier, b"", rules, locks.note)
    guess_at = many_patrons(store)
    await guess_at(pins, "first")
    store.events.clear()
    verifier.gate = asyncio.Event()
    for number in range(20):
        impatient = asyncio.create_task(guess_at(pins, f"{number}"))
        await turns()
        impatient.cancel()
        await turns()
    assert store.events.count("judged") == len(pins.guesses.under_way) == 2
    verifier.gate.set()
    await asyncio.gather(*pins.guesses.under_way)
    await guess_at(pins, "last")
    assert store.events.count("judged") == 3


@pytest.mark.parametrize(
    ("failures", "judged", "too_many"),
    [
        ((95, 96), 0, False),
        ((90, 95, 96), 0, True),
        ((89, 95, 96), 0, False),
        ((95, 96), 1, True),
        ((89, 96), 1, False),
        ((89, 95, 96), 1, True),
        ((), 2, False),
        ((), 3, True),
        ((95,), 4, True),
    ],
)
def test_three_failures_within_ten_seconds_are_too_many_however_they_came(
    failures, judged, too_many
):
    terminal = TerminalGuesses(3)
    terminal.failures.extend(failures)
    assert terminal.too_many(100, 10, judged) is too_many


async def test_changed_rules_begin_a_new_count_at_terminals(store, locks):
    pins = PinService(store, Verifier(store), b"", PinRules(terminal_failures_max=2), locks.note)
    await guess(pins, store)
    pins.rules = PinRules(terminal_failures_max=1)
    await guess(pins, store)
    assert locks == ["terminal"]


# Times (C99) --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "leaves_at"), [(0.0, 0.5), (0.1, 0.5), (0.5, 0.5), (0.51, 1.0), (1.7, 2.0)]
)
def test_failing_answers_leave_at_the_next_slot(elapsed, leaves_at):
    assert next_slot_s(elapsed, 0.5) == leaves_at


async def test_the_time_of_the_answer_is_that_of_the_slot(store, locks, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    now = [0.2]
    verifier = Verifier(store)
    verifier.monotonic = lambda: now[0]
    rules = PinRules(failures_max=100, terminal_failures_max=1, answer_slot_s=0.5)
    pins = PinService(store, verifier, b"", rules, locks.note)
    monkeypatch.setattr("sip2gw.authentication.guesses.asyncio.sleep", sleep)
    await pins.hold_back("door-1", NOON, 0.0)
    await guess(pins, store)
    slept.clear()
    await pins.hold_back("door-1", NOON, 0.0)
    await pins.hold_back("door-2", NOON, 0.1)
    assert slept == pytest.approx([LATE_MAX_S - 0.2, 0.4])
    pins.rules = PinRules(answer_slot_s=0)
    await pins.hold_back("door-1", NOON, 0.0)
    assert len(slept) == 2


async def test_the_deadline_cuts_the_slot_short_and_hanging_up_ends_the_request(pins):
    pins.rules = PinRules(answer_slot_s=2)
    waiting = start(pins.hold_back("door-1", NOON, 0.0))
    ends: list[object] = []
    waiting.go_on(ends.append)
    waiting.cancel()
    gone = start(pins.hold_back("door-1", NOON, 0.0))
    gone.go_on(ends.append)
    gone.cancel(HungUpError())
    await turns()
    assert [type(end) for end in ends] == [type(None), HungUpError]


async def test_a_wrong_pin_is_told_at_the_deadline_and_ends_a_verification(tmp_path):
    """C94, C99: a slot that is longer than the deadline makes no fault of the store."""
    config = CONFIG.replace("failing_answer_slot_s = 0", "failing_answer_slot_s = 2")
    config = config.replace("[server]", "[server]\nrequest_timeout_s = 1")
    async with running(tmp_path, config=config) as gateway:
        pay = await gateway.terminal("pay-1")
        assert "CQY" in await pay.ask(ask_23("1004", "1004"))
        await pay.send(ask_23("1004", "0000"))
        while gateway.app._pins.guesses.under_way or not await failures(gateway, "1004"):
            await turns()
        await turns()  # now the answer waits for its slot
        gateway.clock.advance(1.5)
        gateway.app.server._sweep()
        answer = await pay.read()
        assert "CQN" in answer
        assert "PIN is not correct" in answer
        assert gateway.metrics.backend_errors == {}
        assert (await pay.ask(ask_37("1004", "1.00"))).startswith("38N")


async def test_a_guess_that_is_not_judged_in_time_ends_a_verification_c94(tmp_path):
    async with running(tmp_path) as gateway:
        pay = await gateway.terminal("pay-1")
        assert "CQY" in await pay.ask(ask_23("1004", "1004"))
        judging, gate = gateway.app._verifier, asyncio.Event()

        async def slowly(verify, *, first):
            gate.set()
            await asyncio.Event().wait()

        judging.run = slowly
        await pay.send(ask_23("1004", "0000"))
        await gate.wait()
        gateway.clock.advance(60)
        gateway.app.server._sweep()
        assert "CQN" in await pay.read()
        assert (await pay.ask(ask_37("1004", "1.00"))).startswith("38N")
        for guess in gateway.app._pins.guesses.under_way:
            guess.cancel()


@pytest.mark.parametrize("hides", [False, True])
async def test_wrong_locked_and_hidden_unknown_are_held_back_and_others_are_not(tmp_path, hides):
    """Which answers wait: a fact of the code, not of the clock."""
    config = CONFIG.replace(
        "[profiles.kiosk]\n", f"[profiles.kiosk]\nwrong_pin_hides_card = {str(hides).lower()}\n"
    )
    async with running(tmp_path, config=config) as gateway:
        held = []
        pins = gateway.app._pins

        async def hold_back(terminal, now, began_s):
            held.append(terminal)

        pins.hold_back = hold_back
        kiosk = await gateway.terminal("kiosk-1")
        for card, pin, waits in (
            ("1001", "1001", False),
            ("1001", "wrong", True),
            ("1001", None, False),
            ("1001", "", False),
            ("4711", "wrong", hides),
            ("4711", None, False),
            ("1001R", "wrong", hides),
        ):
            held.clear()
            await kiosk.ask(ask_23(card, pin))
            assert held == ["kiosk-1"] * waits, (card, pin)
        for _ in range(5):
            await kiosk.ask(ask_23("1001", "wrong"))
        held.clear()
        await kiosk.ask(ask_23("1001", "1001"))
        assert held == ["kiosk-1"]


async def test_whoever_stands_before_a_door_has_the_pin_hashed_first(gateway):
    hashed_first = []

    async def run(verify, *, first):
        hashed_first.append(first)
        return verify()

    gateway.app._verifier.run = run
    for login in ("door-1", "kiosk-1"):
        assert "CQN" in await (await gateway.terminal(login)).ask(ask_23("1001", "0000"))
    assert hashed_first == [True, False]


async def test_a_hidden_replaced_card_is_held_back_with_the_right_pin_too(tmp_path):
    """C99: that its PIN is known would tell that there is such a card."""
    config = CONFIG.replace("[profiles.cash]", "[profiles.cash]\nwrong_pin_hides_card = true")
    async with running(tmp_path, config=config) as gateway:
        held = []

        async def hold_back(terminal, now, began_s):
            held.append(terminal)

        gateway.app._pins.hold_back = hold_back
        pay = await gateway.terminal("pay-1")
        assert "CQY" in await pay.ask(ask_23("1001", "1001"))
        assert held == []
        assert "BLN" in await pay.ask(ask_23("1001R", "1001"))
        assert (await pay.ask(ask_37("1001R", "1.00", pin="1001"))).startswith("38N")
        assert held == ["pay-1"] * 2


@pytest.mark.parametrize("card", ["1001", "4711", "1001R"])
async def test_the_slot_begins_before_the_card_is_looked_for(tmp_path, card):
    """What is in the cache is found sooner than what there is not."""
    config = CONFIG.replace("[profiles.cash]", "[profiles.cash]\nwrong_pin_hides_card = true")
    async with running(tmp_path, config=config) as gateway:
        began = []

        async def hold_back(terminal, now, began_s):
            began.append(began_s)

        backend, clock = gateway.app.gateway.backend, gateway.clock
        find, find_payer = backend.find_by_card, backend.find_payer

        async def slowly(number):
            clock.advance(1)
            return await find(number)

        async def payer_slowly(number):
            clock.advance(1)
            return await find_payer(number)

        pay = await gateway.terminal("pay-1")
        gateway.app._pins.hold_back = hold_back
        backend.find_by_card, backend.find_payer = slowly, payer_slowly
        for request in (ask_23(card, "0000"), ask_37(card, "1.00", pin="0000")):
            starts = clock.at
            await pay.ask(request)
            assert began.pop() == starts


# Through the gateway ------------------------------------------------------------------------------


async def test_all_cards_of_a_patron_share_the_guesses(tmp_path):
    """C99: seen were five more guesses with each further card, lost and blocked ones included."""
    states = {"1001B": "blocked", "1001L": "lost", "1001X": "active"}
    cards = [{"number": number, "state": state} for number, state in states.items()]
    records = [one for one in LIBRARY if one.get("id") != "1001"]
    records.append(person("1001", "Anna Peeters", cards=cards))
    async with running(tmp_path, records=records) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        for card in ("1001", "1001B", "1001L", "1001X", "1001"):
            await kiosk.ask(ask_23(card, "wrong"))
        for card in ("1001", "1001X"):
            assert "CQN" in await kiosk.ask(ask_23(card, "1001"))
        assert gateway.metrics.pin_locks == 1
        gateway.clock.advance(15 * 60)
        assert "CQY" in await kiosk.ask(ask_23("1001", "1001"))


async def locked(gateway, card):
    return (await gateway.store.find_by_card(card)).cards[0].pin_locked_until is not None


async def test_a_line_that_hangs_up_does_not_stop_the_count(gateway):
    for _ in range(8):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.send(ask_23("1001", "wrong"))
        kiosk.close()
    pins = gateway.app._pins
    async with asyncio.timeout(30):
        while pins.guesses.under_way or not await locked(gateway, "1001"):  # noqa: ASYNC110 -- from outside
            await asyncio.sleep(0.01)
    kiosk = await gateway.terminal("kiosk-1")
    assert "CQN" in await kiosk.ask(ask_23("1001", "1001"))
    assert "CQY" in await kiosk.ask(ask_23("1002", "1002"))


async def test_too_much_to_hash_is_said_and_costs_a_patron_nothing(gateway):
    async def busy(verify, *, first):
        raise BackendTimeoutError("too many verifications are waiting")

    gateway.app._verifier.run = busy
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_23("1001", "1001"))
    assert answer.startswith("24YYYY")
    assert "CQN" in answer
    assert gateway.metrics.backend_errors == {("23", "timeout"): 1}
    record = await gateway.store.find_by_card("1001")
    assert record.cards[0].pin_failures == 0


def test_another_limit_begins_a_new_count_at_a_terminal():
    guesses = PinGuesses()
    assert guesses.of("door-1", 2) is guesses.of("door-1", 2)
    assert guesses.of("door-1", 2) is not guesses.of("door-1", 1)
