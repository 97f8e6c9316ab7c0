"""Random loans, returns, renewals and holds on both stores, against a model of the rules (B56-B60).

The short form runs with the other tests. In full (20,000 steps on both stores, some minutes):

    SIP2GW_MODEL_OPERATIONS=20000 pytest -s tests/backend/test_desk_model.py

`SIP2GW_MODEL_SEED` chooses other random steps.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from postgres import Server

from sip2gw.backend.base import CirculationOrder, CirculationResult, DecideCirculation
from sip2gw.backend.library import Library
from sip2gw.model import ItemStatus
from sip2gw.policy.circulation import CirculationRules, Decide, Facts, Wish, decide_cancel
from sip2gw.policy.holds import HoldWish, decide_hold
from sip2gw.policy.lending import decide_checkout, decide_renewal
from sip2gw.policy.returns import decide_checkin
from sip2gw.policy.standing import Standing, decide_standing

from .desk_model import DAY, ZONE, Answer, Copy, Desk, Terminal
from .library import NOW, load, open_library, open_postgres_library

OPERATIONS = int(os.environ.get("SIP2GW_MODEL_OPERATIONS", "300"))
STEPS = 50
FIRST_SEED = int(os.environ.get("SIP2GW_MODEL_SEED", "1"))

COPIES = {
    "A1": Copy("TA", per_day=5),
    "A2": Copy("TA", renewals_max=1, per_day=20),
    "A3": Copy("TA", owner="EAST", place="EAST", days=7),
    "FEE": Copy("TF", costs=150),
    "REF": Copy("TR", for_loan=False),
}
TERMINALS = {
    "kiosk": Terminal("MAIN"),
    "strict": Terminal("MAIN", renews_by_11=False),
    "sorter": Terminal("MAIN", takes_anything=True),
    "east": Terminal("EAST", takes_anything=True),
}
READERS = {"P1": 0, "P2": 2, "P3": 3, "BAD": 0}
"""How many loans each may have."""
HOLDS = {"P1": 0, "P2": 1, "P3": 3, "BAD": 0}

items = st.sampled_from(("A1", "A2", "A3") * 4 + ("FEE", "FEE", "REF", "nothing"))
readers = st.sampled_from(("P1", "P2", "P3") * 5 + ("BAD", "BAD", "nobody"))
terminals = st.sampled_from(tuple(TERMINALS))
BRANCHES = (None, "MAIN", "EAST")
hours_ago = st.sampled_from((None, None, None, 0, 1, 30))
"""None: on line."""

REASONS = {
    *("unknown_card", "unknown_item", "not_for_loan", "on_hold", "charged_to_other"),
    *("already_charged", "not_charged", "blocked", "item_limit", "renewal_limit", "fee"),
    *("nothing_to_cancel", "already_held", "no_such_hold", "hold_limit", "hold_ready", "expired"),
}
MET = {
    *REASONS,
    *("11 done", "09 done", "29 done", "15+ done", "15- done", "15* done"),
    *("cancel 11 done", "cancel 09 done", "repeated", "renewed by 11", "late", "for somebody"),
}
"""What a long run must have come across."""


def records() -> list[dict[str, Any]]:
    """The library at the beginning, as a file says it."""
    lines: list[dict[str, Any]] = []
    for number, (name, most) in enumerate(READERS.items(), 100):
        code = str(number)
        kind = {"kind": "membership", "code": code, "description": code, "type": 0}
        lines.append({**kind, "max_items": most, "max_holds": HOLDS[name]})
        status = {"status": 8} if name == "BAD" else {}
        lines.append({"kind": "patron", "id": name, "name": name, "membership": code, **status})
    for item, it in COPIES.items():
        lines.append(
            {
                "kind": "item",
                "id": item,
                "title": f"Title {item}",
                "title_id": it.title,
                "owner_branch": it.owner,
                "current_branch": it.place,
                "for_loan": it.for_loan,
                "loan_days": it.days,
                "max_renewals": it.renewals_max,
                "checkout_fee": f"{it.costs / 100:.2f}",
                "overdue_fee_per_day": f"{it.per_day / 100:.2f}",
            }
        )
    return lines


def standing(facts: Facts) -> Standing | None:
    """What stands against whoever asks."""
    patron = facts.patron
    if patron is None:
        return None
    return decide_standing(patron, patron.cards[0], NOW.date(), ZONE, None)


class DeskMachine(RuleBasedStateMachine):
    """Both stores and the model do everything; every answer is compared, and what is left."""

    server: Server
    done: Counter[str] = Counter()

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.database = self.server.make_database()
        self.stores = [
            open_library(Path(self.directory.name)),
            open_postgres_library(self.server.url(self.database), "command"),
        ]
        for store in self.stores:
            assert load(store, *records()).errors == ()
        self.now = NOW
        self.number = 0
        self.orders: list[tuple[CirculationOrder, DecideCirculation]] = []
        copies = {item: Copy(**vars(it)) for item, it in COPIES.items()}
        self.desk = Desk(copies, TERMINALS, READERS, HOLDS, frozenset({"BAD"}))

    # What is asked

    @rule(terminal=terminals, reader=readers, item=items, agreed=st.booleans(), ago=hours_ago)
    def checkout(
        self, terminal: str, reader: str, item: str, agreed: bool, ago: int | None
    ) -> None:
        wish, rules = self.wish("11", ago, agreed), self.rules_of(terminal)
        expected = self.desk.checkout(
            terminal, reader, item, self.now, self.key(), agreed=agreed, happened=wish.moment
        )
        self.ask(
            self.order("11", terminal, reader, item),
            lambda facts: decide_checkout(facts, standing(facts), wish, rules),
            expected,
        )
        if isinstance(expected, dict) and expected["renewed"]:
            self.note("renewed by 11")

    @rule(terminal=terminals, reader=readers, item=items, agreed=st.booleans(), ago=hours_ago)
    def renew(self, terminal: str, reader: str, item: str, agreed: bool, ago: int | None) -> None:
        wish, rules = self.wish("29", ago, agreed), self.rules_of(terminal)

        def decide(facts: Facts) -> Any:
            known = tuple(each for each in (standing(facts),) if each is not None)
            return decide_renewal(facts, known, wish, rules)

        expected = self.desk.renew(
            terminal, reader, item, self.now, self.key(), agreed=agreed, happened=wish.moment
        )
        self.ask(self.order("29", terminal, reader, item), decide, expected)

    @rule(terminal=terminals, item=items, ago=hours_ago)
    def checkin(self, terminal: str, item: str, ago: int | None) -> None:
        wish, rules = self.wish("09", ago), self.rules_of(terminal)
        expected = self.desk.checkin(terminal, item, self.now, self.key(), happened=wish.moment)
        self.ask(
            self.order("09", terminal, None, item),
            lambda facts: decide_checkin(facts, wish, rules),
            expected,
        )
        if isinstance(expected, dict):
            self.note("late" if expected["fee"] else "in time")
            self.note("for somebody" if expected["for"] else "for nobody")

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
        wish, rules = Wish(self.now, code), self.rules_of(terminal)
        expected = self.desk.cancel(terminal, code, who, item, self.now, self.key())
        self.ask(
            self.order(code, terminal, who, item),
            lambda facts: decide_cancel(facts, wish, rules),
            expected,
            "cancel ",
        )

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
        expires = None if days is None else self.now + timedelta(days=days)
        wish = HoldWish(
            self.now,
            mode,
            any_copy=any_copy,
            pickup_branch=pickup,
            expires=expires,
            branches=frozenset({"MAIN", "EAST"}),
            here="MAIN",
        )
        expected = self.desk.hold(
            reader, item, self.now, mode=mode, any_copy=any_copy, pickup=pickup, expires=expires
        )
        self.number += 1
        order = self.order("15", "kiosk", reader, item)
        order.key = None
        self.ask(order, lambda facts: decide_hold(facts, standing(facts), wish), expected, "", mode)

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
        """What a terminal sends when the answer was lost: the same answer for a day (C69)."""
        if not self.orders:
            return
        order, _ = self.orders[-1 - back % len(self.orders)]
        expected = self.desk.repeated(order.item_id, str(order.key), self.now)
        if expected is None:
            return
        order.now = self.now

        def never(facts: Facts) -> Any:
            raise AssertionError(f"{order} is decided again")

        for store in self.stores:
            result = self.runner.run(store.circulate(order, never))
            assert result.outcome == "replayed"
            assert said(result, expected) == expected
        self.note("repeated")

    @rule(hours=st.sampled_from((1, 5, 25, 24 * 8, 24 * 30)))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    # Asking

    def key(self) -> str:
        """Under which the next order is done."""
        return f"K{self.number + 1}"

    def wish(self, code: str, ago: int | None, agreed: bool = False) -> Wish:
        """`ago`: hours since it happened off line."""
        moment = None if ago is None else self.now - timedelta(hours=ago)
        return Wish(
            self.now, code, no_block=ago is not None, moment=moment, fee_acknowledged=agreed
        )

    def rules_of(self, terminal: str) -> CirculationRules:
        known = TERMINALS[terminal]
        return CirculationRules(
            terminal,
            known.branch,
            ZONE,
            renews_own_loan=known.renews_by_11,
            takes_what_is_not_on_loan=known.takes_anything,
        )

    def order(self, code: str, terminal: str, reader: str | None, item: str) -> CirculationOrder:
        self.number += code != "15"
        known = reader if reader in READERS else None
        key, until = f"K{self.number}", self.now + DAY
        return CirculationOrder(code, terminal, item, known, self.now, key, until)

    def ask(
        self,
        order: CirculationOrder,
        decide: Decide,
        expected: Answer,
        before: str = "",
        after: str = "",
    ) -> None:
        """Both stores must say what the model expects."""
        for store in self.stores:
            result = self.runner.run(store.circulate(order, decide))
            assert said(result, expected) == expected, type(store).__name__
        if isinstance(expected, dict):
            self.note(f"{before}{order.code}{after} done")
            if order.key is not None:
                self.orders.append((order, decide))
        else:
            self.note(expected[0])
        self.compare()
        self.now += timedelta(seconds=1)

    def note(self, what: str) -> None:
        """Count what happened."""
        event(what)
        self.done[what] += 1

    # What must hold

    @invariant()
    def count_steps(self) -> None:
        self.done["steps"] += hasattr(self, "desk")

    def compare(self) -> None:
        """The stores are as the model is."""
        for store in self.stores:
            assert self.runner.run(self.state_of(store)) == self.expected_state()

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


def test_both_stores_do_what_the_model_says(postgres: Server) -> None:
    DeskMachine.server = postgres
    rules = settings(
        max_examples=max(2, min(50, OPERATIONS // STEPS)),
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        report_multiple_bugs=False,
    )
    for number in count(FIRST_SEED):
        run_state_machine_as_test(seed(number)(DeskMachine), settings=rules)
        if DeskMachine.done["steps"] >= OPERATIONS:
            break
    print(dict(DeskMachine.done))  # noqa: T201 (seen with `pytest -s`)
    assert OPERATIONS < 10_000 or DeskMachine.done.keys() >= MET
