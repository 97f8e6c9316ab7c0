"""The door log: rows wait in memory for the next commit, and are listed for staff (B42, C65).

A crash may lose what was queued in the last moments before it.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from itertools import chain
from typing import Any

from sip2gw.backend.database import Connection
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.values import moment_value, place_text, time_text
from sip2gw.model import AccessRow

ROWS_WAITING_MAX = 100_000
"""Beyond that the oldest waiting rows are dropped: the disk has been failing for long."""

FLUSH_AFTER_S = 0.25

ROWS_PER_STATEMENT = 64
"""Each statement of the writer's thread waits for the interpreter; so few, large ones."""


class AccessLog:
    """The rows that are not written yet. One thread adds, another takes."""

    def __init__(self) -> None:
        self._rows: deque[AccessRow] = deque(maxlen=ROWS_WAITING_MAX)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: AccessRow) -> None:
        """Queue `row`."""
        self._rows.append(row)

    def take(self) -> list[AccessRow]:
        """Remove and return what waits."""
        return [self._rows.popleft() for _ in range(len(self._rows))]

    def put_back(self, rows: list[AccessRow]) -> None:
        """Return rows that could not be written; they stay the oldest."""
        room = ROWS_WAITING_MAX - len(self._rows)
        self._rows.extendleft(rows[: -room - 1 : -1])

    @staticmethod
    def write(connection: Connection, rows: list[AccessRow]) -> None:
        """Insert `rows` in the running transaction."""
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            part = rows[start : start + ROWS_PER_STATEMENT]
            values = tuple(chain.from_iterable(map(values_of, part)))
            connection.execute(queries.for_rows(queries.ADD_ACCESS, len(part)), values)


def values_of(row: AccessRow) -> tuple[Any, ...]:
    """The stored form of `row`, with a new id."""
    return (
        new_id(),
        time_text(row.time),
        row.branch,
        row.terminal,
        row.decision,
        row.reason,
        row.mode,
        row.checks,
        row.patron_id,
        row.direction,
        row.theirs,
    )


def access_rows(
    connection: Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    branch: str | None = None,
    terminal: str | None = None,
    reason: str | None = None,
    patron: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 1000,
) -> list[AccessRow]:
    """The newest `limit` rows of the door log in the half-open time span, newest last; of those
    that come before the one with the time and the id `before`, if it is given.
    """
    wanted = {
        # Before `until`: that is where SQLite begins in the index.
        "before": place_text(before),
        "since": time_text(since) if since else None,
        "until": time_text(until) if until else None,
        "branch": branch,
        "terminal": terminal,
        "reason": reason,
        "patron": patron,
    }
    statement, values = queries.filtered(queries.ACCESS_ROWS, queries.ACCESS_FILTERS, wanted)
    rows = connection.execute(statement, (*values, limit)).fetchall()
    return [AccessRow(moment_value(time), *rest) for time, *rest in reversed(rows)]
