"""Named tokens: made, listed, revoked, recognised (B83)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from sip2gw.model.rights import Role, Token

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.config import Config

PREFIX = "s2g_"
"""So that scanners for secrets recognise a token."""
_RANDOM_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,50}")


def digest_of(token: str) -> str:
    """What the store has of a token. It is as random as a key, so a fast digest is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class TokenJson(TypedDict):
    """A token, without itself."""

    name: str
    role: str
    created: str | None
    expires: str | None
    networks: list[str]
    last_used: str | None


def token_json(token: Token, zone: tzinfo) -> TokenJson:
    """A token as it is listed; times are local with their offset."""

    def local(moment: datetime | None) -> str | None:
        return None if moment is None else moment.astimezone(zone).isoformat()

    return {
        "name": token.name,
        "role": token.role.value,
        "created": local(token.created),
        "expires": local(token.expires),
        "networks": list(token.networks),
        "last_used": local(token.last_used),
    }


async def make_token(
    store: Library,
    config: Config,
    name: str,
    role: Role,
    now: datetime,
    *,
    expires: datetime | None = None,
    networks: Sequence[str] = (),
) -> str:
    """A new token, which nobody can be told again.

    Raises:
        RefusedError: the name is taken or cannot be one, it would not be good any more, or a
            network is none.
    """
    from sip2gw.backend.base import RefusedError

    if not _NAME.fullmatch(name):
        raise RefusedError("the name of a token has 1 to 50 letters, digits and . _ -")
    if name in config.tokens:
        raise RefusedError(f"the configuration has a token {name} already; choose another name")
    if expires is not None and expires <= now:
        raise RefusedError("the token would have expired already; give a later day")
    token = f"{PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"
    made = Token(name, role, now, expires, tuple(map(_network, networks)))
    await store.add_token(made, digest_of(token))
    return token


def _network(text: str) -> str:
    from sip2gw.backend.base import RefusedError
    from sip2gw.config.types import parse_network

    try:
        return str(parse_network(text))
    except ValueError as error:
        raise RefusedError(f"a network is written like 10.0.0.0/8: {error}") from None


async def revoke_token(store: Library, config: Config, name: str) -> None:
    """Let the token of that name not be good any more, at once.

    Raises:
        NotFoundError: there is none.
        RefusedError: it stands in the configuration.
    """
    from sip2gw.backend.base import NotFoundError, RefusedError

    if name in config.tokens:
        raise RefusedError(
            f"the token {name} stands in the configuration; take it out there, and reload"
        )
    if not await store.revoke_token(name):
        raise NotFoundError("there is no token of that name; see `token list`")


def all_tokens(store: Library, config: Config) -> list[Token]:
    """Those of the configuration and those of the store, by name."""
    configured = (
        Token(name, Role(one.role), None, None, one.networks) for name, one in config.tokens.items()
    )
    return sorted((*configured, *store.tokens()), key=lambda one: one.name)


def recognised(store: Library, config: Config, token: str) -> Token | None:
    """Whose token this is; None if it is nobody's. Whether it is good now is another question."""
    digest = digest_of(token)
    found = None
    for name, one in config.tokens.items():
        if hmac.compare_digest(digest_of(one.secret.get_secret_value()), digest):
            found = Token(name, Role(one.role), None, None, one.networks)
    return found or store.token_of(digest)
