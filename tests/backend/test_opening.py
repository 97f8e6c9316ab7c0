"""Opening a store: the URL, the schema, the PIN secret, the currency."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.factory import StoreUrlError, open_backend, sqlite_file
from sip2gw.backend.sql import migrate as migrate_module
from sip2gw.backend.sql.migrate import SchemaError, migrate, schema_number
from sip2gw.backend.sql.schema import MIGRATIONS, SCHEMA_NUMBER, Migration
from sip2gw.backend.sql.secret import PinSecretError, load_pin_secret
from sip2gw.backend.sqlite.database import connect
from sip2gw.backend.sqlite.store import Store

from .library import configured, open_library


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:library.db", "library.db"),
        ("sqlite:data/library.db", "data/library.db"),
        ("sqlite:/var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:///var/lib/x.db", "/var/lib/x.db"),
    ],
)
def test_urls_of_files(url: str, path: str) -> None:
    assert sqlite_file(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    ["", "library.db", "sqlite:", "sqlite::memory:", "sqlite://host/x", "mysql://x", "sqlite:a?b"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(StoreUrlError, match=r"store\.url"):
        sqlite_file(url)


async def test_a_relative_file_is_meant_from_the_configuration(tmp_path: Path) -> None:
    store = open_backend(configured(tmp_path, "sqlite:a.db"), "daemon", "make").store
    assert isinstance(store, Store)
    assert store.path == tmp_path / "a.db"
    await store.close()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUrlError, match="does not exist"):
        open_backend(configured(tmp_path, "sqlite:no/a.db"), "command")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "library.db").write_text("just a text, and long enough to be looked at" * 50)
    with pytest.raises(UnavailableError, match="not a database"):
        open_library(tmp_path)
    with pytest.raises(UnavailableError, match="not a database"):
        open_library(tmp_path)  # not "another sip2gw serves this store"


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "library.db").mkdir()
    with pytest.raises(UnavailableError, match="directory"):
        open_library(tmp_path, role="command")


def modes(directory: Path) -> dict[str, int]:
    """The permissions of each file in `directory`."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    store = open_library(tmp_path)
    assert set(modes(tmp_path).values()) == {0o600}
    await store.close()


# Migrations


async def test_a_newer_schema_is_refused_with_a_sentence(tmp_path: Path) -> None:
    store = await made_and_closed(tmp_path)
    connection = connect(store.path)
    connection.execute("INSERT INTO schema_migration (number) VALUES (?)", (SCHEMA_NUMBER + 1,))
    connection.close()
    with pytest.raises(SchemaError, match="run the newer program"):
        open_library(tmp_path)


def test_only_missing_migrations_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(tmp_path / "x.db")
    migrate(connection)
    migrate(connection)
    assert schema_number(connection) == SCHEMA_NUMBER
    later = Migration(SCHEMA_NUMBER + 1, "more", ("CREATE TABLE more (id TEXT PRIMARY KEY)",))
    monkeypatch.setattr(migrate_module, "MIGRATIONS", (*MIGRATIONS, later))
    monkeypatch.setattr(migrate_module, "SCHEMA_NUMBER", later.number)
    migrate(connection)
    assert connection.execute("SELECT * FROM more").fetchall() == []
    connection.close()


def test_a_failing_migration_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(tmp_path / "x.db")
    bad = Migration(1, "bad", ("CREATE TABLE half (id TEXT PRIMARY KEY)", "NONSENSE"))
    monkeypatch.setattr(migrate_module, "MIGRATIONS", (bad,))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


# PIN secret


def test_the_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """C18."""
    path = tmp_path / "secret"
    secret = load_pin_secret(path)
    assert len(secret) == 32
    assert load_pin_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 31, "ß"])
def test_what_is_no_secret_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(PinSecretError, match="not a PIN secret") as caught:
        load_pin_secret(path)
    assert not text or text not in str(caught.value).replace(str(path), "")


def test_a_secret_that_cannot_be_made_or_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PinSecretError):
        load_pin_secret(tmp_path / "none" / "secret")
    with pytest.raises(PinSecretError):
        load_pin_secret(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PinSecretError, match="it is a pipe or a device; name a regular file"):
        load_pin_secret(tmp_path / "pipe")


def make_store(directory: Path) -> Path:
    """Make a store and close it; returns where its secret lies."""
    store = asyncio.run(made_and_closed(directory))
    return Path(f"{store.path}.pin-secret")


async def made_and_closed(directory: Path) -> Store:
    """A store after its first use."""
    store = open_library(directory)
    await store.close()
    return store


def test_a_lost_secret_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    """Every stored PIN would be wrong for ever."""
    secret_file = make_store(tmp_path)
    text = secret_file.read_text()
    secret_file.unlink()
    with pytest.raises(PinSecretError, match="missing"):
        open_library(tmp_path)
    assert not secret_file.exists()
    secret_file.write_text("00" * 32)
    with pytest.raises(PinSecretError, match="another secret"):
        open_library(tmp_path)
    secret_file.write_text(text)
    make_store(tmp_path)


async def test_a_store_keeps_one_currency(tmp_path: Path) -> None:
    await made_and_closed(tmp_path)
    with pytest.raises(BackendError, match="amounts in EUR, not in JPY"):
        open_backend(configured(tmp_path, "sqlite:library.db", "JPY"), "daemon")
