"""The outbox: notices to patrons, written with what caused them and delivered later (B63, C162).

A notice keeps its place when it is forgotten: of its row only the id is left, a digest of what the
notice is about, so that it is not sent once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256

import msgspec

from sip2gw.backend.database import Connection
from sip2gw.backend.sql.values import time_text
from sip2gw.model.notices import Notice

PUT = """
    INSERT INTO outbox (id, kind, patron_id, cause, details, created, next_try)
    SELECT ?, ?, ?, ?, ?, ?, ?
    WHERE NOT EXISTS (SELECT 1 FROM outbox_forgotten f WHERE f.id = ?)
    ON CONFLICT (id) DO NOTHING"""

_ID_DIGITS = 32


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
