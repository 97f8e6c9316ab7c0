"""The pages on Koha and Evergreen: their SQL runs, their maps load it, and a door admits (B69).

The databases are small and made up; MariaDB is played by SQLite, with the functions it lacks.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Mapping
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
from foreign_pins import EVERGREEN_2468, KOHA_2468
from harness import LIBRARY, NOON, ask_23, running
from postgres import Server

from sip2gw.backend.loading.columns import read_map
from sip2gw.backend.loading.importing import File, ImportReport, Table, import_files

from .library import SETTINGS

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
ADMITTED, REFUSED = "24    ", "24Y   "

KOHA = f"""
CREATE TABLE borrowers (borrowernumber INTEGER, cardnumber TEXT, surname TEXT, firstname TEXT,
    dateofbirth TEXT, categorycode TEXT, dateenrolled TEXT, dateexpiry TEXT, branchcode TEXT,
    email TEXT, phone TEXT, password TEXT, debarred TEXT, lost INTEGER, gonenoaddress INTEGER);
CREATE TABLE borrower_attributes (borrowernumber INTEGER, code TEXT, attribute TEXT);
CREATE TABLE accountlines (accountlines_id INTEGER, borrowernumber INTEGER, amount REAL,
    amountoutstanding REAL, date TEXT, debit_type_code TEXT, description TEXT);
CREATE TABLE biblio (biblionumber INTEGER, title TEXT, author TEXT);
CREATE TABLE items (itemnumber INTEGER, barcode TEXT, biblionumber INTEGER, homebranch TEXT,
    holdingbranch TEXT, location TEXT, itemcallnumber TEXT, notforloan INTEGER, itemlost INTEGER,
    withdrawn INTEGER);
INSERT INTO borrowers VALUES
    (1, 'K1', 'Peeters "Anke"', 'Anna', '1980-05-01', 'PT', '2025-01-01', '2026-12-31', 'CPL',
     'anna@example.org', NULL, '{KOHA_2468}', NULL, 0, 0),
    (2, 'K2', 'Maes', 'Bert', '1980-05-01', 'PT', '2025-01-01', '2026-12-31', 'CPL', NULL, NULL,
     '{KOHA_2468}', '9999-12-31', 0, 0),
    (3, 'K3', 'Claes', NULL, NULL, 'J', NULL, NULL, 'CPL', NULL, NULL, '!', NULL, NULL, 1),
    (4, NULL, 'Nocard', NULL, NULL, 'J', NULL, NULL, 'CPL', NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO borrower_attributes VALUES (1, 'SELFSERV', 'NIGHT'), (2, 'SELFSERV', 'NIGHT'),
    (1, 'SHOE', '42');
INSERT INTO accountlines VALUES
    (11, 1, 3.0, 2.5, '2026-03-01 10:00:00', 'OVERDUE', 'Dune'),
    (12, 1, -5.0, -4.0, '2026-02-01 10:00:00', NULL, NULL),
    (13, 1, 9.0, 0.0, '2026-02-01 10:00:00', 'LOST', 'paid long ago');
INSERT INTO biblio VALUES (7, 'Dune', 'Herbert, Frank'), (8, 'Emma', NULL);
INSERT INTO items VALUES (70, 'B70', 7, 'CPL', 'CPL', 'ADULT', 'SF HER', 0, 0, 0),
    (80, 'B80', 8, 'CPL', NULL, NULL, NULL, 1, 1, 0),
    (90, NULL, 8, NULL, NULL, NULL, NULL, 0, 0, 0);
"""

EVERGREEN = f"""
CREATE SCHEMA actor; CREATE SCHEMA permission; CREATE SCHEMA config; CREATE SCHEMA money;
CREATE TABLE actor.card (id INT, usr INT, barcode TEXT, active BOOL);
CREATE TABLE actor.org_unit (id INT, shortname TEXT);
CREATE TABLE permission.grp_tree (id INT, name TEXT);
CREATE TABLE actor.usr (id INT, card INT, profile INT, home_ou INT, first_given_name TEXT,
    family_name TEXT, dob DATE, email TEXT, day_phone TEXT, create_date TIMESTAMPTZ,
    expire_date TIMESTAMPTZ, barred BOOL, active BOOL, deleted BOOL);
CREATE TABLE actor.passwd (usr INT, passwd_type TEXT, salt TEXT, passwd TEXT);
CREATE TABLE config.standing_penalty (id INT, name TEXT);
CREATE TABLE actor.usr_standing_penalty (usr INT, standing_penalty INT, stop_date TIMESTAMPTZ);
CREATE TABLE actor.stat_cat (id INT, name TEXT);
CREATE TABLE actor.stat_cat_entry_usr_map (stat_cat INT, stat_cat_entry TEXT, target_usr INT);
CREATE TABLE money.materialized_billable_xact_summary (id BIGINT, usr INT, xact_start TIMESTAMPTZ,
    total_paid NUMERIC, total_owed NUMERIC, balance_owed NUMERIC, last_billing_type TEXT);
INSERT INTO actor.card VALUES (1, 1, 'E1', TRUE), (2, 2, 'E2', TRUE), (3, 1, 'E1B', TRUE),
    (4, 1, 'E1C', FALSE), (5, 3, 'E3', TRUE), (6, 4, 'E4', TRUE);
INSERT INTO actor.org_unit VALUES (1, 'BR1');
INSERT INTO permission.grp_tree VALUES (2, 'Patrons');
INSERT INTO actor.usr VALUES
    (1, 1, 2, 1, 'Anna', 'Peeters, "Anke"', '1980-05-01', NULL, NULL, '2025-01-01', '2026-12-31',
     FALSE, TRUE, FALSE),
    (2, 2, 2, 1, 'Bert', 'Maes', '1980-05-01', NULL, NULL, '2025-01-01', '2026-12-31',
     FALSE, TRUE, FALSE),
    (3, 5, 2, 1, 'Dora', 'Claes', NULL, NULL, NULL, '2025-01-01', '2026-12-31',
     FALSE, TRUE, TRUE);
INSERT INTO actor.passwd VALUES (1, 'main', '', '{EVERGREEN_2468.removeprefix("$evergreen")}'),
    (2, 'main', '', '{EVERGREEN_2468.removeprefix("$evergreen")}'), (2, 'api', '', 'x');
INSERT INTO config.standing_penalty VALUES (1, 'PATRON_EXCEEDS_FINES'), (25, 'STAFF_CHR');
INSERT INTO actor.usr_standing_penalty VALUES (1, 1, NULL), (2, 25, NULL);
INSERT INTO actor.stat_cat VALUES (1, 'Self-service'), (2, 'Shoes');
INSERT INTO actor.stat_cat_entry_usr_map VALUES (1, 'Yes', 1), (1, 'Yes', 2), (2, '42', 1);
INSERT INTO money.materialized_billable_xact_summary VALUES
    (11, 1, '2026-03-01', 0.50, 3.00, 2.50, 'Overdue materials'),
    (12, 1, '2026-02-01', 9.00, 9.00, 0.00, 'Lost Materials'),
    (13, 3, '2026-02-01', 0.00, 9.00, 9.00, 'Lost Materials');
"""


def files_on(page: str) -> Mapping[str, str]:
    """The files that a page shows, by name."""
    text = (PAGES / page).read_text(encoding="utf-8")
    found = re.findall(r"`(\w+\.(?:sql|toml|jsonl))`[^`]*```\w+\n(.*?)```", text, re.DOTALL)
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def as_mariadb_prints(script: str, query: str) -> bytes:
    """What `mysql --batch` prints: tabs, no quotes, NULL in letters."""
    with sqlite3.connect(":memory:") as database:
        database.create_function(
            "CONCAT_WS", -1, lambda sep, *parts: sep.join(p for p in parts if p is not None)
        )
        database.create_function("CURDATE", 0, lambda: NOON.date().isoformat())
        database.executescript(script)
        found = database.execute(query)
        lines = [[column[0] for column in found.description], *found]
    database.close()
    shown = ("\t".join("NULL" if it is None else str(it) for it in line) for line in lines)
    return "".join(f"{line}\n" for line in shown).encode()


async def as_psql_prints(connection: Any, query: str) -> bytes:
    """What `psql --csv` prints."""
    printed = BytesIO()
    await connection.copy_from_query(query, output=printed, format="csv", header=True)
    return printed.getvalue()


async def loaded(store: Any, tables: Mapping[str, bytes], files: Mapping[str, str]) -> ImportReport:
    """Import what comes first of all, then tables by their kinds, as the page says."""
    first = BytesIO(files["library.jsonl"].encode())
    report = await asyncio.to_thread(import_files, store, [("first", first)], settings=SETTINGS)
    assert report.errors == ()
    sources = []
    for kind, printed in tables.items():
        file: File = (f"{kind}s", BytesIO(printed))
        sources.append(Table(file, read_map(files[f"{kind}s.toml"].encode(), kind)))
    return await asyncio.to_thread(import_files, store, sources, settings=SETTINGS)


async def test_koha(tmp_path: Path) -> None:
    files = files_on("import-koha.md")
    tables = {
        kind: as_mariadb_prints(KOHA, files[f"{kind}s.sql"]) for kind in ("patron", "fee", "item")
    }
    async with running(tmp_path, records=LIBRARY) as gateway:
        report = await loaded(gateway.store, tables, files)
        assert (report.errors, report.counts) == ((), {"patron": 3, "fee": 2, "item": 2})
        again = await loaded(gateway.store, tables, files)
        assert (again.errors, again.rows_changed) == ((), 0)
        anna, dora = [await gateway.store.find_patron(it) for it in ("K1", "K3")]
        assert (anna.name, anna.birth_date) == ('Anna Peeters "Anke"', date(1980, 5, 1))
        assert (anna.membership.code, anna.home_branch, anna.email) == (
            "201",
            "MAIN",
            "anna@example.org",
        )
        assert {fee.id: (fee.owed, fee.type) for fee in anna.fees} == {
            "11": (250, "04"),
            "12": (-400, "01"),
        }
        assert (dora.pin_hash, [block.type for block in dora.blocks]) == (None, ["address_email"])
        door = await gateway.terminal("door-1")
        assert (await door.ask(ask_23("K1", "2468"))).startswith(ADMITTED)
        assert (await door.ask(ask_23("K1", "1357"))).startswith(REFUSED)
        assert (await door.ask(ask_23("K2", "2468"))).startswith(REFUSED), "barred in Koha"
        with gateway.store.snapshot() as connection:
            found = connection.execute(
                "SELECT id, title, owner_branch, for_loan, status FROM item WHERE id LIKE 'B_0'"
                " ORDER BY id"
            ).fetchall()
    assert [tuple(row) for row in found] == [
        ("B70", "Dune", "MAIN", 1, "available"),
        ("B80", "Emma", "MAIN", 0, "lost"),
    ]


async def test_evergreen(tmp_path: Path, postgres: Server) -> None:
    files = files_on("import-evergreen.md")
    name = postgres.make_database()
    connection = await asyncpg.connect(postgres.url(name))
    await connection.execute(EVERGREEN)
    tables = {
        kind: await as_psql_prints(connection, files[f"{kind}s.sql"]) for kind in ("patron", "fee")
    }
    await connection.close()
    postgres.drop_database(name)
    async with running(tmp_path, records=LIBRARY) as gateway:
        report = await loaded(gateway.store, tables, files)
        assert (report.errors, report.counts) == ((), {"patron": 2, "fee": 1})
        again = await loaded(gateway.store, tables, files)
        assert (again.errors, again.rows_changed) == ((), 0)
        anna = await gateway.store.find_patron("E1")
        assert (anna.name, anna.birth_date) == ('Anna Peeters, "Anke"', date(1980, 5, 1))
        assert {card.number for card in anna.cards} == {"E1", "E1B"}
        assert [(fee.id, fee.owed, fee.type) for fee in anna.fees] == [("11", 250, "04")]
        door = await gateway.terminal("door-1")
        assert (await door.ask(ask_23("E1B", "2468"))).startswith(ADMITTED)
        assert (await door.ask(ask_23("E1", "1357"))).startswith(REFUSED)
        assert (await door.ask(ask_23("E2", "2468"))).startswith(REFUSED), "barred in Evergreen"
