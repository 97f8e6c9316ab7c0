"""Wrong PINs at a library system behind the gateway, counted by card number (B74, C99).

Our store need not know the patrons, so a count belongs to a number, and is kept under a keyed
digest of it: the rows tell nobody whose they are.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.values import time_text, time_value
from sip2gw.model import NO_FAILURES, FailedPins

KEPT = timedelta(days=1)
"""So long after the lock, or where it would have ended, a count is forgotten."""

RECORD = """
    INSERT INTO guess (key, failures, locked_until, kept_until)
    VALUES (?, 1, CASE WHEN ? <= 1 THEN ? END, ?)
    ON CONFLICT (key) DO UPDATE
    SET failures = CASE WHEN guess.locked_until IS NULL THEN guess.failures + 1 ELSE 1 END,
        locked_until = CASE WHEN ? <= CASE WHEN guess.locked_until IS NULL
                                           THEN guess.failures + 1 ELSE 1 END THEN ? END,
        kept_until = excluded.kept_until
    WHERE guess.locked_until IS NULL OR guess.locked_until <= ?
    RETURNING failures"""
"""One statement, so that guesses on several lines cannot outrun the lock; no row while it lasts."""
RETURN = """
    UPDATE guess SET failures = failures - 1, locked_until = NULL WHERE key = ? AND failures > 0"""
CLEAR = "DELETE FROM guess WHERE key = ?"
_TOGETHER = """
    SELECT b.key FROM guess AS a JOIN guess AS b ON b.together = a.together WHERE a.key"""
JOIN = fill(
    """
    UPDATE guess SET together = ?
    WHERE key IN (SELECT ? UNION SELECT ? UNION {together} IN (?, ?))""",
    together=_TOGETHER,
)
CLEAR_ALL = fill(
    "DELETE FROM guess WHERE key IN (SELECT ? UNION {together} = ?)", together=_TOGETHER
)
"""What is counted at a number, and at all that were joined with it. One list of keys, because an
`OR` on SQLite looks for `together` when it has deleted already what it has found before."""
FORGET = "DELETE FROM guess WHERE kept_until <= ?"
COUNT_FORGOTTEN = "SELECT COUNT(*) FROM guess WHERE kept_until <= ?"
SELECT = "SELECT key, failures, locked_until FROM guess WHERE key "


@cache
def select(count: int) -> str:
    """The counts of so many keys."""
    return f"{SELECT} IN ({', '.join('?' * count)})"


def key_of(secret: bytes, number: str) -> str:
    """The key under which failures at `number` are counted; worthless without the secret."""
    text = b"guesses\0" + number.encode("utf-8", "surrogatepass")
    return hmac.digest(secret, text, "sha256")[:16].hex()


def in_order(keys: Sequence[str], rows: Iterable[Any]) -> list[FailedPins]:
    """The counts of `keys`, from the rows of `select`."""
    counted = {key: FailedPins(failures, time_value(until)) for key, failures, until in rows}
    return [counted.get(key, NO_FAILURES) for key in keys]


def values(key: str, now: datetime, failures_max: int, lock_until: datetime) -> tuple[object, ...]:
    """What `RECORD` wants to know."""
    until = time_text(lock_until)
    kept = time_text(lock_until + KEPT)
    return (key, failures_max, until, kept, failures_max, until, time_text(now))


def record(
    connection: Connection,
    secret: bytes,
    number: str,
    now: datetime,
    failures_max: int,
    lock_until: datetime,
) -> WriteResult[int | None]:
    """Count one more failure at `number`; how many there are now, or None while the PIN is locked
    (C81)."""
    asked = values(key_of(secret, number), now, failures_max, lock_until)
    row = connection.execute(RECORD, asked).fetchone()
    return WriteResult(None if row is None else row[0], (number,))


def joined(secret: bytes, number: str, other: str) -> tuple[str, ...]:
    """What `JOIN` wants to know."""
    one, two = key_of(secret, number), key_of(secret, other)
    return (one, one, two, one, two)


def change(connection: Connection, statement: str, values: Sequence[str]) -> WriteResult[None]:
    """Run `RETURN`, `CLEAR`, `JOIN` or `CLEAR_ALL`."""
    connection.execute(statement, values)
    return WriteResult(None)


def forget(connection: Connection, now: datetime) -> int:
    """Forget the counts whose lock has long ended; returns how many."""
    return connection.execute(FORGET, (time_text(now),)).rowcount


def count_forgotten(connection: Connection, now: datetime) -> int:
    """How many counts `forget` would delete."""
    return int(connection.execute(COUNT_FORGOTTEN, (time_text(now),)).fetchone()[0])
