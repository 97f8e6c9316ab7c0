"""Reading at start what doors need, so that a slow disk makes nobody wait later (C114)."""

from __future__ import annotations

import sqlite3

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.sql.queries import fill

DOOR_TABLES = (
    "membership", "badge", "patron", "card", "pin_failure", "badge_assignment", "block",
    "relationship", "fee", "ledger_entry", "loan", "hold", "item", "door_entry", "presence",
)  # fmt: skip
"""What is read for one at a door."""
CACHE_KIB = 256
"""Each page is read once: a cache of pages would only keep memory that nobody uses."""

_INDEXES = """
    SELECT l.name, COALESCE(s.sql, '') FROM pragma_index_list(?) l
    JOIN sqlite_master s ON s.type = 'index' AND s.name = l.name"""


def warm(connection: sqlite3.Connection) -> int:
    """Bring the pages of `DOOR_TABLES` and of their indexes into the kernel's memory.

    Returns how many rows the tables hold.

    Raises:
        UnavailableError: they cannot be read.
    """
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return sum(_go_through(connection, table) for table in DOOR_TABLES)
    except sqlite3.Error as error:
        raise UnavailableError(f"the store cannot be read: {error}") from None


def _go_through(connection: sqlite3.Connection, table: str) -> int:
    # Counting touches all pages of the given index, and leaves the interpreter to others.
    for index, definition in connection.execute(_INDEXES, (table,)).fetchall():
        count = fill("SELECT COUNT(*) FROM {table} INDEXED BY {index}", table=table, index=index)
        _, where, condition = definition.partition(" WHERE ")
        connection.execute(f"{count}{where}{condition}").fetchone()
    whole = fill("SELECT COUNT(*) FROM {table} NOT INDEXED", table=table)
    return int(connection.execute(whole).fetchone()[0])
