"""Valid settings that this version does not support yet.

The gateway refuses such a key and never ignores it, because an operator who sets it relies on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.config import Config


def unavailable(config: Config) -> list[str]:
    """One line per key that this version does not support; empty when all is well."""
    return [f"{config.path}: {line}" for line in _lines(config)]


def _lines(config: Config) -> Iterator[str]:
    admin, backend = config.admin, config.backend
    for key in ("token", "token_file"):
        if getattr(admin, key) is not None:
            yield (
                f"admin.{key}: a token has a name and a role; leave the key out, and write"
                ' [admin.tokens.NAME] with role = "admin" and token_file, or make a token with'
                " `sip2gw token add`"
            )
    if backend.kind == "store" and backend.sip2 is not None:
        yield (
            'backend.sip2: the gateway asks no other library system with backend.kind = "store";'
            " leave the table out"
        )
