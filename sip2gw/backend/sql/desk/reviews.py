"""What staff must look at: the rows of `review`, and how they are closed (B57, C106, C165)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from sip2gw.backend.base import CirculationOrder, RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.desk import support
from sip2gw.backend.sql.values import moment_value, time_text, time_value
from sip2gw.model.items import Review, ReviewKind
from sip2gw.model.support import AutomaticCategory, SupportStatus
from sip2gw.policy.reasons import CirculationReason

_ID_DIGITS = 16


def review_row(
    order: CirculationOrder,
    kind: ReviewKind,
    outcome: str,
    reasons: Iterable[str],
    position: int = 0,
) -> tuple[Any, ...]:
    """The row of `writes.ADD_REVIEW` for the result of `order`, at this position of its item."""
    said = tuple(reasons)
    is_unknown = CirculationReason.UNKNOWN_ITEM in said
    return (
        _id_of(order, position),
        time_text(order.now),
        kind.value,
        order.terminal,
        order.code,
        (order.unknown_item if is_unknown else "") or order.item_id,
        order.patron_id or order.unknown_card,
        outcome,
        " ".join(said),
    )


def _id_of(order: CirculationOrder, position: int) -> str:
    """Short enough to be typed, and the same for each repetition of the order (C69)."""
    named = f"{order.item_id}\0{order.key}\0{position}".encode("utf-8", "surrogatepass")
    return sha256(named).hexdigest()[:_ID_DIGITS].upper()


def reviews(connection: Connection, *, state: str | None = None) -> Iterator[Review]:
    """What staff must look at: all entries, or the `open` or `closed` ones; oldest first."""
    statement, values = queries.filtered(queries.REVIEWS, queries.REVIEW_FILTERS, {"state": state})
    yield from map(_review, connection.execute(statement, values))


def review(connection: Connection, review_id: str) -> Review | None:
    """One entry of `reviews`, or None."""
    statement, values = queries.filtered(queries.REVIEWS, queries.REVIEW_FILTERS, {"id": review_id})
    row = connection.execute(statement, values).fetchone()
    return _review(row) if row is not None else None


def close(
    connection: Connection, review_ids: Sequence[str], note: str, user: str, now: datetime
) -> WriteResult[None]:
    """Note that `user` has looked at open entries, all or none, and close their messages (C165).

    Raises:
        RefusedError: one of them is unknown or closed already; the text says which.
    """
    for review_id in dict.fromkeys(review_ids):
        values = (note, time_text(now), user, review_id)
        if connection.execute(queries.CLOSE_REVIEW, values).rowcount == 0:
            raise RefusedError(_why_not(review(connection, review_id), review_id))
        support.close_about(
            connection,
            AutomaticCategory.OFFLINE,
            review_id,
            SupportStatus.CLOSED_BY_LIBRARY,
            user,
            note,
            now,
        )
    return WriteResult(None)


_OLD = """
    FROM review WHERE state = 'closed' AND (outcome <> 'unknown' OR account IS NOT NULL)
    AND closed < ?"""
_FORGET = f"DELETE {_OLD}"
_COUNT_FORGOTTEN = f"SELECT COUNT(*) {_OLD}"


def forget(connection: Connection, before: datetime) -> int:
    """Delete the entries that were closed before `before` (B93); returns how many.

    One of which nobody knows the outcome stays: it keeps the attempt from being made later (C98).
    It cannot do that at a library system, so there it goes.
    """
    return connection.execute(_FORGET, (time_text(before),)).rowcount


def count_forgotten(connection: Connection, before: datetime) -> int:
    """How many rows `forget` would delete."""
    (count,) = connection.execute(_COUNT_FORGOTTEN, (time_text(before),)).fetchone()
    return int(count)


def _why_not(known: Review | None, review_id: str) -> str:
    if known is None or known.closed is None:
        return f"no entry has the id {review_id}; see `review list`"
    return f"{review_id} was already closed by {known.closed_by} at {known.closed:%Y-%m-%d %H:%M}Z"


def _review(row: Sequence[Any]) -> Review:
    review_id, time, kind, terminal, message, item, patron, *rest = row
    outcome, reasons, note, closed, closed_by = rest
    return Review(
        id=review_id,
        time=moment_value(time),
        kind=ReviewKind(kind),
        terminal=terminal,
        message=message,
        item=item,
        patron=patron,
        outcome=outcome,
        reasons=tuple(reasons.split()),
        note=note,
        closed=time_value(closed),
        closed_by=closed_by or "",
    )
