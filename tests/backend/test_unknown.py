"""Attempts of unknown outcome on both stores (C98)."""

import pytest

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.store import Store

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
            await library.circulate(late, desk.lending())
        record = await library.find_item("I2", NOW)
        assert record is not None
        assert record.state.loan is None
