"""What others do while an import runs: nothing is lost, and they hardly wait (C63, C60)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.base import PaymentResult
from sip2gw.backend.library import Library
from sip2gw.backend.loading.importing import ImportReport, import_files
from sip2gw.backend.loading.plan import Plan
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.postgres.database import LOCK_FACTS
from sip2gw.backend.sql.queries import BUMP_VERSION
from sip2gw.backend.sqlite.store import Store

from .library import (
    LIBRARY,
    SETTINGS,
    content,
    load,
    open_postgres_library,
    order,
    pay_fee,
    stream_of,
)

ANN = {"kind": "patron", "id": "P1", "name": "Ann"}
NEW = [
    {"kind": "patron", "id": f"N{number}", "name": "New", "membership": "201", "badges": ["ONBE"]}
    for number in range(50)
]
NEW_FEES = [
    {"kind": "fee", "id": f"NF{number}", "patron": f"N{number}", "amount": "2.00", "paid": "0.50"}
    | {"created": "2026-02-01"}
    for number in range(50)
]
FAMILY = {"kind": "relationship", "type": "head_of_family", "from": "P3", "to": "N1"}


def staff(library: Library, *statements: str) -> None:
    """A command that writes."""
    with library.own_connection() as connection:
        for statement in (*connection.dialect.begin_write, *statements, BUMP_VERSION, "COMMIT"):
            connection.execute(statement)


def load_while(library: Library, meanwhile: Callable[[], Any], *lines: Any) -> ImportReport:
    """An import, and what happens between its checks and its writing."""

    def progress(phase: str, done: int, total: int) -> None:
        if (phase, done) == ("apply", 0):
            meanwhile()

    return import_files(
        library, [("data.jsonl", stream_of(*lines))], settings=SETTINGS, progress=progress
    )


async def test_a_pin_that_was_set_meanwhile_is_kept(library: Library) -> None:
    """C16: an absent PIN keeps the one that is there when the import is written."""
    report = load_while(
        library, lambda: staff(library, "UPDATE patron SET pin_hash = 'new' WHERE id = 'P1'"), ANN
    )
    record = await library.find_patron("P1")
    assert report.applied
    assert record is not None
    assert (record.pin_hash, record.name) == ("new", "Ann")


def test_a_relationship_that_was_made_meanwhile_stands_against_the_import(
    library: Library,
) -> None:
    """B49: nothing of it is applied then."""
    relation = "INSERT INTO relationship (type, from_id, to_id) VALUES ('head_of_family', {})"
    report = load_while(
        library, lambda: staff(library, relation.format("'P1', 'P3'")), *NEW, FAMILY
    )
    assert report.errors == ("data.jsonl:51: patron P3 is a child, so cannot be a head of family",)
    assert "N1" not in {row[0] for row in content(library)["patron"]}


async def test_what_was_paid_meanwhile_is_too_much_for_a_lower_amount(library: Library) -> None:
    """C103; a payment does not wait for an import that has not begun to write."""
    loop = asyncio.get_running_loop()
    booked: list[PaymentResult] = []

    def pay() -> None:
        work = library.book_payment(decided_by(order(), pay_fee("F1")))
        booked.append(asyncio.run_coroutine_threadsafe(work, loop).result())

    lower = {"kind": "fee", "id": "F1", "patron": "P1", "amount": "0.99", "created": "2026-02-01"}
    report = await asyncio.to_thread(load_while, library, pay, lower)
    assert booked[0].outcome == "booked"
    assert report.surpluses == ("data.jsonl:1: fee F1 is overpaid by 0.01: a surplus of patron P1",)
    assert library.self_check() == []


def test_a_failure_in_the_middle_of_writing_leaves_everything_as_it_was(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B69."""
    before = content(library)

    def fail(plan: Plan, time: str, user: str, surpluses: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Plan, "write_rest", fail)
    with pytest.raises(KeyboardInterrupt):
        load(library, *NEW, *NEW_FEES, ANN)
    assert content(library) == before


def test_references_are_looked_up_though_not_row_by_row(library: Library) -> None:
    """The database itself finds nothing missing after an import of every kind."""
    load(library, *LIBRARY, *NEW, *NEW_FEES, FAMILY)
    assert library.self_check() == []


async def test_wrong_pins_outlive_the_card_that_they_came_with(library: Library) -> None:
    """C99: they are the patron's."""
    later = SETTINGS.now.replace(year=2027)
    await library.record_pin_failure("P1", SETTINGS.now, 5, later)
    load(library, ANN)
    assert [row[:2] for row in content(library)["pin_failure"]] == [("P1", 1)]
    assert library.self_check() == []


async def test_payments_go_on_while_new_patrons_are_written(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can know of them yet, so nobody has to wait for them."""
    loop = asyncio.get_running_loop()
    outcomes: list[str] = []
    write_ahead = Plan.write_ahead

    def write_and_pay(plan: Plan, time: str, user: str) -> int:
        written = write_ahead(plan, time, user)
        work = postgres_store.book_payment(decided_by(order(), pay_fee("F1")))
        outcomes.append(asyncio.run_coroutine_threadsafe(work, loop).result().outcome)
        return written

    monkeypatch.setattr(Plan, "write_ahead", write_and_pay)
    report = await asyncio.to_thread(load, postgres_store, *NEW, *NEW_FEES)
    assert (report.applied, outcomes) == (True, ["booked"])
    assert postgres_store.self_check() == []


async def test_a_command_that_was_faster_by_a_moment_is_seen(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the new patrons and the rest: all is looked at again."""
    write_ahead = Plan.write_ahead
    commands = iter(["UPDATE patron SET pin_hash = 'new' WHERE id = 'P1'"])

    def write_and_command(plan: Plan, time: str, user: str) -> int:
        written = write_ahead(plan, time, user)
        for statement in commands:
            staff(postgres_store, statement)
        return written

    monkeypatch.setattr(Plan, "write_ahead", write_and_command)
    report = await asyncio.to_thread(load, postgres_store, *NEW, ANN)
    record = await postgres_store.find_patron("P1")
    assert report.applied
    assert record is not None
    assert record.pin_hash == "new"
    assert await postgres_store.find_by_card("N7") is not None


async def test_the_same_import_at_two_hosts_at_once_is_one(postgres_url: str) -> None:
    stores = [open_postgres_library(postgres_url) for _ in range(2)]
    reports = await asyncio.gather(
        *(asyncio.to_thread(load, store, *NEW, *NEW_FEES) for store in stores)
    )
    assert [report.errors for report in reports] == [(), ()]
    assert sorted(report.rows_changed for report in reports)[0] == 0
    assert stores[0].self_check() == []
    for store in stores:
        await store.close()


async def test_an_import_of_nothing_new_wants_the_lock_only_to_leave_its_moment(
    store: Store,
) -> None:
    """C63, C138: all is read and checked while somebody else holds it."""
    compared = threading.Event()

    def tell(phase: str, done: int, total: int) -> None:
        if phase == "apply":
            compared.set()

    source = ("data.jsonl", stream_of(*LIBRARY))
    with store.own_connection() as other:
        other.execute("BEGIN IMMEDIATE")
        importing = asyncio.create_task(
            asyncio.to_thread(import_files, store, [source], settings=SETTINGS, progress=tell)
        )
        assert await asyncio.to_thread(compared.wait, 10)
        other.execute("ROLLBACK")
        assert (await importing).rows_changed == 0


def test_an_import_of_nothing_new_takes_no_lock_on_postgresql(
    postgres_store: PostgresStore,
) -> None:
    with postgres_store.own_connection() as other:
        other.execute("BEGIN")
        other.execute(LOCK_FACTS)
        assert load(postgres_store, *LIBRARY).rows_changed == 0
