"""The same random operations on SQLite and on PostgreSQL: same answers, same balances.

The short form runs with the other tests. In full (20,000 operations, some minutes):

    SIP2GW_MODEL_OPERATIONS=20000 pytest -s tests/backend/test_side_by_side.py

`SIP2GW_MODEL_SEED` chooses other random operations.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from itertools import count
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace
from orders import Decide, decided_by
from postgres import Server

from sip2gw.backend.base import (
    BackendError,
    EntryOrder,
    PaymentOrder,
    PaymentResult,
)
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.loading.importing import ImportReport
from sip2gw.model import (
    Badge,
    Block,
    BlockType,
    Payment,
    Relationship,
    RelationshipType,
)
from sip2gw.model.badges import BadgeWish, Deed
from sip2gw.policy.money.debts import (
    PaymentPlan,
    PaymentRequest,
    PaymentRules,
    decide_allocation,
)
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.relationships import PayableAccount, RelationshipRules

from .library import NOW, ZONE, load, open_library, open_postgres_library, order

OPERATIONS = int(os.environ.get("SIP2GW_MODEL_OPERATIONS", "80"))
STEPS = 60
FIRST_SEED = int(os.environ.get("SIP2GW_MODEL_SEED", "1"))

PATRONS = ("P1", "P2", "P3", "P4")
MEMBERSHIP = {"kind": "membership", "code": "101", "description": "All", "type": 0}
BADGES = [{"kind": "badge", "code": code, "name": code} for code in ("ONBE", "STUD")]

patrons = st.sampled_from(PATRONS)
cards = st.sampled_from((*PATRONS, "C1", "C2", "nobody"))
keys = st.integers(1, 12).map("BK{}".format)
cents = st.integers(-600, 900)
days = st.integers(1, 28)
new_cards = st.sampled_from(("C1", "C2", None))
sources_of_blocks = st.sampled_from(("staff", "terminal"))
minutes = st.integers(0, 40)
codes = st.sampled_from(("ONBE", "STUD", "NEW", ""))
branches = st.sampled_from(("MAIN", "EAST"))


MET = {
    *(f"payment {outcome}" for outcome in ("booked", "replayed", "refused")),
    *("credit used", "surplus", "no longer a surplus", "refunded"),
    *("undone", "undo refused", "relationship added", "relationship refused"),
}
"""What a long run must have come across."""


def debt(number: int, patron: str, amount: int, day: int) -> dict[str, Any]:
    """A fee of `amount` cents."""
    made = {"kind": "fee", "id": f"F{number}", "patron": patron, "created": f"2026-02-{day:02}"}
    return {**made, "amount": f"{amount / 100:.2f}"}


ANYTHING = PaymentRules(partial_payment=True, invoiced_payable=False)


def pay_all(amount: int) -> Decide:
    """Spread `amount` over what the payer and then the debtors owe after credits, oldest first."""

    def decide(facts: PaymentFacts) -> PaymentPlan | PaymentRefusalReason:
        family = RelationshipType.HEAD_OF_FAMILY
        accounts = [PayableAccount(debtor, family) for debtor in facts.debtors]
        return decide_allocation(facts.payer, accounts, PaymentRequest(amount, None), ANYTHING)

    return decide


def without_ids(result: Any) -> Any:
    """Payments have other ids in each store."""
    if isinstance(result, PaymentResult) and result.payment is not None:
        return replace(result, payment=without_ids(result.payment))
    return replace(result, id="") if isinstance(result, Payment) else result


class SideBySide(RuleBasedStateMachine):
    """Both stores do everything; every answer is compared."""

    server: Server
    done: Counter[str] = Counter()
    """Operations of all runs, and what came of the interesting ones."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.database = self.server.make_database()
        self.sqlite = open_library(Path(self.directory.name))
        self.postgres = open_postgres_library(self.server.url(self.database), "command")
        self.now = NOW
        self.payments: list[tuple[str, str]] = []
        self.orders: list[PaymentOrder] = []
        people = [
            {"kind": "patron", "id": name, "name": name, "membership": "101"} for name in PATRONS
        ]
        fees = [debt(number, name, 900, number) for number, name in enumerate(PATRONS, 1)]
        self.load(MEMBERSHIP, *BADGES, *people, *fees)

    def both(self, work: Callable[[Library], Any]) -> tuple[Any, Any]:
        """What each store answers, an error included."""
        return self.answer(self.sqlite, work), self.answer(self.postgres, work)

    def answer(self, store: Library, work: Callable[[Library], Any]) -> Any:
        try:
            found = work(store)
            if isinstance(found, Coroutine):
                found = self.runner.run(found)
        except BackendError as error:
            return f"{error.kind}: {error}" if error.kind == "conflict" else "refused"
        return found

    def same(self, work: Callable[[Library], Any]) -> Any:
        """The answer, which must be the same."""
        one, other = self.both(work)
        assert without_ids(one) == without_ids(other)
        return one

    def load(self, *lines: dict[str, Any]) -> ImportReport:
        report: ImportReport = self.same(lambda store: load(store, *lines))
        return report

    # What happens

    @rule(
        name=patrons,
        number=st.sampled_from(("C1", "C2", None)),
        code=st.sampled_from(("101", None)),
    )
    def import_patron(self, name: str, number: str | None, code: str | None) -> None:
        listed = [{"number": number, "state": "blocked"}] if number else []
        badges = ["ONBE"] if number else [{"code": "STUD", "until": "2026-05-01"}]
        blocks = [{"type": "general", "note": "x"}] if code else []
        line = {"kind": "patron", "id": name, "name": name, "cards": listed, "badges": badges}
        self.load({**line, "blocks": blocks, "membership": code, "pin": name})

    @rule(number=st.integers(1, 5), name=patrons, amount=cents, day=days, paid=st.booleans())
    def import_fee(self, number: int, name: str, amount: int, day: int, paid: bool) -> None:
        extra = {"paid": f"{amount / 200:.2f}"} if paid else {}
        report = self.load({**debt(number, name, amount, day), **extra})
        for told in report.surpluses:
            self.note("no longer a surplus" if "no longer" in told else "surplus")

    @rule(number=st.integers(1, 5))
    def refund(self, number: int) -> None:
        given = self.same(lambda store: store.refund(f"F{number}", self.now))
        if not isinstance(given, str):
            self.note("refunded")

    @rule(head=patrons, other=patrons, kind=st.sampled_from(("head_of_family", "authorisation")))
    def import_relationship(self, head: str, other: str, kind: str) -> None:
        functions = ["pay"] if kind == "authorisation" else []
        line = {"kind": "relationship", "type": kind, "from": head, "to": other}
        self.load({**line, "functions": functions})

    @rule(key=keys, payer=patrons, amount=st.integers(1, 900), expires=minutes)
    def pay(self, key: str, payer: str, amount: int, expires: int) -> None:
        wanted = order(
            key,
            amount,
            payer_id=payer,
            content=f"{payer}|{amount}",
            now=self.now,
            key_expires=self.now + timedelta(minutes=expires),
        )
        self.orders.append(wanted)
        self.book(wanted)

    def book(self, wanted: PaymentOrder) -> None:
        decide = pay_all(wanted.amount)
        one, other = self.both(lambda store: store.book_payment(decided_by(wanted, decide)))
        assert without_ids(one) == without_ids(other)
        self.note(f"payment {one.outcome}")
        if one.outcome == "booked":
            self.payments.append((one.payment.id, other.payment.id))
            if any(line.amount < 0 for line in one.payment.lines):
                self.note("credit used")

    @rule(index=st.integers(0, 30))
    def pay_again(self, index: int) -> None:
        """The retry of a terminal: the same booking as long as the key is kept."""
        if self.orders:
            again = self.orders[-1 - index % len(self.orders)]
            kept = again.key_expires - again.now
            self.book(replace(again, now=self.now, key_expires=self.now + kept))

    @rule(index=st.integers(0, 30))
    def undo(self, index: int) -> None:
        if not self.payments:
            return
        ids: dict[object, str] = dict(
            zip(
                (self.sqlite, self.postgres), self.payments[index % len(self.payments)], strict=True
            )
        )
        undone = self.same(lambda store: store.undo_payment(ids[store], self.now, ZONE))
        self.note("undo refused" if isinstance(undone, str) else "undone")

    @rule(later=st.integers(1, 600))
    def wait(self, later: int) -> None:
        self.now += timedelta(minutes=later)

    @rule(name=patrons, minute=minutes)
    def present_a_wrong_pin(self, name: str, minute: int) -> None:
        until = self.now + timedelta(minutes=minute)
        self.same(lambda store: store.record_pin_failure(name, self.now, 3, until))

    @rule(name=patrons)
    def present_the_right_pin(self, name: str) -> None:
        self.same(lambda store: store.clear_pin_failures(name))

    @rule(name=patrons)
    def set_pin(self, name: str) -> None:
        self.same(lambda store: store.set_pin_hash(name, f"hash {self.now}"))

    @rule(
        name=cards, kind=st.sampled_from(BlockType), source=st.sampled_from(("staff", "terminal"))
    )
    def block(self, name: str, kind: BlockType, source: str) -> None:
        self.same(lambda store: store.set_block(name, Block(kind, "note", None, source)))

    @rule(name=patrons, sources=st.sets(sources_of_blocks))
    def unblock(self, name: str, sources: set[str]) -> None:
        self.same(lambda store: store.lift_blocks(name, frozenset(sources)))

    @rule(
        one=cards,
        other=cards,
        kind=st.sampled_from(RelationshipType),
        functions=st.sets(st.sampled_from(("renew", "pay"))),
        confirmed=st.booleans(),
    )
    def add_relationship(
        self, one: str, other: str, kind: RelationshipType, functions: set[str], confirmed: bool
    ) -> None:
        wanted = Relationship(kind, one, other, frozenset(functions), confirmed)
        today = self.now.date()
        added = self.same(lambda store: store.add_relationship(wanted, RelationshipRules(), today))
        self.note("relationship refused" if isinstance(added, str) else "relationship added")

    @rule(one=cards, other=cards, kind=st.sampled_from(RelationshipType), confirm=st.booleans())
    def change_relationship(
        self, one: str, other: str, kind: RelationshipType, confirm: bool
    ) -> None:
        name = "confirm_relationship" if confirm else "remove_relationship"
        self.same(lambda store: getattr(store, name)(kind, one, other))

    @rule(code=codes, active=st.booleans(), define=st.booleans())
    def change_badge(self, code: str, active: bool, define: bool) -> None:
        if define:
            self.same(lambda store: store.define_badge(Badge(code, f"{self.now}", active)))
        else:
            self.same(lambda store: store.set_badge_active(code, active))

    @rule(code=codes, card=cards, give=st.booleans())
    def give_or_take_a_badge(self, code: str, card: str, give: bool) -> None:
        deed = Deed("eva", self.now)
        if give:
            self.same(lambda store: store.assign_badge(code, [BadgeWish(card)], deed))
        else:
            self.same(lambda store: store.unassign_badge(code, card, deed))

    @rule(former=cards, lasting=cards, seldom=st.sampled_from((True, *[False] * 7)))
    def merge(self, former: str, lasting: str, seldom: bool) -> None:
        if not seldom:
            return
        deed = Deed("eva", self.now)
        self.same(lambda store: store.merge_patrons(former, lasting, deed))

    @rule(name=patrons, branch=branches, capacity=st.integers(0, 2), refuse=st.booleans())
    def enter(self, name: str, branch: str, capacity: int, refuse: bool) -> None:
        wanted = EntryOrder(
            branch=branch,
            passage=f"door {name}",
            patron_id=name,
            now=self.now,
            stay_ends=self.now + timedelta(hours=4),
            same_since=self.now - timedelta(seconds=5),
            same_until=self.now + timedelta(seconds=5),
            capacity=capacity,
            refuse_inside=refuse,
        )
        self.same(lambda store: store.enter_branch(wanted))
        self.same(lambda store: store.presence(wanted))

    @rule(name=patrons, branch=branches)
    def leave(self, name: str, branch: str) -> None:
        self.same(lambda store: store.leave_branch(branch, name))

    def note(self, what: str) -> None:
        """Count what happened, so that a run can show that it met everything."""
        event(what)
        self.done[what] += 1

    # What must hold

    @invariant()
    def the_patrons_are_the_same(self) -> None:
        if hasattr(self, "sqlite"):
            self.done["operations"] += 1
            for name in PATRONS:
                self.same(methodcaller("find_patron", name))
            self.same(lambda store: store.find_by_card("C1"))
            self.same(lambda store: store.surpluses())

    def teardown(self) -> None:
        if not hasattr(self, "postgres"):
            return
        try:
            for store in (self.sqlite, self.postgres):
                assert store.self_check() == []
            self.same(lambda store: [without_ids(payment) for payment in store.payments()])
            self.same(lambda store: list(store.relationships()))
            self.same(lambda store: (store.badges(), list(store.badge_holders())))
            self.same(lambda store: list(store.badge_history()))
            self.same(lambda store: list(store.search_patrons("P", str)))
            self.same(lambda store: list(export_lines(store, currency="EUR", everything=True))[1:])
        finally:
            for store in (self.sqlite, self.postgres):
                self.runner.run(store.close())
            self.runner.close()
            self.directory.cleanup()
            self.server.drop_database(self.database)


@pytest.mark.no_cover
def test_both_stores_answer_the_same(postgres: Server) -> None:
    SideBySide.server = postgres
    rules = settings(
        max_examples=max(2, min(50, OPERATIONS // STEPS)),
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    for number in count(FIRST_SEED):
        run_state_machine_as_test(seed(number)(SideBySide), settings=rules)
        if SideBySide.done["operations"] >= OPERATIONS:
            break
    print(dict(SideBySide.done))  # noqa: T201 (seen with `pytest -s`)
    assert OPERATIONS < 2_000 or SideBySide.done.keys() >= MET
