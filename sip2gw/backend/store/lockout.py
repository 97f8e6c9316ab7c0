"""Wrong PINs per card, counted in the write transaction so that none is lost (B20, C19)."""

from __future__ import annotations

from datetime import datetime

from sip2gw.backend.library import Connection, Done
from sip2gw.backend.store import queries
from sip2gw.backend.store.values import time_text


def record(
    connection: Connection,
    card: str,
    now: datetime,
    failures_max: int,
    lock_until: datetime,
) -> Done[bool]:
    """Count one more failure of a known card; True when this one locks its PIN.

    While the lock lasts nothing is counted; an expired lock starts a new count (C81).
    """
    row = connection.execute(
        queries.RECORD_PIN_FAILURE, failure_values(card, now, failures_max, lock_until)
    ).fetchone()
    if row is None:
        return Done(False)
    locked_until, holder = row
    return Done(locked_until is not None, (holder,))


def failure_values(
    card: str, now: datetime, failures_max: int, lock_until: datetime
) -> tuple[object, ...]:
    """What `queries.RECORD_PIN_FAILURE` wants to know."""
    return (
        failures_max,
        time_text(lock_until),
        card,
        failures_max,
        time_text(lock_until),
        time_text(now),
    )


def clear(connection: Connection, card: str) -> Done[None]:
    """Forget the failures and the lock of `card`."""
    if not connection.execute(queries.CLEAR_PIN_ATTEMPT, (card,)).rowcount:
        return Done(None)
    holder = _holder(connection, card)
    return Done(None, () if holder is None else (holder,))


def _holder(connection: Connection, card: str) -> str | None:
    row = connection.execute(queries.CARD_HOLDER, (card,)).fetchone()
    return None if row is None else str(row[0])
