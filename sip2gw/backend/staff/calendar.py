"""What staff change of today's opening hours, for all gateways on the store (C139).

Rows are only added: the last one of a branch counts, and the others say what was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql.values import moment_value, time_text
from sip2gw.model import CalendarChange

LAST_CHANGES = """
    SELECT c.branch, c.state, c.since, c.until, c.reason, c.user_name FROM calendar_change c
    WHERE c.position = (SELECT MAX(n.position) FROM calendar_change n
                        WHERE n.branch = c.branch AND n.since <= ?)
    ORDER BY c.branch"""
_CHANGES = """
    SELECT branch, state, since, until, reason, user_name FROM calendar_change
    WHERE branch = ? ORDER BY position"""
_ADD = """
    INSERT INTO calendar_change (branch, position, state, since, until, reason, user_name)
    SELECT ?, COALESCE(MAX(position), 0) + 1, ?, ?, ?, ?, ? FROM calendar_change WHERE branch = ?"""
_AFTER_ALL = "9999"
"""Sorts behind every stored time."""


def last_changes_values(until: datetime | None) -> tuple[str]:
    """What `LAST_CHANGES` wants to know: changes made after `until` are left out."""
    return (_AFTER_ALL if until is None else time_text(until),)


def changes_of(rows: Iterable[Sequence[Any]]) -> tuple[CalendarChange, ...]:
    """The values behind rows of these statements."""
    return tuple(
        CalendarChange(branch, state, moment_value(since), moment_value(until), reason, user)
        for branch, state, since, until, reason, user in rows
    )


def change_calendar(connection: Connection, change: CalendarChange) -> WriteResult[None]:
    """From now on `change` counts at its branch, and no earlier one does."""
    values = (
        change.branch,
        change.state,
        time_text(change.since),
        time_text(change.until),
        change.reason,
        change.user,
        change.branch,
    )
    connection.execute(_ADD, values)
    return WriteResult(None)


def history(connection: Connection, branch: str) -> tuple[CalendarChange, ...]:
    """All changes of a branch, in their order."""
    return changes_of(connection.execute(_CHANGES, (branch,)))
