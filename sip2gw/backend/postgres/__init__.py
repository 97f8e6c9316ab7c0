"""The store on PostgreSQL (extra `postgres`), for several gateways on one library."""

from sip2gw.backend.postgres.store import PostgresStore, open_postgres

__all__ = ["PostgresStore", "open_postgres"]
