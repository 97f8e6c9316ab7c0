"""Random loans, returns, renewals and holds on both stores, against a model of the rules (B56-B60).

`DeskMachine` is for terminals whose clocks are right, `ClockMachine` for those whose clocks are not
(C97). `play` runs either for so many steps.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, event, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from orders import decided_by
from postgres import Server

from sip2gw.backend.base import CirculationOrder, CirculationResult
from sip2gw.backend.library import Library
from sip2gw.model import ItemStatus
from sip2gw.model.items import ItemRecord, Outcome
from sip2gw.policy.items.decisions import (
    CirculationRequest,
    CirculationRules,
    Decision,
    Facts,
    decide_cancel,
)
from sip2gw.policy.items.holds import HoldRequest, decide_hold
from sip2gw.policy.items.lending import decide_checkout, decide_renewal
from sip2gw.policy.items.returns import decide_checkin
from sip2gw.policy.obstacles import Standing, decide_standing

from .desk_model import DAY, ZONE, Answer, Copy, Desk
from .desk_scene import (
    BRANCHES,
    COPIES,
    HOLDS,
    ODD_CLOCKS,
    READERS,
    RIGHT,
    TERMINALS,
    Request,
    records,
)
from .library import NOW, load, open_library, open_postgres_library

STEPS = 50
"""Of one library."""

items = st.sampled_from(("A1", "A2", "A3") * 4 + ("FEE", "FEE", "REF", "nothing"))
readers = st.sampled_from(("P1", "P2", "P3") * 5 + ("BAD", "BAD", "nobody"))
terminals = st.sampled_from(tuple(TERMINALS))
hours_ago = st.sampled_from((None, None, None, 0, 1, 30))
"""None: on line."""


def standing(facts: Facts) -> Standing | None:
    """What stands against whoever asks."""
    patron = facts.patron
    if patron is None:
        return None
    return decide_standing(patron, patron.cards[0], NOW.date(), ZONE, None)


class DeskMachine(RuleBasedStateMachine):
    """Both stores and the model do everything; every answer is compared, and what is left."""

    server: Server
    done: Counter[str]
    clocks: Iterable[str] = ()
    """The clocks that the terminals have; none: theirs are right."""

    @initialize(data=st.data())
    def open(self, data: st.DataObject) -> None:
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.database = self.server.make_database()
        self.stores: list[Any] = [
            open_library(Path(self.directory.name)),
            open_postgres_library(self.server.url(self.database), "command"),
        ]
        for store in self.stores:
            assert load(store, *records()).errors == ()
        self.now = NOW
        self.jumps = 0
        self.clock = dict.fromkeys(TERMINALS, RIGHT)
        if self.clocks:
            kinds = st.sampled_from(tuple(self.clocks))
            self.clock = {name: ODD_CLOCKS[data.draw(kinds)] for name in TERMINALS}
        self.sent: list[Request] = []
        copies = {item: Copy(**vars(it)) for item, it in COPIES.items()}
        self.desk = Desk(copies, TERMINALS, READERS, HOLDS, frozenset({"BAD"}))

    # What is asked

    @rule(terminal=terminals, reader=readers, item=items, agreed=st.booleans(), ago=hours_ago)
    def checkout(
        self, terminal: str, reader: str, item: str, agreed: bool, ago: int | None
    ) -> None:
        date, happened = self.date(terminal), self.ago(ago)
        self.ask(Request("11", terminal, reader, item, date, agreed=agreed, happened=happened))

    @rule(terminal=terminals, reader=readers, item=items, agreed=st.booleans(), ago=hours_ago)
    def renew(self, terminal: str, reader: str, item: str, agreed: bool, ago: int | None) -> None:
        date, happened = self.date(terminal), self.ago(ago)
        self.ask(Request("29", terminal, reader, item, date, agreed=agreed, happened=happened))

    @rule(terminal=terminals, item=items, ago=hours_ago)
    def checkin(self, terminal: str, item: str, ago: int | None) -> None:
        date = self.date(terminal)
        self.ask(Request("09", terminal, None, item, date, happened=self.ago(ago)))

    @rule(terminal=terminals, back=st.integers(0, 4), ago=hours_ago)
    def bring_back(self, terminal: str, back: int, ago: int | None) -> None:
        lent = [item for item, it in self.desk.copies.items() if it.reader or it.travels]
        if lent:
            self.checkin(terminal, lent[back % len(lent)], ago)

    @rule(item=items, wrong=st.sampled_from((None, None, None, "terminal", "reader", "code")))
    def cancel(self, item: str, wrong: str | None) -> None:
        """The last that was done with this copy, or nearly."""
        last = self.desk.last.get(item)
        terminal, code, reader = "kiosk", "11", "P1"
        if last is not None:
            terminal = "strict" if wrong == "terminal" else last.terminal
            code = "11" if (last.code == "09") != (wrong == "code") else "09"
            reader = "P3" if wrong == "reader" or last.reader is None else last.reader
        who = reader if code == "11" else None
        self.ask(Request(code, terminal, who, item, self.date(terminal), cancels=True))

    @rule(
        reader=readers,
        item=items,
        mode=st.sampled_from("++++-*"),
        any_copy=st.booleans(),
        pickup=st.sampled_from(BRANCHES),
        days=st.sampled_from((None, None, -1, 3, 40)),
    )
    def hold(
        self,
        reader: str,
        item: str,
        mode: str,
        any_copy: bool,
        pickup: str | None,
        days: int | None,
    ) -> None:
        expires = None
        if days is not None:
            expires = self.now.replace(hour=12, minute=0, second=0) + timedelta(days=days)
        self.ask(
            Request(
                "15",
                "kiosk",
                reader,
                item,
                self.date("kiosk"),
                mode=mode,
                any_copy=any_copy,
                pickup=pickup,
                expires=expires,
            )
        )

    @rule(back=st.integers(0, 4), mode=st.sampled_from("-*"), pickup=st.sampled_from(BRANCHES))
    def hold_again(self, back: int, mode: str, pickup: str | None) -> None:
        """Somebody who waits thinks better of it."""
        if self.desk.waits:
            waits = sorted(self.desk.waits, key=lambda wait: not wait.ready)
            wait = waits[back % len(waits)]
            known = [item for item, it in self.desk.copies.items() if it.title == wait.title]
            item = wait.set_aside or wait.only or known[0]
            self.hold(wait.reader, item, mode, False, pickup, None)

    @rule(back=st.integers(0, 8))
    def ask_again(self, back: int) -> None:
        """What a terminal sends when the answer was lost."""
        if self.sent:
            self.ask(self.sent[-1 - back % len(self.sent)])

    @rule(hours=st.sampled_from((1, 5, 25, 24 * 8, 24 * 30)))
    def wait(self, hours: int) -> None:
        """Hours go by, and clocks that jump do so."""
        self.now += timedelta(hours=hours)
        self.jumps += 1

    def date(self, terminal: str) -> datetime:
        """What time it is for the terminal."""
        return self.clock[terminal](self.now, self.jumps)

    def ago(self, hours: int | None) -> datetime | None:
        """When it happened off line, if it did."""
        return None if hours is None else self.now - timedelta(hours=hours)

    # Asking

    def ask(self, request: Request) -> None:
        """Both stores must say and do what the model expects, and a yes must be so."""
        told = self.desk.repeated(request.item, request.key, request.reader, self.now)
        earlier = self.desk.told.get((request.item, request.key))
        known = earlier is not None and self.now < earlier.until
        expected = told.answer if told is not None else self.expected(request)
        yes = isinstance(expected, dict)
        outcome = "replayed" if told is not None else "done" if yes else "refused"
        for store in self.stores:
            before = self.runner.run(store.find_item(request.item, self.now))
            result = self.runner.run(
                store.circulate(decided_by(self.order(request), self.decider(request)))
            )
            where = f"{type(store).__name__}, {request}"
            told_here = said(result, expected)
            assert told_here == expected, f"{where}: {told_here}, not {expected}"
            assert result.outcome == outcome, f"{where}: {result.outcome}, not {outcome}"
            if result.done is not None:
                self.runner.run(self.must_be_so(store, request, result.done, before))
        self.count(request, expected, outcome, known)
        if yes and request not in self.sent:
            self.sent.append(request)
        self.compare()
        self.now += timedelta(seconds=1)

    def expected(self, request: Request) -> Answer:
        """What the model says to it when it is not repeated."""
        terminal, reader, item, desk = request.terminal, request.reader, request.item, self.desk
        now, key = self.now, request.key
        if request.cancels:
            return desk.cancel(terminal, request.code, reader, item, now, key)
        if request.code == "09":
            return desk.checkin(terminal, item, now, key, happened=request.happened)
        assert reader is not None
        if request.code == "15":
            return desk.hold(
                reader,
                item,
                now,
                key,
                mode=request.mode,
                any_copy=request.any_copy,
                pickup=request.pickup,
                expires=request.expires,
            )
        ask = desk.checkout if request.code == "11" else desk.renew
        agreed, happened = request.agreed, request.happened
        return ask(terminal, reader, item, now, key, agreed=agreed, happened=happened)

    def order(self, request: Request) -> CirculationOrder:
        """For the stores."""
        return CirculationOrder(
            code=request.code,
            terminal=request.terminal,
            item_id=request.item,
            patron_id=request.reader if request.reader in READERS else None,
            now=self.now,
            case=cast(Any, None),  # each store is told how to decide
            key=request.key,
            key_expires=self.now + DAY,
        )

    def decider(self, request: Request) -> Callable[[Facts], Decision]:
        """The policy for it."""
        rules = self.rules_of(request.terminal)
        offline = request.happened is not None
        asked = CirculationRequest(
            self.now, request.code, offline, request.happened, None, request.agreed
        )
        if request.cancels:
            return lambda facts: decide_cancel(facts, asked, rules)
        if request.code == "09":
            return lambda facts: decide_checkin(facts, asked, rules)
        if request.code == "15":
            hold = HoldRequest(
                self.now,
                request.mode,
                any_copy=request.any_copy,
                pickup_branch=request.pickup,
                expires=request.expires,
                branches=frozenset({"MAIN", "EAST"}),
                here="MAIN",
            )
            return lambda facts: decide_hold(facts, standing(facts), hold)
        if request.code == "11":
            return lambda facts: decide_checkout(facts, standing(facts), asked, rules)

        def renew(facts: Facts) -> Any:
            known = tuple(each for each in (standing(facts),) if each is not None)
            return decide_renewal(facts, known, asked, rules)

        return renew

    def rules_of(self, terminal: str) -> CirculationRules:
        known = TERMINALS[terminal]
        return CirculationRules(
            terminal,
            known.branch,
            ZONE,
            renews_own_loan=known.renews_by_11,
            takes_what_is_not_on_loan=known.takes_anything,
        )

    def count(self, request: Request, expected: Answer, outcome: str, known: bool) -> None:
        """Count what happened."""
        if not isinstance(expected, dict):
            self.note(expected[0])
        elif outcome == "replayed":
            self.note("repeated")
        else:
            self.note(f"{request.name} done")
            self.note("renewed by 11" if expected.get("renewed") and request.code == "11" else "")
            self.note("late" if request.code == "09" and expected.get("fee") else "")
            self.note("for somebody" if request.code == "09" and expected.get("for") else "")
        if known and outcome != "replayed":
            self.note(f"{request.name} afresh")

    def note(self, what: str) -> None:
        """Count what happened."""
        if what:
            event(what)
            self.done[what] += 1

    # What must hold

    async def must_be_so(
        self, store: Library, request: Request, yes: Outcome, before: ItemRecord | None
    ) -> None:
        """Whatever the model says: what a terminal was told is so in the store right after it."""
        now, earlier = await store.find_item(request.item, self.now), before
        assert now is not None
        assert earlier is not None
        loan = now.state.loan
        if request.code == "15":
            assert yes.hold is not None
            patron = await store.find_patron(yes.hold.patron_id)
            assert patron is not None
            there = {hold.id: (hold.pickup_branch, hold.expires) for hold in patron.holds}
            terms = None if request.mode == "-" else (yes.hold.pickup_branch, yes.hold.expires)
            assert there.get(yes.hold.id) == terms
        elif request.cancels:
            assert (loan.due if loan is not None else None) == yes.due
            assert loan is None or request.code == "09" or loan.patron_id == yes.patron_id
        elif request.code == "09":
            came_late = request.happened is not None and loan == earlier.state.loan
            assert loan is None or came_late
            if loan is None:
                assert now.state.current_branch == TERMINALS[request.terminal].branch
                assert (now.state.status is ItemStatus.IN_TRANSIT) == (yes.destination is not None)
        else:
            assert loan is not None
            assert (loan.patron_id, loan.due) == (request.reader, yes.due)

    @invariant()
    def count_steps(self) -> None:
        self.done["steps"] += hasattr(self, "desk")

    def compare(self) -> None:
        """The stores are as the model is."""
        expected = self.expected_state()
        for store in self.stores:
            state = self.runner.run(self.state_of(store))
            other = {what: (found, expected[what]) for what, found in state.items()}
            other = {what: both for what, both in other.items() if both[0] != both[1]}
            assert not other, f"{type(store).__name__}: found and expected {other}"

    async def state_of(self, store: Library) -> dict[str, Any]:
        state: dict[str, Any] = {}
        owners: dict[str, str] = {}
        for name in READERS:
            record = await store.find_patron(name)
            assert record is not None
            owners |= {hold.id: name for hold in record.holds}
            waits = [
                (h.item_id, h.title_id, h.ready, h.pickup_branch, h.expires) for h in record.holds
            ]
            owed = sum(fee.owed for fee in record.fees)
            loans = sorted((loan.item_id, loan.due, loan.renewals) for loan in record.loans)
            state[name] = (loans, sorted(waits, key=repr), owed)
        for item in COPIES:
            found = await store.find_item(item, self.now)
            assert found is not None
            loan, hold = found.state.loan, found.next_hold
            state[item] = (
                loan and (loan.patron_id, loan.checked_out, loan.due, loan.renewals),
                found.state.status is ItemStatus.IN_TRANSIT,
                found.state.current_branch,
                hold and hold.patron_id,
                [owners[each] for each in await store.hold_queue(found, self.now)],
            )
        return state

    def expected_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for name in READERS:
            waits = [
                (w.set_aside or w.only, w.title, w.ready, w.pickup, w.expires)
                for w in self.desk.waits
                if w.reader == name
            ]
            loans = sorted(
                (item, self.desk.copies[item].due, self.desk.copies[item].renewals)
                for item in self.desk.has(name)
            )
            owed = sum(amount for who, amount in self.desk.debts if who == name)
            state[name] = (loans, sorted(waits, key=repr), owed)
        for item, it in self.desk.copies.items():
            queue = [wait.reader for wait in self.desk.queue(item, self.now)]
            state[item] = (
                it.reader and (it.reader, it.taken, it.due, it.renewals),
                it.travels,
                it.place,
                queue[0] if queue else None,
                queue,
            )
        return state

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        try:
            for store in self.stores:
                assert store.self_check() == []
        finally:
            for store in self.stores:
                self.runner.run(store.close())
            self.runner.close()
            self.directory.cleanup()
            self.server.drop_database(self.database)


def said(result: CirculationResult, expected: Answer) -> Answer:
    """What the terminal is told, as far as the model has an opinion."""
    if result.refusal is not None:
        return (str(result.refusal.reason),)
    done = result.done
    assert done is not None
    told = {
        "patron": done.patron_id,
        "renewed": done.renewed,
        "due": done.due,
        "fee": done.fee,
        "to": done.destination,
        "alert": done.alert,
        "for": done.hold.patron_id if done.hold is not None else "",
    }
    return {name: told[name] for name in expected} if isinstance(expected, dict) else told


class ClockMachine(DeskMachine):
    """The same at terminals whose clocks stand still, count minutes, jump, or run backward."""

    clocks = tuple(ODD_CLOCKS)


def play(machine: type[DeskMachine], server: Server, steps: int, first_seed: int) -> Counter[str]:
    """Play at least so many steps; what happened, and how often."""
    machine.server, machine.done = server, Counter()
    rules = settings(
        max_examples=max(2, min(50, steps // STEPS)),
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        report_multiple_bugs=False,
    )
    for number in count(first_seed):
        run_state_machine_as_test(seed(number)(machine), settings=rules)
        if machine.done["steps"] >= steps:
            break
    return machine.done
