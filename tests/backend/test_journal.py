"""The off-line journal on both databases."""

import pytest

from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.sqlite.store import Store

from .journal_contract import JournalContract


class TestJournalOnSqlite(JournalContract):
    """On SQLite."""

    @pytest.fixture
    def library(self, empty_store: Store) -> Library:
        return empty_store


class TestJournalOnPostgres(JournalContract):
    """On PostgreSQL."""

    @pytest.fixture
    def library(self, empty_postgres_store: PostgresStore) -> Library:
        return empty_postgres_store
