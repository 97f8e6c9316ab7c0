"""What a token may do, and from where (B83, C176)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address, ip_network

from sip2gw.model.rights import Role, Token

_INCLUDED: Mapping[Role, frozenset[Role]] = {
    Role.VIEW: frozenset({Role.VIEW}),
    Role.STAFF: frozenset({Role.VIEW, Role.STAFF}),
    Role.ADMIN: frozenset({Role.VIEW, Role.STAFF, Role.ADMIN}),
    Role.SELF: frozenset({Role.SELF}),
}


def includes(role: Role, needed: Role) -> bool:
    """Whether who has `role` may do what `needed` is needed for."""
    return needed in _INCLUDED[role]


def is_good(token: Token, now: datetime, address: str) -> bool:
    """Whether `token` counts now, when it comes from the IP `address`."""
    if token.expires is not None and now >= token.expires:
        return False
    return not token.networks or _is_within(address, token.networks)


def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:  # a Unix socket
        return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return any(mapped in ip_network(network) for network in networks)
