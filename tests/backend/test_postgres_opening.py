"""Opening a store on PostgreSQL: the URL, the schema, the PIN secret, the currency, the server."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from postgres import Server

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.factory import StoreUrlError, open_backend
from sip2gw.backend.postgres import PostgresStore, open_postgres
from sip2gw.backend.postgres.address import Address
from sip2gw.backend.postgres.database import numbered
from sip2gw.backend.postgres.failures import as_backend_error
from sip2gw.backend.sql import migrate as migrate_module
from sip2gw.backend.sql.migrate import SchemaError
from sip2gw.backend.sql.schema import SCHEMA_NUMBER, Migration
from sip2gw.backend.sql.secret import PinSecretError

from .library import LIBRARY, NOW, configured, load, open_postgres_library


def test_placeholders_are_numbered() -> None:
    assert numbered("a = ? AND b IN (?, ?)") == "a = $1 AND b IN ($2, $3)"


async def test_the_factory_opens_it(postgres_url: str, tmp_path: Path) -> None:
    store = open_backend(configured(tmp_path, postgres_url), "command").store
    assert isinstance(store, PostgresStore)
    assert await store.find_patron("P1") is not None
    await store.close()


def test_a_missing_driver_is_named(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("sip2gw.backend.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreUrlError, match=r"pip install 'sip2gw\[postgres\]'"):
        open_backend(configured(tmp_path, postgres_url), "command")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://nobody:geheim@127.0.0.1:1/library",
            "the database library at 127.0.0.1:1 cannot be reached: Connection refused; start",
        ),
        (
            "postgresql://postgres@/none?host=/nowhere",
            "the database none at /nowhere cannot be reached: No such file or directory; start",
        ),
        (
            "postgresql://postgres@nowhere.invalid/library",
            "the database library at nowhere.invalid cannot be reached: its name cannot be"
            " resolved; correct the host in store.url, or the name service",
        ),
        (
            "postgresql://postgres@127.0.0.1:notaport/library",
            "the database library at 127.0.0.1:notaport cannot be reached",
        ),
    ],
)
def test_an_unreachable_database_is_told_with_its_name_and_host(url: str, told: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        open_postgres(url, password="geheim", role="daemon", access="make", currency="EUR")
    assert str(caught.value).startswith(told)
    assert "geheim" not in str(caught.value)
    assert "nobody" not in str(caught.value)


def test_a_server_that_refuses_is_quoted(postgres: Server) -> None:
    url = postgres.url("postgres")
    user = urlsplit(url).username
    with pytest.raises(UnavailableError, match='the server says: role "nobody" does not exist'):
        open_postgres_library(url.replace(f"//{user}", "//nobody", 1))


def test_what_the_server_does_not_allow_is_told_in_its_words() -> None:
    refused = as_backend_error(
        asyncpg.InsufficientPrivilegeError("permission denied for table patron")
    )
    assert isinstance(refused, UnavailableError)
    assert str(refused) == (
        "the database could not carry it out: permission denied for table patron"
    )
    quoting = as_backend_error(asyncpg.UniqueViolationError("Key (card)=(4711) already exists"))
    assert "4711" not in str(quoting), "these words quote data"


def test_an_unknown_database_is_told(postgres: Server) -> None:
    with pytest.raises(UnavailableError, match="the server has no database of that name"):
        open_postgres_library(postgres.url("none"))


def test_nothing_shows_the_password() -> None:
    assert "geheim" not in repr(Address("postgresql://u@h/d", "geheim"))


def test_another_encoding_is_refused(postgres: Server) -> None:
    postgres.run(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' "
        "LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    with pytest.raises(BackendError, match="UTF8, not LATIN1"):
        open_postgres_library(postgres.url("latin"))
    postgres.drop_database("latin")


def test_many_may_open_a_new_database_at_once(postgres: Server) -> None:
    """The migrations run under a lock: one makes the tables, the others find them."""
    name = postgres.make_database()
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(open_postgres_library, [postgres.url(name)] * 4))
    assert len({store.pin_secret for store in stores}) == 1
    for store in stores:
        asyncio.run(store.close())
    assert postgres.run("SELECT count(*) FROM schema_migration", name) == [(SCHEMA_NUMBER,)]
    postgres.drop_database(name)


def test_a_newer_schema_is_refused(postgres_url: str) -> None:
    store = open_postgres_library(postgres_url, role="command")
    with store.own_connection() as connection:
        connection.execute("INSERT INTO schema_migration (number) VALUES (?)", (SCHEMA_NUMBER + 1,))
    asyncio.run(store.close())
    with pytest.raises(SchemaError, match="run the newer program"):
        open_postgres_library(postgres_url)


def test_a_failing_migration_leaves_nothing_behind(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres.make_database()
    bad = Migration(1, "bad", ("CREATE TABLE half (id TEXT PRIMARY KEY)", "NONSENSE"))
    monkeypatch.setattr(migrate_module, "MIGRATIONS", (bad,))
    with pytest.raises(BackendError):
        open_postgres_library(postgres.url(name))
    tables = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'public'"
    assert postgres.run(tables, name) == []
    postgres.drop_database(name)


# PIN secret


def test_the_database_keeps_the_secret_for_all_hosts(postgres_url: str) -> None:
    """C18."""
    first, second = (open_postgres_library(postgres_url, role="command") for _ in range(2))
    assert len(first.pin_secret) == 32
    assert first.pin_secret == second.pin_secret
    for store in (first, second):
        asyncio.run(store.close())


def test_a_secret_in_a_file_is_kept_out_of_the_database(postgres: Server, tmp_path: Path) -> None:
    name, secret_file = postgres.make_database(), tmp_path / "secret"
    store = open_postgres_library(postgres.url(name), "command", pin_secret_file=secret_file)
    assert secret_file.read_text().strip() == store.pin_secret.hex()
    asyncio.run(store.close())
    values = {value for (value,) in postgres.run("SELECT value FROM setting", name)}
    assert store.pin_secret.hex() not in values
    with pytest.raises(PinSecretError, match=r"set store\.pin_secret_file"):
        open_postgres_library(postgres.url(name))
    postgres.drop_database(name)


def test_another_secret_in_a_file_is_refused(postgres_url: str, tmp_path: Path) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text("00" * 32)
    with pytest.raises(PinSecretError, match="another secret"):
        open_postgres_library(postgres_url, pin_secret_file=secret_file)


def test_a_store_keeps_one_currency(postgres_url: str) -> None:
    with pytest.raises(BackendError, match="amounts in EUR, not in JPY"):
        open_postgres(postgres_url, password=None, role="daemon", access="make", currency="JPY")


# What others see


async def test_changes_of_one_gateway_are_seen_by_the_other_at_once(
    postgres_store: PostgresStore, postgres_url: str
) -> None:
    """C62: no cache of what others may change."""
    other = open_postgres_library(postgres_url)
    await postgres_store.find_patron("P1")
    load(other, {"kind": "patron", "id": "P1", "name": "New Name"})
    record = await postgres_store.find_patron("P1")
    assert record is not None
    assert record.name == "New Name"
    assert await postgres_store.find_by_card("C1") is None
    await other.close()


def test_a_command_may_use_several_loops(postgres_url: str) -> None:
    """As the commands do: one loop after the other, then closed in a third."""
    store = open_postgres_library(postgres_url, role="command")
    for _ in range(2):
        assert asyncio.run(store.find_patron("P1")) is not None
    assert load(store, *LIBRARY).rows_changed == 0
    asyncio.run(store.close())
    with pytest.raises(UnavailableError):
        store.payment("X")


async def test_what_cannot_be_a_card_is_nobodys(postgres_store: PostgresStore) -> None:
    for text in ("P1\0", "\ud800"):
        assert await postgres_store.find_by_card(text) is None
        assert not await postgres_store.record_pin_failure(text, NOW, 1, NOW)
        await postgres_store.clear_pin_failures(text)
