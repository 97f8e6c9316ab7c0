"""One terminal's connection: feeds bytes to the protocol and writes answers, one request at a time.

A request that need not wait is answered inside `data_received`. Otherwise whatever it waits for
resumes it, without a task (B3, B8, B14, B66, C8, C80, C98).
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Literal, Protocol, cast

from sip2gw.backend.base import HungUpError
from sip2gw.config import Config
from sip2gw.foundation.eager import Suspended, start
from sip2gw.handlers import Answer
from sip2gw.protocol.line.connection import (
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
from sip2gw.serving.tls import client_names

FRAMES_PER_TURN = 8
"""Frames of one connection that are served before the others get their turn (C80)."""

CLOSE_TIMEOUT_S = 10.0
"""How long a closed line waits for the terminal to read its last answers."""
HANDSHAKE_TIMEOUT_S = 86_400.0
"""No limit: the sweep ends handshakes, because their time runs from accept (C101)."""
STOPPING = "stopping"
"""Why lines are closed when the gateway ends."""
NO_PROFILE = ""
"""Label of connections that have not logged in."""


class Server(Protocol):
    """What a line needs from its server."""

    gateway: Gateway
    monotonic: Callable[[], float]

    @property
    def config(self) -> Config:
        """The current configuration."""

    @property
    def request_timeout_s(self) -> float:
        """Seconds until a request is refused as late."""

    def handshake_failed(self, conversation: Conversation, error: BaseException) -> None:
        """A terminal that was to speak TLS does not."""

    def forget(self, line: TerminalLine) -> None:
        """The line has ended."""

    def serve_later(self, line: TerminalLine) -> None:
        """Serve what waits in the line after all other waiting lines (C80)."""


class TerminalLine(asyncio.Protocol):
    """One connection: feeds bytes to the protocol's core and writes its answers."""

    __slots__ = (
        "_closed",
        "_closed_at",
        "_deadline",
        "_frame_started",
        "_held",
        "_opening",
        "_pump_scheduled",
        "_resting",
        "_server",
        "_shaking_hands",
        "_suspended",
        "_transport",
        "_until",
        "_writable",
        "conversation",
        "last_heard",
        "number",
        "opened",
        "profile_label",
        "terminal_name",
        "watchers",
    )

    def __init__(self, server: Server, conversation: Conversation, opened: float) -> None:
        """`opened` is when the connection was accepted: its time runs from then (C101)."""
        self._server = server
        self._opening: asyncio.Task[Any] | None = None
        self._shaking_hands = False
        self._suspended: Suspended[Any] | None = None
        self._until: asyncio.Future[None] | None = None
        self._held = False
        self._resting: Sequence[asyncio.Future[None]] = ()
        self._transport: asyncio.Transport | None = None
        self._pump_scheduled = False
        self._writable = True
        self._frame_started: float | None = None
        self._deadline = 0.0
        self._closed = False
        self._closed_at: float | None = None
        self.number = conversation.number
        self.opened = self.last_heard = opened
        self.profile_label = NO_PROFILE
        self.terminal_name = ""
        self.conversation = conversation
        self.watchers: Sequence[Watcher] = ()

    # Beginning -----------------------------------------------------------------------------

    def open(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Talk on `sock`, with `tls` after a handshake; `close` ends that too (C101)."""
        loop = asyncio.get_running_loop()
        if tls is None:
            opening = loop.connect_accepted_socket(lambda: self, sock)
        else:
            opening = loop.connect_accepted_socket(
                lambda: self, sock, ssl=tls, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
            self._shaking_hands = True
        self._opening = loop.create_task(opening)
        self._opening.add_done_callback(partial(self._opened, sock))

    def _opened(self, sock: socket.socket, opening: asyncio.Task[Any]) -> None:
        """Note that there is a transport, or that there will be none."""
        self._opening = None
        error = asyncio.CancelledError() if opening.cancelled() else opening.exception()
        if error is None:
            return
        # The loop has given it up, or has never had it.
        sock.close()
        if self._shaking_hands and self.conversation.closing != STOPPING:
            self._server.handshake_failed(self.conversation, error)
        self.connection_lost(None)

    # asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The terminal may speak, unless the line is to end."""
        # uvloop's transports are not instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        if self._shaking_hands:
            self._shaking_hands = False
            self.conversation.client_names = client_names(transport)
        if self.conversation.closing:
            self._transport.abort()
        else:
            self._server.gateway.logins.recognise(self.conversation)
            self._hold_now()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the terminal (C98).

        What has not begun for it never begins. What has begun is finished, and its answer dropped.
        """
        if self._closed:
            return
        self._closed = True
        self._server.forget(self)
        if self._suspended is not None:
            self._suspended.cancel(HungUpError())
        self._rest()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer what can be answered at once."""
        self.last_heard = now = self._server.monotonic()
        self.conversation.link.receive(data)
        if self._suspended is None and not self._pump_scheduled and self._writable:
            self._pump(now)
        elif self._transport is not None:
            # One request at a time: further data waits in the kernel.
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Stop answering until the terminal reads again."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on: the terminal reads again."""
        self._writable = True
        self._schedule_pump()

    # The conversation ----------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The peer's address, once it is known."""
        return self.conversation.address if self.conversation is not None else ""

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._suspended is not None

    def _schedule_pump(self) -> None:
        if not self._pump_scheduled:
            self._pump_scheduled = True
            self._server.serve_later(self)

    def pump_again(self) -> None:
        """Serve what waits in this line, now that its turn has come."""
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
        """Handle waiting frames, at most `FRAMES_PER_TURN`, and write all answers at once.

        Every request passes here, usually as the only waiting frame. So this reads the clock again
        only before a second frame, and asks the core for one only if there is one.
        """
        conversation = self.conversation
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
            # This line's share is used up. Let further data wait in the kernel: a terminal that
            # never stops sending would otherwise fill our memory.
            if self._transport is not None:
                self._transport.pause_reading()
            self._schedule_pump()
        # A frame's time runs from its first byte, however slowly the rest arrives. It restarts
        # only after a complete frame.
        if not more or not link.partial:
            self._frame_started = None
        else:
            if complete or self._frame_started is None:
                self._frame_started = self._server.monotonic()
            if self._suspended is not None and self._transport is not None:
                # More came together with a request that waits, as it does when we are busy. A
                # second piece of that size would double what a line makes us keep (C137).
                self._transport.pause_reading()
                link.trim()
        if out:
            self._write(out)
        if conversation.closing and self._suspended is None:
            self.close(conversation.closing)

    def _handle(
        self, conversation: Conversation, event: Event, now: float, out: list[bytes]
    ) -> bool:
        """Handle one event; False if the conversation must wait or end."""
        # The tests follow one another, the most frequent event first. A table of methods would
        # cost each request a look-up and a bound method.
        gateway = self._server.gateway
        if self.watchers and not isinstance(event, Closed):
            self._show(conversation, "received", event.frame)
        if isinstance(event, RequestReceived):
            request = event.request
            answering = gateway.answer(conversation, request, event.gated)
            return self._begin(conversation, request, answering, now, out)
        if isinstance(event, UnreadableReceived):
            refusing = gateway.unreadable(conversation, event)
            return self._begin(conversation, event.request_type(), refusing, now, out)
        metrics = gateway.metrics
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
        # Only a request that has to wait needs a callback; it ends in `_finish` as well.
        result = start(answering)
        if isinstance(result, Suspended):
            self._suspended = result
            self._deadline = started + self._server.request_timeout_s
            result.go_on(partial(self._resume, conversation, request, started))
            return False
        return self._finish(conversation, request, result, started, out)

    def _resume(
        self,
        conversation: Conversation,
        request: Request,
        started: float,
        answer: Answer | asyncio.CancelledError,
    ) -> None:
        """Finish a request that had to wait; `enforce_deadlines` ends one that takes too long.

        The frames after it get a later turn, because other lines have waited too (C80).
        """
        transport = self._transport
        if isinstance(answer, asyncio.CancelledError):
            return  # the terminal has hung up, so nobody waits for the answer
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
    ) -> bool:
        """False if the next request has to wait."""
        link, session = conversation.link, conversation.session
        data = link.send(answer.response, answer.written)
        out.append(data)
        if self.watchers and data:
            self._show(conversation, "sent", data.rstrip(b"\r\n"))
        if session is not None and (not link.logged_in or link.wire is not session.terminal.wire):
            # Trap: not earlier, because the 94 itself still has the old form of the line (C73).
            link.wire, link.logged_in = session.terminal.wire, True
        self._server.gateway.observe(conversation, request.code, answer, started)
        return self._until is None or not self._hold_now()

    # Waiting for what another worker still does -------------------------------------------

    def hold_next(self, until: asyncio.Future[None] | None) -> None:
        """Begin no further request before `until` is done, or the time for a request is over.

        The login that is under way, if any, gets its answer first (C131). None: do not wait.
        """
        self._until = until

    def _hold_now(self) -> bool:
        """Whether there is anything to wait for."""
        until, self._until = self._until, None
        if until is None:
            return False
        held = start(_patiently(until))
        if not isinstance(held, Suspended):
            return False
        self._suspended, self._held = held, True
        self._deadline = self._server.monotonic() + self._server.request_timeout_s
        held.go_on(self._released)
        return True

    def _released(self, ended: asyncio.CancelledError | None) -> None:
        if ended is not None:
            return  # the terminal has hung up
        self._suspended, self._held = None, False
        if self.conversation is not None and self.conversation.closing:
            self.close(self.conversation.closing)
        else:
            self._schedule_pump()

    def _show(
        self, conversation: Conversation, what: Literal["received", "sent"], frame: bytes
    ) -> None:
        for watcher in tuple(self.watchers):
            watcher.saw(conversation.number, what, frame, conversation.link.wire)

    def _write(self, out: list[bytes]) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(out[0] if len(out) == 1 else b"".join(out))

    # Ending --------------------------------------------------------------------------------

    def at_rest(self) -> asyncio.Future[None]:
        """Done when the request that is running on this line, which is to close, has ended."""
        rest = asyncio.get_running_loop().create_future()
        if self.busy and not self._closed:
            self._resting = (*self._resting, rest)
        else:
            rest.set_result(None)
        return rest

    def _rest(self) -> None:
        for rest in self._resting:
            if not rest.done():
                rest.set_result(None)
        self._resting = ()

    def close(self, reason: str) -> None:
        """Close as soon as everything written has left."""
        self._rest()
        if self._transport is None:
            self._end_opening(reason)
        elif not self._transport.is_closing():
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
        """Close now, or after the current request; one that is held back has not begun."""
        self.conversation.closing = self.conversation.closing or reason
        if self._held or not self.busy:
            self.close(reason)

    def hang_up(self, reason: str) -> None:
        """Close now; a request that is under way gets no answer, as if the terminal had gone."""
        is_open = self._transport is not None
        self.close(reason)
        if is_open:
            self.connection_lost(None)

    def _end_opening(self, reason: str) -> None:
        """Let `connection_made` close the line, or end the handshake."""
        self.conversation.closing = self.conversation.closing or reason
        if self._opening is not None and self._shaking_hands:
            self._opening.cancel()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def enforce_deadlines(self, now: float) -> None:
        """Refuse a late request (B17); drop a closed line whose last answers are never read."""
        if self._suspended is not None and now > self._deadline:
            # Only once: a write under way still has to find out and note how it ended.
            self._deadline = math.inf
            self._suspended.cancel()
        if self._closed_at is not None and now - self._closed_at > CLOSE_TIMEOUT_S:
            self.abort()

    def expired(self, now: float) -> str | None:
        """The time limit that has passed, or None (B3, B14)."""
        server = self._server.config.server
        if self.busy:
            return None
        if self._frame_started is not None and now - self._frame_started > server.frame_timeout_s:
            return "stalled"
        # After a failed login a terminal that was logged in gets the full time again.
        since = self.last_heard if self.terminal_name else self.opened
        if self.conversation.session is None and now - since > server.login_timeout_s:
            return "login_timeout"
        return "idle" if now - self.last_heard > server.idle_timeout_s else None


async def _patiently(until: asyncio.Future[None]) -> None:
    """Wait for `until`, but not beyond the deadline."""
    try:
        await until
    except HungUpError:
        raise
    except asyncio.CancelledError:
        return
