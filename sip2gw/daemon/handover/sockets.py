"""Where a starting gateway gets its listening sockets: handed over if possible, else bound (B89).

Somebody may hand over bound sockets: systemd, or the gateway that has served this configuration so
far. Each is recognised by the address that it is bound to. What waits in its queue is accepted by
whoever accepts next, so nobody is refused. Nothing here knows what a gateway does with its sockets.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import PurePath

from sip2gw.config import Address, Listener
from sip2gw.serving import listeners
from sip2gw.serving.listeners import Bound
from sip2gw.web import process

_FIRST_DESCRIPTOR = 3
"""systemd hands over this one and those after it: sd_listen_fds(3)."""
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class SocketError(Exception):
    """A socket that was handed over cannot be used; the text says why and what to do."""


@dataclass
class Sockets:
    """The bound sockets of one gateway."""

    terminals: list[Bound] = field(default_factory=list)
    """In the order of the listeners; a name may stand for several."""
    http: socket.socket | None = None
    """None: nobody has one, and whoever serves HTTP binds it."""

    def adopt(self, lent: Collection[socket.socket]) -> None:
        """Whoever has lent these sockets has left: their files are ours to remove."""
        self.terminals = [
            bound.adopted() if bound.sock in lent else bound for bound in self.terminals
        ]

    def close(self) -> None:
        """Let go of all of them."""
        for bound in self.terminals:
            bound.close()
        if self.http is not None:
            self.http.close()

    def open(self) -> list[socket.socket]:
        """All that nobody has closed."""
        known = (*(bound.sock for bound in self.terminals), self.http)
        return [sock for sock in known if sock is not None and sock.fileno() >= 0]


TakeSockets = Callable[[], Awaitable[Sockets]]
"""Where the sockets of a gateway come from, once it can serve."""


def inherited(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The sockets that systemd has bound for this process; none without systemd.

    The variables that name them are removed, so that no process of ours believes they are its own.

    Raises:
        SocketError: one of them is not a socket that connections can be accepted on.
    """
    pid, number, _ = (environment.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not number.isdecimal():
        return []
    found: list[socket.socket] = []
    try:
        for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(number)):
            found.append(_socket_of(descriptor))
            _insist_on_use(found[-1], descriptor)
    except SocketError:
        for sock in found:
            sock.close()
        raise
    return found


def _socket_of(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
    except OSError:
        raise SocketError(f"descriptor {descriptor} from systemd is not a socket") from None
    sock.setblocking(False)
    return sock


def _insist_on_use(sock: socket.socket, descriptor: int) -> None:
    if sock.type != socket.SOCK_STREAM or _has_peer(sock):
        raise SocketError(
            f"descriptor {descriptor} from systemd is not a listening stream socket: the socket"
            " unit needs ListenStream= and Accept=no"
        )
    if sock.family == socket.AF_INET6 and not sock.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    ):
        # IPv4 terminals would come as ::ffff:10.0.0.7, which is in nobody's `networks`.
        raise SocketError(
            f"the socket {_name(sock)} from systemd takes IPv4 too: add BindIPv6Only=ipv6-only to"
            " the socket unit, and a ListenStream= with an IPv4 address if you need one"
        )


def _has_peer(sock: socket.socket) -> bool:
    with suppress(OSError):
        sock.getpeername()
        return True
    return False


class Offered:
    """Sockets that were handed over; each is taken once."""

    def __init__(self, sockets: Iterable[socket.socket] = ()) -> None:
        self.left = list(sockets)
        """Those that nobody has taken."""

    def take(self, family: int, place: object) -> socket.socket | None:
        """The one that is bound at `place`; any of that host when its port is 0."""
        for sock in self.left:
            if sock.family == family and _is_at(sock, place):
                self.left.remove(sock)
                return sock
        return None

    def close(self) -> None:
        """Let go of those that nobody has taken."""
        for sock in self.left:
            sock.close()


def _is_at(sock: socket.socket, place: object) -> bool:
    name = sock.getsockname()
    if isinstance(place, str):
        # Of a long path the kernel knows only the last part (`unix_socket.reachable`).
        return name == place or (
            name.startswith("/proc/self/fd/") and PurePath(name).name == PurePath(place).name
        )
    assert isinstance(place, tuple)
    return place[1] in (0, name[1]) and ip_address(place[0]) == ip_address(name[0])


async def gather(wanted: Collection[Listener], http: Address | None, *offers: Offered) -> Sockets:
    """A socket for each place that the listeners stand for: from the first offer that has one,
    else bound here. After a failure nothing stays open of what was found.

    Args:
        http: the address for HTTP. Without offers it is left to whoever serves HTTP, because its
            name may have to be looked up, for which no terminal should wait (C114).

    Raises:
        OSError: an address cannot be bound; the error's `filename` is that address.
    """

    def handed(family: int, place: object) -> socket.socket | None:
        taken = (offer.take(family, place) for offer in offers)
        return next((sock for sock in taken if sock is not None), None)

    sockets = Sockets(await listeners.bind(wanted, handed))
    if http is not None and any(offer.left for offer in offers):
        try:
            sockets.http = await _find_for_http(http, handed)
        except BaseException:
            sockets.close()
            raise
    return sockets


async def _find_for_http(address: Address, handed: listeners.Handed) -> socket.socket:
    try:
        for family, place in await listeners.places(address):
            if (sock := handed(family, place)) is not None:
                return sock
        return await asyncio.to_thread(process.bind, address)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(address)) from None


def _name(sock: socket.socket) -> str:
    """Its address for people."""
    name = sock.getsockname()
    return name if isinstance(name, str) else str(Address(*name[:2]))


def insist_on_nothing_left(offer: Offered) -> None:
    """Refuse sockets of systemd that the configuration does not name.

    Raises:
        SocketError: terminals that connect there would wait for ever.
    """
    if offer.left:
        names = ", ".join(map(_name, offer.left))
        raise SocketError(
            f"systemd listens at {names}, which neither server.listen nor admin.listen names: add"
            " it there, or remove it from the socket unit"
        )
