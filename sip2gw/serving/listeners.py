"""The sockets at which terminals come in: bound here, or handed over.

Nothing here knows what a line says, or who may come; see `arrivals` (B14, C101, C137).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Collection
from ipaddress import ip_address
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.config import Address, Listener, UnixAddress
from sip2gw.foundation.unix_socket import OWNER_AND_GROUP, Place


class Bound(Struct, frozen=True):
    """A socket that is bound for a listener of the configuration."""

    sock: socket.socket
    listener: Listener
    place: Place | None = None
    """The file of a Unix socket that we made, and remove at the end."""

    def __str__(self) -> str:
        """Where it really is, as the configuration writes it."""
        name = self.sock.getsockname()
        if self.sock.family == socket.AF_UNIX:
            return str(self.listener.address)
        return str(Address(*name[:2]))

    def adopted(self) -> Bound:
        """The same when whoever made its file has left it to us."""
        if not isinstance(self.listener.address, UnixAddress):
            return self
        place = _place(self.listener.address)
        place.adopt()
        return replace(self, place=place)

    def close(self) -> None:
        """Close it; the file of a Unix socket goes first, while it is known to be ours."""
        if self.place is not None:
            self.place.remove()
        self.sock.close()


Handed = Callable[[int, object], socket.socket | None]
"""A socket of that family that is bound at that place already, and that was handed over to us."""


def _none(family: int, place: object) -> None:
    return None


async def bind(listeners: Collection[Listener], handed: Handed = _none) -> list[Bound]:
    """Sockets for `listeners`, handed over or else bound here: all of them or none.

    A name may stand for several. After a failure nothing stays open of what was found.

    Raises:
        OSError: an address cannot be bound; the error's `filename` is that address.
    """
    found: list[list[Bound]] = [[] for _ in listeners]
    try:
        # Port 0 takes any socket of its host, so it must not take what another listener names.
        pairs = zip(listeners, found, strict=True)
        for listener, its in sorted(pairs, key=lambda pair: _is_any_port(pair[0])):
            try:
                await _find(listener, its, handed)
            except OSError as error:
                where = str(listener.address)
                raise OSError(error.errno, error.strerror, where) from None
    except BaseException:
        for one in chain(*found):
            one.close()
        raise
    return list(chain(*found))


def _is_any_port(listener: Listener) -> bool:
    return isinstance(listener.address, Address) and listener.address.port == 0


async def _find(listener: Listener, found: list[Bound], handed: Handed) -> None:
    address = listener.address
    if isinstance(address, UnixAddress):
        sock, place = handed(socket.AF_UNIX, str(address.path)), None
        if sock is None:
            place = _place(address)
            sock = await asyncio.to_thread(place.open)
        found.append(Bound(sock, listener, place))
        return
    alternatives = await places(address)
    for family, where in alternatives:
        try:
            found.append(Bound(handed(family, where) or _bound(family, where), listener))
        except OSError as error:
            # A name may also stand for an IPv6 address where the system has no IPv6.
            if error.errno != errno.EAFNOSUPPORT or len(alternatives) == 1:
                raise


def _place(address: UnixAddress) -> Place:
    return Place(address.path, "server.listen", OWNER_AND_GROUP)


async def places(address: Address) -> Collection[tuple[int, tuple[object, ...]]]:
    """The places that `address` stands for; only a name needs a look-up, which may take long."""
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


def keep_alive(sock: socket.socket, idle_s: float) -> None:
    """Let the kernel detect half-open connections after `idle_s` seconds of silence (B14)."""
    with contextlib.suppress(OSError):  # the peer may have gone, or come by a Unix socket
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(idle_s)))
