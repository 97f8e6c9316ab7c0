"""The asyncio shell: listeners, one protocol object per terminal, time-outs, caps, draining.

A request is answered inside `data_received` when nothing has to wait, else by whatever it waits
for; no task is made.
One sweep a second looks after all time-outs, so an idle terminal costs no timer.  (B3, B8, B14,
B66, B68, C8, C80)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Literal, Protocol, cast

from sip2gw.backend.base import HungUpError
from sip2gw.config import Address, Config
from sip2gw.foundation.eager import Suspended, start
from sip2gw.handlers import Answer
from sip2gw.protocol.connection import (
    Closed,
    Dropped,
    Event,
    Reply,
    RequestReceived,
    ServerConnection,
    UnreadableReceived,
)
from sip2gw.protocol.message import Request
from sip2gw.protocol.wire import WireFormat
from sip2gw.serving.admission import HEARD_WITHIN_S, Doorkeeper, Replacements
from sip2gw.serving.conversation import Conversation
from sip2gw.serving.gateway import Gateway

FRAMES_PER_TURN = 8
"""After so many frames of one connection the others get their turn (C80)."""

BACKLOG_SLICE_S = 0.002
"""So long at a time are lines served that have more to say than that; newcomers come between."""

SWEEP_INTERVAL_S = 1.0
BACKEND_CHECK_INTERVAL_S = 5.0
CLOSE_TIMEOUT_S = 10.0
"""How long the last answers of a closed line may wait to be read."""
LISTEN_BACKLOG = 1024
RECEIVE_BYTES = 16_384
"""So much of a line waits in the kernel (Linux doubles it), and may come to us in one piece: what
all lines together can make us keep (C137). A longer message comes in several."""
NO_PROFILE = ""
"""Label of connections that have not logged in."""


class Watcher(Protocol):
    """Sees what is said on the lines of one terminal; nothing that it does may fail (B86)."""

    def came(self, line: int, address: str) -> None:
        """The terminal has logged in, on the connection with the number `line`."""

    def went(self, line: int) -> None:
        """That connection has ended."""

    def saw(
        self, line: int, what: Literal["received", "sent"], frame: bytes, wire: WireFormat
    ) -> None:
        """A frame, with every secret that it holds."""


class TerminalLine(asyncio.Protocol):
    """One connection: feeds bytes to the core, writes what comes out."""

    __slots__ = (
        "_closed",
        "_closed_at",
        "_deadline",
        "_early",
        "_frame_started",
        "_handshake",
        "_pump_scheduled",
        "_server",
        "_suspended",
        "_tls",
        "_transport",
        "_writable",
        "conversation",
        "last_heard",
        "opened",
        "profile_label",
        "terminal_name",
        "watchers",
    )

    def __init__(self, server: TerminalServer, tls: ssl.SSLContext | None = None) -> None:
        """With `tls` the line begins with a handshake."""
        self._server = server
        self._tls = tls
        self._handshake: asyncio.Task[None] | None = None
        self._early = b""
        self._suspended: Suspended[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self._pump_scheduled = False
        self._writable = True
        self._frame_started: float | None = None
        self._deadline = 0.0
        self._closed = False
        self._closed_at: float | None = None
        self.opened = self.last_heard = server.monotonic()
        self.profile_label = NO_PROFILE
        self.terminal_name = ""
        self.conversation: Conversation | None = None
        self.watchers: Sequence[Watcher] = ()

    # asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, or refuse it at a cap."""
        # uvloop's transports are not instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self.conversation = self._server.admit(self, self._transport)
        if self.conversation is None:
            self._transport.abort()
        elif self._tls is not None:
            self._transport.pause_reading()
            self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(self._tls))

    async def _shake_hands(self, tls: ssl.SSLContext) -> None:
        """Go over to TLS; the line has counted since it was accepted (C101)."""
        raw, conversation = self._transport, self.conversation
        assert raw is not None
        assert conversation is not None
        try:
            secure = await asyncio.get_running_loop().start_tls(
                raw,
                self,
                tls,
                server_side=True,
                ssl_handshake_timeout=self._server.config.server.login_timeout_s,
            )
        except Exception:
            # Whatever went wrong, with the peer or in the TLS library: the place is free again.
            secure = None
        finally:
            self._handshake = None
        if secure is None:
            raw.abort()
            self.connection_lost(None)
        if secure is None or self._closed:
            return
        self._transport = secure
        conversation.client_names = client_names(secure.get_extra_info("peercert"))
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the terminal: what was not begun for it is not begun, what was begun goes on to
        its end, and its answer goes nowhere (C98)."""
        if self._closed:
            return
        self._closed = True
        if self.conversation is not None:
            self._server.forget(self, self.conversation)
        if self._suspended is not None:
            self._suspended.cancel(HungUpError())
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer what can be answered at once."""
        conversation = self.conversation
        if conversation is None:
            return
        if self._handshake is not None:
            # What came with the end of the handshake waits until the line speaks TLS.
            self._early += data
            return
        self.last_heard = now = self._server.monotonic()
        conversation.link.receive(data)
        if self._suspended is None and not self._pump_scheduled and self._writable:
            self._pump(now)
        elif self._transport is not None:
            # One request at a time: what comes meanwhile waits in the kernel.
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The terminal does not read; stop answering until it does."""
        self._writable = False

    def resume_writing(self) -> None:
        """It reads again."""
        self._writable = True
        self._schedule_pump()

    # The conversation ----------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on."""
        return self._suspended is not None

    def _schedule_pump(self) -> None:
        if not self._pump_scheduled:
            self._pump_scheduled = True
            self._server.serve_later(self)

    def pump_again(self) -> None:
        """Go on with what waits in this line; its turn has come."""
        self._pump_scheduled = False
        transport = self._transport
        if transport is None or transport.is_closing() or self._suspended is not None:
            return
        if not self._writable:
            return
        self._pump(self._server.monotonic())
        idle = self._suspended is None and not self._pump_scheduled and self._writable
        if idle and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _pump(self, now: float) -> None:
        """Handle waiting frames, at most `FRAMES_PER_TURN`, with one write for all answers."""
        conversation = self.conversation
        assert conversation is not None
        link = conversation.link
        out: list[bytes] = []
        complete, more = False, True
        for _ in range(FRAMES_PER_TURN):
            event = link.next_event(now)
            if event is None:
                break
            complete = True
            if not self._handle(conversation, event, now, out) or conversation.closing:
                break
            more = link.has_more
            if not more:
                break
            now = self._server.monotonic()
        else:
            if self._transport is not None:
                self._transport.pause_reading()
            self._schedule_pump()
        if not more or not link.partial:
            self._frame_started = None
        elif complete or self._frame_started is None:
            self._frame_started = self._server.monotonic()
        self._write(out)
        if conversation.closing and self._suspended is None:
            self.close(conversation.closing)

    def _handle(
        self, conversation: Conversation, event: Event, now: float, out: list[bytes]
    ) -> bool:
        """Deal with one event; False when the conversation must wait or end."""
        gateway = self._server.gateway
        if self.watchers and not isinstance(event, Closed):
            self._show(conversation, "received", event.frame)
        if isinstance(event, RequestReceived):
            request = event.request
            answering = gateway.answer(conversation, request, event.gated)
            return self._begin(conversation, request, answering, now, out)
        metrics = gateway.metrics
        if isinstance(event, UnreadableReceived):
            metrics.frames_rejected["unreadable"] += 1
            refusing = gateway.unreadable(conversation, event)
            return self._begin(conversation, event.request_type(), refusing, now, out)
        if isinstance(event, Reply):
            metrics.resends[event.kind] += 1
            if event.kind == "requested_by_us":
                metrics.frames_rejected["checksum"] += 1
            out.append(event.data)
            if self.watchers:
                self._show(conversation, "sent", event.data.rstrip(b"\r\n"))
        elif isinstance(event, Dropped):
            metrics.frames_rejected[event.reason] += 1
        else:
            if event.reason == "too_long":
                metrics.frames_rejected["too_long"] += 1
            conversation.closing = event.reason
            return False
        return True

    def _begin(
        self,
        conversation: Conversation,
        request: Request,
        answering: Coroutine[Any, Any, Answer],
        started: float,
        out: list[bytes],
    ) -> bool:
        result = start(answering)
        if isinstance(result, Suspended):
            self._suspended = result
            self._deadline = started + self._server.request_timeout_s
            result.go_on(partial(self._resume, conversation, request, started))
            return False
        self._finish(conversation, request, result, started, out)
        return True

    def _resume(
        self,
        conversation: Conversation,
        request: Request,
        started: float,
        answer: Answer | asyncio.CancelledError,
    ) -> None:
        """Finish a request that had to wait; `enforce_deadlines` hurries it when it is late."""
        transport = self._transport
        if isinstance(answer, asyncio.CancelledError):
            return  # the terminal has gone, nobody is left to be told
        self._suspended = None
        out: list[bytes] = []
        self._finish(conversation, request, answer, started, out)
        self._write(out)
        if conversation.closing:
            self.close(conversation.closing)
        elif transport is not None and (conversation.link.partial or not transport.is_reading()):
            self._schedule_pump()

    def _finish(
        self,
        conversation: Conversation,
        request: Request,
        answer: Answer,
        started: float,
        out: list[bytes],
    ) -> None:
        link, session = conversation.link, conversation.session
        data = link.send(answer.response)
        out.append(data)
        if self.watchers:
            self._show(conversation, "sent", data.rstrip(b"\r\n"))
        if session is not None and (not link.logged_in or link.wire is not session.terminal.wire):
            # The 94 itself still goes out as the line was before (C73).
            link.wire, link.logged_in = session.terminal.wire, True
        self._server.gateway.observe(conversation, request.code, answer, started)

    def _show(
        self, conversation: Conversation, what: Literal["received", "sent"], frame: bytes
    ) -> None:
        for watcher in tuple(self.watchers):
            watcher.saw(conversation.number, what, frame, conversation.link.wire)

    def _write(self, out: list[bytes]) -> None:
        transport = self._transport
        if out and transport is not None and not transport.is_closing():
            transport.write(out[0] if len(out) == 1 else b"".join(out))

    # Ending --------------------------------------------------------------------------------

    def close(self, reason: str) -> None:
        """Close after what was written has left."""
        if self._transport is not None and not self._transport.is_closing():
            log, conversation = self._server.gateway.log, self.conversation
            tell = log.events.info if self.terminal_name else log.stranger
            tell(
                "connection_closed",
                connection=conversation.number if conversation is not None else 0,
                reason=reason,
            )
            self._transport.close()
            self._closed_at = self._server.monotonic()

    def close_when_done(self, reason: str) -> None:
        """Close now, or after the request that is running."""
        if self.conversation is not None:
            self.conversation.closing = self.conversation.closing or reason
        if not self.busy:
            self.close(reason)

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def enforce_deadlines(self, now: float) -> None:
        """Refuse a request that takes too long (B17); drop a closed line that is never read."""
        if self._suspended is not None and now > self._deadline:
            # Once: whoever writes has to find out what became of it, and note that.
            self._deadline = math.inf
            self._suspended.cancel()
        if self._closed_at is not None and now - self._closed_at > CLOSE_TIMEOUT_S:
            self.abort()

    def expired(self, now: float) -> str | None:
        """Which time limit has passed, if any (B3, B14)."""
        server = self._server.config.server
        conversation = self.conversation
        if conversation is None or self.busy:
            return None
        if self._frame_started is not None and now - self._frame_started > server.frame_timeout_s:
            return "stalled"
        # Who was logged in and is no more has as long again for the next attempt.
        since = self.last_heard if self.terminal_name else self.opened
        if conversation.session is None and now - since > server.login_timeout_s:
            return "login_timeout"
        return "idle" if now - self.last_heard > server.idle_timeout_s else None


class TerminalServer:
    """All listeners and lines of one process."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.monotonic: Callable[[], float] = gateway.clock.monotonic
        self._lines: dict[int, TerminalLine] = {}
        """By the number of their conversation."""
        self._by_terminal: dict[str, list[TerminalLine]] = {}
        self._watchers: dict[str, list[Watcher]] = {}
        """By the terminal's name; its lines share the list."""
        self._doorkeeper = Doorkeeper(lambda: gateway.site)
        self._replacements = Replacements()
        self._numbers = itertools.count(1)
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._backlog: deque[TerminalLine] = deque()
        self._backlog_scheduled = False
        self._next_backend_check = 0.0
        self._backend_check: asyncio.Task[None] | None = None
        gateway.logins.on_login = self._logged_in

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.gateway.site.config

    @property
    def request_timeout_s(self) -> float:
        """Our own deadline."""
        return self.config.server.request_timeout_s

    @property
    def listening(self) -> bool:
        """Whether newcomers are taken."""
        return bool(self._listeners)

    async def listen(self, addresses: Iterable[Address], tls: ssl.SSLContext | None = None) -> None:
        """Open all listeners.

        Raises:
            OSError: an address cannot be bound; it is the error's `filename`.
        """
        loop = asyncio.get_running_loop()
        for address in addresses:
            try:
                listener = await loop.create_server(
                    lambda: TerminalLine(self, tls),
                    address.host,
                    address.port,
                    backlog=LISTEN_BACKLOG,
                )
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(address)) from None
            self._listeners.append(listener)
            for sock in listener.sockets:
                # Lines inherit it. What a line reads at a time is no more than the kernel has.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self._sweep()

    def bound_addresses(self) -> list[str]:
        """Where the listeners really listen, as `host:port`."""
        names = [s.getsockname() for listener in self._listeners for s in listener.sockets]
        return [f"[{n[0]}]:{n[1]}" if ":" in n[0] else f"{n[0]}:{n[1]}" for n in names]

    async def stop(self) -> None:
        """Stop accepting, finish what runs, close all (B66).

        Raises:
            TimeoutError: a request was still running after `drain_timeout_s`.
        """
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for line in list(self._lines.values()):
            line.close_when_done("stopping")
        deadline = self.monotonic() + self.config.server.drain_timeout_s
        while self._lines and self.monotonic() < deadline:  # noqa: ASYNC110 -- bounded, at exit
            await asyncio.sleep(0.02)
        busy = any(line.busy for line in self._lines.values())
        for line in list(self._lines.values()):
            line.abort()
        await asyncio.sleep(0)
        if busy:
            raise TimeoutError

    # Turns ---------------------------------------------------------------------------------

    def serve_later(self, line: TerminalLine) -> None:
        """Put `line` behind all others that have more to say (C80)."""
        self._backlog.append(line)
        self._schedule_backlog()

    def _schedule_backlog(self) -> None:
        if self._backlog and not self._backlog_scheduled:
            self._backlog_scheduled = True
            asyncio.get_running_loop().call_soon(self._serve_backlog)

    def _serve_backlog(self) -> None:
        self._backlog_scheduled = False
        now = asyncio.get_running_loop().time
        until = now() + BACKLOG_SLICE_S
        try:
            # At least one: a busy machine may take the slice away before it begins.
            while self._backlog:
                self._backlog.popleft().pump_again()
                if now() >= until:
                    break
        finally:
            # Whatever one line does, the others get their turn.
            self._schedule_backlog()

    # Lines ---------------------------------------------------------------------------------

    def admit(self, line: TerminalLine, transport: asyncio.Transport) -> Conversation | None:
        """Take a new connection in; None at a cap: the newcomer is refused and counted (B14)."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        obstacle = self._doorkeeper.obstacle(address)
        if obstacle:
            self.gateway.metrics.connections_refused[obstacle] += 1
            return None
        number, limits = next(self._numbers), self.config.server
        self._lines[number] = line
        self._doorkeeper.enter(address)
        self.gateway.metrics.connections[NO_PROFILE] += 1
        _keep_alive(transport.get_extra_info("socket"), limits.tcp_keepalive_s)
        link = ServerConnection(
            self.gateway.site.prelogin, limits.frame_bytes_max, limits.resend_limit
        )
        return Conversation(number, address, link)

    def forget(self, line: TerminalLine, conversation: Conversation) -> None:
        """A connection has ended."""
        self._lines.pop(conversation.number, None)
        self._doorkeeper.leave(conversation.address, stranger=not line.terminal_name)
        self.gateway.metrics.connections[line.profile_label] -= 1
        self._leave_terminal(line)
        self._end_watching(line, conversation)

    def _begin_watching(
        self, line: TerminalLine, conversation: Conversation, terminal: str
    ) -> None:
        line.watchers = self._watchers.get(terminal, ())
        for watcher in tuple(line.watchers):
            watcher.came(conversation.number, conversation.address)

    def _end_watching(self, line: TerminalLine, conversation: Conversation) -> None:
        for watcher in tuple(line.watchers):
            watcher.went(conversation.number)
        line.watchers = ()

    def lines_of(self, terminal: str) -> Sequence[TerminalLine]:
        """The open lines of the terminal of that name, oldest first."""
        return tuple(self._by_terminal.get(terminal, ()))

    def watch(self, terminal: str, watcher: Watcher) -> None:
        """Show `watcher` what is said on the lines of the terminal of that name from now on."""
        watchers = self._watchers.setdefault(terminal, [])
        watchers.append(watcher)
        for line in self.lines_of(terminal):
            line.watchers = watchers

    def unwatch(self, terminal: str, watcher: Watcher) -> None:
        """Show it nothing more."""
        watchers = self._watchers[terminal]
        watchers.remove(watcher)
        if not watchers:
            del self._watchers[terminal]

    def _leave_terminal(self, line: TerminalLine) -> None:
        lines = self._by_terminal.get(line.terminal_name)
        if lines is not None and line in lines:
            lines.remove(line)

    def _logged_in(self, conversation: Conversation) -> None:
        """A terminal has logged in: it replaces its older connection (B14, C8)."""
        line = self._lines.get(conversation.number)
        terminal = conversation.terminal
        if line is None or terminal is None or conversation.closing:
            # Who goes anyway replaces nobody.
            return
        if not line.terminal_name:
            self._doorkeeper.recognise(conversation.address)
        connections = self.gateway.metrics.connections
        connections[line.profile_label] -= 1
        line.profile_label = terminal.profile
        connections[line.profile_label] += 1
        self._leave_terminal(line)
        if line.terminal_name != terminal.name:
            self._end_watching(line, conversation)
            self._begin_watching(line, conversation, terminal.name)
        line.terminal_name = terminal.name
        lines = self._by_terminal.setdefault(terminal.name, [])
        lines.append(line)
        allowed = self.gateway.site.by_name[terminal.name].terminal.max_connections
        for older in lines[: len(lines) - allowed] if 0 < allowed < len(lines) else ():
            self._replace(older, line)

    def _replace(self, older: TerminalLine, newer: TerminalLine) -> None:
        """Close `older`, and say so when two machines seem to share a login (C102)."""
        name, now = newer.terminal_name, self.monotonic()
        if now - older.last_heard <= HEARD_WITHIN_S:
            self.gateway.metrics.terminal_replaced[name] += 1
        if self._replacements.note(name, older.last_heard, now):
            lines = (line.conversation for line in (older, newer))
            self.gateway.log.events.warning(
                "login_shared",
                terminal=name,
                addresses=sorted({line.address for line in lines if line is not None}),
            )
        self._leave_terminal(older)
        older.close_when_done("replaced")

    def refresh_terminals(self) -> None:
        """After a reload: sessions get their new view, removed terminals are closed (C48)."""
        known = self.gateway.site.by_name
        for line in list(self._lines.values()):
            conversation = line.conversation
            if conversation is None or conversation.session is None:
                continue
            entry = known.get(conversation.session.terminal.name)
            if entry is None:
                line.close_when_done("terminal_removed")
            elif conversation.known is None or not conversation.known.admits_like(entry):
                line.close_when_done("login_changed")
            else:
                conversation.known, conversation.session.terminal = entry, entry.view
                if not conversation.link.pending:
                    # Else the answer that is being made still goes out as it was asked for.
                    conversation.link.wire = entry.view.wire

    # Time ----------------------------------------------------------------------------------

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = self.monotonic()
        for line in list(self._lines.values()):
            line.enforce_deadlines(now)
            reason = line.expired(now)
            if reason is not None:
                if reason == "stalled":
                    self.gateway.metrics.frames_rejected["stalled"] += 1
                line.close(reason)
        self.gateway.log.sum_up()
        if now >= self._next_backend_check and self._backend_check is None:
            self._next_backend_check = now + BACKEND_CHECK_INTERVAL_S
            self._backend_check = loop.create_task(self.gateway.check_backend())
            self._backend_check.add_done_callback(self._backend_checked)
        self._sweeper = loop.call_later(SWEEP_INTERVAL_S, self._sweep)

    def _backend_checked(self, task: asyncio.Task[None]) -> None:
        self._backend_check = None


def _keep_alive(sock: socket.socket | None, idle_s: float) -> None:
    """Let the kernel find half-open connections (B14)."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # the peer may have gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(idle_s)))


def client_names(certificate: dict[str, object] | None) -> frozenset[str]:
    """Common and alternative names of a verified TLS client certificate."""
    if not certificate:
        return frozenset()
    names: set[str] = set()
    alternatives = certificate.get("subjectAltName", ())
    subject = certificate.get("subject", ())
    assert isinstance(alternatives, tuple)
    assert isinstance(subject, tuple)
    names.update(value for _, value in alternatives)
    names.update(value for part in subject for key, value in part if key == "commonName")
    return frozenset(names)
