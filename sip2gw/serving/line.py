"""One terminal's connection: bytes into the protocol's core, answers out, one request at a time.

A request is answered inside `data_received` when nothing has to wait, else by whatever it waits
for; no task is made.  (B3, B8, B14, B66, C8, C80, C98)
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Literal, Protocol, cast

from sip2gw.backend.base import HungUpError
from sip2gw.config import Config
from sip2gw.foundation.eager import Suspended, start
from sip2gw.handlers import Answer
from sip2gw.protocol.connection import (
    Closed,
    Dropped,
    Event,
    Reply,
    RequestReceived,
    UnreadableReceived,
)
from sip2gw.protocol.message import Request
from sip2gw.serving.conversation import Conversation, Watcher
from sip2gw.serving.gateway import Gateway
from sip2gw.serving.listeners import Prelude, keep_alive, peer_name
from sip2gw.serving.tls import client_names, shake_hands

FRAMES_PER_TURN = 8
"""After so many frames of one connection the others get their turn (C80)."""

CLOSE_TIMEOUT_S = 10.0
"""How long the last answers of a closed line may wait to be read."""
NO_PROFILE = ""
"""Label of connections that have not logged in."""


class Server(Protocol):
    """What a line asks of the server that it belongs to."""

    gateway: Gateway
    monotonic: Callable[[], float]

    @property
    def config(self) -> Config:
        """The configuration in force."""

    @property
    def request_timeout_s(self) -> float:
        """Our own deadline."""

    def accept(self, line: TerminalLine) -> bool:
        """Count a line from now on; False when there is no place for it (C101)."""

    def admit(self, line: TerminalLine, address: str) -> Conversation | None:
        """Take in the line that came from `address`; None when it is refused (B14)."""

    def forget(self, line: TerminalLine) -> None:
        """The line has ended."""

    def serve_later(self, line: TerminalLine) -> None:
        """Serve what waits in the line after all others that wait (C80)."""


class TerminalLine(asyncio.Protocol):
    """One connection: feeds bytes to the core, writes what comes out."""

    __slots__ = (
        "_closed",
        "_closed_at",
        "_deadline",
        "_early",
        "_frame_started",
        "_handshake",
        "_prelude",
        "_pump_scheduled",
        "_server",
        "_suspended",
        "_tls",
        "_transport",
        "_writable",
        "conversation",
        "last_heard",
        "number",
        "opened",
        "profile_label",
        "terminal_name",
        "watchers",
    )

    def __init__(
        self,
        server: Server,
        tls: ssl.SSLContext | None = None,
        prelude: Prelude = peer_name,
    ) -> None:
        """With `tls` a handshake follows once `prelude` has told whose line it is."""
        self._server = server
        self._tls = tls
        self._prelude = prelude
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
        self.number = 0
        """Given by the server with the place; 0 without one."""
        self.opened = self.last_heard = server.monotonic()
        self.profile_label = NO_PROFILE
        self.terminal_name = ""
        self.conversation: Conversation | None = None
        self.watchers: Sequence[Watcher] = ()

    # asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place; the line counts, and its time runs, from now on (C101)."""
        # uvloop's transports are not instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        if self._server.accept(self):
            self._prelude(self._transport, self._known)
        else:
            self._transport.abort()

    def _known(self, address: str) -> None:
        """The prelude has found out where the line comes from: stay, or go at a cap (B14)."""
        transport = self._transport
        if transport is None:
            return  # it has gone meanwhile
        self.conversation = self._server.admit(self, address)
        if self.conversation is None:
            self._drop(transport)
            return
        keep_alive(transport.get_extra_info("socket"), self._server.config.server.tcp_keepalive_s)
        if self._tls is not None:
            # Trap: whatever was read before `start_tls` would reach us as if it were SIP2.
            transport.pause_reading()
            self._handshake = asyncio.get_running_loop().create_task(
                self._shake_hands(transport, self.conversation, self._tls)
            )

    async def _shake_hands(
        self, raw: asyncio.Transport, conversation: Conversation, tls: ssl.SSLContext
    ) -> None:
        """Go over to TLS."""
        limit_s = self._server.config.server.login_timeout_s
        secure = await shake_hands(raw, self, tls, limit_s)
        self._handshake = None
        if secure is None:
            self._drop(raw)
        if secure is None or self._closed:
            return
        self._transport = secure
        conversation.client_names = client_names(secure)
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def _drop(self, transport: asyncio.Transport) -> None:
        """End at once; after a failed handshake nobody else would tell us that it has."""
        transport.abort()
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the terminal: what was not begun for it is not begun, what was begun goes on to
        its end, and its answer goes nowhere (C98)."""
        if self._closed:
            return
        self._closed = True
        self._server.forget(self)
        if self._suspended is not None:
            self._suspended.cancel(HungUpError())
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer what can be answered at once."""
        conversation = self.conversation
        if conversation is None:
            return
        if self._handshake is not None:
            # Trap: TLS hands over what came with the end of the handshake before `start_tls`
            # returns, when we do not know yet whom the certificate names.
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
        """Handle waiting frames, at most `FRAMES_PER_TURN`, with one write for all answers.

        Every request passes here, mostly as the only frame that waits: so the clock is not asked
        again before a second one, and the core not for a second one that it does not have.
        """
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
            # All turns are used up. What the terminal sends meanwhile waits in the kernel, or one
            # that never stops would have us keep it.
            if self._transport is not None:
                self._transport.pause_reading()
            self._schedule_pump()
        # A frame's time runs from its first byte, however slowly the rest comes: it begins anew
        # only after a frame that was complete.
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
        # One test after the other, the commonest event first: a table of methods would cost every
        # request a look-up and a bound method.
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
        # A callback is made only for what has to wait; that goes through `_finish` as well.
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
        """Finish a request that had to wait; `enforce_deadlines` hurries it when it is late.

        The frames behind it come in a later turn: others have waited, too (C80).
        """
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
            # Trap: only now, for the 94 itself still goes out as the line was before (C73).
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
            log = self._server.gateway.log
            tell = log.events.info if self.terminal_name else log.stranger
            tell(
                "connection_closed",
                connection=self.number,
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
        if self.busy:
            return None
        if self._frame_started is not None and now - self._frame_started > server.frame_timeout_s:
            return "stalled"
        # Who was logged in and is no more has as long again for the next attempt.
        since = self.last_heard if self.terminal_name else self.opened
        conversation = self.conversation
        nobody = conversation is None or conversation.session is None
        if nobody and now - since > server.login_timeout_s:
            return "login_timeout"
        return "idle" if now - self.last_heard > server.idle_timeout_s else None
