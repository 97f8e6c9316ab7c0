"""The listeners of `server.listen`, as used: with what other keys say of them (B88, C132, C170)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sip2gw.config.tables.server import (
    ClientCertificate,
    ListenAddress,
    ListenTable,
    ServerSection,
    UnixAddress,
    parse_listen,
)
from sip2gw.config.types import Address

if TYPE_CHECKING:
    from sip2gw.config.tables.terminals import TerminalTable


class Listener(Struct, frozen=True):
    """Where terminals come in, and how their lines begin."""

    address: ListenAddress
    tls: bool = False
    proxy: bool = False
    """Whether each connection begins with a PROXY header."""
    client_certificate: ClientCertificate | None = None
    """Whether terminals are asked for a certificate, and must show one."""


def resolve_listeners(server: ServerSection, directory: Path) -> tuple[Listener, ...]:
    """The listeners of `server`; files are relative to `directory` (C132, C170)."""
    entries = server.listen
    tls = server.tls_certificate is not None and all(entry.tls is None for entry in entries)
    asks: ClientCertificate | None = None
    if server.tls_client_ca is not None and all(
        entry.client_certificate is None for entry in entries
    ):
        asks = "required"
    return tuple(
        _resolve(entry, directory, tls=tls, proxy=server.proxy_protocol, asks=asks)
        for entry in entries
    )


def _resolve(
    entry: ListenTable,
    directory: Path,
    *,
    tls: bool,
    proxy: bool,
    asks: ClientCertificate | None,
) -> Listener:
    """`entry` with the given defaults."""
    encrypted = tls if entry.tls is None else entry.tls
    return Listener(
        parse_listen(entry.address, directory),
        tls=encrypted,
        proxy=proxy or bool(entry.proxy),
        client_certificate=(entry.client_certificate or asks) if encrypted else None,
    )


Problem = tuple[str, str, object]
"""The key, what is wrong with it, and its value."""


def listener_problems(
    server: ServerSection, listeners: Sequence[Listener], terminals: Mapping[str, TerminalTable]
) -> Iterator[Problem]:
    """What does not fit together, and what to do."""
    for number, (entry, listener) in enumerate(zip(server.listen, listeners, strict=True), 1):
        where = f"server.listen.{number}"
        if entry.tls and (server.tls_certificate is None or server.tls_key is None):
            yield f"{where}.tls", "needs server.tls_certificate and server.tls_key", True
        asks = entry.client_certificate
        if asks and not listener.tls:
            yield f"{where}.client_certificate", "needs TLS; add tls = true", asks
        if asks and server.tls_client_ca is None:
            told = "needs server.tls_client_ca, the authority whose certificates terminals show"
            yield f"{where}.client_certificate", told, asks
        if server.proxy_protocol and entry.proxy is False:
            told = "is contradicted by server.proxy_protocol; leave that key out"
            yield f"{where}.proxy", told, False
        if isinstance(listener.address, UnixAddress) and not listener.proxy:
            bound = [name for name, table in terminals.items() if table.is_bound_to_networks]
            if bound:
                yield where, _cannot_come(bound), entry.address
    if not server.proxy_networks and any(
        it.proxy and isinstance(it.address, Address) for it in listeners
    ):
        yield "server.proxy_networks", "is empty, so no proxy may connect; name its address", None


NAMED_MAX = 3


def _cannot_come(bound: Iterable[str]) -> str:
    names = [f"terminals.{name}.networks" for name in bound]
    more = len(names) - NAMED_MAX
    shown = ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
    return (
        f"a Unix socket tells no address to compare with {shown}; set proxy = true here, or"
        " leave networks out there"
    )
