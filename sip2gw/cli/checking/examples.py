"""Passwords that anybody can read in our documentation: a terminal that has one has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sip2gw.demo.site import OBSERVED, TERMINALS

if TYPE_CHECKING:
    from pydantic import SecretStr

_OF_DEMOS = {terminal.password for terminal in (*TERMINALS, OBSERVED)}
_OF_PAGES = {"only for the tutorial", "change me", "pw", "wrong", "…"}
EXAMPLE_PASSWORDS = frozenset(_OF_DEMOS | _OF_PAGES)
"""All that the README, the pages under `docs`, `systemd/sip2gw.toml` and the demos show."""
EXAMPLE_HASHES = frozenset(
    {
        "$argon2id$v=19$m=19456,t=2,p=1$YgTcuqbSR845cVWhcGQCXg"
        "$NiD3/1OFVyfGDLOxLc/wLMkI5SnWAR1uY/UlD9bBf+s",
    }
)


def is_example(password: SecretStr | None, password_hash: SecretStr | None = None) -> bool:
    """Whether a password, or its hash, is one of the examples."""
    if password is not None and password.get_secret_value() in EXAMPLE_PASSWORDS:
        return True
    return password_hash is not None and password_hash.get_secret_value() in EXAMPLE_HASHES
