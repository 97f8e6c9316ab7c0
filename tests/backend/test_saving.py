"""Backup and restore of everything that cannot be made again, on both databases (B90, C135)."""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from harness import running
from orders import decided_by
from postgres import Server
from released import MADE, SECRET, Released, log_in, released_schemas

from sip2gw.backend.base import BackendError, PaymentOutcome
from sip2gw.backend.factory import open_backend, open_source, target_of
from sip2gw.backend.library import Library
from sip2gw.backend.saving import form, putting
from sip2gw.backend.saving.extracting import extract_files, secret_in
from sip2gw.backend.saving.form import (
    FORM,
    BackupError,
    Header,
    Manifest,
    Reading,
    Writing,
    reading,
)
from sip2gw.backend.saving.putting import Secret, restore
from sip2gw.backend.saving.shape import LEFT_OUT
from sip2gw.backend.saving.taking import FileCopy, take
from sip2gw.backend.spool import Spool, read_spool
from sip2gw.backend.sql import migrate as migrate_module
from sip2gw.backend.sql.money import ledger
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.backend.sql.schema import MIGRATIONS, SCHEMA_NUMBER
from sip2gw.backend.sql.secret import PinSecretError
from sip2gw.backend.sqlite.store import Store
from sip2gw.config import Config, load_config
from sip2gw.model import DoorEntry

from .library import LIBRARY, NOW, configured, content, load, order, pay_fee, unguarded
from .test_released import _POSTGRES_SCHEMA, _SQLITE_SCHEMA, schema_of

both = pytest.mark.parametrize("database", ["sqlite", "postgres"])
each_to_each = pytest.mark.parametrize(
    ("database", "other"),
    [(one, other) for one in ("sqlite", "postgres") for other in ("sqlite", "postgres")],
)
NOTHING_KNOWN = Secret()


@dataclass
class Place:
    """Where a store is or will be, and how it is configured."""

    config: Config

    def open(self) -> Library:
        return open_backend(self.config, "command", "make").store

    @property
    def is_sqlite(self) -> bool:
        return self.config.store.is_sqlite

    @property
    def secret(self) -> Path:
        return self.config.base_dir / "library.db.pin-secret"

    def save(self, **options: Any) -> bytes:
        """A backup."""
        stream = io.BytesIO()
        with open_source(self.config) as source:
            take(source, stream, **options)
        return stream.getvalue()

    def restore(self, backup: bytes, secret: Secret = NOTHING_KNOWN) -> list[str]:
        """A store from a backup, with its secret; what was wrong with the data."""
        done = restore(opened(backup), target_of(self.config), secret)
        assert done.has_secret
        return done.problems

    async def holds(self) -> dict[str, list[Any]]:
        """All rows of all tables, in any order."""
        store = self.open()
        rows = {table: sorted(rows, key=str) for table, rows in content(store).items()}
        await store.close()
        return rows

    def is_untouched(self) -> bool:
        """Whether nothing is there but what was there before a restore; a lock may be."""
        if not self.is_sqlite:
            with pytest.raises(BackendError, match="no library of sip2gw"):
                self.save()
        kept = {"sip2gw.toml", "library.db.lock"}
        return {file.name for file in self.config.base_dir.iterdir()} <= kept


def opened(backup: bytes) -> Reading:
    return Reading("the file", io.BytesIO(backup))


def read_through(backup: bytes) -> Manifest:
    return opened(backup).read_through()


Make = Callable[[str, str], Place]


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make an empty place on one of the databases, in a directory of its own."""
    made: list[tuple[Server, str]] = []

    def make(database: str, name: str) -> Place:
        directory, url = tmp_path / name, "sqlite:library.db"
        directory.mkdir()
        if database == "postgres":
            server: Server = request.getfixturevalue("postgres")
            made.append((server, server.make_database()))
            url = server.url(made[-1][1])
        return Place(configured(directory, url))

    yield make
    for server, database in made:
        server.drop_database(database)


BAR = DoorEntry("bar", "MAIN", "C1", date(2099, 1, 1), note="violence")
DUE = DoorEntry("pass", "EAST", "P3")


async def fill(where: Place) -> str:
    """The small library after a day: paid, barred, blocked, and one payment in doubt."""
    store = where.open()
    assert load(store, *LIBRARY).errors == ()
    paid = await store.book_payment(decided_by(order(), pay_fee("F1")))
    await store.put_door_entry(BAR)
    await store.put_door_entry(DUE)
    await store.record_pin_failure("P3", NOW, 3, NOW)
    with unguarded(store) as connection:
        connection.execute("INSERT INTO known_login (login, digest) VALUES ('kiosk', 'aa')")
        connection.execute("INSERT INTO guess VALUES ('key', 1, NULL, '2099', NULL)")
    await store.close()
    assert paid.payment is not None
    return paid.payment.id


# What is in it


@both
async def test_each_table_and_column_is_in_a_backup_or_on_the_list(
    place: Make, database: str
) -> None:
    """What the database itself says there is: a new table cannot be forgotten."""
    source = place(database, "old")
    await source.open().close()
    backup = source.save()
    saved = {
        f"{part.name.removeprefix('store.')}.{column}"
        for part in opened(backup).parts()
        if part.name.startswith("store.")
        for column in part.columns
    }
    store = source.open()
    with store.snapshot() as connection:
        dialect = connection.dialect
        tables = [name for (name,) in connection.execute(dialect.table_names).fetchall()]
        there = {
            f"{table}.{column}"
            for table in tables
            for (column,) in connection.execute(dialect.column_names, (table,)).fetchall()
        }
    await store.close()
    unsaved = {name.partition(".")[0] for name in there - saved}
    assert unsaved == set(LEFT_OUT), "in no backup, and nobody has said why"
    assert saved <= there


@each_to_each
async def test_a_restored_store_holds_every_row(place: Make, database: str, other: str) -> None:
    old, new = place(database, "old"), place(other, "new")
    payment = await fill(old)
    backup = old.save(with_secret=True)
    assert new.restore(backup) == []
    before, after = await old.holds(), await new.holds()
    # Where the PIN secret is kept depends on the database.
    for rows in (before, after):
        rows["setting"] = [row for row in rows["setting"] if row[0] != "pin_secret"]
    assert after == before
    # And it is one: what was booked is booked, what was forbidden is forbidden.
    store = new.open()
    assert store.self_check() == []
    again = await store.book_payment(decided_by(order(), pay_fee("F1")))
    assert again.outcome is PaymentOutcome.REPLAYED
    assert again.payment is not None
    assert again.payment.id == payment
    assert [entry.card for entry in store.door_entries("bar")] == ["C1"]
    with pytest.raises(BackendError, match="append-only"), store.own_connection() as connection:
        connection.execute("DELETE FROM ledger_entry")
    await store.close()


@both
async def test_a_restored_store_is_as_a_new_one(place: Make, database: str) -> None:
    """Its references, checks, indexes, guards and functions too."""
    source, new, restored = (place(database, name) for name in ("old", "new", "restored"))
    if database == "sqlite":
        await fill(source)
    else:
        await source.open().close()
    restored.restore(source.save(with_secret=True))
    statement = _SQLITE_SCHEMA if database == "sqlite" else _POSTGRES_SCHEMA
    stores = restored.open(), new.open()
    assert schema_of(stores[0], statement) == schema_of(stores[1], statement)
    for store in stores:
        await store.close()


@both
async def test_the_guards_hold_at_the_terminals(place: Make, database: str, tmp_path: Path) -> None:
    """Who was barred stays out, and what was paid is paid once (B46, C10)."""
    released, new = Released(6), place(database, "new")
    old = await place_released(place, released, "sqlite", "old")
    assert new.restore(old.save(with_secret=True)) == []
    config = released.config.replace("sqlite:library.db", new.config.store.url)
    directory = new.config.base_dir
    async with running(directory, config=config, records=(), now=MADE) as gateway:
        door = await log_in(gateway, directory, "door-1")
        stamp = MADE.strftime("%Y%m%d    %H%M%S")
        assert (await door.ask(f"23001{stamp}AODEMO|AA20001001|AC|AD1001|")).startswith("24 ")
        assert (await door.ask(f"23001{stamp}AODEMO|AA20001014|AC|AD1014|")).startswith("24Y")
        cash = await log_in(gateway, directory, "cash-1")
        (paid,) = [line for line in released.played if "BKpaid-1|" in line[1]]
        assert await cash.ask(paid[1]) == paid[2]
        assert gateway.store.self_check() == []


async def test_a_backup_shows_one_moment(place: Make) -> None:
    """Payments that come while it is being made are in the next one."""
    where = place("sqlite", "old")
    await fill(where)
    stream = io.BytesIO()
    with open_source(where.config) as source:
        store = where.open()
        await store.book_payment(decided_by(order("BK2"), pay_fee("F1")))
        await store.close()
        manifest = take(source, stream)
    counts = {part.name: part.rows for part in manifest.parts}
    assert counts["store.payment"] == 1
    new = place("sqlite", "new")
    new.secret.write_bytes(where.secret.read_bytes())
    assert new.restore(stream.getvalue()) == []
    assert read_through(where.save()).parts != manifest.parts


@both
async def test_unknown_requests_of_the_spool_come_along(place: Make, database: str) -> None:
    """C98: somebody must still find out what became of them."""
    old, new = place(database, "old"), place(database, "new")
    await fill(old)
    doubtful = attempt_of(order("BK9"))
    for where, attempts in ((old, [doubtful]), (new, [])):
        spool = Spool(spool_of(where))
        spool.open()
        spool.put_all(attempts)
        spool.close()
    new.restore(old.save(with_secret=True))
    assert read_spool(spool_of(new)) == [doubtful]
    store = new.open()
    assert [attempt.id for attempt in await store.unknown_attempts()] == [doubtful.id]
    await store.close()


def spool_of(where: Place) -> Path:
    return target_of(where.config).spool


# Secrets


@both
async def test_without_being_asked_it_holds_no_secret(place: Make, database: str) -> None:
    where = place(database, "old")
    await fill(where)
    secret = open_backend(where.config, "command").store.pin_secret
    plain = gzip.decompress(where.save())
    assert secret.hex().encode() not in plain
    assert secret.hex().encode() in gzip.decompress(where.save(with_secret=True))


@each_to_each
async def test_the_secret_must_come_from_somewhere(place: Make, database: str, other: str) -> None:
    old, new = place(database, "old"), place(other, "new")
    await fill(old)
    backup = old.save()
    with pytest.raises(BackupError, match="another secret than that of elsewhere"):
        new.restore(backup, Secret(bytes(32), "elsewhere"))
    assert new.is_untouched()
    secret = old.open().pin_secret
    assert new.restore(backup, Secret(secret, "the safe")) == []
    assert new.open().pin_secret == secret


@both
async def test_the_secret_may_come_later(place: Make, database: str, tmp_path: Path) -> None:
    """Nothing works before, and nothing makes another one."""
    old, new = place("sqlite", "old"), place(database, "new")
    await fill(old)
    assert not restore(opened(old.save()), target_of(new.config), NOTHING_KNOWN).has_secret
    with pytest.raises(PinSecretError):
        new.open()
    new.secret.write_bytes(old.secret.read_bytes())
    if not new.is_sqlite:
        file = new.config.path
        table = f'[store]\npin_secret_file = "{new.secret.name}"\n'
        file.write_text(file.read_text().replace("[store]\n", table))
        new = Place(load_config(file))
    assert new.open().pin_secret == old.open().pin_secret


@both
async def test_a_lost_secret_costs_the_pins_and_nothing_else(place: Make, database: str) -> None:
    old, new = place(database, "old"), place(database, "new")
    await fill(old)
    assert new.restore(old.save(), Secret(is_lost=True)) == []
    before, after = await old.holds(), await new.holds()
    different = {table for table in before if before[table] != after[table]}
    assert different == {"patron", "setting", "guess", "known_login"}
    store = new.open()
    with store.snapshot() as connection:
        hashes = connection.execute("SELECT DISTINCT pin_hash FROM patron").fetchall()
    assert hashes == [(None,)]
    assert store.pin_secret != old.open().pin_secret
    await store.close()


async def test_the_secret_of_another_store_is_not_replaced(place: Make) -> None:
    old, new = place("sqlite", "old"), place("sqlite", "new")
    await fill(old)
    new.secret.write_text(f"{SECRET.hex()}\n")
    with pytest.raises(BackupError, match=r"another secret than that of .*pin-secret"):
        new.restore(old.save(with_secret=True))
    assert new.secret.read_text() == f"{SECRET.hex()}\n"
    assert not (new.config.base_dir / "library.db").exists()


async def test_a_secret_is_found_in_its_file_and_in_a_backup(place: Make, tmp_path: Path) -> None:
    where = place("sqlite", "old")
    await fill(where)
    secret = where.open().pin_secret
    with_it, without = tmp_path / "with.gz", tmp_path / "without.gz"
    with_it.write_bytes(where.save(with_secret=True))
    without.write_bytes(where.save())
    assert secret_in(with_it) == secret_in(where.secret) == secret
    with pytest.raises(BackupError, match="no PIN secret either"):
        secret_in(without)


# Nothing is overwritten, nothing is left half


@both
async def test_what_is_there_is_left_alone(place: Make, database: str) -> None:
    old, new = place(database, "old"), place(database, "new")
    await fill(old)
    backup = old.save(with_secret=True)
    await new.open().close()
    before = await new.holds()
    with pytest.raises(BackupError, match="left unchanged"):
        new.restore(backup)
    assert await new.holds() == before


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
async def test_a_log_without_its_file_is_somebodys_data(place: Make, suffix: str) -> None:
    old, new = place("sqlite", "old"), place("sqlite", "new")
    await fill(old)
    (new.config.base_dir / f"library.db{suffix}").write_bytes(b"payments")
    with pytest.raises(BackupError, match=rf"library\.db{suffix}: is there already"):
        new.restore(old.save(with_secret=True))


async def test_a_gateway_keeps_a_restore_out_and_two_keep_each_other(place: Make) -> None:
    old, new = place("sqlite", "old"), place("sqlite", "new")
    await fill(old)
    backup = old.save(with_secret=True)
    running = open_backend(old.config, "daemon").store
    with pytest.raises(BackupError, match="a gateway or another restore"):
        old.restore(backup)
    await running.close()
    with target_of(new.config).open(), pytest.raises(BackupError, match="another restore"):
        new.restore(backup)


@both
async def test_a_damaged_backup_makes_no_store(place: Make, database: str) -> None:
    """Cut off anywhere, or one bit wrong: in its head, its rows, its digests, its end."""
    old, new = place("sqlite", "old"), place(database, "new")
    await fill(old)
    backup = old.save(with_secret=True)
    assert read_through(backup).schema == SCHEMA_NUMBER
    for position in range(20, len(backup), len(backup) // 40):
        with pytest.raises(BackupError):
            read_through(backup[:position])
        spoiled = bytearray(backup)
        spoiled[position] ^= 0x40
        assert is_refused_or_the_same(bytes(spoiled), backup), position
    for ruined in (backup[:-20], backup[: len(backup) // 2], backup + b"more", b"", b"no backup"):
        with pytest.raises(BackupError):
            new.restore(ruined)
        assert new.is_untouched()


def is_refused_or_the_same(spoiled: bytes, backup: bytes) -> bool:
    """Now and then another bit is only another way to pack the same bytes."""
    try:
        read_through(spoiled)
    except BackupError:
        return True
    return gzip.decompress(spoiled) == gzip.decompress(backup)


def forged(backup: bytes, change: Callable[[list[Any]], object]) -> bytes:
    """A backup whose lines were changed by somebody who knows gzip."""
    lines = [json.loads(line) for line in gzip.decompress(backup).splitlines()]
    change(lines)
    texts = [json.dumps(line, separators=(",", ":")) for line in lines]
    return gzip.compress("".join(f"{text}\n" for text in texts).encode())


def test_whoever_changes_rows_changes_their_digest() -> None:
    stream = io.BytesIO()
    with_header = header()
    writing = Writing(stream, with_header)
    writing.part("store.fee", ("id", "amount"), [("F1", 250), ("F2", 120)])
    writing.finish()
    backup = stream.getvalue()
    assert [part.rows for part in read_through(backup).parts] == [2]
    assert read_through(forged(backup, lambda lines: None)) == read_through(backup)
    for change in (
        lambda lines: lines[2].reverse(),
        lambda lines: lines.pop(2),
        lambda lines: lines.insert(2, lines[2]),
        lambda lines: lines[2].append(1),
        lambda lines: lines.pop(),
        lambda lines: lines.pop(4),
        lambda lines: lines.append({"part": "store.fee", "columns": []}),
        lambda lines: lines[-1]["manifest"]["parts"].pop(),
        lambda lines: lines[2].__setitem__(1, {"nested": 1}),
    ):
        with pytest.raises(BackupError):
            read_through(forged(backup, change))
    with pytest.raises(BackupError, match=r"damaged in store\.fee: its rows are not those"):
        read_through(forged(backup, lambda lines: lines[2].reverse()))
    with pytest.raises(BackupError, match="cut off"):
        read_through(gzip.compress(gzip.decompress(backup).rstrip()))


def test_a_row_has_all_columns() -> None:
    """Even one with the right digest."""
    stream = io.BytesIO()
    writing = Writing(stream, header())
    writing.part("store.fee", ("id", "amount"), [("F1", 250), ("F2",)])
    writing.finish()
    with pytest.raises(BackupError, match=r"damaged in store\.fee: a row has not all columns"):
        read_through(stream.getvalue())


def test_no_line_takes_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "LINE_MAX", 1_000)
    stream = io.BytesIO()
    writing = Writing(stream, header())
    writing.part("store.review", ("note",), [("x" * 1_000,)])
    writing.finish()
    with pytest.raises(BackupError, match="cut off"):
        read_through(stream.getvalue())


def header() -> Header:
    return Header(
        form=FORM, program="1", schema=SCHEMA_NUMBER, time="t", store="sqlite", secret=False
    )


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("store.patron", ("id",)),  # columns are missing
        ("store.sqlite_master", ("name", "sql")),
        ("store.fee; DROP TABLE fee", ("id",)),
        ("store.schema_migration", ("number", "title")),
    ],
)
def test_only_tables_of_the_schema_are_filled(
    place: Make, name: str, columns: tuple[str, ...]
) -> None:
    new, stream = place("sqlite", "new"), io.BytesIO()
    writing = Writing(stream, header())
    writing.part(name, columns, [])
    writing.finish()
    with pytest.raises(BackupError, match="a table that schema"):
        new.restore(stream.getvalue())
    assert new.is_untouched()


@both
def test_a_value_that_no_store_can_keep_is_damage(place: Make, database: str) -> None:
    new, stream = place(database, "new"), io.BytesIO()
    writing = Writing(stream, header())
    writing.part("store.known_login", ("login", "digest"), [("kiosk", 2**63)])
    writing.finish()
    with pytest.raises(BackupError, match=r"damaged in store\.known_login"):
        new.restore(stream.getvalue())
    assert new.is_untouched()


def test_no_table_is_filled_twice(place: Make) -> None:
    new, stream = place("sqlite", "new"), io.BytesIO()
    writing = Writing(stream, header())
    for _ in range(2):
        writing.part("store.known_login", ("login", "digest"), [("kiosk", "aa")])
    writing.finish()
    with pytest.raises(BackupError, match="a table that schema"):
        new.restore(stream.getvalue())


def test_a_backup_that_lacks_a_table_is_none(place: Make) -> None:
    new, stream = place("sqlite", "new"), io.BytesIO()
    Writing(stream, header()).finish()
    with pytest.raises(BackupError, match=r"lacks access_log, .*payment"):
        new.restore(stream.getvalue())
    assert new.is_untouched()


@both
async def test_a_failure_at_the_very_end_leaves_nothing(
    place: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret and the spool are written already when the last check fails."""
    old, new = place("sqlite", "old"), place(database, "new")
    await fill(old)
    spool = Spool(spool_of(old))
    spool.open()
    spool.put(attempt_of(order("BK9")))
    spool.close()
    backup = old.save(with_secret=True)

    def fail(connection: object) -> list[str]:
        assert read_spool(spool_of(new))
        raise BackendError("the disk is full")

    monkeypatch.setattr(ledger, "problems", fail)
    with pytest.raises(BackendError, match="the disk is full"):
        new.restore(backup)
    assert new.is_untouched()
    monkeypatch.undo()
    assert new.restore(backup) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make something for others")
async def test_what_root_restores_belongs_to_whoever_has_the_directory(place: Make) -> None:
    """C135: else the gateway could not open its store."""
    old, new = place("sqlite", "old"), place("sqlite", "new")
    await fill(old)
    directory = new.config.base_dir
    os.chown(directory, 1234, 2345)
    new.restore(old.save(with_secret=True))
    made = [file for file in directory.iterdir() if file.name != "sip2gw.toml"]
    assert len(made) == 3
    assert {(file.stat().st_uid, file.stat().st_gid) for file in made} == {(1234, 2345)}


async def test_what_a_killed_restore_left_is_replaced(place: Make) -> None:
    old, new = place("sqlite", "old"), place("sqlite", "new")
    await fill(old)
    (new.config.base_dir / "library.db.restoring").write_bytes(b"half of a store")
    new.restore(old.save(with_secret=True))
    assert not (new.config.base_dir / "library.db.restoring").exists()


# Older and newer schemas


schemas = pytest.mark.parametrize(
    "released", released_schemas(), ids=lambda it: f"schema-{it.number}"
)


async def place_released(place: Make, released: Released, database: str, name: str) -> Place:
    where = place(database, name)
    if where.is_sqlite:
        released.copy_sqlite(where.config.base_dir)
    else:
        await released.load_postgres(where.config.store.url)
    return where


def in_any_order(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Without what depends on the day and on the database."""
    rows["setting"] = [
        row for row in rows["setting"] if row[0] not in ("activity_since", "pin_secret")
    ]
    return rows


@schemas
@each_to_each
async def test_an_old_backup_becomes_what_its_store_would_have_become(
    place: Make, released: Released, database: str, other: str
) -> None:
    """The way into a new program, and the way back if something is wrong with it (B90)."""
    old = await place_released(place, released, database, "old")
    backup = old.save(with_secret=True)
    assert read_through(backup).schema == released.number, "a backup upgrades nothing"
    new = place(other, "new")
    assert new.restore(backup) == []
    restored = in_any_order(await new.holds())
    assert restored == in_any_order(await old.holds())  # `open` has upgraded it


@schemas
async def test_the_way_back_to_the_program_of_then(
    place: Make, released: Released, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup from before the upgrade, restored by a program that knows no later schema."""
    old = await place_released(place, released, "sqlite", "old")
    file = old.config.base_dir / "library.db"
    before, backup = file.read_bytes(), old.save(with_secret=True)
    assert file.read_bytes() == before
    new = place("sqlite", "new")
    pretend(monkeypatch, released.number)
    assert restore_without_check(new, backup, monkeypatch) == []
    restored = new.config.base_dir / "library.db"
    assert dump(restored) == dump(file)


def restore_without_check(
    where: Place, backup: bytes, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The check of the ledger is that of today's tables."""
    monkeypatch.setattr(ledger, "problems", lambda connection: [])
    return where.restore(backup)


def dump(file: Path) -> list[str]:
    """Tables, indexes, triggers and rows as SQL."""
    with closing(sqlite3.connect(file)) as connection:
        return sorted(connection.iterdump())


def pretend(monkeypatch: pytest.MonkeyPatch, schema: int) -> None:
    """Be the program of then."""
    for module in (migrate_module, putting):
        monkeypatch.setattr(module, "SCHEMA_NUMBER", schema)
    monkeypatch.setattr(migrate_module, "MIGRATIONS", MIGRATIONS[:schema])


@both
async def test_a_newer_backup_and_a_newer_store_are_refused(
    place: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = place(database, "old"), place(database, "new")
    await fill(old)
    backup = old.save(with_secret=True)
    with monkeypatch.context() as before:
        pretend(before, SCHEMA_NUMBER - 1)
        with pytest.raises(BackupError, match=rf"schema {SCHEMA_NUMBER}.* use sip2gw .* or later"):
            new.restore(backup)
        with pytest.raises(BackendError, match="run the newer program"):
            old.save()
    assert new.is_untouched()


# The store that is saved


def bytes_of(directory: Path) -> dict[str, bytes]:
    """All files there."""
    return {file.name: file.read_bytes() for file in directory.iterdir()}


async def test_no_byte_of_a_store_is_changed(place: Make) -> None:
    """Whether its gateway was stopped, killed, or works on."""
    where = place("sqlite", "old")
    await fill(where)
    directory = where.config.base_dir
    stopped = bytes_of(directory)
    assert "library.db-wal" not in stopped
    where.save(with_secret=True)
    assert bytes_of(directory) == stopped
    killed = place("sqlite", "killed")
    store = where.open()
    await store.put_door_entry(DoorEntry("bar", "EAST", "C1"))
    working = bytes_of(directory)
    assert working["library.db-wal"]
    backup = where.save(with_secret=True)
    # In one process both use one index of the log.
    index = {"library.db-shm": working["library.db-shm"]}
    assert bytes_of(directory) | index == working
    for name in working:
        if name.startswith("library.db"):
            (killed.config.base_dir / name).write_bytes(working[name])
    await store.close()
    left = bytes_of(killed.config.base_dir)
    parts = {part.name: part.sha256 for part in read_through(backup).parts}
    assert {part.name: part.sha256 for part in read_through(killed.save()).parts}.items() <= (
        parts.items()
    )
    assert bytes_of(killed.config.base_dir) == left


# What is no store


@both
async def test_a_place_without_a_library_is_named(place: Make, database: str) -> None:
    empty = place(database, "empty")
    with pytest.raises(BackendError, match=r"check store\.url"):
        empty.save()
    assert empty.is_untouched()


def test_another_programs_file_is_named_and_not_changed(place: Make) -> None:
    where = place("sqlite", "other")
    file = where.config.base_dir / "library.db"
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(BackendError, match="file is not a database"):
        where.save()
    assert file.read_bytes() == b"no database at all" * 100


async def test_a_store_that_lacks_a_table_is_not_saved(place: Make) -> None:
    where = place("sqlite", "old")
    await fill(where)
    with closing(sqlite3.connect(where.config.base_dir / "library.db")) as connection:
        connection.execute("ALTER TABLE review ADD COLUMN more TEXT")
        with pytest.raises(BackupError, match="table review has not the columns of schema"):
            where.save()
        connection.execute("DROP TABLE review")
    with pytest.raises(BackupError, match="has no table review"):
        where.save()


async def test_another_currency_is_refused(place: Make, tmp_path: Path) -> None:
    old, new = place("sqlite", "old"), place("sqlite", "new")
    await fill(old)
    other = Place(configured(new.config.base_dir, "sqlite:library.db", currency="USD"))
    with pytest.raises(BackendError, match="amounts in EUR, not in USD"):
        other.restore(old.save(with_secret=True))
    assert other.is_untouched()


async def test_what_was_wrong_before_is_restored_and_told(place: Make) -> None:
    """A restore is no judge: the data are all that there is."""
    old, new = place("sqlite", "old"), place("sqlite", "new")
    await fill(old)
    store = old.open()
    assert isinstance(store, Store)
    with unguarded(store) as connection:
        connection.execute("UPDATE payment SET amount = amount + 1")
    await store.close()
    problems = new.restore(old.save(with_secret=True))
    assert problems
    assert all("payment" in problem for problem in problems)
    assert (await new.holds())["payment"] == (await old.holds())["payment"]


# The configuration


async def test_files_of_the_configuration_are_given_back(place: Make, tmp_path: Path) -> None:
    where = place("sqlite", "old")
    await fill(where)
    files = [FileCopy("sip2gw.toml", b"[institution]"), FileCopy("tls/ca.pem", b"\x00\xff")]
    backup = where.save(files=files)
    (tmp_path / "etc.part").mkdir()  # somebody's
    (tmp_path / "etc.part" / "mine").touch()
    names = extract_files(opened(backup), tmp_path / "etc")
    assert (tmp_path / "etc.part" / "mine").exists()
    assert names == ["sip2gw.toml", "tls/ca.pem"]
    assert (tmp_path / "etc" / "tls" / "ca.pem").read_bytes() == b"\x00\xff"
    assert (tmp_path / "etc" / "sip2gw.toml").stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupError, match="is there already"):
        extract_files(opened(backup), tmp_path / "etc")


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../evil", ""])
def test_no_file_outside_of_the_directory_is_written(name: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    writing = Writing(stream, header())
    writing.part("files", ("name", "content"), [("fine", ""), (name, "")])
    writing.finish()
    with pytest.raises(BackupError, match="outside of its directory"):
        extract_files(opened(stream.getvalue()), tmp_path / "etc")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_opened_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="none: No such file"), reading(tmp_path / "none"):
        pass


def test_it_is_read_in_portions(place: Make) -> None:
    """However large a table is, a portion of it is in memory."""
    fetched: list[int] = []

    def rows() -> Iterator[tuple[int]]:
        for number in range(10_000):
            fetched.append(number)
            yield (number,)

    rests: list[int] = []
    writing = Writing(io.BytesIO(), header(), lambda: rests.append(len(fetched)))
    writing.part("store.many", ("number",), rows())
    assert rests == list(range(1_000, 10_001, 1_000))
