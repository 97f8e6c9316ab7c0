"""What was paid too much of a fee that an import lowers: booked, listed, taken back (C103)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.base import RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.loading.importing import ImportReport
from sip2gw.model import Surplus

from .library import NOW, SETTINGS, ZONE, content, load, order, pay_fee

pytestmark = pytest.mark.no_cover

FEE = {"kind": "fee", "id": "F1", "patron": "P1", "created": "2026-02-01"}
BADGE = {"kind": "badge", "code": "NEW", "name": "New"}


def charge(library: Library, amount: str, **more: Any) -> ImportReport:
    """The nightly import says that F1 is `amount`."""
    return load(library, {**FEE, "amount": amount, **more})


async def pay(library: Library, amount: int, key: str = "BK1") -> str:
    """Pay `amount` cents of F1; the payment's id."""
    result = await library.book_payment(decided_by(order(key, amount), pay_fee("F1", amount)))
    assert result.payment is not None, result
    return result.payment.id


async def owed(library: Library, patron_id: str = "P1", fee_id: str = "F1") -> int:
    """What is owed on the fee, in cents."""
    record = await library.find_patron(patron_id)
    assert record is not None
    return next((fee.owed for fee in record.fees if fee.id == fee_id), 0)


def surpluses(library: Library) -> list[tuple[str, str, int]]:
    assert library.self_check() == []
    return [(one.fee_id, one.patron_id, one.amount) for one in library.surpluses()]


def entries(library: Library, kind: str) -> list[tuple[str, int]]:
    """Accounts and amounts of the ledger's transactions of a kind."""
    with library.snapshot() as connection:
        return connection.execute(
            "SELECT e.account, e.amount FROM ledger_entry e JOIN ledger_transaction t "
            "ON t.id = e.transaction_id WHERE t.kind = ? ORDER BY t.id, e.position",
            (kind,),
        ).fetchall()


async def test_a_fee_lowered_below_what_is_paid_is_settled_and_the_rest_is_loaded(
    library: Library,
) -> None:
    charge(library, "10.00")
    await pay(library, 1000)
    report = load(library, {**FEE, "amount": "4.00"}, BADGE)
    assert report.applied
    assert report.surpluses == ("data.jsonl:1: fee F1 is overpaid by 6.00: a surplus of patron P1",)
    assert "NEW" in {badge.code for badge in library.badges()}
    assert await owed(library) == 0
    assert entries(library, "surplus") == [("fee:F1", 600), ("surplus:P1", -600)]
    assert library.surpluses() == [Surplus("F1", "P1", 600, SETTINGS.now)]
    assert library.self_check() == []


async def test_the_same_import_again_changes_nothing(library: Library) -> None:
    charge(library, "10.00")
    await pay(library, 1000)
    charge(library, "4.00")
    before = content(library)
    again = charge(library, "4.00")
    assert (again.rows_changed, again.surpluses) == (0, ())
    assert content(library) == before


@pytest.mark.parametrize(
    ("paid", "amounts", "left", "too_much"),
    [
        (600, ("10.00", "6.00"), 0, 0),  # just what is paid
        (600, ("10.00", "5.99"), 0, 1),
        (600, ("10.00", "4.00"), 0, 200),
        (600, ("10.00", "4.00", "5.00"), 0, 100),
        (600, ("10.00", "4.00", "1.00"), 0, 500),
        (600, ("10.00", "4.00", "6.00"), 0, 0),
        (600, ("10.00", "4.00", "10.00"), 400, 0),  # all of the surplus is due again
        (600, ("10.00", "0.00"), 0, 600),
        (600, ("10.00", "0.00", "7.00"), 100, 0),
        (600, ("10.00", "-2.00"), 0, 800),  # what was paid is not made up for by a credit
        (600, ("10.00", "-2.00", "10.00"), 400, 0),
    ],
)
async def test_what_is_owed_is_the_amount_less_what_is_paid_and_never_negative(
    library: Library, paid: int, amounts: tuple[str, ...], left: int, too_much: int
) -> None:
    charge(library, amounts[0])
    await pay(library, paid)
    for amount in amounts[1:]:
        assert charge(library, amount).applied
    assert await owed(library) == left
    assert surpluses(library) == ([("F1", "P1", too_much)] if too_much else [])


async def test_what_is_due_again_is_told_by_the_import(library: Library) -> None:
    charge(library, "10.00")
    await pay(library, 1000)
    charge(library, "4.00")
    assert charge(library, "9.00").surpluses == (
        "data.jsonl:1: 5.00 of fee F1 is no longer a surplus of patron P1",
    )


async def test_a_dry_run_tells_the_surplus_and_writes_none(library: Library) -> None:
    charge(library, "10.00")
    await pay(library, 1000)
    before = content(library)
    lower = {**FEE, "amount": "4.00"}
    paid_up = {**FEE, "id": "NEW", "amount": "1.00", "paid": "1.50"}
    foreseen = load(library, lower, paid_up, dry_run=True)
    assert content(library) == before
    assert foreseen.surpluses == load(library, lower, paid_up).surpluses
    assert len(foreseen.surpluses) == 2


async def test_an_undone_payment_takes_its_share_of_the_surplus_along(library: Library) -> None:
    """C54: first the second payment, then the first; the fee is owed as the import says."""
    charge(library, "10.00")
    first, second = await pay(library, 300), await pay(library, 700, "BK2")
    charge(library, "4.00")
    assert surpluses(library) == [("F1", "P1", 600)]
    await library.undo_payment(second, NOW, ZONE)
    assert (await owed(library), surpluses(library)) == (100, [])
    await library.undo_payment(first, NOW, ZONE)
    assert (await owed(library), surpluses(library)) == (400, [])


async def test_a_fee_that_goes_to_somebody_else_takes_its_surplus_along(library: Library) -> None:
    charge(library, "10.00")
    await pay(library, 1000)
    charge(library, "4.00")
    report = charge(library, "4.00", patron="P3")
    assert report.surpluses == (
        "data.jsonl:1: 6.00 of fee F1 is no longer a surplus of patron P1",
        "data.jsonl:1: fee F1 is overpaid by 6.00: a surplus of patron P3",
    )
    assert surpluses(library) == [("F1", "P3", 600)]
    charge(library, "10.00", patron="P1")
    assert (await owed(library), surpluses(library)) == (0, [])


async def test_an_opening_balance_may_be_too_much_already(library: Library) -> None:
    """C17; of somebody known, and of a patron who comes with the same file."""
    fee = {**FEE, "amount": "1.00", "paid": "1.50"}
    newcomer = {"kind": "patron", "id": "NEW", "name": "New"}
    load(library, {**fee, "id": "X1"}, newcomer, {**fee, "id": "X2", "patron": "NEW"})
    free = {**fee, "id": "X3", "amount": "0", "paid": "2.00"}
    load(library, free)
    found = [("X1", "P1", 50), ("X2", "NEW", 50), ("X3", "P1", 200)]
    assert sorted(surpluses(library)) == found
    assert load(library, {**fee, "id": "X1"}, free).rows_changed == 0


async def test_a_surplus_comes_along_to_another_store(
    library: Library, empty_library: Library
) -> None:
    """C17: a settled fee is exported as long as too much is paid of it."""
    charge(library, "10.00", paid="0.00")
    await pay(library, 1000)
    charge(library, "4.00")
    assert surpluses(library) == [("F1", "P1", 600)]
    lines = list(export_lines(library, currency="EUR"))
    (line,) = [line for line in lines if b'"F1"' in line]
    assert b'"amount":"4.00"' in line
    assert b'"paid":"10.00"' in line
    assert load(empty_library, *lines[1:]).errors == ()
    assert surpluses(empty_library) == [("F1", "P1", 600)]
    assert list(export_lines(empty_library, currency="EUR"))[1:] == lines[1:]


async def test_what_is_given_back_is_no_longer_paid(library: Library) -> None:
    charge(library, "10.00")
    payment = await pay(library, 1000)
    charge(library, "4.00")
    later = NOW + timedelta(hours=1)
    assert await library.refund("F1", later) == [Surplus("F1", "P1", 600, SETTINGS.now)]
    assert surpluses(library) == []
    assert entries(library, "refund") == [("fee:F1", 600), ("refund:P1", -600)]
    (paid,) = await library.paid_fees("P1", NOW)
    assert (paid.fee.id, paid.paid) == ("F1", 400)
    with pytest.raises(RefusedError, match="fee F1 is not overpaid"):
        await library.refund("F1", later)
    charge(library, "10.00")
    assert await owed(library) == 600
    await library.undo_payment(payment, later, ZONE)
    assert (await owed(library), surpluses(library)) == (1600, [])


async def test_what_was_paid_too_much_was_paid(library: Library) -> None:
    """B55: the list of paid fees tells what was taken."""
    charge(library, "10.00")
    await pay(library, 1000)
    charge(library, "4.00")
    (paid,) = await library.paid_fees("P1", NOW)
    assert (paid.fee.id, paid.fee.owed, paid.paid) == ("F1", 0, 1000)
