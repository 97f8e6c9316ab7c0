"""Bringing a database to the schema of this program, or refusing to touch a newer one."""

from __future__ import annotations

import sqlite3

from sip2gw.backend.base import BackendError
from sip2gw.backend.store.dialect import append_only, create_table
from sip2gw.backend.store.schema import MIGRATIONS, SCHEMA_NUMBER, Migration

_CREATE = "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, title TEXT)"
_CURRENT = "SELECT COALESCE(MAX(number), 0) FROM schema_migration"
_RECORD = "INSERT INTO schema_migration (number, title) VALUES (?, ?)"


class SchemaError(BackendError):
    """The database's schema and this program do not fit."""


def schema_number(connection: sqlite3.Connection) -> int:
    """The number of the last migration that ran; 0 for an empty database."""
    try:
        return int(connection.execute(_CURRENT).fetchone()[0])
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return 0
        raise


def migrate(connection: sqlite3.Connection) -> None:
    """Run the missing migrations, all or none, under the write lock.

    Raises:
        SchemaError: the database was made by a newer program.
    """
    if schema_number(connection) == SCHEMA_NUMBER:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_CREATE)
        present = schema_number(connection)
        _refuse_newer(present)
        for migration in MIGRATIONS[present:]:
            _run(connection, migration)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _refuse_newer(present: int) -> None:
    if present > SCHEMA_NUMBER:
        raise SchemaError(
            f"the store has schema {present}, this program knows up to {SCHEMA_NUMBER}: "
            "run the newer program"
        )


def _run(connection: sqlite3.Connection, migration: Migration) -> None:
    for statement in migration.statements:
        is_table = statement.startswith("CREATE TABLE")
        connection.execute(create_table(statement) if is_table else statement)
    for table in migration.append_only:
        for statement in append_only(table):
            connection.execute(statement)
    connection.execute(_RECORD, (migration.number, migration.title))
