"""The ledger: append-only, balanced, undone by the opposite, and checked (B47, C54, C71)."""

from datetime import timedelta
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.sql.money.ledger import UndoRefusedError
from sip2gw.backend.sqlite.store import Store

from .library import LIBRARY, NOW, REFUSALS, ZONE, load, order, pay_fee, unguarded


def entries(library: Library) -> list[tuple[str, int]]:
    """Accounts and amounts of what was booked after the import."""
    with library.snapshot() as connection:
        rows = connection.execute(
            "SELECT e.account, e.amount FROM ledger_entry e JOIN ledger_transaction t "
            "ON t.id = e.transaction_id WHERE t.kind IN ('payment', 'undo') "
            "ORDER BY t.id, e.position"
        )
        return rows.fetchall()


async def test_a_payment_moves_money_from_the_fee_to_the_till(library: Library) -> None:
    """C71."""
    await library.book_payment(decided_by(order(), pay_fee("F1")))
    assert entries(library) == [("fee:F1", -100), ("till:cash-1:00", 100)]
    assert library.self_check() == []


async def test_an_order_may_name_another_account(library: Library) -> None:
    result = await library.book_payment(decided_by(order(account="till:desk:00"), pay_fee("F1")))
    assert result.payment is not None
    assert entries(library) == [("fee:F1", -100), ("till:desk:00", 100)]
    await library.undo_payment(result.payment.id, NOW, ZONE)
    assert ("till:desk:00", -100) in entries(library)
    assert library.self_check() == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger_entry",
        "DELETE FROM ledger_transaction",
        "UPDATE ledger_entry SET amount = 1",
        "UPDATE ledger_transaction SET time = 'x'",
    ],
)
def test_ledger_rows_can_be_neither_changed_nor_deleted(library: Library, statement: str) -> None:
    """B47."""
    with (
        library.own_connection() as connection,
        pytest.raises(REFUSALS, match="append-only"),
    ):
        connection.execute(statement)


async def test_a_key_that_was_free_again_belongs_to_its_last_payment(library: Library) -> None:
    """C5: the ledger keeps the first for ever."""
    first = await library.book_payment(decided_by(order(), pay_fee("F1")))
    later: dict[str, Any] = {"now": order().key_expires, "key_expires": NOW + timedelta(days=60)}
    second = await library.book_payment(decided_by(order(**later), pay_fee("F1")))
    again = await library.book_payment(decided_by(order(**later), pay_fee("F1")))
    assert first.payment is not None
    assert second.payment is not None
    assert (again.outcome, again.payment) == ("replayed", second.payment)
    assert list(library.payments()) == [first.payment, second.payment]
    assert library.self_check() == []


async def test_two_payments_never_hold_the_same_key(library: Library) -> None:
    """B46, by the database itself."""
    for key in ("BK1", "BK2"):
        await library.book_payment(decided_by(order(key), pay_fee("F1")))
    with library.own_connection() as connection, pytest.raises(REFUSALS):
        connection.execute("UPDATE payment SET key = 'BK1'")


async def test_undo_takes_back_the_whole_payment(library: Library) -> None:
    """C54: an opposite entry; the retried BK is still the first 38."""
    booked = await library.book_payment(decided_by(order(), pay_fee("F1")))
    assert booked.payment is not None
    undone = await library.undo_payment(booked.payment.id, NOW, ZONE)
    assert undone.status == "undone"
    assert [amount for _, amount in entries(library)] == [-100, 100, 100, -100]
    record = await library.find_patron("P1")
    assert record is not None
    assert record.fees[0].owed == 250
    assert (await library.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "replayed"
    assert library.self_check() == []


async def test_what_was_taken_back_is_not_paid_but_its_payment_tells_the_same(
    library: Library,
) -> None:
    booked = await library.book_payment(decided_by(order(), pay_fee("F1")))
    assert booked.payment is not None
    told = await library.fees_settled_by(booked.payment.id)
    await library.undo_payment(booked.payment.id, NOW, ZONE)
    assert await library.paid_fees("P1", NOW) == ()
    assert await library.fees_settled_by(booked.payment.id) == told
    assert [(settled.fee.owed, settled.paid) for settled in told] == [(150, 100)]


async def test_undo_is_seen_by_whoever_has_the_fee_by_then(library: Library) -> None:
    """An import has moved the fee to somebody else since."""
    booked = await library.book_payment(decided_by(order(), pay_fee("F1")))
    assert booked.payment is not None
    fee = next(line for line in LIBRARY if line.get("id") == "F1")
    load(library, {**fee, "patron": "P3"})
    before = await library.find_patron("P3")
    await library.undo_payment(booked.payment.id, NOW, ZONE)
    after = await library.find_patron("P3")
    assert before is not None
    assert after is not None
    assert (before.fees[0].owed, after.fees[0].owed) == (150, 250)


async def test_undo_is_refused_twice_and_for_the_unknown(library: Library) -> None:
    booked = await library.book_payment(decided_by(order(), pay_fee("F1")))
    assert booked.payment is not None
    await library.undo_payment(booked.payment.id, NOW, ZONE)
    with pytest.raises(UndoRefusedError, match="undone"):
        await library.undo_payment(booked.payment.id, NOW, ZONE)
    with pytest.raises(UndoRefusedError, match="no payment has the id"):
        await library.undo_payment("X", NOW, ZONE)


async def test_undo_is_refused_after_local_midnight(library: Library) -> None:
    """C54: midnight of the institution, here an hour before that of UTC."""
    late = NOW.replace(hour=22, minute=59)
    booked = await library.book_payment(decided_by(order(now=late), pay_fee("F1")))
    assert booked.payment is not None
    with pytest.raises(UndoRefusedError, match="on the day"):
        await library.undo_payment(booked.payment.id, late + timedelta(minutes=1), ZONE)
    await library.undo_payment(booked.payment.id, late, ZONE)


async def test_payments_are_listed_oldest_first_and_filtered(library: Library) -> None:
    for number, terminal in enumerate(("a", "b", "a")):
        moment = NOW + timedelta(hours=number)
        await library.book_payment(
            decided_by(order(f"BK{number}", 10, terminal=terminal, now=moment), pay_fee("F1", 10))
        )
    keys = [payment.bk for payment in library.payments()]
    assert keys == ["BK0", "BK1", "BK2"]
    assert [payment.bk for payment in library.payments(terminal="a")] == ["BK0", "BK2"]
    span = library.payments(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2))
    (payment,) = span
    assert payment.bk == "BK1"
    assert library.payment(payment.id) == payment
    assert library.payment("X") is None
    assert list(library.payments(status="undone")) == []


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE payment SET amount = 99", "the lines do not add up"),
        ("UPDATE payment SET status = 'undone'", "the ledger has another amount"),
        ("UPDATE fee SET amount = 10 WHERE id = 'F1'", "is not the amount less the payments"),
        ("UPDATE fee SET amount = 9000 WHERE id = 'F1'", "opened it with another amount"),
        (
            "INSERT INTO ledger_transaction (id, time, kind) VALUES ('X', '2026', 'opening')",
            "ledger transaction X does not add up to zero",
        ),
        (
            "INSERT INTO relationship (type, from_id, to_id) VALUES ('head_of_family', 'P2', 'P3')",
            "both head of family and child",
        ),
    ],
)
async def test_self_check_finds_damage(library: Library, damage: str, finding: str) -> None:
    await library.book_payment(decided_by(order(), pay_fee("F1")))
    with unguarded(library) as connection:
        connection.execute(damage)
    assert any(finding in problem for problem in library.self_check())


async def test_self_check_finds_rows_without_parent(store: Store) -> None:
    """PostgreSQL cannot have any."""
    with unguarded(store) as connection:
        connection.execute("DELETE FROM patron WHERE id = 'P3'")
    assert any("refers to a missing patron" in problem for problem in store.self_check())


async def test_self_check_finds_guards_switched_off(postgres_store: PostgresStore) -> None:
    with postgres_store.own_connection() as connection:
        connection.execute("ALTER TABLE ledger_entry DISABLE TRIGGER ledger_entry_append_only")
    (problem,) = postgres_store.self_check()
    assert problem == "ledger_entry: trigger ledger_entry_append_only is switched off"


def test_the_schema_itself_keeps_the_invariants(library: Library) -> None:
    """One open loan per item, one head per child, one holder per function."""
    for statement in (
        "INSERT INTO loan (item_id, patron_id, checked_out, due) VALUES ('I1', 'P2', '', '')",
        "INSERT INTO relationship (type, from_id, to_id) VALUES ('head_of_family', 'P3', 'P2')",
        "INSERT INTO relationship (type, from_id, to_id, may_pay) "
        "VALUES ('authorisation', 'P3', 'P2', 1)",
        "INSERT INTO relationship (type, from_id, to_id) VALUES ('authorisation', 'P1', 'P1')",
        "INSERT INTO card (number, patron_id, state) VALUES ('X', 'nobody', 'active')",
    ):
        with library.own_connection() as connection, pytest.raises(REFUSALS):
            connection.execute(statement)
