"""Valid settings that this version does not support yet.

The gateway refuses such a key and never ignores it, because an operator who sets it relies on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.config import Config
from sip2gw.config.sections import ServerSection


def unavailable(config: Config) -> list[str]:
    """One line per key that this version does not support; empty when all is well."""
    return [f"{config.path}: {line}" for line in _lines(config)]


def _lines(config: Config) -> Iterator[str]:
    server, admin, backend = config.server, config.admin, config.backend
    if server.workers > 1:
        yield (
            f"server.workers: this version runs one process only; got {server.workers}; allowed: 1"
            " (start several gateways on one database instead)"
        )
    if server.proxy_protocol:
        yield "server.proxy_protocol: is not available in this version; allowed: false"
    if server.proxy_networks != ServerSection().proxy_networks:
        yield ("server.proxy_networks: this version does not read PROXY headers; leave the key out")
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
