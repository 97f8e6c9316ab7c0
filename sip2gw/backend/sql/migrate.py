"""Bringing a database to the schema of this program, or refusing to touch a newer one."""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.backend.base import BackendError
from sip2gw.backend.database import Connection, Dialect
from sip2gw.backend.sql.schema import MIGRATIONS, SCHEMA_NUMBER, Migration

_CREATE = "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, title TEXT)"
_CURRENT = "SELECT COALESCE(MAX(number), 0) FROM schema_migration"
_RECORD = "INSERT INTO schema_migration (number, title) VALUES (?, ?)"


class SchemaError(BackendError):
    """The database's schema and this program do not fit."""


def schema_number(connection: Connection) -> int:
    """The number of the last migration that ran; 0 for an empty database."""
    tables = connection.execute(connection.dialect.table_names)
    if ("schema_migration",) not in map(tuple, tables):
        return 0
    return int(connection.execute(_CURRENT).fetchone()[0])


def migrate(connection: Connection) -> bool:
    """Run the missing migrations, all or none, under the write lock; whether the store is new.

    Raises:
        SchemaError: the database was made by a newer program.
    """
    present = schema_number(connection)
    if present == SCHEMA_NUMBER:
        return False
    dialect = connection.dialect
    for statement in dialect.begin_migration:
        connection.execute(statement)
    try:
        advance(connection, SCHEMA_NUMBER)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    finally:
        for statement in dialect.end_migration:
            connection.execute(statement)
    return present == 0


def advance(connection: Connection, number: int) -> None:
    """Run the missing migrations up to `number` in the transaction that is open.

    What is generated from the tables is made with the last one of this program.

    Raises:
        SchemaError: the database was made by a newer program.
    """
    dialect = connection.dialect
    connection.execute(dialect.create_table(_CREATE))
    present = schema_number(connection)
    refuse_newer(present, "the store")
    for migration in MIGRATIONS[present:number]:
        for statement in statements_of(migration, dialect):
            connection.execute(statement)
        connection.execute(_RECORD, (migration.number, migration.title))
    if number == SCHEMA_NUMBER:
        for statement in dialect.derived:
            connection.execute(statement)


def refuse_newer(present: int, where: str) -> None:
    """Refuse a schema that this program does not know; `where` names the store.

    Raises:
        SchemaError: it was made by a newer program.
    """
    if present > SCHEMA_NUMBER:
        raise SchemaError(
            f"{where} has schema {present}, this program knows up to {SCHEMA_NUMBER}:"
            " run the newer program"
        )


def statements_of(migration: Migration, dialect: Dialect) -> Iterator[str]:
    """What `migration` executes in the database that speaks `dialect`."""
    for statement in migration.statements:
        is_table = statement.startswith("CREATE TABLE")
        yield dialect.create_table(statement) if is_table else statement
    for check in migration.checks:
        yield from dialect.replace_check(check.table, check.column, check.before, check.after)
    yield from dialect.beside.get(migration.number, ())
    for table in migration.append_only:
        yield from dialect.append_only(table)
