"""Terminals that need not log in: nothing that says who one is may say so of another (C134)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sip2gw.config.tables.terminals import TerminalTable
from sip2gw.config.types import Network, parse_network

_ADVICE = "without a login nobody can tell which of the two calls"


class Ambiguity(NamedTuple):
    """A key that does not tell one terminal from another."""

    key: str
    message: str
    got: str


def ambiguities(tables: Mapping[str, TerminalTable]) -> Iterator[Ambiguity]:
    """What two terminals of `tables` share although neither of them logs in.

    One that is known by its certificate may have addresses of another: the certificate goes first.
    """
    recognised = {key: table for key, table in tables.items() if not table.login_required}
    yield from _same_names(recognised)
    yield from _same_addresses(
        (network, key)
        for key, table in recognised.items()
        if table.tls_client_name is None
        for network in map(parse_network, table.networks)
    )


def _same_names(tables: Mapping[str, TerminalTable]) -> Iterator[Ambiguity]:
    owners: dict[str, str] = {}
    for key, table in tables.items():
        name = table.tls_client_name
        if name is None:
            continue
        owner = owners.setdefault(name, key)
        if owner != key:
            yield Ambiguity(
                f"terminals.{key}.tls_client_name",
                f"is also the name of terminals.{owner}, and {_ADVICE}; give each terminal a"
                " certificate of its own",
                name,
            )


def _same_addresses(networks: Iterator[tuple[Network, str]]) -> Iterator[Ambiguity]:
    """Networks either hold each other or have nothing in common, so the widest comes first."""
    widest: tuple[Network, str] | None = None
    for network, key in sorted(
        networks, key=lambda one: (one[0].version, one[0].network_address, one[0].prefixlen)
    ):
        if widest is None or not _overlap(widest[0], network):
            widest = network, key
        elif widest[1] != key:
            yield Ambiguity(
                f"terminals.{key}.networks",
                f"has addresses of terminals.{widest[1]} ({widest[0]}), and {_ADVICE}; give each"
                " terminal addresses of its own, or let one log in",
                str(network),
            )


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
