"""A PostgreSQL database as the source and the target of a backup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sip2gw.backend.postgres.address import Address
from sip2gw.backend.postgres.session import Session, SnapshotSession
from sip2gw.backend.postgres.store import session_at
from sip2gw.backend.saving.form import BackupError
from sip2gw.backend.saving.shape import tables_of
from sip2gw.backend.saving.taking import Source, merged
from sip2gw.backend.spool import read_spools

_SHOWN = 3


@contextmanager
def source(address: Address, spool: Path, secret_file: Path | None) -> Iterator[Source]:
    """The database as it is at one moment; gateways may be working on it.

    Raises:
        BackendError: it cannot be read.
    """
    since, before = datetime.now(UTC), read_spools(spool)
    with session_at(address, SnapshotSession) as session:
        session.begin()
        tables_of(session)  # the moment is that of the first query
        spooled = merged(before, read_spools(spool))
        yield Source("postgresql", since, session, spooled, secret_file)


@contextmanager
def new_store(address: Address) -> Iterator[Session]:
    """An empty database in a transaction, which is committed when the block ends.

    Raises:
        BackendError: it is not empty, or cannot be written.
    """
    with session_at(address, Session) as session:
        session.insist_on_server()
        for statement in session.dialect.begin_migration:
            session.execute(statement)
        present = tables_of(session)
        if present:
            raise BackupError(
                f"the database holds {len(present)} tables already"
                f" ({', '.join(present[:_SHOWN])}, …) and was left unchanged; name an empty one in"
                " store.url"
            )
        yield session
        session.execute("COMMIT")
