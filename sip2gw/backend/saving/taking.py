"""Taking a backup of a store, also while gateways work on it (B90)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from sip2gw import __version__
from sip2gw.backend.attempts import UnknownAttempt
from sip2gw.backend.database import Connection
from sip2gw.backend.saving.form import (
    FORM,
    BackupError,
    Header,
    Manifest,
    Rest,
    Row,
    Writing,
    rest_never,
)
from sip2gw.backend.saving.shape import SECRET_SETTING, insist_on_shape
from sip2gw.backend.spool import as_row
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.migrate import refuse_newer, schema_number
from sip2gw.backend.sql.secret import load_pin_secret

STORE = "store."
"""What the names of parts begin with that are tables."""
SPOOL, FILES, SECRET = "spool", "files", "secret"


class Source(Struct, frozen=True):
    """A store to be saved."""

    kind: str
    since: datetime
    """Before the moment that `connection` sees: whatever was answered by then is in it."""
    connection: Connection
    """Sees one moment of the store, and writes nothing."""
    spooled: Sequence[UnknownAttempt]
    """What this gateway's spool held before or after that moment; what was settled meanwhile is
    recognised by the store when it is restored (C98)."""
    secret_file: Path | None
    """None: the store itself keeps the PIN secret."""


class FileCopy(Struct, frozen=True):
    """A file of the configuration as it is kept in a backup."""

    name: str
    """Relative, as the configuration names it."""
    content: bytes


def merged(
    before: Iterable[UnknownAttempt], after: Iterable[UnknownAttempt]
) -> tuple[UnknownAttempt, ...]:
    """Both looks at a spool: before the moment of the store, and after it."""
    return tuple({attempt.id: attempt for attempt in (*before, *after)}.values())


def take(
    source: Source,
    stream: BinaryIO,
    *,
    files: Iterable[FileCopy] = (),
    with_secret: bool = False,
    rest: Rest = rest_never,
) -> Manifest:
    """Write a backup of `source` to `stream`, portion by portion.

    The store is read as it is: one of an older schema is not upgraded by this.

    Raises:
        BackendError: it holds no library, or one of a newer program, or cannot be read.
    """
    connection = source.connection
    schema = schema_number(connection)
    if schema == 0:
        raise BackupError("the store holds no library of sip2gw: check store.url")
    refuse_newer(schema, "the store")
    shape = insist_on_shape(connection, schema)
    secret = _secret_of(source) if with_secret else None
    header = Header(
        form=FORM,
        program=__version__,
        schema=schema,
        time=source.since.isoformat(timespec="milliseconds"),
        store=source.kind,
        secret=with_secret,
    )
    writing = Writing(stream, header, rest)
    for table, columns in shape.items():
        writing.part(f"{STORE}{table}", columns, _rows(connection, table, columns))
    writing.part(SPOOL, ("kind", "attempt"), map(as_row, source.spooled))
    copies = [(file.name, base64.b64encode(file.content).decode()) for file in files]
    writing.part(FILES, ("name", "content"), copies)
    if secret is not None:
        writing.part(SECRET, ("secret",), [(secret,)])
    return writing.finish()


def _rows(connection: Connection, table: str, columns: Sequence[str]) -> Iterable[Row]:
    """All rows but that of the PIN secret, which has a part of its own if it is wanted."""
    statement = queries.fill(
        "SELECT {columns} FROM {table}", columns=", ".join(columns), table=table
    )
    rows = connection.execute(statement)
    if table != "setting":
        return rows
    name = columns.index("name")
    return (row for row in rows if row[name] != SECRET_SETTING)


def _secret_of(source: Source) -> str:
    if source.secret_file is not None:
        return load_pin_secret(source.secret_file, create=False).hex()
    row = source.connection.execute(queries.SETTING, (SECRET_SETTING,)).fetchone()
    if row is None:
        raise BackupError("the store has no PIN secret: set store.pin_secret_file to its file")
    return str(row[0])
