"""Named tokens of people and programs (B83). Of each the store has a digest, never the token."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sip2gw.backend.base import RefusedError
from sip2gw.backend.database import Connection
from sip2gw.backend.sql.values import list_text, list_value, moment_text, time_text, time_value
from sip2gw.model.rights import Role, Token

LAST_USED_EVERY = timedelta(minutes=1)
"""How exactly the store knows when a token was used: a write for each request would be too many."""

_COLUMNS = "name, role, created, expires, networks, last_used"
_ADD = """
    INSERT INTO token (name, role, digest, created, expires, networks) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO NOTHING"""
_REMOVE = "DELETE FROM token WHERE name = ?"
_ALL = f"SELECT {_COLUMNS} FROM token ORDER BY name"  # noqa: S608 -- ours
_BY_DIGEST = f"SELECT digest, {_COLUMNS} FROM token WHERE digest = ?"  # noqa: S608 -- ours
_USED = "UPDATE token SET last_used = ? WHERE name = ? AND (last_used IS NULL OR last_used < ?)"


def add_token(connection: Connection, token: Token, digest: str) -> None:
    """Let the token with this digest be good from now on.

    Raises:
        RefusedError: there is one of that name.
    """
    assert token.created is not None
    values = (
        token.name,
        token.role.value,
        digest,
        time_text(token.created),
        moment_text(token.expires),
        list_text(token.networks),
    )
    if not connection.execute(_ADD, values).rowcount:
        raise RefusedError(
            f"there is a token {token.name} already; revoke it first, or choose another name"
        )


def revoke_token(connection: Connection, name: str) -> bool:
    """Let the token of that name not be good any more; False when there is none."""
    return connection.execute(_REMOVE, (name,)).rowcount > 0


def tokens(connection: Connection) -> Iterator[Token]:
    """All tokens, by name."""
    return map(_token, connection.execute(_ALL))


def token_of(connection: Connection, digest: str) -> Token | None:
    """The token with this digest."""
    found = connection.execute(_BY_DIGEST, (digest,)).fetchone()
    if found is None or not hmac.compare_digest(found[0], digest):
        return None
    return _token(found[1:])


def note_token_used(connection: Connection, name: str, now: datetime) -> None:
    """Note when a token was used, unless that is known well enough."""
    connection.execute(_USED, (time_text(now), name, time_text(now - LAST_USED_EVERY)))


def _token(row: Sequence[Any]) -> Token:
    name, role, created, expires, networks, last_used = row
    return Token(
        name,
        Role(role),
        time_value(created),
        time_value(expires),
        list_value(networks),
        time_value(last_used),
    )
