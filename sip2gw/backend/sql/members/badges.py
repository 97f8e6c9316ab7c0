"""Badges, their assignments and the history of both, in SQL (B22, B65)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sip2gw.backend.database import Connection
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql.queries import fill, filtered
from sip2gw.backend.sql.stubs import SAME_PERSON
from sip2gw.backend.sql.values import (
    date_text,
    date_value,
    list_text,
    list_value,
    moment_value,
    time_text,
)
from sip2gw.model import BadgeHolder
from sip2gw.model.badges import (
    BadgeAction,
    BadgeChange,
    BadgeEvent,
    BadgeTerms,
    Deed,
)

DEFINITIONS = """
    SELECT code, name, active, description, valid_from, valid_until FROM badge ORDER BY code"""
DEFINE = """
    INSERT INTO badge (code, name, active, description, valid_from, valid_until)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (code) DO UPDATE SET name = excluded.name, active = excluded.active,
        description = excluded.description, valid_from = excluded.valid_from,
        valid_until = excluded.valid_until"""
SET_ACTIVE = "UPDATE badge SET active = ? WHERE code = ?"
HOLDER_IDS = "SELECT patron_id FROM badge_assignment WHERE badge_code = ?"
_TERMS = "SELECT {key}, valid_from, valid_until, branches FROM badge_assignment WHERE {where} = ?"
_TERMS_BY_PATRON = fill(_TERMS, key="patron_id", where="badge_code")
_TERMS_BY_CODE = fill(_TERMS, key="badge_code", where="patron_id")
HOLDERS = """
    SELECT b.code, p.id, p.name, b.active,
           CASE WHEN a.valid_from IS NULL OR b.valid_from > a.valid_from
                THEN b.valid_from ELSE a.valid_from END,
           CASE WHEN a.valid_until IS NULL OR b.valid_until < a.valid_until
                THEN b.valid_until ELSE a.valid_until END,
           a.branches, a.source, b.name
    FROM badge_assignment a JOIN badge b ON b.code = a.badge_code
    JOIN patron p ON p.id = a.patron_id
    {where} ORDER BY b.code, p.id"""
_HOLDER_FILTERS = {
    "code": "b.code = ?",
    "after": "a.patron_id > ?",
    "last": "a.patron_id <= ?",
    "other_than_status": "p.status <> ?",
}

_PUT = """
    INSERT INTO badge_assignment (patron_id, badge_code, valid_from, valid_until, branches, source)
    VALUES (?, ?, ?, ?, ?, 'staff')
    ON CONFLICT (patron_id, badge_code) DO UPDATE
    SET valid_from = excluded.valid_from, valid_until = excluded.valid_until,
        branches = excluded.branches, source = excluded.source"""
_REMOVE = "DELETE FROM badge_assignment WHERE patron_id = ? AND badge_code = ?"

_HISTORY_COLUMNS = """patron_id, badge_code, id, time, user_name, action, valid_from, valid_until,
                          branches, reason, source"""
_REMEMBER = fill(
    "INSERT INTO badge_change ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    columns=_HISTORY_COLUMNS,
)
_HISTORY = """
    SELECT time, user_name, action, badge_code, patron_id, valid_from, valid_until, branches,
           reason, source, id
    FROM badge_change{where} ORDER BY time, id, patron_id, badge_code"""
_HISTORY_FILTERS = {"code": "badge_code = ?", "patron_id": f"patron_id {SAME_PERSON}"}

REMEMBER_REMOVED = fill(
    """
    INSERT INTO badge_change ({columns})
    SELECT t.patron_id, t.badge_code, ?, ?, ?, 'unassigned', t.valid_from, t.valid_until,
           t.branches, '', 'import'
    FROM badge_assignment t JOIN gone_badge_assignment g
        ON g.patron_id = t.patron_id AND g.badge_code = t.badge_code
    ORDER BY t.patron_id, t.badge_code""",
    columns=_HISTORY_COLUMNS,
)
REMEMBER_PUT = fill(
    """
    INSERT INTO badge_change ({columns})
    SELECT s.patron_id, s.badge_code, ?, ?, ?,
           CASE WHEN t.patron_id IS NULL THEN 'assigned' ELSE 'changed' END,
           s.valid_from, s.valid_until, s.branches, '', 'import'
    FROM todo_badge_assignment s LEFT JOIN badge_assignment t
        ON t.patron_id = s.patron_id AND t.badge_code = s.badge_code
    WHERE s.ahead = ?
    ORDER BY s.patron_id, s.badge_code""",
    columns=_HISTORY_COLUMNS,
)
"""What an import is about to remove and to write; run before it does."""


def holders(connection: Connection, **filters: str | int | None) -> Iterator[BadgeHolder]:
    """Assignments, by code and patron: those of the badge `code`; of patrons whose ids are behind
    `after`, up to `last`; of those who do not have a status."""
    statement, values = filtered(HOLDERS, _HOLDER_FILTERS, filters)
    for row in connection.execute(statement, values):
        badge, patron_id, name, active, valid_from, valid_until, branches, source, title = row
        yield BadgeHolder(
            badge,
            patron_id,
            name,
            bool(active),
            date_value(valid_from),
            date_value(valid_until),
            list_value(branches),
            source,
            title,
        )


def terms_by_patron(connection: Connection, code: str) -> dict[str, BadgeTerms]:
    """The assignments of the badge `code`, by patron."""
    rows = connection.execute(_TERMS_BY_PATRON, (code,)).fetchall()
    return {patron_id: _terms(*rest) for patron_id, *rest in rows}


def terms_by_code(connection: Connection, patron_id: str) -> dict[str, BadgeTerms]:
    """The assignments of a patron, by code."""
    rows = connection.execute(_TERMS_BY_CODE, (patron_id,)).fetchall()
    return {code: _terms(*rest) for code, *rest in rows}


def _terms(valid_from: str | None, valid_until: str | None, branches: str) -> BadgeTerms:
    return BadgeTerms(date_value(valid_from), date_value(valid_until), list_value(branches))


def _stored(terms: BadgeTerms) -> tuple[str | None, str | None, str]:
    return date_text(terms.valid_from), date_text(terms.valid_until), list_text(terms.branches)


def apply(
    connection: Connection, changes: Sequence[BadgeChange], deed: Deed, source: str = "staff"
) -> None:
    """Make `changes` of assignments and remember them, in the caller's transaction."""
    removed, put = list[tuple[str, str]](), list[tuple[str | None, ...]]()
    for change in changes:
        if change.action is BadgeAction.UNASSIGNED:
            removed.append((change.patron_id, change.code))
        else:
            put.append((change.patron_id, change.code, *_stored(change.terms)))
    connection.executemany(_REMOVE, removed)
    connection.executemany(_PUT, put)
    connection.executemany(_REMEMBER, _remembered(changes, deed, source))


def _remembered(
    changes: Iterable[BadgeChange], deed: Deed, source: str
) -> Iterator[tuple[str | None, ...]]:
    change_id, time = new_id(), time_text(deed.time)
    for change in changes:
        valid_from, valid_until, branches = _stored(change.terms)
        yield (
            change.patron_id,
            change.code,
            change_id,
            time,
            deed.user,
            change.action.value,
            valid_from,
            valid_until,
            branches,
            deed.reason,
            source,
        )


def history(
    connection: Connection, *, code: str | None = None, patron_id: str | None = None
) -> Iterator[BadgeEvent]:
    """Every change of an assignment of a badge, of a patron, or of all; oldest first."""
    statement, values = filtered(_HISTORY, _HISTORY_FILTERS, {"code": code, "patron_id": patron_id})
    for row in connection.execute(statement, values):
        time, user, action, badge, whose, valid_from, valid_until, branches, *rest = row
        change = BadgeChange(
            BadgeAction(action), badge, whose, _terms(valid_from, valid_until, branches)
        )
        yield BadgeEvent(moment_value(time), user, change, *rest)
