"""A few warm connections of one event loop, with limits, back-off and reconnection.

asyncpg's own pool sends a second round trip to clean up after each use. Here there is nothing to
clean up, because each use is one statement outside of a transaction.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.postgres.address import Address
from sip2gw.backend.postgres.failures import (
    CONFLICTS,
    FAILURES,
    LOST,
    as_backend_error,
)
from sip2gw.backend.postgres.session import close

CONNECTIONS_MAX = 10
READS_MAX = 4
"""Connections on which nothing waits for a lock that a booking, an import or staff hold."""
WAITING_MAX = 10_000
BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 2.0


class Pool:
    """Lends connections, the warmest first; all methods belong to one event loop.

    Args:
        address: where the database is.
        statement_timeout_s: after that the server, or else the pool, gives a statement up.
        connections_max: connections at a time; further requests wait.
        monotonic: seconds that only grow, for the back-off.
    """

    def __init__(
        self,
        address: Address,
        *,
        statement_timeout_s: float,
        connections_max: int = CONNECTIONS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._statement_timeout_s = statement_timeout_s
        self._monotonic = monotonic
        self._slots = asyncio.Semaphore(connections_max)
        self._idle: list[asyncpg.Connection] = []
        self._waiting = 0
        self._failures = 0
        self._retry_at = 0.0
        self._closed = False

    @property
    def backoff_s(self) -> float:
        """Seconds until the next connection will be tried; 0 when one may be tried at once."""
        return max(0.0, self._retry_at - self._monotonic())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for one statement, or for a few that need not be atomic.

        Raises:
            UnavailableError: closed, too many wait, or the database cannot be reached.
        """
        await self._take_slot()
        try:
            connection = self._warm() or await self._connect()
            try:
                yield connection
            except LOST:
                # The server has stopped or restarted: the other connections are dead too.
                connection.terminate()
                self._drop_idle()
                raise
            except asyncio.CancelledError:
                connection.terminate()
                raise
            finally:
                self._give_back(connection)
        finally:
            self._slots.release()

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """The rows of a statement that does no harm if it runs twice.

        It runs again, once, if the connection turns out to be lost or others were in the way.

        Raises:
            BackendError: the database cannot be reached or refuses.
        """
        for last_try in (False, True):
            try:
                async with self.connection() as connection:
                    rows: list[asyncpg.Record] = await connection.fetch(statement, *values)
                    return rows
            except (*LOST, *CONFLICTS) as error:
                if last_try or isinstance(error, TimeoutError):
                    raise as_backend_error(error) from None
            except FAILURES as error:
                raise as_backend_error(error) from None
        raise AssertionError("the last try returns or raises")

    async def _take_slot(self) -> None:
        if self._closed:
            raise UnavailableError("the store is closed")
        if self._waiting >= WAITING_MAX:
            raise UnavailableError("too many requests wait for the database")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1

    def _warm(self) -> asyncpg.Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _give_back(self, connection: asyncpg.Connection) -> None:
        if self._closed:
            connection.terminate()
        elif not connection.is_closed():
            self._idle.append(connection)

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()

    async def _connect(self) -> asyncpg.Connection:
        """A new connection, unless the last tries failed just now."""
        if self._closed:
            raise UnavailableError("the store is closed")
        if self.backoff_s:
            raise UnavailableError("the database cannot be reached; the next try is due soon")
        # A task: asyncpg needs one, and the first step of a request may run outside of any.
        task = asyncio.get_running_loop().create_task(
            self._address.connect(statement_timeout_s=self._statement_timeout_s)
        )
        try:
            connection = await task
        except UnavailableError:
            delay_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**self._failures)
            self._failures += 1
            # Many gateways must not come back at the same moment; the number need not be secret.
            self._retry_at = self._monotonic() + delay_s * random.uniform(0.5, 1)  # noqa: S311 -- no secret
            raise
        self._failures = 0
        return connection

    async def close(self) -> None:
        """Close idle connections now, and those in use when they come back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(close, idle))
