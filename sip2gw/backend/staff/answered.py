"""What was answered to requests that must be done once, by their `Idempotency-Key` (B84)."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from sip2gw.backend.database import Connection
from sip2gw.backend.sql.values import time_text

_CLAIM = """
    INSERT INTO answered (token, key, request, time, status, body) VALUES (?, ?, ?, ?, NULL, '')
    ON CONFLICT (token, key) DO NOTHING"""
_FIND = "SELECT request, status, body FROM answered WHERE token = ? AND key = ?"
_PUT = "UPDATE answered SET status = ?, body = ? WHERE token = ? AND key = ?"
_RELEASE = "DELETE FROM answered WHERE token = ? AND key = ? AND status IS NULL"
_COUNT = "SELECT COUNT(*) FROM answered WHERE time < ?"
_FORGET = "DELETE FROM answered WHERE time < ?"


class Answered(Struct, frozen=True):
    """What became of the first request with a key."""

    request: str
    """A digest of it: another request must not take its key."""
    status: int | None
    """None: it has not ended."""
    body: str


def claim_answer(
    connection: Connection, token: str, key: str, request: str, now: datetime
) -> Answered | None:
    """Take a key for a request; None if it is the first one with this key, which is then done."""
    if connection.execute(_CLAIM, (token, key, request, time_text(now))).rowcount:
        return None
    found = connection.execute(_FIND, (token, key)).fetchone()
    return Answered(*found) if found is not None else None


def put_answer(connection: Connection, token: str, key: str, status: int, body: str) -> None:
    """Keep the answer to the request that has taken the key."""
    connection.execute(_PUT, (status, body, token, key))


def release_answer(connection: Connection, token: str, key: str) -> None:
    """Give a key back: the request was not done."""
    connection.execute(_RELEASE, (token, key))


def forget(connection: Connection, before: datetime) -> int:
    """Delete the answers that are older; returns how many."""
    return connection.execute(_FORGET, (time_text(before),)).rowcount


def count_forgotten(connection: Connection, before: datetime) -> int:
    """How many `forget` would delete."""
    return int(connection.execute(_COUNT, (time_text(before),)).fetchone()[0])
