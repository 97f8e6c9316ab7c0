"""What a start finds out about a store while another gateway still serves it (B89)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from postgres import Server

from sip2gw.backend.base import Access, BackendError
from sip2gw.backend.factory import open_backend, rehearse_opening
from sip2gw.backend.sql.migrate import SchemaError
from sip2gw.backend.sql.schema import SCHEMA_NUMBER
from sip2gw.backend.sql.standing import NoStoreError
from sip2gw.config import Config

from .library import configured

NEWER = f"INSERT INTO schema_migration VALUES ({SCHEMA_NUMBER + 1}, 'of tomorrow')"
OLDER = f"DELETE FROM schema_migration WHERE number = {SCHEMA_NUMBER}"


@pytest.fixture
def file(tmp_path: Path) -> Config:
    """Of a store in a file that a gateway serves."""
    return configured(tmp_path, "sqlite:library.db")


def change(config: Config, statement: str) -> None:
    with closing(sqlite3.connect(config.base_dir / "library.db", isolation_level=None)) as store:
        store.execute(statement)


async def test_a_file_must_be_free_and_nothing_in_it_changes(file: Config) -> None:
    serving = open_backend(file, "daemon", "make").store
    assert rehearse_opening(file, "write") is True
    change(file, OLDER)
    assert rehearse_opening(file, "write") is True
    with closing(sqlite3.connect(file.base_dir / "library.db")) as store:
        (number,) = store.execute("SELECT MAX(number) FROM schema_migration").fetchone()
    assert number == SCHEMA_NUMBER - 1
    await serving.close()


def another_secret(config: Config) -> None:
    (config.base_dir / "library.db.pin-secret").write_text("ab" * 32)


def a_newer_schema(config: Config) -> None:
    change(config, NEWER)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(another_secret, "hashed with another secret"), (a_newer_schema, "newer")],
)
async def test_what_would_end_the_start_ends_it_before_anybody_has_left(
    file: Config, spoil: Callable[[Config], None], told: str
) -> None:
    serving = open_backend(file, "daemon", "make").store
    spoil(file)
    with pytest.raises(BackendError, match=told):
        rehearse_opening(file, "write")
    await serving.close()


def test_a_missing_file_may_only_be_made(file: Config) -> None:
    with pytest.raises(NoStoreError):
        rehearse_opening(file, "write")
    assert rehearse_opening(file, "make") is True
    assert not (file.base_dir / "library.db").exists()


async def _change(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def test_a_database_must_be_free_only_to_be_brought_up_to_date(
    postgres_url: str, tmp_path: Path
) -> None:
    config = configured(tmp_path, postgres_url)
    assert rehearse_opening(config, "write") is False
    asyncio.run(_change(postgres_url, OLDER))
    assert rehearse_opening(config, "write") is True
    asyncio.run(_change(postgres_url, NEWER))
    with pytest.raises(SchemaError):
        rehearse_opening(config, "write")


@pytest.mark.parametrize("access", ["write", "make"])
def test_an_empty_database_may_only_be_made(
    postgres: Server, tmp_path: Path, access: Access
) -> None:
    config = configured(tmp_path, postgres.url(postgres.make_database()))
    if access == "make":
        assert rehearse_opening(config, access) is False
    else:
        with pytest.raises(NoStoreError):
            rehearse_opening(config, access)
