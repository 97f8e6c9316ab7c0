"""All lines of one process: their turns, time-outs, caps and draining.

A sweep once a second enforces all time-outs, so an idle terminal needs no timer (B3, B8, B14, B66,
B68, C8, C80).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence

from sip2gw.config import Config
from sip2gw.protocol.line.connection import ServerConnection
from sip2gw.serving.arrivals import Arrival
from sip2gw.serving.conversation import Conversation, Watcher
from sip2gw.serving.gateway import Gateway
from sip2gw.serving.line import NO_PROFILE, STOPPING, TerminalLine
from sip2gw.serving.listeners import keep_alive
from sip2gw.serving.tls import Contexts, context_for, failure
from sip2gw.shared.connected import HEARD_WITHIN_S, Connected
from sip2gw.shared.state import SharedState

BACKLOG_SLICE_S = 0.002
"""How long waiting frames are served at a time before new data of other lines is read."""

SWEEP_INTERVAL_S = 1.0
BACKEND_CHECK_INTERVAL_S = 5.0


class TerminalServer:
    """All lines of one process."""

    def __init__(self, gateway: Gateway, state: SharedState) -> None:
        self.gateway = gateway
        self.contexts: Contexts = {}
        """For lines that begin from now on."""
        self.monotonic: Callable[[], float] = gateway.clock.monotonic
        self._lines: dict[int, TerminalLine] = {}
        """By number."""
        self._connected: Connected[TerminalLine] = state.connected
        self._watchers: dict[str, list[Watcher]] = {}
        """By terminal name; all lines of a terminal share its list."""
        self._doorkeeper = state.doorkeeper
        self._replacements = state.replacements
        self._numbers = itertools.count(1)
        self._sweeper: asyncio.TimerHandle | None = None
        self._backlog: deque[TerminalLine] = deque()
        self._backlog_scheduled = False
        self._next_backend_check = 0.0
        self._backend_check: asyncio.Task[None] | None = None
        gateway.logins.on_login = self._logged_in
        self._connected.on_replaced = self._replace

    @property
    def config(self) -> Config:
        """The current configuration."""
        return self.gateway.site.config

    @property
    def request_timeout_s(self) -> float:
        """Seconds until a request is refused as late."""
        return self.gateway.site.config.server.request_timeout_s

    def start(self) -> None:
        """Look after time-outs from now on."""
        if self._sweeper is None:
            self._sweep()

    async def stop(self) -> None:
        """Finish running requests, and close all lines (B66). Nobody may come in any more.

        Raises:
            TimeoutError: a request was still running after `drain_timeout_s`.
        """
        if self._sweeper is not None:
            self._sweeper.cancel()
        for line in list(self._lines.values()):
            line.close_when_done(STOPPING)
        deadline = self.monotonic() + self.config.server.drain_timeout_s
        while self._lines and self.monotonic() < deadline:  # noqa: ASYNC110 -- bounded, at exit
            await asyncio.sleep(0.02)
        busy = any(line.busy for line in self._lines.values())
        for line in list(self._lines.values()):
            line.abort()
        await asyncio.sleep(0)
        if busy:
            raise TimeoutError

    def hang_up(self) -> None:
        """Close all lines now, without the answers to what is under way."""
        for line in list(self._lines.values()):
            line.hang_up(STOPPING)

    # Turns ---------------------------------------------------------------------------------

    def serve_later(self, line: TerminalLine) -> None:
        """Queue `line` after all others with waiting requests (C80)."""
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
            # At least one line: on a busy machine the slice may be over before it begins.
            while self._backlog:
                self._backlog.popleft().pump_again()
                if now() >= until:
                    break
        finally:
            # Even if one line fails, the others get their turn.
            self._schedule_backlog()

    # Lines ---------------------------------------------------------------------------------

    def take(self, arrival: Arrival) -> None:
        """Let a terminal that was let in speak, with TLS where its listener has it."""
        keep_alive(arrival.sock, self.config.server.tcp_keepalive_s)
        line = self.new_line(arrival.address, arrival.accepted_at, arrival.number)
        line.open(arrival.sock, context_for(arrival.listener, self.contexts))

    def new_line(self, address: str, accepted_at: float, number: int = 0) -> TerminalLine:
        """A line of a terminal that has its place already (`Doorkeeper`), still without socket."""
        number, limits = number or next(self._numbers), self.config.server
        link = ServerConnection(
            self.gateway.site.prelogin, limits.frame_bytes_max, limits.resend_limit
        )
        line = TerminalLine(self, Conversation(number, address, link), accepted_at)
        self._lines[number] = line
        self.gateway.metrics.connections[NO_PROFILE] += 1
        return line

    def handshake_failed(self, conversation: Conversation, error: BaseException) -> None:
        """Count and log a terminal that was to speak TLS and does not (B88, C173)."""
        reason, problem = failure(error)
        self.gateway.metrics.tls_handshake_failures[reason] += 1
        self.gateway.log.stranger(
            "tls_handshake_failed",
            connection=conversation.number,
            address=conversation.address,
            reason=reason,
            problem=problem,
        )

    def forget(self, line: TerminalLine) -> None:
        """Forget a line that has ended."""
        if self._lines.pop(line.number, None) is None:
            return
        self._doorkeeper.leave_place()
        self.gateway.metrics.connections[line.profile_label] -= 1
        self._doorkeeper.leave(line.conversation.address, stranger=not line.terminal_name)
        self._connected.leave(line.terminal_name, line)
        if line.conversation.session is not None:
            line.conversation.session.end()
        self._end_watching(line, line.conversation)

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
        """The terminal's open lines, oldest first."""
        return self._connected.of(terminal)

    def watch(self, terminal: str, watcher: Watcher) -> None:
        """Show `watcher` all further messages on the terminal's lines."""
        watchers = self._watchers.setdefault(terminal, [])
        watchers.append(watcher)
        for line in self.lines_of(terminal):
            line.watchers = watchers

    def unwatch(self, terminal: str, watcher: Watcher) -> None:
        """Stop showing messages to `watcher`."""
        watchers = self._watchers[terminal]
        watchers.remove(watcher)
        if not watchers:
            del self._watchers[terminal]

    def _logged_in(self, conversation: Conversation) -> None:
        """Let a terminal that has logged in replace its older connections (B14, C8)."""
        line = self._lines.get(conversation.number)
        terminal = conversation.terminal
        if line is None or terminal is None or conversation.closing:
            # A line that is about to close replaces nothing.
            return
        if not line.terminal_name:
            self._doorkeeper.recognise(conversation.address)
        connections = self.gateway.metrics.connections
        connections[line.profile_label] -= 1
        line.profile_label = terminal.profile
        connections[line.profile_label] += 1
        self._connected.leave(line.terminal_name, line)
        if line.terminal_name != terminal.name:
            self._end_watching(line, conversation)
            self._begin_watching(line, conversation, terminal.name)
        line.terminal_name = terminal.name
        allowed = self.gateway.site.by_name[terminal.name].terminal.max_connections
        for older in self._connected.join(terminal.name, line, allowed):
            self._replace(terminal.name, older, conversation.address)
        line.hold_next(self._connected.settled(line))

    def _replace(self, name: str, older: TerminalLine, newer_address: str) -> None:
        """Close `older`, and log a warning if two machines seem to share a login (C102)."""
        now, addresses = self.monotonic(), sorted({older.address, newer_address})
        if now - older.last_heard <= HEARD_WITHIN_S:
            self.gateway.metrics.terminal_replaced[name] += 1
        if self._replacements.note(name, older.last_heard, now, addresses):
            self.gateway.log.events.warning("login_shared", terminal=name, addresses=addresses)
        self._connected.leave(name, older)
        older.close_when_done("replaced")

    def refresh_terminals(self) -> None:
        """After a reload, give sessions their new view and close removed terminals (C48)."""
        known = self.gateway.site.by_name
        for line in list(self._lines.values()):
            conversation = line.conversation
            if conversation.session is None:
                continue
            entry = known.get(conversation.session.terminal.name)
            if entry is None:
                line.close_when_done("terminal_removed")
            elif conversation.known is None or not conversation.known.admits_like(entry):
                line.close_when_done("login_changed")
            else:
                conversation.known, conversation.session.terminal = entry, entry.view
                if not conversation.link.pending:
                    # Otherwise the answer under way keeps the form in which it was asked for.
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
