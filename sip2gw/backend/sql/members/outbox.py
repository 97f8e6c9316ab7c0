"""The outbox: notices to patrons, written with what caused them and delivered later (B63, C162).

A process that delivers a notice holds its lease meanwhile, so that each notice is delivered by one
process only. Each step is one statement, which needs no transaction and keeps nobody waiting.

A notice that is forgotten leaves its id, a digest of what it was about, so that it is never put
into the outbox again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from sip2gw.backend.database import Connection
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql.values import (
    moment_text,
    moment_value,
    time_text,
    time_value,
)
from sip2gw.model.notices import (
    Channel,
    Delivery,
    KeptNotice,
    Notice,
    NoticeState,
    Result,
)

LEASE = timedelta(minutes=5)
"""Longer than one attempt may take. If a process ends in the middle, another takes over then."""
FORGOTTEN_KEPT = timedelta(days=3 * 366)
"""So long after it ended a forgotten notice is still known not to be new."""

PUT = """
    INSERT INTO outbox (id, kind, patron_id, cause, details, created, next_try)
    SELECT ?, ?, ?, ?, ?, ?, ?
    WHERE NOT EXISTS (SELECT 1 FROM outbox_forgotten f WHERE f.id = ?)
    ON CONFLICT (id) DO NOTHING"""
NEXT = """
    SELECT id FROM outbox
    WHERE state = 'waiting' AND (leased_until IS NULL OR leased_until <= ?)
      AND next_try <= ? AND (last_try IS NULL OR last_try < ?)
    ORDER BY next_try, id LIMIT 1"""
LEASE_IT = """
    UPDATE outbox
    SET lease = ?, leased_until = ?, attempts = attempts + 1, first_try = COALESCE(first_try, ?),
        last_try = ?, channel = ?, message_id = COALESCE(message_id, ?)
    WHERE id = ? AND state = 'waiting' AND (leased_until IS NULL OR leased_until <= ?)"""
LEASED = """
    SELECT o.kind, o.patron_id, o.details, o.created, o.attempts, o.first_try, o.message_id,
           CASE WHEN p.id IS NULL THEN 0 ELSE 1 END, p.name, p.email, p.language
    FROM outbox o LEFT JOIN patron p ON p.id = o.patron_id
    WHERE o.id = ? AND o.lease = ?"""
NOTE = """
    UPDATE outbox
    SET state = ?, problem = ?, recipient = ?, ended = ?, next_try = COALESCE(?, next_try),
        lease = NULL, leased_until = NULL
    WHERE id = ? AND state = 'waiting' AND (lease = ? OR CAST(? AS INTEGER) = 1)"""
"""The last: even if another process has taken over meanwhile."""
NOTICES = """
    SELECT o.id, o.kind, o.patron_id, o.channel, COALESCE(o.recipient, p.email), o.state,
           o.attempts, o.created, o.ended, o.problem
    FROM outbox o LEFT JOIN patron p ON p.id = o.patron_id
    ORDER BY o.created, o.id"""
COUNTS = "SELECT state, COUNT(*) FROM outbox GROUP BY state"
TRY_AGAIN = """
    UPDATE outbox
    SET state = 'waiting', ended = NULL, first_try = NULL, last_try = NULL, next_try = ?,
        attempts = 0, problem = ''
    WHERE state IN ('failed', 'undeliverable')"""
REMEMBER_FORGOTTEN = """
    INSERT INTO outbox_forgotten (id, ended) SELECT id, ended FROM outbox WHERE ended < ?
    ON CONFLICT (id) DO NOTHING"""
FORGET = "DELETE FROM outbox WHERE ended < ?"
FORGET_IDS = "DELETE FROM outbox_forgotten WHERE ended < ?"
COUNT_FORGOTTEN = "SELECT COUNT(*) FROM outbox WHERE ended < ?"

_ID_DIGITS = 32
_EVER = "9999"
"""After every stored time."""


def put(connection: Connection, notices: Iterable[Notice], now: datetime) -> int:
    """Add those of `notices` that were never there; in the caller's transaction.

    Returns:
        How many were new: for each kind, patron and cause there is at most one.
    """
    moment = time_text(now)
    new = 0
    for notice in notices:
        notice_id = _id_of(notice)
        details = msgspec.json.encode(dict(notice.values)).decode()
        values = (notice_id, notice.kind, notice.patron_id, notice.cause, details, moment, moment)
        new += connection.execute(PUT, (*values, notice_id)).rowcount
    return new


def _id_of(notice: Notice) -> str:
    named = "\0".join((notice.kind, notice.patron_id, notice.cause))
    return sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]


class Claim(Struct, frozen=True):
    """Which notices a process wants to deliver, one after the other."""

    channel: Channel
    sender_domain: str
    """Behind the @ of a new Message-ID."""
    begun: datetime
    """Notices that were tried since then are left out."""
    only_due: bool
    """Leave out those, too, that are to be tried again later."""


def take(connection: Connection, claim: Claim, now: datetime) -> Delivery | None:
    """The next notice to deliver, with a new lease, or None; outside of a transaction."""
    moment, until = time_text(now), time_text(now + LEASE)
    due = moment if claim.only_due else _EVER
    while True:
        found = connection.execute(NEXT, (moment, due, time_text(claim.begun))).fetchone()
        if found is None:
            return None
        (notice_id,) = found
        lease, message_id = new_id(), f"<{notice_id}@{claim.sender_domain}>"
        values = (lease, until, moment, moment, claim.channel.value, message_id, notice_id, moment)
        if connection.execute(LEASE_IT, values).rowcount:
            taken = connection.execute(LEASED, (notice_id, lease)).fetchone()
            if taken is not None:  # else it was deleted in this very moment
                return _delivery(notice_id, lease, taken)


def _delivery(notice_id: str, lease: str, row: Sequence[Any]) -> Delivery:
    kind, patron_id, details, created, attempts, first_try, message_id, known, *patron = row
    name, email, language = patron
    return Delivery(
        id=notice_id,
        lease=lease,
        kind=kind,
        patron_id=patron_id,
        values=msgspec.json.decode(details, type=dict[str, str]),
        created=moment_value(created),
        attempts=attempts,
        first_try=moment_value(first_try),
        message_id=message_id,
        known=bool(known),
        name=name or "",
        email=email or None,
        language=language,
    )


def note(connection: Connection, delivery: Delivery, result: Result, now: datetime) -> bool:
    """Keep what became of a delivery; outside of a transaction.

    Returns:
        Whether it still was this delivery's to say.
    """
    is_over = result.state is not NoticeState.WAITING
    was_sent = result.state is NoticeState.SENT  # then it is so, whoever has the lease by now
    values = (
        result.state.value,
        result.problem,
        result.to,
        time_text(now) if is_over else None,
        moment_text(result.next_try),
        delivery.id,
        delivery.lease,
        int(was_sent),
    )
    return connection.execute(NOTE, values).rowcount > 0


def notices(connection: Connection) -> Iterator[KeptNotice]:
    """What is in the outbox, oldest first."""
    for row in connection.execute(NOTICES):
        notice_id, kind, patron_id, channel, to, state, attempts, created, ended, problem = row
        yield KeptNotice(
            id=notice_id,
            kind=kind,
            patron_id=patron_id,
            channel=Channel(channel) if channel is not None else None,
            to=to or None,
            state=NoticeState(state),
            attempts=attempts,
            created=moment_value(created),
            sent=time_value(ended) if state == NoticeState.SENT else None,
            problem=problem,
        )


def counts(connection: Connection) -> dict[NoticeState, int]:
    """How many notices there are in each state."""
    found = dict.fromkeys(NoticeState, 0)
    found.update((NoticeState(state), count) for state, count in connection.execute(COUNTS))
    return found


def try_again(connection: Connection, now: datetime) -> int:
    """Let those wait again that failed or had no address; how many."""
    return connection.execute(TRY_AGAIN, (time_text(now),)).rowcount


def forget(connection: Connection, before: datetime) -> int:
    """Forget the notices that were sent or given up before `before`, all but their ids.

    `connection` is outside of a transaction. Doing it again changes nothing.

    Returns:
        How many were forgotten.
    """
    limit = time_text(before)
    connection.execute(REMEMBER_FORGOTTEN, (limit,))
    forgotten = connection.execute(FORGET, (limit,)).rowcount
    connection.execute(FORGET_IDS, (time_text(before - FORGOTTEN_KEPT),))
    return forgotten


def count_forgotten(connection: Connection, before: datetime) -> int:
    """How many notices `forget` would forget."""
    return int(connection.execute(COUNT_FORGOTTEN, (time_text(before),)).fetchone()[0])
