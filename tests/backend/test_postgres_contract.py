import pytest

from sip2gw.backend.base import Backend
from sip2gw.backend.postgres import PostgresStore

from .contract import BackendContract


class TestPostgres(BackendContract):
    """The shared store on PostgreSQL."""

    @pytest.fixture
    def backend(self, postgres_store: PostgresStore) -> Backend:
        return postgres_store
