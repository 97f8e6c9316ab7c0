"""Wrong PINs per card, counted in the write transaction so that none is lost (B20, C19)."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from sip2gw.backend.store import queries
from sip2gw.backend.store.values import time_text
from sip2gw.backend.store.writer import Done


def record(
    connection: sqlite3.Connection,
    card: str,
    now: datetime,
    failures_max: int,
    lock_until: datetime,
) -> Done[bool]:
    """Count one more failure of a known card; True when this one locks its PIN.

    While the lock lasts nothing is counted; an expired lock starts a new count (C81).
    """
    holder = _holder(connection, card)
    if holder is None:
        return Done(False)
    failures, locked_until = connection.execute(queries.PIN_ATTEMPT, (card,)).fetchone() or (
        0,
        None,
    )
    if locked_until is not None:
        if time_text(now) < locked_until:
            return Done(False)
        failures = 0
    failures += 1
    locks = failures >= failures_max
    connection.execute(
        queries.SET_PIN_ATTEMPT, (card, failures, time_text(lock_until) if locks else None)
    )
    return Done(locks, (holder,))


def clear(connection: sqlite3.Connection, card: str) -> Done[None]:
    """Forget the failures and the lock of `card`."""
    if not connection.execute(queries.CLEAR_PIN_ATTEMPT, (card,)).rowcount:
        return Done(None)
    holder = _holder(connection, card)
    return Done(None, () if holder is None else (holder,))


def _holder(connection: sqlite3.Connection, card: str) -> str | None:
    row = connection.execute(queries.CARD_HOLDER, (card,)).fetchone()
    return None if row is None else str(row[0])
