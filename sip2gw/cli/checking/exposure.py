"""Addresses that the whole world can reach, in clear text."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from sip2gw.config.types import Address

if TYPE_CHECKING:
    from sip2gw.config import Config


def about_addresses(config: Config) -> Iterator[str]:
    """Listeners without TLS on every address of the machine, or on a public one."""
    for listener in config.listeners:
        address = listener.address
        if not listener.tls and isinstance(address, Address) and _is_open(address):
            yield (
                f"server.listen: {address} can be reached from {_where(address)} without TLS,"
                " so PINs and passwords can be read on the way; set server.tls_certificate and"
                " server.tls_key, or listen on the address that the terminals use"
            )
    if config.admin.enabled and _is_open(config.admin.address):
        address = config.admin.address
        yield (
            f"admin.listen: {address} can be reached from {_where(address)} without TLS; listen on"
            " 127.0.0.1, or behind a proxy or firewall that only your monitoring passes"
        )


def _is_open(address: Address) -> bool:
    """Whether it is every address, or a public one; of a name nobody knows."""
    try:
        ip = ip_address(address.host)
    except ValueError:
        return False
    return ip.is_unspecified or ip.is_global


def _where(address: Address) -> str:
    every = ip_address(address.host).is_unspecified
    return "every network of this machine" if every else "the internet"
