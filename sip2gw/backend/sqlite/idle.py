"""Connections that wait, open, for their next use.

Opening one takes a millisecond of CPU, because SQLite reads the whole schema for it. That is more
than most of what REST asks the store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sip2gw.backend.sqlite.database import SqliteConnection


class Idle:
    """Lends connections, the one used last first; may be used from any thread.

    Args:
        connect: opens another one.
        kept_max: so many wait at most; others are closed after use.
    """

    def __init__(self, connect: Callable[[], SqliteConnection], kept_max: int) -> None:
        self._connect, self._kept_max = connect, kept_max
        self._waiting: list[SqliteConnection] = []

    @contextmanager
    def lent(self) -> Iterator[SqliteConnection]:
        """A connection for as long as the block takes; what is not committed then is undone.

        One that has failed is not lent again.
        """
        connection = self._taken()
        try:
            yield connection
            self._give_back(connection)
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._give_back(connection)
            raise

    def close(self) -> None:
        """Close those that wait, and from now on each after its use."""
        self._kept_max = 0
        while self._waiting:
            self._waiting.pop().close()

    def _taken(self) -> SqliteConnection:
        try:
            return self._waiting.pop()  # at once: another thread may take the last one, too
        except IndexError:
            return self._connect()

    def _give_back(self, connection: SqliteConnection) -> None:
        if len(self._waiting) >= self._kept_max:
            connection.close()
            return
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        self._waiting.append(connection)
