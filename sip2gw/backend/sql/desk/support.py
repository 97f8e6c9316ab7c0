"""Opening messages of customer support, routed by rule, once for each cause (B64, C145, C163)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from msgspec import Struct

from sip2gw.backend.database import Connection
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.values import date_text, time_text
from sip2gw.model import TEXT_CHARACTERS_MAX
from sip2gw.model.support import (
    AUTOMATIC_TYPE,
    AutomaticCategory,
    Cause,
    EventKind,
    ProcessingRule,
    SupportCounts,
    SupportStatus,
)
from sip2gw.policy.desk.support import CLOSED_STATUSES, OpeningDays

GATEWAY = ""
"""The user in the history of what the gateway did by itself."""

_COUNT_REPEAT = """
    UPDATE support_message SET count = count + 1, repeated = ?
    WHERE category = ? AND object = ? AND closed IS NULL AND object <> ''"""
_NEXT_ID = """
    UPDATE setting SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT)
    WHERE name = 'support_last_id'"""
_LAST_ID = "SELECT CAST(value AS BIGINT) FROM setting WHERE name = 'support_last_id'"
_ADD = """
    INSERT INTO support_message
        (id, type, category, object, patron_id, branch, text, status, created, department, unit,
         processor, reporter, response_due, processing_due)
    VALUES (?, ?, ?, ?, COALESCE((SELECT p.merged_into FROM patron p WHERE p.id = ?), ?),
            ?, ?, 'A', ?, ?, ?, ?, ?, ?, ?)"""
"""What is about a former record, such as a payment before the merge, is about the lasting one."""
_RULE = """
    SELECT type, category, response_days, processing_days, department, unit, processor, reporter
    FROM support_processing WHERE type = ? AND category = ?"""
_ADD_EVENT = """
    INSERT INTO support_event (message_id, position, time, user_name, kind, before, after, note)
    SELECT m.id, (SELECT COUNT(*) FROM support_event e WHERE e.message_id = m.id),
           ?, ?, ?, ?, ?, ?
    FROM support_message m WHERE m.id = ?"""

_MOVE = "UPDATE support_message SET status = ?, closed = ? WHERE id = ?"
_OPEN_ABOUT = """
    SELECT id, status FROM support_message
    WHERE category = ? AND object = ? AND closed IS NULL AND object <> ''"""
_FORGET = "DELETE FROM support_message WHERE closed < ?"
_COUNT_FORGOTTEN = "SELECT COUNT(*) FROM support_message WHERE closed < ?"
_OPEN_BY_TYPE = """
    SELECT t.code, COUNT(m.id)
    FROM support_type t LEFT JOIN support_message m ON m.type = t.code AND m.closed IS NULL
    GROUP BY t.code"""
DUE = (
    "CASE WHEN answered IS NULL THEN COALESCE(response_due, processing_due) ELSE processing_due END"
)
OVERDUE = f"closed IS NULL AND {DUE} < ?"
_COUNT_OVERDUE = fill("SELECT COUNT(*) FROM support_message WHERE {overdue}", overdue=OVERDUE)


class Wanted(Struct, frozen=True):
    """A message that is to be opened."""

    type: str
    category: str
    text: str
    object: str = ""
    """Of an automatic one; empty: it is about nothing that could occur again."""
    patron_id: str | None = None
    branch: str | None = None


def open_automatic(
    connection: Connection, causes: Iterable[Cause], now: datetime, days: OpeningDays
) -> int:
    """Open a message for each cause without an open one, and count the others there (C163).

    To be called inside a write transaction of the store, which no other runs beside.

    Returns:
        How many messages are new.
    """
    new = 0
    for cause in causes:
        known = (time_text(now), cause.category, _tidy(cause.object))
        if connection.execute(_COUNT_REPEAT, known).rowcount:
            continue
        wanted = Wanted(
            AUTOMATIC_TYPE,
            cause.category,
            _tidy(cause.text),
            _tidy(cause.object),
            cause.patron_id,
            cause.branch,
        )
        add_message(connection, wanted, GATEWAY, now, days)
        new += 1
    return new


def add_message(
    connection: Connection, wanted: Wanted, user: str, now: datetime, days: OpeningDays
) -> int:
    """Open a message, routed by the rule of its type and category; its id."""
    rule = rule_of(connection, wanted.type, wanted.category)
    connection.execute(_NEXT_ID)
    message_id = int(connection.execute(_LAST_ID).fetchone()[0])
    values = (
        *(message_id, wanted.type, wanted.category, wanted.object),
        *(wanted.patron_id, wanted.patron_id, wanted.branch, wanted.text, time_text(now)),
        *(rule.group, rule.unit, rule.processor, rule.reporter),
        *due_texts(rule, now, days, wanted.branch),
    )
    connection.execute(_ADD, values)
    add_event(connection, message_id, now, user, EventKind.OPENED, None, SupportStatus.OPEN)
    return message_id


def rule_of(connection: Connection, type_code: str, category: str) -> ProcessingRule:
    """How messages of this type and category are handled; an empty rule when there is none."""
    row = connection.execute(_RULE, (type_code, category)).fetchone()
    return ProcessingRule(*row) if row is not None else ProcessingRule(type_code, category)


def due_texts(
    rule: ProcessingRule, now: datetime, days: OpeningDays, branch: str | None
) -> tuple[str | None, str | None]:
    """When the response to a message of this moment is due, and when its end is."""

    def due(number: int | None) -> str | None:
        return None if number is None else date_text(days.due(now, number, branch))

    return due(rule.response_days), due(rule.processing_days)


def move(
    connection: Connection,
    message_id: int,
    before: SupportStatus,
    after: SupportStatus,
    user: str,
    note: str,
    now: datetime,
    kind: EventKind = EventKind.CHANGED,
) -> None:
    """Give an open message another status, and add that to its history."""
    closed = time_text(now) if after in CLOSED_STATUSES else None
    connection.execute(_MOVE, (after.value, closed, message_id))
    add_event(connection, message_id, now, user, kind, before, after, note)


def close_about(
    connection: Connection,
    category: AutomaticCategory,
    about: str,
    after: SupportStatus,
    user: str,
    note: str,
    now: datetime,
) -> None:
    """Close the open message about `about`, if there is one."""
    values = (category.value, about)
    for message_id, before in connection.execute(_OPEN_ABOUT, values).fetchall():
        move(connection, message_id, SupportStatus(before), after, user, note, now)


def open_about(connection: Connection, category: str, about: str) -> int | None:
    """The id of the open message about `about`, if there is one."""
    row = connection.execute(_OPEN_ABOUT, (category, about)).fetchone()
    return None if row is None else int(row[0])


def forget(connection: Connection, before: datetime) -> int:
    """Forget messages that were closed before `before`, with their history (C166); how many."""
    return connection.execute(_FORGET, (time_text(before),)).rowcount


def count_forgotten(connection: Connection, before: datetime) -> int:
    """How many messages `forget` would forget."""
    return int(connection.execute(_COUNT_FORGOTTEN, (time_text(before),)).fetchone()[0])


def counts(connection: Connection, today: date) -> SupportCounts:
    """How many messages are open and overdue on `today`."""
    by_type = {code: int(count) for code, count in connection.execute(_OPEN_BY_TYPE).fetchall()}
    (overdue,) = connection.execute(_COUNT_OVERDUE, (date_text(today),)).fetchone()
    return SupportCounts(by_type, int(overdue))


def add_event(
    connection: Connection,
    message_id: int,
    now: datetime,
    user: str,
    kind: EventKind,
    before: SupportStatus | None,
    after: SupportStatus,
    note: str = "",
) -> None:
    """Add a step to the history of a message."""
    old = None if before is None else before.value
    values = (time_text(now), user, kind.value, old, after.value, note, message_id)
    connection.execute(_ADD_EVENT, values)


def _tidy(text: str) -> str:
    """`text` as both databases can keep it, and as a terminal can show it."""
    return "".join(c if c.isprintable() else " " for c in text)[:TEXT_CHARACTERS_MAX]
