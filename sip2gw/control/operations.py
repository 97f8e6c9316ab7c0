"""Carries out the requests of the control socket; does no I/O itself (B86, C173)."""

from __future__ import annotations

import os
from asyncio import Future, get_running_loop
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import Protocol

from sip2gw.backend.system import LibrarySystem
from sip2gw.control.configuration import passed_on
from sip2gw.control.descriptors import Beside
from sip2gw.control.lending import Lender, leave_to, lend
from sip2gw.control.messages import (
    TRACE_FRAMES_MAX,
    TRACE_SECONDS_MAX,
    Alive,
    Answer,
    AnyRequest,
    Decide,
    Decided,
    Drain,
    Drained,
    Draining,
    FollowedUp,
    FollowUp,
    Kick,
    Kicked,
    Later,
    Lend,
    ListTerminals,
    Numbers,
    Ping,
    ReadConfiguration,
    ReadNumbers,
    Refused,
    Reload,
    Reloaded,
    TakeOver,
    Terminals,
    TerminalState,
    Trace,
    TraceBegan,
    UpstreamAccounts,
    UpstreamStatus,
)
from sip2gw.control.tracing import Peer
from sip2gw.control.tracing import Trace as RunningTrace
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.metrics import FamilyMaker, Metrics
from sip2gw.serving.conversation import Watcher
from sip2gw.serving.deciding import Presented, UndecidedError, decide
from sip2gw.serving.gateway import Gateway
from sip2gw.serving.line import TerminalLine
from sip2gw.serving.site import KnownTerminal, Site

TRACES_MAX = 8
"""Number of traces at a time."""


class Daemon(Protocol):
    """The gateway as a whole."""

    @property
    def is_ready(self) -> bool:
        """Whether terminals are served and the store works."""

    @property
    def reloads(self) -> int:
        """How often another configuration has come into force."""

    @property
    def site(self) -> Site:
        """The terminals as they are configured now."""

    @property
    def gateway(self) -> Gateway:
        """Answers terminals."""

    @property
    def library(self) -> LibrarySystem | None:
        """The library system behind the gateway; None: the store itself is the library."""

    def reload(self) -> Future[Reloaded]:
        """Read the configuration again; the result of a reading that begins after this call."""

    def follow_up(self) -> Future[FollowedUp]:
        """Open messages of customer support for what has none yet."""

    def drain(self) -> float:
        """Begin to stop; the seconds after which the gateway has stopped at the latest."""


class Lines(Protocol):
    """The lines of all terminals."""

    def lines_of(self, terminal: str) -> Sequence[TerminalLine]:
        """The terminal's lines, oldest first."""

    def watch(self, terminal: str, watcher: Watcher) -> None:
        """Show `watcher` the terminal's messages."""

    def unwatch(self, terminal: str, watcher: Watcher) -> None:
        """Stop showing messages to `watcher`."""


class Timer(Protocol):
    """A call that will be made later."""

    def cancel(self) -> None:
        """Cancel it."""


class Operations:
    """Answers requests; further answers go to whoever asked, through their `Peer`.

    Args:
        later: calls a function after a number of seconds.
        note: writes an event to the log.
        lender: who listens; None: not this process.
    """

    def __init__(
        self,
        daemon: Daemon,
        lines: Lines,
        metrics: Metrics,
        clock: Clock,
        *,
        later: Callable[[float, Callable[[], None]], Timer],
        note: Callable[..., object],
        lender: Lender | None = None,
    ) -> None:
        self._daemon, self._lines, self._metrics, self._clock = daemon, lines, metrics, clock
        self._families = FamilyMaker(metrics)
        self._later, self._note, self._lender = later, note, lender
        self._wait_for_the_end: list[Peer] = []
        self._traces: dict[RunningTrace, tuple[str, Timer]] = {}

    def answer(self, request: AnyRequest, peer: Peer) -> Answer | Beside | Later:
        """Do what `peer` asks for; returns the first answer, or its future."""
        match request:
            case Ping():
                return Alive(self._daemon.is_ready, self._daemon.reloads)
            case ReadNumbers():
                return Numbers(os.getpid(), self._families.families())
            case Reload():
                return self._daemon.reload()
            case Drain():
                self._wait_for_the_end.append(peer)
                return Draining(self._daemon.drain())
            case Lend():
                if self._lender is None:
                    return Refused(NOTHING_TO_LEND)
                return lend(self._lender, request.config)
            case TakeOver():
                return self._take_over(request, peer)
            case ListTerminals():
                known = self._daemon.site.by_name.values()
                return Terminals([self._state(one) for one in known])
            case Kick():
                return self._kick(request.terminal, peer)
            case Trace():
                return self._trace(request, peer)
            case UpstreamStatus():
                return self._upstream()
            case FollowUp():
                return self._daemon.follow_up()
            case Decide():
                return self._decide(request)
            case ReadConfiguration():
                return passed_on(self._daemon.site.config, self._daemon.reloads)

    def forget(self, peer: Peer) -> None:
        """Forget a peer that has gone, and end its traces."""
        self._wait_for_the_end = [one for one in self._wait_for_the_end if one is not peer]
        for trace in [one for one in self._traces if one.peer is peer]:
            trace.stop()

    def finish(self, given_up: list[str]) -> None:
        """Tell all peers that wait for it that the gateway has stopped."""
        for trace in list(self._traces):
            trace.end("stopping")
        for peer in self._wait_for_the_end:
            peer.tell(Drained(given_up))
        self._wait_for_the_end.clear()

    def _find(self, name: str) -> KnownTerminal | None:
        site = self._daemon.site
        return site.by_name.get(name) or site.by_login.get(name)

    # Listing -------------------------------------------------------------------------------

    def _state(self, known: KnownTerminal) -> TerminalState:
        view = known.view
        lines = self._lines.lines_of(view.name)
        newest = lines[-1] if lines else None
        said = newest.conversation if newest is not None else None
        ahead = self._clock.epoch() - self._clock.monotonic()
        zone = self._daemon.site.config.zone
        return TerminalState(
            name=view.name,
            profile=view.profile,
            branch=view.branch,
            connected=bool(lines),
            lines=len(lines),
            address=said.address if said is not None else None,
            since=_moment(newest.opened + ahead, zone) if newest is not None else None,
            requests=said.requests if said is not None else 0,
            last_message=_moment(self._metrics.last_message.get(view.name, 0.0), zone),
        )

    def _upstream(self) -> Answer:
        library = self._daemon.library
        if library is None:
            return Refused(NO_LIBRARY_SYSTEM)
        return UpstreamAccounts(list(library.states()))

    # Handing over --------------------------------------------------------------------------

    def _take_over(self, request: TakeOver, peer: Peer) -> Answer:
        if self._lender is None:
            return Refused(NOTHING_TO_LEND)
        answer = leave_to(self._lender, request.config, peer)
        if isinstance(answer, Draining):
            self._wait_for_the_end.append(peer)
        return answer

    # Deciding ------------------------------------------------------------------------------

    def _decide(self, request: Decide) -> Answer | Future[Decided]:
        known = self._find(request.terminal)
        if known is None:
            return Refused(UNKNOWN)
        decided: Future[Decided] = get_running_loop().create_future()
        try:
            decide(
                self._daemon.gateway,
                known,
                Presented(request.card, request.pin, request.direction),
                lambda it: decided.set_result(
                    Decided("granted" if it.granted else "refused", it.reason, it.text)
                ),
            )
        except UndecidedError as error:
            return Refused(str(error))
        return decided

    # Disconnecting -------------------------------------------------------------------------

    def _kick(self, name: str, peer: Peer) -> Answer:
        known = self._find(name)
        if known is None:
            return Refused(UNKNOWN)
        lines = self._lines.lines_of(known.view.name)
        if not lines:
            return Refused(NOT_CONNECTED)
        for line in lines:
            line.close_when_done("kicked")
        self._note("terminal_kicked", terminal=known.view.name, lines=len(lines), uid=peer.uid)
        return Kicked(len(lines))

    # Tracing -------------------------------------------------------------------------------

    def _trace(self, request: Trace, peer: Peer) -> Answer:
        known = self._find(request.terminal)
        if known is None:
            return Refused(UNKNOWN)
        if problem := trace_problem(request):
            return Refused(problem)
        if len(self._traces) >= TRACES_MAX:
            return Refused(f"{TRACES_MAX} traces are already running; wait until one has ended")
        if any(trace.peer is peer for trace in self._traces):
            return Refused("this connection already has a trace")
        name, zone = known.view.name, self._daemon.site.config.zone
        trace = RunningTrace(
            peer,
            request.frames,
            moment=lambda: _moment(self._clock.epoch(), zone) or "",
            monotonic=self._clock.monotonic,
            on_end=self._trace_ended,
        )
        timer = self._later(request.seconds, lambda: trace.end("seconds"))
        self._traces[trace] = (name, timer)
        self._lines.watch(name, trace)
        self._note("trace_began", terminal=name, uid=peer.uid)
        return TraceBegan(name, len(self._lines.lines_of(name)))

    def _trace_ended(self, trace: RunningTrace) -> None:
        name, timer = self._traces.pop(trace)
        timer.cancel()
        self._lines.unwatch(name, trace)
        self._note("trace_ended", terminal=name)


NOTHING_TO_LEND = "this process listens nowhere"
NO_LIBRARY_SYSTEM = 'there is no library system behind this gateway: backend.kind is "store"'
NOT_CONNECTED = "the terminal is not connected"
UNKNOWN = "no terminal of that name is configured; `sip2gw terminal list` lists them"


def trace_problem(request: Trace) -> str:
    """Why a trace is not possible with these limits; empty: it is."""
    if not 0 < request.seconds <= TRACE_SECONDS_MAX:
        return f"a trace takes more than 0 and at most {TRACE_SECONDS_MAX} seconds"
    if not 0 < request.frames <= TRACE_FRAMES_MAX:
        return f"a trace shows 1 to {TRACE_FRAMES_MAX} frames"
    return ""


def _moment(epoch: float, zone: tzinfo) -> str | None:
    """A moment in the library's time zone; None for 0, which means never."""
    if not epoch:
        return None
    return datetime.fromtimestamp(epoch, zone).isoformat(timespec="milliseconds")
