"""Stores that released versions made (`tests/fixtures`): this program upgrades them and works on.

What was released never changes: neither the migrations nor what they execute.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from harness import load, running
from postgres import Server
from released import MADE, SQLITE_URL, Released, log_in, migration_digests, released_schemas

from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.sql.migrate import schema_number
from sip2gw.backend.sql.schema import SCHEMA_NUMBER
from sip2gw.model.items import ReviewKind

from .library import open_library, open_postgres_library

pytestmark = pytest.mark.no_cover

EDITED = """\
Migration {number} was released and reads otherwise now ({database}). Leave released migrations and
what goes `beside` them as they were; write what is to change as a new migration."""

BEHIND = """\
An upgraded store is not as a new one. Tables: a released migration was edited. Functions made of
the queries and of WRITES (`derived` in backend/postgres/dialect.py): they are made anew only when
a migration runs, so a change of them needs a new migration, an empty one if the tables stay."""

schemas = pytest.mark.parametrize(
    "released", released_schemas(), ids=lambda it: f"schema-{it.number}"
)
on_both = pytest.mark.parametrize("database", ["sqlite", "postgres"])


def test_there_are_fixtures_and_none_from_the_future() -> None:
    numbers = [released.number for released in released_schemas()]
    assert 6 in numbers
    assert max(numbers) <= SCHEMA_NUMBER


@schemas
def test_released_migrations_are_as_they_were(released: Released) -> None:
    now = migration_digests()
    for database, digests in released.digests.items():
        assert set(digests) == {str(number + 1) for number in range(released.number)}
        for number, digest in digests.items():
            assert now[database][number] == digest, EDITED.format(number=number, database=database)


# The schema afterwards

_SQLITE_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_OURS = "current_schema()::regnamespace"
_POSTGRES_SCHEMA = f"""
    SELECT 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
           || ' ' || a.attnotnull || ' ' || COALESCE(pg_get_expr(d.adbin, d.adrelid), '')
           || ' ' || a.attcollation::regcollation
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND c.relnamespace = {_OURS} AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = {_OURS}
    UNION ALL
    SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()
    UNION ALL
    SELECT 'trigger', tgname, pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT tgisinternal AND c.relnamespace = {_OURS}
    UNION ALL
    SELECT 'function', proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = {_OURS}"""


def schema_of(store: Library, statement: str) -> list[Any]:
    """All that the database says of its tables, indexes, triggers and functions."""
    with store.snapshot() as connection:
        assert schema_number(connection) == SCHEMA_NUMBER
        return sorted(map(tuple, connection.execute(statement)), key=str)


@schemas
async def test_an_upgraded_sqlite_store_is_as_a_new_one(released: Released, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    released.copy_sqlite(tmp_path)
    new, old = open_library(tmp_path / "new"), open_library(tmp_path)
    assert schema_of(old, _SQLITE_SCHEMA) == schema_of(new, _SQLITE_SCHEMA), BEHIND
    await old.close()
    await new.close()


@schemas
async def test_an_upgraded_postgresql_store_is_as_a_new_one(
    released: Released, postgres: Server
) -> None:
    of_then, of_now = postgres.make_database(), postgres.make_database()
    await released.load_postgres(postgres.url(of_then))
    old, new = (open_postgres_library(postgres.url(name)) for name in (of_then, of_now))
    assert schema_of(old, _POSTGRES_SCHEMA) == schema_of(new, _POSTGRES_SCHEMA), BEHIND
    await old.close()
    await new.close()
    for name in (of_then, of_now):
        postgres.drop_database(name)


# What it answers afterwards


@pytest.fixture
def database_url(database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the copy of a released store is to lie."""
    if database == "sqlite":
        yield SQLITE_URL
        return
    server: Server = request.getfixturevalue("postgres")
    name = server.make_database()
    yield server.url(name)
    server.drop_database(name)


@asynccontextmanager
async def upgraded(released: Released, directory: Path, url: str) -> Any:
    """A gateway on a copy of the released store, an hour after it was made."""
    if url == SQLITE_URL:
        released.copy_sqlite(directory)
    else:
        await released.load_postgres(url)
    config = released.config.replace(SQLITE_URL, url)
    later = MADE + timedelta(hours=1)
    async with running(directory, config=config, records=(), now=later) as gateway:
        assert gateway.store.self_check() == []
        yield gateway
        assert gateway.store.self_check() == []


LATER = (MADE + timedelta(hours=1)).strftime("%Y%m%d    %H%M%S")
NO_DATE = " " * 18


@on_both
@schemas
async def test_people_and_things_are_known(
    released: Released, database_url: str, tmp_path: Path
) -> None:
    async with upgraded(released, tmp_path, database_url) as gateway:
        kiosk = await log_in(gateway, tmp_path, "kiosk-1")
        # Anna, her PIN, one item overdue, two more on loan, one hold that waits for a title.
        answer = await kiosk.ask(f"63001{LATER}{NO_DATE[:10]}AODEMO|AA20001001|AC|AD1001|")
        assert answer[37:61] == "000000010003000000000001"
        assert "|BLY|CQY|" in answer
        assert "AEAnna Claes|" in answer
        # A PIN that is not hers; Els, who got hers wrong once; Noor, whose card a terminal blocked.
        wrong = await kiosk.ask(f"23001{LATER}AODEMO|AA20001001|AC|AD1002|")
        assert "|CQN|" in wrong
        assert "|CQY|" in await kiosk.ask(f"23001{LATER}AODEMO|AA20001007|AC|AD1007|")
        blocked = await kiosk.ask(f"23001{LATER}AODEMO|AA20001016|AC|AD1016|")
        assert "AFSelf-service is not possible. Please ask the staff.|" in blocked
        # A door, its lists in the configuration and in the store.
        door = await log_in(gateway, tmp_path, "door-1")
        admitted = await door.ask(f"23001{LATER}AODEMO|AA20001001|AC|AD1001|")
        assert admitted.startswith("24 ")
        barred = await door.ask(f"23001{LATER}AODEMO|AA20001014|AC|AD1014|")
        assert barred.startswith("24Y")


@on_both
@schemas
async def test_money_is_booked_once_and_can_be_booked(
    released: Released, database_url: str, tmp_path: Path
) -> None:
    async with upgraded(released, tmp_path, database_url) as gateway:
        cash = await log_in(gateway, tmp_path, "cash-1")
        (paid,) = [line for line in released.played if "BKpaid-1|" in line[1]]
        assert await cash.ask(paid[1]) == paid[2]
        # What is left of Lars's 0.80.
        rest = f"37{LATER}0100EURBV0.30|AODEMO|AA20001002|AC|AD1002|CGF-1004-1|BKrest-1|"
        assert (await cash.ask(rest)).startswith("38Y")
        states = {payment.bk: payment.status for payment in gateway.store.payments()}
        assert states == {
            "paid-1": "booked",
            "part-1": "booked",
            "undone-1": "undone",
            "rest-1": "booked",
        }
        # Emma's debt is settled, of Bram's own nothing: that payment was undone.
        owed = await cash.ask(f"63001{LATER}   Y      AODEMO|AA20001002|AC|AD1002|")
        assert "BV2.50|" in owed


@on_both
@schemas
async def test_credits_and_surpluses_find_their_place(
    released: Released, database_url: str, tmp_path: Path
) -> None:
    """B98, C103: what was paid on Emma's F-1003-1 then is too much now."""
    async with upgraded(released, tmp_path, database_url) as gateway:
        paid = gateway.store.payment(next(iter(gateway.store.payments())).id)
        (line,) = paid.lines
        fee = {"kind": "fee", "id": line.fee_id, "patron": line.debtor_id, "created": "2026-11-01"}
        credit = {**fee, "id": "CREDIT", "patron": "20001004", "amount": "-0.10"}
        load(gateway.store, [{**fee, "amount": "0.10"}, credit])
        (surplus,) = gateway.store.surpluses()
        assert (surplus.fee_id, surplus.amount) == (line.fee_id, line.amount - 10)
        cash = await log_in(gateway, tmp_path, "cash-1")
        # Lars owes 0.30 of his 0.80.
        told = await cash.ask(f"63001{LATER}   Y      AODEMO|AA20001004|AC|AD1004|")
        assert "BV0.20|" in told


@on_both
@schemas
async def test_things_are_returned_and_lent(
    released: Released, database_url: str, tmp_path: Path
) -> None:
    async with upgraded(released, tmp_path, database_url) as gateway:
        kiosk = await log_in(gateway, tmp_path, "kiosk-1")
        sorter = await log_in(gateway, tmp_path, "sorter-1")
        back = f"09N{LATER}{LATER}APMAIN|AODEMO|AB30000003|AC|"
        assert (await sorter.ask(back)).startswith("101")
        again = f"11NN{LATER}{NO_DATE}AODEMO|AA20001012|AB30000003|AC|AD1012|"
        assert (await kiosk.ask(again)).startswith("121")
        # It was set aside for Carla when it came back.
        kept = f"11NN{LATER}{NO_DATE}AODEMO|AA20001012|AB30000005|AC|AD1012|"
        assert (await kiosk.ask(kept)).startswith("120")
        for_carla = f"11NN{LATER}{NO_DATE}AODEMO|AA20001005|AB30000005|AC|AD1005|"
        assert (await kiosk.ask(for_carla)).startswith("121")
        # Greet has the film since then.
        renewed = f"29NN{LATER}{NO_DATE}AODEMO|AA20001009|AD1009|AB30000006|BOY|"
        assert (await kiosk.ask(renewed)).startswith("301")


@on_both
@schemas
async def test_staff_finds_what_there_was(
    released: Released, database_url: str, tmp_path: Path
) -> None:
    async with upgraded(released, tmp_path, database_url) as gateway:
        store: Library = gateway.store
        exported = [json.loads(line) for line in export_lines(store, currency="EUR")]
        kinds = [record["kind"] for record in exported]
        counts = {kind: kinds.count(kind) for kind in ("patron", "item", "loan", "hold", "fee")}
        assert counts == {"patron": 18, "item": 7, "loan": 5, "hold": 3, "fee": 8}
        log = store.access_rows()
        assert [(row.terminal, row.decision) for row in log] == [
            ("door-1", "granted"),
            ("door-1", "refused"),
            ("door-3", "granted"),
        ]
        assert [entry.card for entry in store.door_entries("bar")] == ["20001014"]
        assert [entry.branch for entry in store.door_entries("pass")] == ["ANNEX"]
        assert [badge.code for badge in store.badges()] == ["MAKE", "ONBE", "STUD"]
        assert len(store.reveals()) == 1
        youth = next(known for known in store.memberships() if known.type == 1)
        assert (youth.remove_after_months, youth.materials, youth.grace_days) == (22, (), 0)
        assert len(list(store.relationships())) == 4


@on_both
@schemas
async def test_it_is_upgraded_once(released: Released, database_url: str, tmp_path: Path) -> None:
    async with upgraded(released, tmp_path, database_url) as gateway:
        with gateway.store.snapshot() as connection:
            before = connection.execute("SELECT number, title FROM schema_migration").fetchall()
    config = released.config.replace(SQLITE_URL, database_url)
    async with running(tmp_path, config=config, records=(), now=MADE) as gateway:
        with gateway.store.snapshot() as connection:
            after = connection.execute("SELECT number, title FROM schema_migration").fetchall()
    assert before == after
    assert len(after) == SCHEMA_NUMBER


# What schema 6 left behind, and the migrations since then put in order

_OLD_REVIEW = """INSERT INTO review (id, time, terminal, code, item_id, patron_id, outcome, reasons)
    VALUES ('kiosk-1|11|P3|20260310    0930{n}|NNY', '2026-03-10T09:30:0{n}.000000+00:00',
            'kiosk-1', '11', 'I{n}', 'P3', '{outcome}', '{reasons}')"""
_OLD_ANSWER = """INSERT INTO circulation
    (item_id, key, terminal, code, patron_id, position, expires, outcome, before)
    VALUES ((SELECT MIN(id) FROM item), '{key}', 'kiosk-1', '11', 'P1', {place},
            '2099-01-01T00:00:00+00:00',
            '{{"time":"2026-03-10T09:30:00Z","due":"{due}"}}', 'null')"""
_LEFT_BEHIND = (
    _OLD_REVIEW.format(n=2, outcome="refused", reasons="unknown_item"),
    _OLD_REVIEW.format(n=1, outcome="done", reasons=""),
    _OLD_REVIEW.format(n=3, outcome="done", reasons="on_hold fee"),
    _OLD_ANSWER.format(key="K-odd", place=9001, due="9999-12-31T23:59:59+01:00"),
    _OLD_ANSWER.format(key="K-good", place=9002, due="2026-04-01T00:00:00Z"),
)


@on_both
async def test_reviews_and_odd_dates_of_schema_6_are_put_in_order(
    database: str, database_url: str, tmp_path: Path
) -> None:
    """Entries for review get a kind, a state and a short id; answers of odd dates go (C106)."""
    released = Released(6)
    if database == "sqlite":
        released.copy_sqlite(tmp_path)
        with closing(sqlite3.connect(tmp_path / "library.db", isolation_level=None)) as connection:
            for statement in _LEFT_BEHIND:
                connection.execute(statement)
        store: Library = open_library(tmp_path)
    else:
        await released.load_postgres(database_url)
        connection = await asyncpg.connect(database_url)
        for statement in _LEFT_BEHIND:
            await connection.execute(statement)
        await connection.close()
        store = open_postgres_library(database_url, "command")
    told = [(e.id, e.kind, e.item, e.patron, e.outcome, e.reasons) for e in store.reviews()]
    assert told[:3] == [
        ("R1", ReviewKind.OFFLINE, "I1", "P3", "done", ()),
        ("R2", ReviewKind.CONFLICT, "I2", "P3", "refused", ("unknown_item",)),
        ("R3", ReviewKind.CONFLICT, "I3", "P3", "done", ("on_hold", "fee")),
    ]
    assert {(e.terminal, e.message, e.state) for e in list(store.reviews())[:3]} == {
        ("kiosk-1", "11", "open")
    }
    with store.snapshot() as reading:
        keys = {key for (key,) in reading.execute("SELECT key FROM circulation")}
    assert "K-good" in keys
    assert "K-odd" not in keys
    await store.close()
