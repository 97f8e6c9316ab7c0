"""The first token of a store: told once, to whoever has made or first filled it (B83)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sip2gw.cli.auditing import run
from sip2gw.cli.common import say

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.config import Config

NAME = "first"


def tell_first_token(store: Library, config: Config) -> None:
    """Make an admin's token if there is none and a person is looking, and show it to them.

    The caller knows that the store is in its first use: a token that was revoked does not return.
    Elsewhere standard error is a log, in which a token must not stand: who sets up without a person
    names the file of a token in `[admin.tokens]`.
    """
    if not sys.stderr.isatty():
        return
    from sip2gw.model.rights import Role
    from sip2gw.staff.tokens import all_tokens, make_token

    if all_tokens(store, config):
        return
    token = run(make_token(store, config, NAME, Role.ADMIN, datetime.now(UTC)))
    say(f"The store is in use. Its first token for REST has the role admin: {token}")
    say("Keep it now: it cannot be shown again. `sip2gw token revoke first` ends it.")


def demo_token(store: Library, config: Config) -> str:
    """A token for whoever has started a demo; the one of the last time is not good any more."""
    from sip2gw.model.rights import Role
    from sip2gw.staff.tokens import make_token

    async def make() -> str:
        await store.revoke_token("demo")
        return await make_token(store, config, "demo", Role.ADMIN, datetime.now(UTC))

    return run(make())
