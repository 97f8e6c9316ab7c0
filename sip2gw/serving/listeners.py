"""The sockets on which terminals connect, and how the address of a connection is found out.

Nothing here knows what a line says. A server takes bound sockets, whether made here or handed over,
and creates a protocol for each connection. This starts with a *prelude*, which finds out the
peer's address before the connection is admitted or refused by it (B14, C101, C137).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address

from sip2gw.config import Address

LISTEN_BACKLOG = 4096
"""So many terminals may connect at once, as after a power cut, or wait for a restart (B89)."""
RECEIVE_BYTES = 16_384
"""Bytes of a line that wait in the kernel (Linux doubles them), and the most that it hands over at
once. It limits what all lines together can make us keep (C137). A longer message arrives in parts.
"""

Prelude = Callable[[asyncio.Transport, Callable[[str], None]], None]
"""Finds out the peer's address of a new connection, and calls back with it, now or later.

Meanwhile the line keeps its place, and its time runs from accept (C101). Data that arrives before
the call back is not the line's; a prelude that reads must consume it.
"""


def peer_name(transport: asyncio.Transport, known: Callable[[str], None]) -> None:
    """The prelude of direct connections: the socket knows its peer."""
    peer = transport.get_extra_info("peername")
    known(str(peer[0]) if peer else "")


Place = tuple[object, ...]
"""What `socket.bind` takes: host, port, and for IPv6 perhaps more."""


async def places(address: Address) -> Collection[tuple[int, Place]]:
    """The places that `address` stands for; only a name needs a look-up, which may take long."""
    with contextlib.suppress(ValueError):
        numeric = ip_address(address.host)
        return [(socket.AF_INET6 if numeric.version == 6 else socket.AF_INET, address)]
    found = await asyncio.get_running_loop().getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return dict.fromkeys((family, place) for family, _, _, _, place in found)


def bound(family: int, place: Place, alternatives: int = 1) -> list[socket.socket]:
    """A socket that is bound at `place`; none where the system does not have that family, if
    the address stands for more places.

    Raises:
        OSError: the place cannot be bound.
    """
    try:
        return [_bound(family, place)]
    except OSError as error:
        # A name may also stand for an IPv6 address where the system has no IPv6.
        if error.errno != errno.EAFNOSUPPORT or alternatives == 1:
            raise
        return []


def _bound(family: int, place: Place) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
    except BaseException:
        sock.close()
        raise
    return sock


async def listen(
    sockets: Iterable[socket.socket], new_line: Callable[[], asyncio.Protocol]
) -> list[asyncio.Server]:
    """Accept connections on bound `sockets`; the listeners now own them."""
    loop = asyncio.get_running_loop()
    listeners: list[asyncio.Server] = []
    for sock in sockets:
        # Lines inherit this. A line never reads more at a time than the kernel holds.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        listeners.append(await loop.create_server(new_line, sock=sock, backlog=LISTEN_BACKLOG))
    return listeners


def keep_alive(sock: socket.socket | None, idle_s: float) -> None:
    """Let the kernel detect half-open connections after `idle_s` seconds of silence (B14)."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # the peer may have gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(idle_s)))
