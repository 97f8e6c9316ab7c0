"""Where terminals come in: sockets that listen, made here or handed over, and who has come.

Nothing here knows what a line says. A server takes sockets that are bound, whoever made them, and
makes a protocol for each connection; that begins with a *prelude*, which finds out where the
connection comes from before it is judged by its address.  (B14, C101, C137)
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address

from sip2gw.config import Address

LISTEN_BACKLOG = 1024
RECEIVE_BYTES = 16_384
"""So much of a line waits in the kernel (Linux doubles it), and may come to us in one piece: what
all lines together can make us keep (C137). A longer message comes in several."""

Prelude = Callable[[asyncio.Transport, Callable[[str], None]], None]
"""Finds out the address of the peer of a new connection, and calls back with it.

At once or later: the line has its place and its time runs from accept (C101). Until then nothing
that comes is for the line; a prelude that reads has to take it.
"""


def peer_name(transport: asyncio.Transport, known: Callable[[str], None]) -> None:
    """The prelude of lines that come straight from the terminal: the socket knows its peer."""
    peer = transport.get_extra_info("peername")
    known(str(peer[0]) if peer else "")


async def bind(addresses: Iterable[Address]) -> list[socket.socket]:
    """Sockets at `addresses`, several for a name that stands for several.

    Raises:
        OSError: an address cannot be bound, and none is; it is the error's `filename`.
    """
    bound: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                await _bind(address, bound)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(address)) from None
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


async def _bind(address: Address, bound: list[socket.socket]) -> None:
    places = await _places(address)
    for family, place in places:
        try:
            bound.append(_bound(family, place))
        except OSError as error:
            # A name may stand for an IPv6 address, too, on a system that has no IPv6.
            if error.errno != errno.EAFNOSUPPORT or len(places) == 1:
                raise


async def _places(address: Address) -> Collection[tuple[int, tuple[object, ...]]]:
    """What `address` stands for; only a name is looked up, which may take as long as it likes."""
    with contextlib.suppress(ValueError):
        numeric = ip_address(address.host)
        return [(socket.AF_INET6 if numeric.version == 6 else socket.AF_INET, address)]
    found = await asyncio.get_running_loop().getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return dict.fromkeys((family, place) for family, _, _, _, place in found)


def _bound(family: int, place: tuple[object, ...]) -> socket.socket:
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
    """Accept connections on bound `sockets`, which belong to the listeners from now on."""
    loop = asyncio.get_running_loop()
    listeners: list[asyncio.Server] = []
    for sock in sockets:
        # Lines inherit it. What a line reads at a time is no more than the kernel has.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        listeners.append(await loop.create_server(new_line, sock=sock, backlog=LISTEN_BACKLOG))
    return listeners


def keep_alive(sock: socket.socket | None, idle_s: float) -> None:
    """Make the kernel detect half-open connections (B14)."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # the peer may have gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(idle_s)))
