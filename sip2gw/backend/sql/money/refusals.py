"""Refused payments: a terminal may have taken the money, so staff must find it (B100, C104).

A refused 37 is rare and written before the terminal hears the no, together with whatever else is
being committed. A flood of them must not cost a durable write each: beyond a number for each
terminal and day they are only counted in memory, and the count is written now and then. What cannot
be written waits and is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import date, datetime
from heapq import merge
from operator import attrgetter
from typing import Any

from msgspec import Struct, field

from sip2gw.backend.base import BackendError
from sip2gw.backend.database import Connection, Rows
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.values import moment_text, time_text
from sip2gw.model.refusals import RefusedPayment, RefusedPaymentsMore

KEPT_MAX = 1_000
"""Refused payments of a terminal and day (of its branch) that are kept; more are only counted."""

WAITING_MAX = 10_000
"""So many wait while the store cannot be written; more are only counted."""

ROWS_PER_WRITE = 100
"""What one transaction takes: on SQLite it runs in the event loop's thread."""

COUNTS_AFTER_S = 0.5
RETRY_AFTER_S = 1.0


class Writing(Struct):
    """What one transaction writes: values for `queries.KEEP_REFUSED` and `COUNT_REFUSED`."""

    kept: list[tuple[Any, ...]]
    counted: list[tuple[Any, ...]]

    def run(self, connection: Connection) -> None:
        """Write it in the running transaction; writing it again does no harm."""
        for statement, rows in self.statements():
            for values in rows:
                connection.execute(statement, values)

    def statements(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        """Each statement with its rows, in this order."""
        yield queries.KEEP_REFUSED, self.kept
        yield queries.COUNT_REFUSED, self.counted


class _Waiting(Struct):
    refused: RefusedPayment
    written: asyncio.Future[None]
    """Done after the first try to write it, whether or not that succeeded."""
    id: str = field(default_factory=new_id)


class _Today(Struct):
    """What this process has seen of one terminal."""

    day: date
    kept: int = 0


class Refusals:
    """The refused payments that are not written yet. Used in one event loop.

    Args:
        write: runs a `Writing` in a transaction; raises `BackendError` when nothing was written,
            or nobody knows.
    """

    def __init__(self, write: Callable[[Writing], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[_Waiting] = []
        self._more: dict[tuple[str, date], RefusedPaymentsMore] = {}
        self._today: dict[str, _Today] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        """When the timer ends; other loops than asyncio's own do not always tell."""
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._closed = False

    def add(self, refused: RefusedPayment) -> asyncio.Future[None] | None:
        """Queue `refused`; see `Backend.keep_refused_payment`."""
        if not self._has_room(refused):
            self._count(RefusedPaymentsMore(refused.time, refused.terminal, 1))
            self._start_after(COUNTS_AFTER_S)
            return None
        waiting = _Waiting(refused, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._failing:
            return None  # the next try comes by itself, and nobody need wait for it
        self._start_after(0)
        return waiting.written

    def _has_room(self, refused: RefusedPayment) -> bool:
        """Whether to keep it, as far as this process knows; the store has the last word."""
        day = refused.time.date()
        today = self._today.get(refused.terminal)
        if today is None or today.day != day:
            today = self._today[refused.terminal] = _Today(day)
        if today.kept >= KEPT_MAX or len(self._waiting) >= WAITING_MAX:
            return False
        today.kept += 1
        return True

    def _count(self, more: RefusedPaymentsMore) -> None:
        key = more.terminal, more.time.date()
        known = self._more.get(key)
        count = more.count + (known.count if known is not None else 0)
        self._more[key] = RefusedPaymentsMore(more.time, more.terminal, count)

    def _start_after(self, delay_s: float) -> None:
        """Try to write after this many seconds, or earlier if a try is due already."""
        if self._closed or self._task is not None:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = loop.call_later(delay_s, self._start)

    def _start(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._write_and_go_on())

    async def _write_and_go_on(self) -> None:
        self._failing = True
        try:
            self._failing = not await self._write_some()
        finally:
            self._task = None
            if self._failing:
                self._start_after(RETRY_AFTER_S)
            elif self._waiting:
                self._start_after(0)
            elif self._more:
                self._start_after(COUNTS_AFTER_S)

    async def _write_some(self) -> bool:
        """One try; False when the store did not take it, and all waits as before."""
        waiting = self._waiting[:ROWS_PER_WRITE]
        more, self._more = self._more, {}
        written = False
        try:
            await self._write(_writing(waiting, list(more.values())))
            written = True
        except BackendError:
            pass  # others that use the store log the failure, and the gateway logs each refusal
        finally:
            if written:
                del self._waiting[: len(waiting)]
            else:
                for few in more.values():
                    self._count(few)
            for one in waiting:
                if not one.written.done():
                    one.written.set_result(None)
        return written

    async def close(self) -> None:
        """Write what waits, if the store takes it."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await self._task
        while (self._waiting or self._more) and await self._write_some():
            pass


def _writing(waiting: list[_Waiting], more: list[RefusedPaymentsMore]) -> Writing:
    kept, counted = [], []
    for one in waiting:
        refused = one.refused
        day, time = refused.time.date().isoformat(), time_text(refused.time)
        terminal, payer = refused.terminal, refused.payer
        kept.append(
            (
                *(one.id, time, terminal, day, payer, payer, refused.amount, refused.currency),
                *(refused.payment_type, refused.bk, refused.reason, KEPT_MAX, terminal, day),
            )
        )
        counted.append((terminal, day, time, 1, one.id))
    for few in more:
        day = few.time.date().isoformat()
        counted.append((few.terminal, day, time_text(few.time), few.count, ""))
    return Writing(kept, counted)


def refused_payments(
    connection: Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    terminal: str | None = None,
) -> Iterator[RefusedPayment | RefusedPaymentsMore]:
    """What was kept in the half-open time span, and how many were only counted; oldest first."""
    wanted = {"since": moment_text(since), "until": moment_text(until), "terminal": terminal}
    more: list[RefusedPayment | RefusedPaymentsMore] = [
        RefusedPaymentsMore(datetime.fromisoformat(time), *rest)
        for time, *rest in _select(connection, queries.REFUSED_MORE, wanted)
    ]
    kept = (
        RefusedPayment(datetime.fromisoformat(time), *rest)
        for time, *rest in _select(connection, queries.REFUSED_PAYMENTS, wanted)
    )
    yield from merge(more, kept, key=attrgetter("time"))


def _select(connection: Connection, statement: str, wanted: Mapping[str, str | None]) -> Rows:
    statement, values = queries.filtered(statement, queries.REFUSED_FILTERS, wanted)
    return connection.execute(statement, values)


def forget(connection: Connection, before: datetime) -> int:
    """Forget which payments were refused before `before`, and how many more were (C104).

    Returns:
        How many were forgotten, those not counted of which only the number was known.
    """
    values = (time_text(before),)
    connection.execute(queries.FORGET_REFUSED_MORE, values)
    return connection.execute(queries.FORGET_REFUSED, values).rowcount


def count_forgotten(connection: Connection, before: datetime) -> int:
    """How many rows `forget` would delete."""
    (count,) = connection.execute(queries.COUNT_FORGOTTEN_REFUSED, (time_text(before),)).fetchone()
    return int(count)
