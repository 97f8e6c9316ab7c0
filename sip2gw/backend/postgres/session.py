"""PostgreSQL for code that waits: commands, imports, listings, migrations.

asyncpg is only asynchronous, so a separate thread runs the loop that such code talks to. The
statements are the same that SQLite gets.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import asyncpg

from sip2gw.backend.postgres.address import insist_on_server
from sip2gw.backend.postgres.database import POSTGRES, PostgresDialect, numbered
from sip2gw.backend.postgres.failures import FAILURES, as_backend_error

ROWS_PER_FETCH = 1_000
CLOSE_TIMEOUT_S = 2.0
ALIVE_WITHIN_S = 1.0
"""A server that does not answer to nothing for so long may be behind a broken network."""

T = TypeVar("T")
Row = tuple[Any, ...]


class Home:
    """The event loop that connections belong to, for other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """Nothing to do: others live there, too."""


class LoopThread(Home):
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        super().__init__(asyncio.new_event_loop())
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="store-loop", daemon=True
        )
        self._thread.start()

    async def hand_over(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` there; awaited from another loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def close(self) -> None:
        """End the thread; a second call does nothing."""
        if self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Result:
    """The result of a statement, see `sip2gw.backend.database.Rows`."""

    def __init__(self, rows: Iterable[Any], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def fetchone(self) -> Row | None:
        """The next row, None after the last."""
        return next(self, None)

    def fetchall(self) -> list[Row]:
        """The rows that were not fetched yet."""
        return list(self)

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        return tuple(next(self._rows))


class Session:
    """One blocking connection, see `sip2gw.backend.database.Connection`.

    Raises `BackendError` where SQLite's raises `sqlite3.Error`.
    """

    def __init__(self, home: Home, connection: asyncpg.Connection) -> None:
        self._home = home
        self._connection = connection
        self._prepared: dict[str, Any] = {}

    @property
    def dialect(self) -> PostgresDialect:
        """The SQL that is special to this database."""
        return POSTGRES

    def insist_on_server(self) -> None:
        """Refuse a server that cannot keep a library.

        Raises:
            BackendError: it is too old, or its texts are not UTF-8.
        """
        insist_on_server(self._connection)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return not self._connection.is_closed() and self._connection.is_in_transaction()

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Result:
        """Run one statement, with `?` for each of `values`."""
        return self._home.call(self._execute(numbered(statement), values))

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> Result:
        """Run one statement for each of `values`."""
        return self._home.call(self._executemany(numbered(statement), values))

    def add_rows(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /
    ) -> None:
        """Load `rows` into `table` with COPY."""
        self._home.call(self._copy(table, columns, rows))

    def close(self) -> None:
        """Let go of the connection; an open transaction is undone."""
        try:
            self._home.call(close(self._connection))
        finally:
            self._home.close()

    def rollback(self) -> None:
        """Undo the transaction that is open."""
        self._home.call(self._execute("ROLLBACK", ()))

    def is_alive(self) -> bool:
        """Whether the server answers."""
        try:
            self._home.call(self._connection.execute("SELECT 1", timeout=ALIVE_WITHIN_S))
        except FAILURES:
            return False
        return True

    async def _execute(self, statement: str, values: Sequence[Any]) -> Result:
        try:
            prepared = self._prepared.get(statement)
            if prepared is None:
                prepared = self._prepared[statement] = await self._connection.prepare(statement)
            rows = await prepared.fetch(*values)
        except FAILURES as error:
            raise as_backend_error(error) from None
        return Result(rows, changed(prepared.get_statusmsg()))

    async def _executemany(self, statement: str, values: Iterable[Sequence[Any]]) -> Result:
        try:
            await self._connection.executemany(statement, values)
        except FAILURES as error:
            raise as_backend_error(error) from None
        return Result((), 0)

    async def _copy(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        try:
            await self._connection.copy_records_to_table(table, columns=columns, records=rows)
        except FAILURES as error:
            raise as_backend_error(error) from None


class SnapshotSession(Session):
    """A session that only reads; rows arrive in portions while they are iterated."""

    def begin(self) -> None:
        """Fix the moment that all queries see."""
        super().execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Result:
        """Start one query."""
        cursor = self._home.call(self._open(numbered(statement), values))
        return Result(self._portions(cursor), 0)

    async def _open(self, statement: str, values: Sequence[Any]) -> Any:
        try:
            return await self._connection.cursor(statement, *values)
        except FAILURES as error:
            raise as_backend_error(error) from None

    def _portions(self, cursor: Any) -> Iterator[Any]:
        while rows := self._home.call(self._fetch(cursor)):
            yield from rows
            if len(rows) < ROWS_PER_FETCH:
                return

    async def _fetch(self, cursor: Any) -> list[Any]:
        try:
            rows: list[Any] = await cursor.fetch(ROWS_PER_FETCH)
        except FAILURES as error:
            raise as_backend_error(error) from None
        return rows


async def close(connection: asyncpg.Connection) -> None:
    """Close properly, or just drop the connection if the server does not answer."""
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except (*FAILURES, RuntimeError):
        connection.terminate()


def changed(status: str | None) -> int:
    """The number at the end of `DELETE 3`, `INSERT 0 3`; 0 for a statement that changes no rows."""
    last = (status or "").rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0
