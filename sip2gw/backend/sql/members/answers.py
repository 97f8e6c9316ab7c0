"""Staff's answers that a patron has not seen yet; they travel with the patron's record (C145)."""

from __future__ import annotations

from collections.abc import Collection

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql.values import list_text, list_value
from sip2gw.texts.answers import for_screen

_ANSWERS = "SELECT answers FROM patron WHERE id = ?"
_SET_ANSWERS = "UPDATE patron SET answers = ? WHERE id = ?"


def add(connection: Connection, patron_id: str, text: str) -> None:
    """Let the patron see `text`, as far as a screen has room for it, at the next visit.

    Inside the write transaction that answers the patron's message. An unknown patron sees nothing.
    """
    _set(connection, patron_id, (*_waiting(connection, patron_id), for_screen(text)))


def mark_shown(connection: Connection, patron_id: str, shown: Collection[str]) -> WriteResult[None]:
    """The patron has seen these answers, and sees them no more."""
    waiting = _waiting(connection, patron_id)
    _set(connection, patron_id, tuple(one for one in waiting if one not in shown))
    return WriteResult(None, (patron_id,))


def _waiting(connection: Connection, patron_id: str) -> tuple[str, ...]:
    row = connection.execute(_ANSWERS, (patron_id,)).fetchone()
    return list_value(row[0]) if row is not None else ()


def _set(connection: Connection, patron_id: str, answers: tuple[str, ...]) -> None:
    connection.execute(_SET_ANSWERS, (list_text(answers), patron_id))
