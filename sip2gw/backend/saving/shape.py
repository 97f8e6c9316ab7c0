"""Which tables and columns a schema has, and what of them is not in a backup (B90)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import cache

from sip2gw.backend.database import Connection
from sip2gw.backend.saving.form import BackupError
from sip2gw.backend.sql.migrate import advance
from sip2gw.backend.sqlite.database import memory

LEFT_OUT: Mapping[str, str] = {
    "schema_migration": "the program makes it: the header of a backup says which schema it was",
}
"""Tables that are in no backup, and why. Every other is, with all its columns."""

SECRET_SETTING = "pin_secret"  # noqa: S105 -- the name of a setting, not its value
"""The row of `setting` that is left out unless the secret is asked for: whoever has it and the
hashes of PINs can try all PINs (B20)."""

Shape = Mapping[str, tuple[str, ...]]
"""The columns of each table."""


@cache
def shape_of(schema: int) -> Shape:
    """The tables of schema number `schema` that a backup holds: what its migrations make."""
    with closing(memory()) as connection:
        advance(connection, schema)
        return {
            table: columns_of(connection, table)
            for table in tables_of(connection)
            if table not in LEFT_OUT
        }


def tables_of(connection: Connection) -> list[str]:
    """The names of all tables in a database, also of those that are not ours."""
    return sorted(name for (name,) in connection.execute(connection.dialect.table_names))


def columns_of(connection: Connection, table: str) -> tuple[str, ...]:
    """The columns that a table has there."""
    names = connection.execute(connection.dialect.column_names, (table,))
    return tuple(name for (name,) in names)


def insist_on_shape(connection: Connection, schema: int) -> Shape:
    """The shape of schema number `schema`, which the store must have.

    Raises:
        BackupError: it lacks a table or a column, or has another column.
    """
    shape, present = shape_of(schema), set(tables_of(connection))
    for table, columns in shape.items():
        if table not in present:
            raise BackupError(f"the store of schema {schema} has no table {table}")
        if set(columns_of(connection, table)) != set(columns):
            raise BackupError(f"table {table} has not the columns of schema {schema}")
    return shape
