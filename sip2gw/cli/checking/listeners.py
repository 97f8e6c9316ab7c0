"""Keys about listeners that have no effect, will go, or let in too many (B88, C132)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sip2gw.cli.checking.words import places
from sip2gw.config.types import Address, networks

if TYPE_CHECKING:
    from sip2gw.config import Config


def about_listeners(config: Config) -> Iterator[str]:
    """What is doubtful about where and how terminals come in."""
    server, listeners = config.server, config.listeners
    if server.proxy_protocol:
        yield (
            "server.proxy_protocol: will go; write proxy = true in each table of server.listen"
            " instead"
        )
    if "proxy_networks" in server.model_fields_set and not any(it.proxy for it in listeners):
        yield (
            "server.proxy_networks: has no effect, because no address in server.listen has"
            " proxy = true; leave the key out"
        )
    if any(network.prefixlen == 0 for network in networks(server.proxy_networks)):
        yield (
            "server.proxy_networks: open to every address, so anybody may claim to be a terminal's;"
            " name the proxy's"
        )
    yield from _about_strangers_behind_a_proxy(config)
    if config.tls is not None and not any(it.tls for it in listeners):
        yield (
            "server.tls_certificate: has no effect, because each address in server.listen has"
            " tls = false; change one, or leave the key out"
        )


def _about_strangers_behind_a_proxy(config: Config) -> Iterator[str]:
    """Terminals that a line becomes whose PROXY header names nobody: it has the proxy's address."""
    if not any(it.proxy and isinstance(it.address, Address) for it in config.listeners):
        return
    proxies = networks(config.server.proxy_networks)
    shared = [
        f"terminals.{terminal.name}.networks"
        for terminal in config.terminals.values()
        if not terminal.login_required
        and terminal.tls_client_name is None
        and any(one.overlaps(proxy) for one in terminal.networks for proxy in proxies)
    ]
    if shared:
        yield (
            f"{places(shared)}: an address of server.proxy_networks, and who comes through the"
            " proxy without an address of its own is this terminal, without a password; name the"
            " machine's address, or let it log in"
        )
