"""On which day each patron was last active (C161).

The gateway notes it in memory and writes it a moment later, so that no request waits for it and
patrons' own rows stay as they are. A crash loses what was noted in the last second; whoever comes
back on another day is noted again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime

from sip2gw.backend.base import BackendError

WRITE_AFTER_S = 1.0
RETRY_AFTER_S = 10.0
ROWS_PER_WRITE = 100
"""SQLite runs the write in the loop: so many rows take a millisecond."""

PUT = """
    INSERT INTO activity (patron_id, day)
    SELECT COALESCE(p.merged_into, p.id), ? FROM patron p WHERE p.id = ?
    ON CONFLICT (patron_id) DO UPDATE SET day = excluded.day WHERE excluded.day > activity.day"""

Row = tuple[str, str]
"""A day, and the patron who was active on it: the values of `PUT`."""


class Activity:
    """The patrons who were active today, and which of them are not written yet.

    Used in one event loop. It keeps the ids of one day's patrons, and forgets them the next day.

    Args:
        write: writes rows, durably or not; raises `BackendError` when it did not.
    """

    def __init__(self, write: Callable[[Sequence[Row]], Awaitable[None]]) -> None:
        self._write = write
        self._seen: set[str] = set()
        self._today = date.min
        self._waiting: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[bool] | None = None
        self._closed = False

    def note(self, patron_id: str, now: datetime) -> None:
        """Note that the patron was active at `now`; nearly always a look into a set."""
        if now.day != self._today.day:
            self._turn_to(now.date())
        if patron_id in self._seen:
            return
        self._seen.add(patron_id)
        self._waiting[patron_id] = self._today.isoformat()
        self._start_after(WRITE_AFTER_S)

    def _turn_to(self, day: date) -> None:
        """A new day; around midnight moments of several zones come, so one day back is this one."""
        if not 0 <= (self._today - day).days <= 1:
            self._today = day
            self._seen.clear()

    def _start_after(self, delay_s: float) -> None:
        if self._timer is None and self._task is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._start)

    def _start(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._write_all())
        self._task.add_done_callback(self._go_on)

    def _go_on(self, task: asyncio.Task[bool]) -> None:
        self._task = None
        if self._waiting:
            is_written = not task.cancelled() and task.exception() is None and task.result()
            self._start_after(WRITE_AFTER_S if is_written else RETRY_AFTER_S)

    async def _write_all(self) -> bool:
        """Write what waits; False when the store did not take it."""
        while self._waiting:
            patrons = list(self._waiting)[:ROWS_PER_WRITE]
            rows = [(self._waiting.pop(patron_id), patron_id) for patron_id in patrons]
            try:
                await self._write(rows)
            except BackendError:
                for day, patron_id in rows:
                    self._waiting.setdefault(patron_id, day)
                return False
        return True

    async def close(self) -> None:
        """Write what waits, if the store takes it."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.wait((self._task,))
        await self._write_all()
