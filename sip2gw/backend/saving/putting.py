"""Making a store of a backup (B90): whole, or not at all.

The tables are made as they were in the schema of the backup, filled, and then upgraded by the same
migrations as any other store.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sip2gw.backend.attempts import UnknownAttempt
from sip2gw.backend.saving.form import BackupError, Part, Reading
from sip2gw.backend.saving.shape import shape_of
from sip2gw.backend.saving.taking import SECRET, SPOOL, STORE
from sip2gw.backend.spool import Spool, SpoolError, of_row
from sip2gw.backend.sql.identity import (
    insist_on_currency,
    is_secret_of,
    keep_secret,
    start_with_another_secret,
)
from sip2gw.backend.sql.migrate import advance
from sip2gw.backend.sql.money import ledger
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.schema import SCHEMA_NUMBER
from sip2gw.backend.sql.secret import SECRET_BYTES, load_pin_secret, write_pin_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sip2gw.backend.database import Connection


class Target(Struct, frozen=True):
    """Where a backup is to become a store."""

    open: Callable[[], AbstractContextManager[Connection]]
    """A connection to an empty database, in a transaction that becomes the store when the block
    ends, and leaves nothing when it fails."""
    secret_file: Path | None
    """None: the store itself keeps the PIN secret."""
    spool: Path
    currency: str


class Secret(Struct, frozen=True):
    """What is known of the PIN secret besides the backup."""

    given: bytes | None = None
    origin: str = ""
    is_lost: bool = False
    """Nobody has it any more: PINs are given up, and all else is restored."""


class Restored(Struct, frozen=True):
    """What became of a backup."""

    problems: list[str]
    """What is wrong with the data, as the backup has them."""
    has_secret: bool
    """Whether the PIN secret is where the store looks for it; a gateway needs it to start."""


class _Found:
    """What a backup held besides its tables."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.attempts: list[UnknownAttempt] = []
        self.secret: bytes | None = None


def restore(reading: Reading, target: Target, secret: Secret) -> Restored:
    """Make the store.

    Raises:
        BackendError: nothing was made; the text says why.
    """
    header = reading.header
    if header.schema > SCHEMA_NUMBER:
        raise BackupError(
            f"the backup is of schema {header.schema}, and this program knows up to"
            f" {SCHEMA_NUMBER}: use sip2gw {header.program} or later"
        )
    with ExitStack() as undo:
        with target.open() as connection:
            found = _fill(connection, reading)
            insist_on_currency(connection, target.currency)
            has_secret = _settle_secret(connection, target, secret, found.secret, undo)
            _put_into_spool(target.spool, found.attempts, undo)
            problems = ledger.problems(connection)
        undo.pop_all()
    return Restored(problems, has_secret)


def _fill(connection: Connection, reading: Reading) -> _Found:
    schema, dialect, found = reading.header.schema, connection.dialect, _Found()
    advance(connection, schema)
    references = dialect.free_references(connection)
    for part in reading.parts():
        _take_in(connection, schema, part, found)
    missing = shape_of(schema).keys() - found.tables
    if missing:
        raise BackupError(f"the backup lacks {', '.join(sorted(missing))}")
    for statement in references:
        connection.execute(statement)
    if schema < SCHEMA_NUMBER:
        advance(connection, SCHEMA_NUMBER)
    for table in shape_of(SCHEMA_NUMBER):
        for statement in dialect.after_loading(table):
            connection.execute(statement)
    return found


def _take_in(connection: Connection, schema: int, part: Part, found: _Found) -> None:
    if part.name.startswith(STORE):
        table = part.name.removeprefix(STORE)
        if set(shape_of(schema).get(table, ())) != set(part.columns) or table in found.tables:
            raise BackupError(f"the backup has a table that schema {schema} has not")
        _empty(connection, table)
        with _as_damage(part):
            connection.add_rows(table, part.columns, part.rows)
        found.tables.add(table)
    elif part.name == SPOOL:
        with _as_damage(part):
            found.attempts = [of_row(str(kind), str(text)) for kind, text in part.rows]
    elif part.name == SECRET:
        with _as_damage(part):
            ((text,),) = part.rows
            found.secret = bytes.fromhex(str(text))


@contextmanager
def _as_damage(part: Part) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, OverflowError):  # a value that no such column can have
        raise BackupError(f"the backup is damaged in {part.name}") from None


def _empty(connection: Connection, table: str) -> None:
    """Remove what the migrations have put there; tables that only grow are empty."""
    if connection.execute(fill("SELECT 1 FROM {table} LIMIT 1", table=table)).fetchone():
        connection.execute(fill("DELETE FROM {table}", table=table))


def _settle_secret(
    connection: Connection,
    target: Target,
    known: Secret,
    saved: bytes | None,
    undo: ExitStack,
) -> bool:
    """Keep the PIN secret where the store will look for it; one that is there is never replaced.

    Whether there is one now; without it the store can be opened as soon as somebody puts it there.
    """
    file = target.secret_file
    if file is not None and file.exists():
        secret, origin = load_pin_secret(file, create=False), str(file)
    else:
        secret, origin = known.given or saved or b"", known.origin or "the backup"
        if not secret and known.is_lost:
            start_with_another_secret(connection)
            secret = secrets.token_bytes(SECRET_BYTES)
    if not secret:
        return False
    if not is_secret_of(connection, secret):
        raise BackupError(
            f"the PINs in the backup were hashed with another secret than that of {origin}"
        )
    if file is None:
        keep_secret(connection, secret)
    elif not file.exists():
        write_pin_secret(file, secret)
        undo.callback(file.unlink, missing_ok=True)
        belong_to_directory(file)
    return True


def _put_into_spool(path: Path, attempts: Sequence[UnknownAttempt], undo: ExitStack) -> None:
    """Note what nobody knew yet (C98), so that the gateway settles it when it starts."""
    if not attempts:
        return
    was_there, spool = path.exists(), Spool(path)
    try:
        spool.open()
        undo.callback(_take_back, path, was_there, [attempt.id for attempt in attempts])
        noted = spool.put_all(attempts)
    except SpoolError as error:
        raise BackupError(f"{error}; stop the gateway that has it") from None
    finally:
        spool.close()
    if len(noted) < len(attempts):
        raise BackupError(f"{path}: no room for {len(attempts)} requests of unknown outcome")
    belong_to_directory(path)


def _take_back(path: Path, was_there: bool, ids: Sequence[str]) -> None:
    if not was_there:
        path.unlink(missing_ok=True)
        return
    spool = Spool(path)
    with suppress(SpoolError):
        spool.open()
        spool.drop(ids)
    spool.close()


def belong_to_directory(file: Path) -> None:
    """What root has made belongs to the owner of the directory, who runs the gateway (C135)."""
    if os.geteuid() == 0:
        owner = file.parent.stat()
        os.chown(file, owner.st_uid, owner.st_gid)
