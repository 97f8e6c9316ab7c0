"""Configuration that is valid but asks for what this version cannot do yet.

Such a key is refused, never ignored: an operator who sets it relies on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.config import Config
from sip2gw.config.sections import ServerSection


def unavailable(config: Config) -> list[str]:
    """One line per key that this version cannot honour; empty when all is well."""
    return [f"{config.path}: {line}" for line in _lines(config)]


def _lines(config: Config) -> Iterator[str]:
    server, admin, backend = config.server, config.admin, config.backend
    if server.workers > 1:
        yield (
            f"server.workers: several processes are not available in this version; got"
            f" {server.workers}; allowed: 1 (start several gateways on one database)"
        )
    if server.proxy_protocol:
        yield "server.proxy_protocol: is not available in this version; allowed: false"
    if server.proxy_networks != ServerSection().proxy_networks:
        yield (
            "server.proxy_networks: no PROXY header is read in this version, so nobody's is"
            " believed; leave the key out"
        )
    for key in ("token", "token_file"):
        if getattr(admin, key) is not None:
            yield (
                f"admin.{key}: this version has neither REST nor a console that would ask for a"
                " token; leave the key out"
            )
    if backend.kind != "store":
        yield (
            f'backend.kind: is not available in this version; got {backend.kind}; allowed: "store"'
        )
    elif backend.sip2 is not None:
        yield (
            'backend.sip2: with backend.kind = "store" no library system is asked; leave the table'
            " out"
        )
    if config.support.enabled:
        yield "support.enabled: is not available in this version; allowed: false"
