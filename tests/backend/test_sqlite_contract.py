import pytest

from sip2gw.backend.base import Backend
from sip2gw.backend.sqlite.store import Store

from .contract import BackendContract


class TestSqlite(BackendContract):
    """The embedded store on SQLite."""

    @pytest.fixture
    def backend(self, store: Store) -> Backend:
        return store
