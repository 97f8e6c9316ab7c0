"""Configuration that is valid but asks for what this version cannot do yet.

Such a key is refused, never ignored: an operator who sets it relies on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.config import Config


def unavailable(config: Config) -> list[str]:
    """One line per key that this version cannot honour; empty when all is well."""
    return [f"{config.path}: {line}" for line in _lines(config)]


def _lines(config: Config) -> Iterator[str]:
    server = config.server
    if server.workers > 1:
        yield (
            f"server.workers: several processes are not available in this version; got"
            f" {server.workers}; allowed: 1 (start several gateways on one database)"
        )
    if server.proxy_protocol:
        yield "server.proxy_protocol: is not available in this version; allowed: false"
    if config.backend.kind != "store":
        yield (
            f"backend.kind: is not available in this version; got {config.backend.kind};"
            f' allowed: "store"'
        )
