"""Credits: negative fees through import, ledger and export (B98)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from orders import Decide, decided_by

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.model import PaymentLine
from sip2gw.policy.money.debts import (
    PaymentPlan,
    PaymentRequest,
    PaymentRules,
    decide_allocation,
)
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason

from .library import NOW, ZONE, content, load, order

DAMAGE = {"kind": "fee", "id": "D", "patron": "P3", "amount": "10.00", "created": "2026-02-01"}
GOODWILL = {"kind": "fee", "id": "G", "patron": "P3", "amount": "-3.50", "created": "2026-02-02"}


def settle(amount: int) -> Decide:
    """What a terminal that takes any part decides."""

    def decide(facts: PaymentFacts) -> PaymentPlan | PaymentRefusalReason:
        request, rules = PaymentRequest(amount, None), PaymentRules(True, False)
        return decide_allocation(facts.payer, (), request, rules)

    return decide


def just(*lines: tuple[str, int]) -> Decide:
    """A decision for these fees of P3, right or wrong."""
    chosen = tuple(PaymentLine(fee_id, "P3", "own", amount) for fee_id, amount in lines)
    return lambda facts: PaymentPlan(chosen, 0)


async def balances(library: Library) -> dict[str, int]:
    """What is stored as owed by P3, fee by fee; a credit's is negative."""
    assert library.self_check() == []
    record = await library.find_patron("P3")
    assert record is not None
    return {fee.id: fee.owed for fee in record.fees}


def exported(library: Library, *, everything: bool = False) -> dict[str, dict[str, Any]]:
    lines = map(json.loads, export_lines(library, currency="EUR", everything=everything))
    return {line["id"]: line for line in lines if line["kind"] == "fee"}


def entries_of(library: Library, transaction_id: str) -> list[tuple[str, int]]:
    with library.snapshot() as connection:
        return connection.execute(
            "SELECT account, amount FROM ledger_entry WHERE transaction_id = ? ORDER BY position",
            (transaction_id,),
        ).fetchall()


async def test_a_credit_opens_the_account_below_zero(library: Library) -> None:
    assert load(library, GOODWILL).errors == ()
    assert await balances(library) == {"G": -350}
    assert load(library, GOODWILL).rows_changed == 0
    assert await library.paid_fees("P3", NOW) == ()


async def test_the_next_payment_uses_it_up(library: Library) -> None:
    """The till gets what was paid; the fee is settled with both."""
    load(library, DAMAGE, GOODWILL)
    result = await library.book_payment(decided_by(order(amount=650, payer_id="P3"), settle(650)))
    assert result.payment is not None
    assert entries_of(library, result.payment.id) == [
        ("fee:D", -1000),
        ("fee:G", 350),
        ("till:cash-1:00", 650),
    ]
    assert await balances(library) == {}
    (paid,) = await library.paid_fees("P3", NOW)
    assert (paid.fee.id, paid.paid) == ("D", 1000)
    assert library.payment(result.payment.id) == result.payment
    again = await library.book_payment(decided_by(order(amount=650, payer_id="P3"), settle(650)))
    assert (again.outcome, again.payment) == ("replayed", result.payment)


async def test_an_undo_gives_the_credit_back(library: Library) -> None:
    """C54: the money at the till, the credit on the account."""
    load(library, DAMAGE, GOODWILL)
    result = await library.book_payment(decided_by(order(amount=650, payer_id="P3"), settle(650)))
    assert result.payment is not None
    undone = await library.undo_payment(result.payment.id, NOW, ZONE)
    assert (undone.status, undone.amount) == ("undone", 650)
    assert await balances(library) == {"D": 1000, "G": -350}
    assert library.surpluses() == []


@pytest.mark.parametrize(
    "lines",
    [
        (("D", 1000), ("G", -351)),  # more than the credit has
        (("D", 350), ("G", 299)),  # a credit is not paid
        (("D", -649),),  # a fee gives nothing back
        (("D", 1000), ("G", -200), ("G", -151)),
        (("D", 350), ("G", -350)),  # nothing was taken
    ],
)
async def test_no_more_of_a_credit_is_used_than_there_is(
    library: Library, lines: tuple[tuple[str, int], ...]
) -> None:
    load(library, DAMAGE, GOODWILL)
    before = content(library)
    amount = sum(amount for _, amount in lines)
    with pytest.raises(BackendError, match="not owed"):
        await library.book_payment(decided_by(order(amount=amount, payer_id="P3"), just(*lines)))
    assert content(library) == before


async def test_a_credit_used_meanwhile_is_not_used_twice(library: Library) -> None:
    """What the second terminal decided on holds no longer."""
    load(library, DAMAGE, GOODWILL)
    seen = await library.find_payer("P3")
    first = order("BK1", 650, payer_id="P3")
    await library.book_payment(decided_by(first, settle(650)))
    second = order("BK2", 650, payer_id="P3", seen=seen)
    result = await library.book_payment(decided_by(second, settle(650)))
    assert result.refusal == "nothing_to_pay"
    assert await balances(library) == {}


async def test_export_tells_what_was_used_of_it(library: Library, empty_library: Library) -> None:
    """C17: amount and paid; both are negative."""
    load(library, {**DAMAGE, "amount": "3.00"}, {**DAMAGE, "id": "E", "status": "I"}, GOODWILL)
    assert "paid" not in exported(library)["G"]
    await library.book_payment(
        decided_by(order(amount=100, payer_id="P3"), just(("D", 300), ("G", -200)))
    )
    credit = exported(library)["G"]
    assert (credit["amount"], credit["paid"]) == ("-3.50", "-2.00")
    lines = list(export_lines(library, currency="EUR", everything=True))[1:]
    assert load(empty_library, *lines).errors == ()
    assert list(export_lines(empty_library, currency="EUR", everything=True))[1:] == lines
    assert (await balances(empty_library))["G"] == -150


@pytest.mark.parametrize(
    ("amount", "left"),
    [
        ("-5.00", -300),
        ("-3.50", -150),
        ("-2.00", 0),
        ("-1.00", 100),  # too much was taken off: it is owed
        ("0", 200),
        ("1.50", 350),  # it has become a fee
    ],
)
async def test_an_import_may_change_a_credit_of_which_something_is_used(
    library: Library, amount: str, left: int
) -> None:
    load(library, {**DAMAGE, "amount": "3.00"}, GOODWILL)
    used = just(("D", 300), ("G", -200))
    result = await library.book_payment(decided_by(order(amount=100, payer_id="P3"), used))
    assert load(library, {**GOODWILL, "amount": amount}).surpluses == ()
    assert (await balances(library)).get("G", 0) == left
    if left > 0:
        paid = await library.book_payment(
            decided_by(order("BK2", left, payer_id="P3"), just(("G", left)))
        )
        assert paid.outcome == "booked"
        assert await balances(library) == {}
    assert result.payment is not None
    await library.undo_payment(result.payment.id, NOW, ZONE)
    assert library.self_check() == []


async def test_a_fee_may_become_a_credit(library: Library) -> None:
    load(library, DAMAGE)
    load(library, {**DAMAGE, "amount": "-1.00"})
    assert await balances(library) == {"D": -100}


async def test_self_check_finds_a_credit_used_beyond_its_amount(library: Library) -> None:
    load(library, GOODWILL)
    with library.own_connection() as connection:
        connection.execute("UPDATE fee SET amount = -100 WHERE id = 'G'")
    assert library.self_check() == [
        "fee G: the debt is not the amount less the payments",
        "fee G: the ledger opened it with another amount",
    ]
