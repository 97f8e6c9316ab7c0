"""Wrong PINs per patron, counted in the write transaction so that none is lost (B20, C19, C99)."""

from __future__ import annotations

from datetime import datetime

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.values import time_text


def record(
    connection: Connection,
    patron_id: str,
    now: datetime,
    failures_max: int,
    lock_until: datetime,
) -> WriteResult[int | None]:
    """Count one more failure of a known patron; how many there are now.

    The one that reaches `failures_max` locks the PIN. While the lock lasts nothing is counted, and
    the result is None; an expired lock starts a new count (C81).
    """
    row = connection.execute(
        queries.RECORD_PIN_FAILURE, failure_values(patron_id, now, failures_max, lock_until)
    ).fetchone()
    return WriteResult(None) if row is None else WriteResult(row[0], (patron_id,))


def failure_values(
    patron_id: str, now: datetime, failures_max: int, lock_until: datetime
) -> tuple[object, ...]:
    """What `queries.RECORD_PIN_FAILURE` wants to know."""
    return (
        failures_max,
        time_text(lock_until),
        patron_id,
        failures_max,
        time_text(lock_until),
        time_text(now),
    )


def clear(connection: Connection, patron_id: str) -> WriteResult[None]:
    """Forget the failures and the lock of the patron."""
    changed = connection.execute(queries.CLEAR_PIN_FAILURES, (patron_id,)).rowcount
    return WriteResult(None, (patron_id,) if changed else ())


def set_pin_hash(connection: Connection, patron_id: str, pin_hash: str | None) -> WriteResult[bool]:
    """Replace a patron's PIN hash and unlock the PIN; False for an unknown patron."""
    changed = connection.execute(queries.SET_PIN_HASH, (pin_hash, patron_id)).rowcount
    clear(connection, patron_id)
    return WriteResult(changed > 0, (patron_id,), is_exact=True)


def replace_pin_hash(
    connection: Connection, patron_id: str, old: str, new: str
) -> WriteResult[None]:
    """Put another hash of the same PIN in the place of `old`, if it is still there."""
    changed = connection.execute(queries.REPLACE_PIN_HASH, (new, patron_id, old)).rowcount
    return WriteResult(None, (patron_id,) if changed else ())
