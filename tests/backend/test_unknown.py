"""Attempts of unknown outcome on both stores (C98)."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from orders import decided_by

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.sql import migrate as migrate_module
from sip2gw.backend.sql.schema import MIGRATIONS
from sip2gw.backend.sqlite.database import connect
from sip2gw.backend.sqlite.store import Store

from . import test_circulation as desk
from .library import NOW
from .unknown_contract import LATER, UnknownContract, unknown


class TestSqlite(UnknownContract):
    """The embedded store."""

    @pytest.fixture
    def library(self, store: Store) -> Library:
        return store


class TestPostgres(UnknownContract):
    """The shared store."""

    @pytest.fixture
    def library(self, postgres_store: PostgresStore) -> Library:
        return postgres_store

    async def test_a_loan_that_was_settled_as_not_made_is_never_made_later(
        self, library: Library
    ) -> None:
        """The statement that was stuck on its way; SQLite has no such way."""
        late = desk.order(patron="P1")
        await library.settle([unknown(late)], LATER)
        with pytest.raises(BackendError):
            await library.circulate(decided_by(late, desk.lending()))
        record = await library.find_item("I2", NOW)
        assert record is not None
        assert record.state.loan is None


def test_a_store_of_schema_6_takes_refused_payments_after_the_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CHECK in the table's own text is another, in this connection and in new ones."""
    status = "UPDATE payment SET status = ?"
    with closing(connect(tmp_path / "library.db")) as connection:
        with monkeypatch.context() as before:
            before.setattr(migrate_module, "MIGRATIONS", MIGRATIONS[:6])
            before.setattr(migrate_module, "SCHEMA_NUMBER", 6)
            migrate_module.migrate(connection)
        connection.execute("INSERT INTO patron (id, name) VALUES ('P1', 'Ann')")
        connection.execute(
            "INSERT INTO payment VALUES ('A', 't', 'cash-1', 'P1', 1, 'EUR', '00', '', 'booked',"
            " '[]', NULL, '', 't', '')"
        )
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(status, ("refused",))
        migrate_module.migrate(connection)
        for known in (connection, connect(tmp_path / "library.db")):
            known.execute(status, ("refused",))
            with pytest.raises(sqlite3.IntegrityError):
                known.execute(status, ("perhaps",))
            assert known.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        known.close()
