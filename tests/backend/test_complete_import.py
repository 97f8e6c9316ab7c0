"""What becomes of records that a complete import no longer has, on both databases (B92, C166)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.library import Library
from sip2gw.backend.loading import importing
from sip2gw.backend.loading.importing import ImportReport, import_files
from sip2gw.backend.loading.missing import KINDS, MISSING
from sip2gw.backend.loading.staging import STAGED
from sip2gw.model import format_amount

from .library import LIBRARY, SETTINGS, content, load, order, pay_fee, stream_of

TODAY = "2026-03-10"


def complete(
    library: Library, lines: Sequence[dict[str, Any]], *kinds: str, dry_run: bool = False
) -> ImportReport:
    """Import `lines` as all that there is of `kinds`."""
    sources = [("all.jsonl", stream_of(*lines))]
    report = import_files(library, sources, settings=SETTINGS, complete=kinds, dry_run=dry_run)
    assert library.self_check() == []
    return report


def without(kind: str, *keys: str) -> list[dict[str, Any]]:
    """The small library without some records of a kind."""
    return [
        line
        for line in LIBRARY
        if line["kind"] != kind or not {str(value) for value in line.values()} & set(keys)
    ]


def rows(library: Library, columns: str, table: str) -> list[Any]:
    with library.snapshot() as connection:
        found = connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()
        return list(map(tuple, found))


def people(library: Library) -> list[Any]:
    return rows(library, "id, status, ended_on", "patron")


EVERYBODY = [("P1", 5, None), ("P2", 5, None), ("P3", 5, None)]
TWO_ENDED = [("P1", 5, None), ("P2", 9, TODAY), ("P3", 9, TODAY)]


def test_nothing_is_removed_unless_the_files_are_said_to_be_complete(library: Library) -> None:
    before = content(library)
    only_one = without("patron", "P2", "P3")
    assert complete(library, only_one).missing == {}
    assert content(library) == before | {"setting": content(library)["setting"]}


def test_b92_who_is_missing_is_ended_and_comes_back_with_the_next_import(library: Library) -> None:
    """With all that they have; importing the same again finds nobody to end."""
    only_one = without("patron", "P2", "P3")
    before = content(library)
    report = complete(library, only_one, "patron")
    assert (report.errors, report.missing, report.rows_changed) == ((), {"patron": 2}, 2)
    assert people(library) == TWO_ENDED
    assert rows(library, "id", "fee") == [("F1",), ("F2",), ("F3",), ("F4",)]
    again = complete(library, only_one, "patron")
    assert (again.missing, again.rows_changed) == ({"patron": 0}, 0)
    assert complete(library, LIBRARY, "patron").missing == {"patron": 0}
    assert people(library) == EVERYBODY
    after = content(library)
    for table in ("patron", "card", "fee", "ledger_entry", "relationship", "loan", "hold"):
        assert after[table] == before[table]


def test_who_ended_keeps_the_day(library: Library) -> None:
    complete(library, without("patron", "P2", "P3"), "patron")
    with library.own_connection() as connection:
        connection.execute("UPDATE patron SET ended_on = '2025-01-01' WHERE id = 'P2'")
    complete(library, without("patron", "P2", "P3"), "patron")
    assert people(library)[1] == ("P2", 9, "2025-01-01")


def test_who_is_back_with_the_status_of_the_ended_is_not_missing_any_more(library: Library) -> None:
    """The record is as it was, but for the day: now the library system itself says status 9."""
    complete(library, without("patron", "P3"), "patron")
    line = next(line for line in LIBRARY if line.get("id") == "P3")
    assert load(library, line | {"status": 9}).errors == ()
    assert people(library)[2] == ("P3", 9, None)


def test_a_dry_run_counts_and_changes_nothing(library: Library) -> None:
    before = content(library)
    report = complete(library, without("patron", "P2"), "patron", "hold", dry_run=True)
    assert report.missing == {"patron": 1, "hold": 0}
    assert content(library) == before


@pytest.mark.parametrize("kind", KINDS)
def test_c166_an_empty_complete_import_is_refused(library: Library, kind: str) -> None:
    before = content(library)
    lines = [line for line in LIBRARY if line["kind"] != kind]
    report = complete(library, lines, kind)
    expected = f"--complete {kind}: the files have none, so they cannot be complete"
    assert (report.errors, report.applied) == ((expected,), False)
    assert content(library) == before
    assert complete(library, [], kind).errors == (expected,)


def test_an_error_in_the_files_ends_nobody(library: Library) -> None:
    wrong = {"kind": "patron", "id": "P4", "name": "X", "membership": "999"}
    report = complete(library, [*without("patron", "P2", "P3"), wrong], "patron")
    assert report.errors
    assert report.missing == {}
    assert people(library) == EVERYBODY


def test_every_kind_has_a_row() -> None:
    """A card, a badge somebody holds and a block are parts of the patron's record."""
    parts = {"card", "badge_assignment", "block"}
    assert {table.name for table in STAGED} - parts == set(KINDS)
    assert all(missing.table.name == kind for kind, missing in MISSING.items())


ADDED: dict[str, dict[str, Any]] = {
    "membership": {"code": "301", "description": "Old", "type": 0},
    "badge": {"code": "OLD", "name": "Old"},
    "relationship": {"type": "authorisation", "from": "P2", "to": "P3", "functions": ["pay"]},
    "item": {"id": "I9", "title": "Old", "loan_days": 7},
    "loan": {"item": "I2", "patron": "P3", "checked_out": "2026-03-01", "due": "2026-03-22"},
    "hold": {"id": "H9", "patron": "P3", "title_id": "T2", "placed": "2026-03-01"},
    "fee": {"id": "F9", "patron": "P3", "amount": "2.00", "created": "2026-03-01"},
}
COLUMNS = {
    "membership": "code, hidden",
    "badge": "code, active",
    "item": "id, for_loan, status, loan_days",
}
BECAME: dict[str, Any] = {
    "membership": ("301", 1),
    "badge": ("OLD", 0),
    "item": ("I9", 0, "missing", 7),
}


@pytest.mark.parametrize("kind", ADDED)
def test_what_becomes_of_the_other_kinds(library: Library, kind: str) -> None:
    """One record too many in the store, of which the next complete import knows nothing."""
    line = {"kind": kind, **ADDED[kind]}
    before = content(library)
    assert load(library, line).errors == ()
    report = complete(library, LIBRARY, kind)
    assert (report.errors, report.missing) == ((), {kind: 1})
    after = content(library)
    if kind in BECAME:
        assert BECAME[kind] in rows(library, COLUMNS[kind], kind)
        assert len(after[kind]) == len(before[kind]) + 1
    elif kind != "fee":
        assert after[kind] == before[kind]
    again = complete(library, LIBRARY, kind)
    assert (again.missing, again.rows_changed) == ({kind: 0}, 0)
    assert load(library, line).errors == ()
    assert len(content(library)[kind]) == len(before[kind]) + 1


async def owed(library: Library, patron_id: str) -> dict[str, str]:
    record = await library.find_patron(patron_id)
    assert record is not None
    return {fee.id: format_amount(fee.owed, "EUR") for fee in record.fees}


async def test_missing_fees_are_settled_and_what_was_paid_stays_paid(library: Library) -> None:
    """Three at once, one of them half paid and one a credit; the ledger keeps all of it."""
    credit = {"kind": "fee", "id": "F8", "patron": "P1", "amount": "-0.50", "created": "2026-03-01"}
    assert load(library, credit).errors == ()
    paid = await library.book_payment(decided_by(order(), pay_fee("F1")))
    assert paid.payment is not None
    report = complete(library, without("fee", "F1", "F2"), "fee")
    assert report.missing == {"fee": 3}
    assert await owed(library, "P1") == {}
    assert await owed(library, "P2") == {"F3": "6.00"}
    assert rows(library, "id, amount", "fee")[:2] == [("F1", 100), ("F2", 0)]
    assert [one.amount for one in library.payments()] == [100]
    assert list(library.surpluses()) == []
    assert complete(library, LIBRARY, "fee").errors == ()
    assert await owed(library, "P1") == {"F1": "1.50", "F2": "1.20"}


async def test_a_payment_while_the_import_is_planned_is_a_surplus(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library says that the fee is settled; who pays it at that moment paid too much."""
    pays = decided_by(order(amount=250), pay_fee("F1", 250))
    written = importing._Import._write_as_planned

    async def pay() -> None:
        assert (await library.book_payment(pays)).outcome == "booked"

    def write(one: Any) -> Any:
        asyncio.run_coroutine_threadsafe(pay(), loop).result(10)
        return written(one)

    monkeypatch.setattr(importing._Import, "_write_as_planned", write)
    loop = asyncio.get_running_loop()
    report = await asyncio.to_thread(complete, library, without("fee", "F1"), "fee")
    assert report.missing == {"fee": 1}
    assert [one.amount for one in library.surpluses()] == [250]
    assert len(report.surpluses) == 1
    assert await owed(library, "P1") == {"F2": "1.20"}


async def test_a_stub_is_not_missing(library: Library) -> None:
    """Who was forgotten is not ended, and their fees are not settled."""
    await library.forget_patron("P1", str, force=True)
    lines = [line for line in LIBRARY if "P1" not in map(str, line.values())]
    before = rows(library, "id, amount", "fee")
    report = complete(library, lines, "patron", "fee")
    assert report.missing == {"patron": 0, "fee": 0}
    assert rows(library, "id, amount", "fee") == before


def test_five_in_a_hundred_are_missing(library: Library) -> None:
    """Must be shown: ended, counted, and back again with the next file that has them."""
    everybody = [
        {"kind": "patron", "id": f"N{number:04}", "name": f"Person {number}", "status": 2}
        for number in range(2_000)
    ]
    assert load(library, *everybody).errors == ()
    fewer = [line for number, line in enumerate(everybody) if number % 20]
    report = complete(library, [*LIBRARY, *fewer], "patron")
    assert report.missing == {"patron": 100}
    ended = [patron_id for patron_id, status, day in people(library) if (status, day) == (9, TODAY)]
    assert ended == [line["id"] for line in everybody[::20]]
    assert complete(library, [*LIBRARY, *everybody], "patron").missing == {"patron": 0}
    assert {(status, day) for _, status, day in people(library)[:2_000]} == {(2, None)}
