"""What staff do with messages of customer support, inside the caller's transaction (B64, C145)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sip2gw.backend.base import NotFoundError, RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.desk.support import (
    DUE,
    OVERDUE,
    Wanted,
    add_event,
    add_message,
    due_texts,
    move,
    open_about,
    rule_of,
)
from sip2gw.backend.sql.members import answers
from sip2gw.backend.sql.values import (
    date_text,
    date_value,
    moment_value,
    time_text,
    time_value,
)
from sip2gw.backend.staff.people import holder
from sip2gw.backend.staff.support_tables import insist_on_code
from sip2gw.model.support import (
    AutomaticCategory,
    CodeTable,
    EventKind,
    SupportEvent,
    SupportFilter,
    SupportMessage,
    SupportStatus,
)
from sip2gw.policy.desk.support import (
    CLOSED_STATUSES,
    TRANSITIONS,
    OpeningDays,
    may_follow,
    status_when_answered,
    text_problem,
)

_MESSAGES = queries.fill(
    """
    SELECT id, type, category, status, text, created, department, unit, processor, reporter, {due},
           count, repeated, patron_id, branch, closed, object
    FROM support_message{{where}} ORDER BY id""",
    due=DUE,
)
_FILTERS = {
    "id": "id = ?",
    "state": "CASE WHEN closed IS NULL THEN 'open' ELSE 'closed' END = ?",
    "overdue": OVERDUE,
    "type": "type = ?",
    "category": "category = ?",
    "department": "department = ?",
    "unit": "unit = ?",
    "patron_id": "patron_id = ?",
}
_ONE = _MESSAGES.format(where=" WHERE id = ?")
_EVENTS = """
    SELECT time, user_name, kind, before, after, note FROM support_event
    WHERE message_id = ? ORDER BY position"""
_ANSWERED = "UPDATE support_message SET answered = COALESCE(answered, ?) WHERE id = ?"
_REOPEN = """
    UPDATE support_message
    SET status = 'A', closed = NULL, answered = NULL, reopened = 1, response_due = ?,
        processing_due = ?
    WHERE id = ?"""
_DEFAULT_TEXT = "SELECT text FROM support_default_message WHERE code = ?"

_NAMES = {
    SupportStatus.OPEN: "open",
    SupportStatus.SENT: "sent",
    SupportStatus.AT_CUSTOMER: "waiting for the customer",
    SupportStatus.AT_LIBRARY: "waiting for the library",
    SupportStatus.CLOSED_BY_LIBRARY: "closed by the library",
    SupportStatus.CLOSED_BY_REPORTER: "closed by the reporter",
    SupportStatus.CLOSED: "closed",
}


def messages(connection: Connection, wanted: SupportFilter) -> Iterator[SupportMessage]:
    """The messages that pass the filter, in the order in which they were opened."""
    given = {
        "state": "open" if wanted.only_open else None,
        "overdue": date_text(wanted.overdue_on),
        "type": wanted.type,
        "category": wanted.category,
        "department": wanted.department,
        "unit": wanted.unit,
        "patron_id": wanted.patron_id,
    }
    statement, values = queries.filtered(_MESSAGES, _FILTERS, given)
    for row in connection.execute(statement, values):
        yield _message(row)


def message(connection: Connection, message_id: int) -> tuple[SupportMessage, list[SupportEvent]]:
    """One message with its history, the oldest step first.

    Raises:
        NotFoundError: there is no such message.
    """
    found, _ = _found(connection, message_id)
    rows = connection.execute(_EVENTS, (message_id,)).fetchall()
    return found, [_event(row) for row in rows]


def open_message(
    connection: Connection,
    type_code: str,
    category: str,
    text: str,
    user: str,
    now: datetime,
    days: OpeningDays,
    *,
    card: str | None = None,
    branch: str | None = None,
) -> WriteResult[int]:
    """Open a message, for the patron who has `card` if one is given; its id.

    Raises:
        RefusedError: type, category or patron is unknown, or the text is unusable.
    """
    _insist_on_text("the text", text)
    insist_on_code(connection, CodeTable.TYPE, type_code)
    insist_on_code(connection, CodeTable.CATEGORY, category)
    patron_id = None if card is None else holder(connection, card)
    wanted = Wanted(type_code, category, text, patron_id=patron_id, branch=branch)
    return WriteResult(add_message(connection, wanted, user, now, days), is_exact=True)


def answer(
    connection: Connection,
    message_id: int,
    text: str | None,
    user: str,
    now: datetime,
    *,
    default: str | None = None,
) -> WriteResult[SupportStatus]:
    """Answer an open message with `text` or a default message; the status afterwards.

    With a patron it waits for them (C), and they see the answer at their next visit to a kiosk
    whose profile shows it. Without one nobody could respond, and the status stays.

    Raises:
        RefusedError: it is unknown or closed, or there is no such default message.
    """
    found, _ = _found(connection, message_id)
    said = text if default is None else _default_text(connection, default)
    _insist_on_text("the answer", said or "")
    after = status_when_answered(found.status, found.patron_id is not None)
    if after is None:
        raise RefusedError(_closed(found))
    connection.execute(_ANSWERED, (time_text(now), message_id))
    move(connection, message_id, found.status, after, user, said or "", now, EventKind.ANSWERED)
    if found.patron_id is None:
        return WriteResult(after, is_exact=True)
    answers.add(connection, found.patron_id, said or "")
    return WriteResult(after, (found.patron_id,), is_exact=True)


def set_status(
    connection: Connection,
    message_id: int,
    after: SupportStatus,
    note: str,
    user: str,
    now: datetime,
    days: OpeningDays,
) -> WriteResult[None]:
    """Give a message another status (C145); closing one about an entry for review closes that too.

    Reopening starts the times anew. What was closed with the message stays closed.

    Raises:
        RefusedError: the message is unknown, or that status cannot follow; the text says why.
    """
    if note:
        _insist_on_text("the note", note)
    found, about = _found(connection, message_id)
    if not may_follow(found.status, after):
        raise RefusedError(_why_not(found, after))
    if found.closed is not None:
        _reopen(connection, found, about, user, note, now, days)
        return WriteResult(None)
    move(connection, message_id, found.status, after, user, note, now)
    if after in CLOSED_STATUSES and found.category == AutomaticCategory.OFFLINE and about:
        connection.execute(queries.CLOSE_REVIEW, (note, time_text(now), user, about))
    return WriteResult(None)


def close(
    connection: Connection,
    message_ids: Iterable[int],
    note: str,
    user: str,
    now: datetime,
    days: OpeningDays,
) -> WriteResult[None]:
    """Close messages as the library: all of them or none.

    Raises:
        RefusedError: one of them is unknown or closed already; the text says which.
    """
    for message_id in dict.fromkeys(message_ids):
        after = SupportStatus.CLOSED_BY_LIBRARY
        set_status(connection, message_id, after, note, user, now, days)
    return WriteResult(None)


def _reopen(
    connection: Connection,
    found: SupportMessage,
    about: str,
    user: str,
    note: str,
    now: datetime,
    days: OpeningDays,
) -> None:
    other = open_about(connection, found.category, about)
    if other is not None:
        raise RefusedError(
            f"message {found.id} stays closed: message {other} is open for the same cause;"
            f" go on with that one"
        )
    rule = rule_of(connection, found.type, found.category)
    due = due_texts(rule, now, days, found.branch)
    connection.execute(_REOPEN, (*due, found.id))
    after = SupportStatus.OPEN
    add_event(connection, found.id, now, user, EventKind.CHANGED, found.status, after, note)


def _found(connection: Connection, message_id: int) -> tuple[SupportMessage, str]:
    """A message, and what it is about."""
    row = connection.execute(_ONE, (message_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no message has the id {message_id}; see `support list`")
    return _message(row), row[-1]


def _default_text(connection: Connection, code: str) -> str:
    insist_on_code(connection, CodeTable.DEFAULT_MESSAGE, code)
    return str(connection.execute(_DEFAULT_TEXT, (code,)).fetchone()[0])


def _insist_on_text(what: str, text: str) -> None:
    problem = text_problem(text)
    if problem is not None:
        raise RefusedError(f"{what} {problem}")


def _named(status: SupportStatus) -> str:
    return f"{_NAMES[status]} ({status.value})"


def _closed(found: SupportMessage) -> str:
    return (
        f"message {found.id} is {_named(found.status)};"
        f" reopen it first with `support status {found.id} A`"
    )


def _why_not(found: SupportMessage, after: SupportStatus) -> str:
    if found.status is after:
        return f"message {found.id} is already {_named(after)}"
    if found.closed is not None:
        return _closed(found)
    allowed = " ".join(sorted(TRANSITIONS[found.status]))
    return (
        f"message {found.id} is {_named(found.status)} and cannot become {_named(after)};"
        f" allowed: {allowed}"
    )


def _message(row: Sequence[Any]) -> SupportMessage:
    message_id, type_code, category, status, text, created, *rest = row
    department, unit, processor, reporter, due, *rest = rest
    count, repeated, patron_id, branch, closed, _ = rest
    return SupportMessage(
        id=message_id,
        type=type_code,
        category=category,
        status=SupportStatus(status),
        text=text,
        created=moment_value(created),
        department=department,
        unit=unit,
        processor=processor,
        reporter=reporter,
        due=date_value(due),
        count=count,
        repeated=time_value(repeated),
        patron_id=patron_id,
        branch=branch,
        closed=time_value(closed),
    )


def _event(row: Sequence[Any]) -> SupportEvent:
    time, user, kind, before, after, note = row
    old = None if before is None else SupportStatus(before)
    return SupportEvent(moment_value(time), user, EventKind(kind), old, SupportStatus(after), note)
