"""New SQLite stores in the tests' own processes, copied from one that was really made.

All migrations one after the other take a hundred times as long, some thousand times in a run.
Whoever changes what a migration does, and every program that is started, makes them really.
"""

import sqlite3
from functools import cache

from sip2gw.backend.database import Connection
from sip2gw.backend.sql import migrate as migrations
from sip2gw.backend.sqlite import database, store

_really = migrations.migrate
_NAMES = ("advance", "MIGRATIONS", "SCHEMA_NUMBER")
_usual = [vars(migrations)[name] for name in _NAMES]


def copy_new_stores() -> None:
    """From now on."""
    vars(store)["migrate"] = _migrate


def _migrate(connection: Connection) -> bool:
    assert isinstance(connection, sqlite3.Connection)
    current = [vars(migrations)[name] for name in _NAMES]
    if current != _usual or migrations.schema_number(connection):
        return _really(connection)
    _made().backup(connection)
    return True


@cache
def _made() -> sqlite3.Connection:
    """A new store in memory, which any thread may read."""
    made = sqlite3.connect(
        ":memory:",
        isolation_level=None,
        check_same_thread=False,
        factory=database.SqliteConnection,
    )
    _really(made)
    return made
