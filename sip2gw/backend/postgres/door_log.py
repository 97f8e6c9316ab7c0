"""The door log: rows wait in memory and are written in batches, outside of requests (B42, C65).

A crash may lose what was queued in the last moments before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from sip2gw.backend.base import BackendError
from sip2gw.backend.postgres.database import numbered
from sip2gw.backend.postgres.failures import FAILURES
from sip2gw.backend.postgres.pool import Pool
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.door_log import FLUSH_AFTER_S, ROWS_WAITING_MAX, values_of
from sip2gw.model import AccessRow

ROWS_PER_BATCH = 2_000
RETRY_AFTER_S = 1.0

# A batch whose answer was lost is written again; its ids show what is there already.
_ADD = numbered(f"{queries.ADD_ACCESS} ON CONFLICT (id) DO NOTHING")


class DoorLog:
    """The rows that are not written yet, and the task that writes them.

    Used in the event loop of `pool` only. If the database is down for long, only `ROWS_WAITING_MAX`
    rows are kept; the oldest are dropped.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rows: deque[tuple[Any, ...]] = deque(maxlen=ROWS_WAITING_MAX)
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def add(self, row: AccessRow) -> None:
        """Queue `row`."""
        self._rows.append(values_of(row))
        if self._timer is None and self._task is None:
            self._call_later(FLUSH_AFTER_S)

    def _call_later(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._start)

    def _start(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._write_and_go_on())

    async def _write_and_go_on(self) -> None:
        written = await self._write()
        self._task = None
        if self._rows:
            self._call_later(FLUSH_AFTER_S if written else RETRY_AFTER_S)

    async def _write(self) -> bool:
        """Write all that waits; False when the database did not take it."""
        while self._rows:
            batch = [self._rows.popleft() for _ in range(min(len(self._rows), ROWS_PER_BATCH))]
            try:
                async with self._pool.connection() as connection:
                    await connection.executemany(_ADD, batch)
            except (BackendError, *FAILURES):
                room = ROWS_WAITING_MAX - len(self._rows)
                self._rows.extendleft(batch[: -room - 1 : -1])
                return False
        return True

    async def close(self) -> None:
        """Write what waits, if the database takes it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await self._task
            if self._timer is not None:
                self._timer.cancel()
        await self._write()
