"""Who comes in: accepts connections, finds out their address, and lets them in or not.

An `Acceptor` counts a connection from accept on, reads the PROXY header where the listener demands
one, and judges the address in it. Whoever gets in is handed on as an `Arrival`: to the server of
this process, or to that of a worker (B14, B88, C100, C101, C131, C132).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from sip2gw.config import Listener
from sip2gw.config.tables.terminals import NO_ADDRESS
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.monitoring.uncaught import tell
from sip2gw.protocol.line.proxy import HEADER_BYTES_MAX, ProxyHeaderError, read_proxy_header
from sip2gw.serving.listeners import Bound
from sip2gw.serving.site import Expected
from sip2gw.shared.doorkeeper import Doorkeeper

BACKLOG = 4_096
"""So many terminals may connect at once, as after a power cut, or wait for a restart (B89)."""
RECEIVE_BYTES = 16_384
"""Bytes of a line that wait in the kernel (Linux doubles them), and the most that it hands over at
once. It limits what all lines together can make us keep (C137). A longer message arrives in parts.
"""
ACCEPTED_AT_ONCE = 32
"""Newcomers at one socket before the lines that are open get their turn (C80)."""
PAUSE_S = 0.5
"""How long nobody is accepted after the system had no descriptor or memory for a connection."""
LOOK_EVERY_S = 1.0


class Arrival(Struct, frozen=True):
    """A connection that was let in, with nothing read of it but its PROXY header.

    It has its place and counts for its address (`Doorkeeper`) until whoever takes it says that it
    has ended.
    """

    sock: socket.socket
    address: str
    """The terminal's: the one in the header, if there is one."""
    listener: Listener
    accepted_at: float
    """On the monotonic clock; its time runs from here."""
    number: int = 0
    """Of the connection, where several servers share the numbers; 0: the server gives it one."""


class Settings(Protocol):
    """What of the configuration counts for newcomers."""

    @property
    def login_timeout_s(self) -> float:
        """Within this time a connection must log in, and have sent its header."""
        ...

    def trusts(self, peer: str) -> bool:
        """Whether that address may send PROXY headers."""
        ...


class _Behind(Struct):
    """A connection from a proxy that has not said yet who is behind it."""

    sock: socket.socket
    peer: str
    listener: Listener
    accepted_at: float
    read: bytes = b""
    """What has come of the header."""


class Acceptor:
    """Accepts at all listening sockets of a gateway.

    Args:
        doorkeeper: counts places and addresses.
        settings: returns what is configured now.
        expected: returns the addresses from which any terminal may come now.
        take: gets everybody who is let in.
    """

    def __init__(
        self,
        doorkeeper: Doorkeeper,
        settings: Callable[[], Settings],
        expected: Callable[[], Expected],
        take: Callable[[Arrival], None],
        *,
        metrics: Metrics,
        log: Log,
        monotonic: Callable[[], float],
    ) -> None:
        self._doorkeeper, self._settings = doorkeeper, settings
        self._expected, self._take = expected, take
        self._refused, self._log, self._monotonic = metrics.connections_refused, log, monotonic
        self._bound: list[Bound] = []
        self._paused: dict[Bound, asyncio.TimerHandle] = {}
        self._behind: dict[int, _Behind] = {}
        """By descriptor."""
        self._look_again: asyncio.TimerHandle | None = None

    @property
    def listening(self) -> bool:
        """Whether connections are accepted."""
        return bool(self._bound)

    @property
    def addresses(self) -> list[str]:
        """Where it really listens."""
        return [str(one) for one in self._bound]

    def listen(self, sockets: Iterable[Bound]) -> None:
        """Accept at `sockets`, which are the acceptor's from now on."""
        for one in sockets:
            one.sock.setblocking(False)
            # Lines inherit this. A line never reads more at a time than the kernel holds.
            one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            one.sock.listen(BACKLOG)
            self._bound.append(one)
            self._watch(one)

    def close(self) -> None:
        """Accept nobody any more, and drop who has not said yet who it is."""
        for one in self.release():
            one.close()

    def release(self) -> list[Bound]:
        """The same, but the sockets are the caller's, who may hand them to the next gateway."""
        loop = asyncio.get_running_loop()
        for pause in self._paused.values():
            pause.cancel()
        self._paused.clear()
        for waiting in list(self._behind.values()):
            self._forget(waiting)
            self._leave(waiting.sock)
        if self._look_again is not None:
            self._look_again.cancel()
        bound, self._bound = self._bound, []
        for one in bound:
            loop.remove_reader(one.sock.fileno())
        return bound

    # Accepting -----------------------------------------------------------------------------

    def _watch(self, bound: Bound) -> None:
        self._paused.pop(bound, None)
        asyncio.get_running_loop().add_reader(bound.sock.fileno(), self._accept, bound)

    def _accept(self, bound: Bound) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, name = bound.sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(bound, error)
                return
            sock.setblocking(False)
            self._came(sock, str(name[0]) if isinstance(name, tuple) else NO_ADDRESS, bound)

    def _pause(self, bound: Bound, error: OSError) -> None:
        """Let newcomers wait in the kernel for a while instead of asking for them in vain."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(bound.sock.fileno())
        self._paused[bound] = loop.call_later(PAUSE_S, self._watch, bound)
        tell(self._log, error, where="accept", listener=str(bound))

    def _came(self, sock: socket.socket, peer: str, bound: Bound) -> None:
        if not self._doorkeeper.take_place():
            self._refused["total"] += 1
            sock.close()
            return
        listener, now = bound.listener, self._monotonic()
        if not listener.proxy:
            self._judge(Arrival(sock, peer, listener, now))
        elif peer == NO_ADDRESS or self._settings().trusts(peer):
            self._wait_for_header(_Behind(sock, peer, listener, now))
        else:
            self._tell(peer, "not_a_proxy")
            self._refuse(sock, "proxy")

    def _judge(self, arrival: Arrival) -> None:
        """Let it in, or not: by what is known of its address (B14, C100)."""
        obstacle = self._doorkeeper.obstacle(arrival.address)
        if not obstacle and not self._expected().includes(arrival.address):
            obstacle = "network"
        if obstacle:
            self._refuse(arrival.sock, obstacle)
            return
        self._doorkeeper.enter(arrival.address)
        self._take(arrival)

    def _refuse(self, sock: socket.socket, reason: str) -> None:
        self._refused[reason] += 1
        self._leave(sock)

    def _leave(self, sock: socket.socket) -> None:
        self._doorkeeper.leave_place()
        sock.close()

    def _tell(self, peer: str, reason: str) -> None:
        self._log.stranger("proxy_refused", address=peer, reason=reason)

    # Headers -------------------------------------------------------------------------------

    def _wait_for_header(self, waiting: _Behind) -> None:
        loop, descriptor = asyncio.get_running_loop(), waiting.sock.fileno()
        self._behind[descriptor] = waiting
        loop.add_reader(descriptor, self._read_header, waiting)
        if self._look_again is None:
            self._look_again = loop.call_later(LOOK_EVERY_S, self._look)

    def _forget(self, waiting: _Behind) -> None:
        descriptor = waiting.sock.fileno()
        asyncio.get_running_loop().remove_reader(descriptor)
        del self._behind[descriptor]

    def _read_header(self, waiting: _Behind) -> None:
        """Read exactly the header: what follows it is TLS or SIP2 (C132)."""
        try:
            seen = waiting.sock.recv(HEADER_BYTES_MAX, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            seen = b""
        try:
            header = read_proxy_header(waiting.read + seen)
        except ProxyHeaderError:
            self._give_up(waiting, "header_wrong")
            return
        if not seen and waiting.read:
            self._give_up(waiting, "hung_up")
            return
        if not seen:
            # A proxy looks whether we are there; nobody was refused.
            self._forget(waiting)
            self._leave(waiting.sock)
            return
        if header is None:
            # All of it belongs to the header. If it stayed in the kernel, the loop would call us
            # again and again.
            waiting.read += waiting.sock.recv(len(seen))
            return
        waiting.sock.recv(header.length - len(waiting.read))
        self._forget(waiting)
        address = header.source or waiting.peer
        self._judge(Arrival(waiting.sock, address, waiting.listener, waiting.accepted_at))

    def _give_up(self, waiting: _Behind, reason: str) -> None:
        self._forget(waiting)
        self._tell(waiting.peer, reason)
        self._refuse(waiting.sock, "header")

    def _look(self) -> None:
        """Give up headers that take too long: their time runs from accept (C101)."""
        self._look_again = None
        latest = self._monotonic() - self._settings().login_timeout_s
        for waiting in [one for one in self._behind.values() if one.accepted_at < latest]:
            self._give_up(waiting, "header_late")
        if self._behind:
            loop = asyncio.get_running_loop()
            self._look_again = loop.call_later(LOOK_EVERY_S, self._look)
