"""Carries out operators' requests at all workers, and answers as one gateway (B86, B87, C173)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from sip2gw.control.channel import GatewayGoneError
from sip2gw.control.configuration import passed_on
from sip2gw.control.descriptors import Beside
from sip2gw.control.lending import Lender, leave_to, lend
from sip2gw.control.messages import (
    Alive,
    Answer,
    AnyAnswer,
    AnyRequest,
    Decide,
    Drain,
    Drained,
    Draining,
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
    Request,
    TakeOver,
    Terminals,
    Trace,
    TraceBegan,
    UpstreamStatus,
)
from sip2gw.control.operations import (
    NO_LIBRARY_SYSTEM,
    NOT_CONNECTED,
    TRACES_MAX,
    UNKNOWN,
    trace_problem,
)
from sip2gw.control.tracing import Peer
from sip2gw.daemon.fleet.member import Member
from sip2gw.daemon.fleet.merging import merged_terminals
from sip2gw.daemon.fleet.team import Team
from sip2gw.daemon.fleet.tracing import JointTrace
from sip2gw.monitoring.merging import merged
from sip2gw.monitoring.metrics import FamilyMaker, Metrics
from sip2gw.serving.site import KnownTerminal, Site

NOBODY_SERVES = "no worker serves at the moment; try again in a few seconds"


class Gateway(Lender, Protocol):
    """The gateway as a whole."""

    @property
    def site(self) -> Site:
        """The terminals as they are configured now."""

    @property
    def reloads(self) -> int:
        """How often another configuration has come into force."""

    def reload(self) -> asyncio.Future[Reloaded]:
        """Read the configuration again."""

    def drain(self) -> float:
        """Begin to stop; the seconds after which the gateway has stopped at the latest."""


class FleetOperations:
    """The requests of a gateway of several processes.

    Args:
        metrics: of this process.
        note: writes an event to the log.
    """

    def __init__(
        self, gateway: Gateway, team: Team, metrics: Metrics, note: Callable[..., object]
    ) -> None:
        self._gateway, self._team, self._note = gateway, team, note
        self._families = FamilyMaker(metrics)
        self._wait_for_the_end: list[Peer] = []
        self._traces: list[JointTrace] = []
        self._tasks: set[asyncio.Future[AnyAnswer]] = set()

    def answer(self, request: AnyRequest, peer: Peer) -> Answer | Beside | Later:
        """Do what `peer` asks for; returns the first answer, or its future."""
        match request:
            case Ping():
                is_ready = any(one.takes_turns and one.store_works for one in self._team.members)
                return Alive(is_ready, self._gateway.reloads)
            case ReadNumbers():
                return self._slow(self._numbers())
            case Reload():
                return self._gateway.reload()
            case Drain():
                self._wait_for_the_end.append(peer)
                return Draining(self._gateway.drain())
            case Lend():
                return lend(self._gateway, request.config)
            case TakeOver():
                answer = leave_to(self._gateway, request.config, peer)
                if isinstance(answer, Draining):
                    self._wait_for_the_end.append(peer)
                return answer
            case ListTerminals():
                return self._slow(self._terminals())
            case Kick():
                known = self._find(request.terminal)
                return Refused(UNKNOWN) if known is None else self._slow(self._kick(known, peer))
            case Trace():
                known = self._find(request.terminal)
                return Refused(UNKNOWN) if known is None else self._trace(request, known, peer)
            case UpstreamStatus():
                return Refused(NO_LIBRARY_SYSTEM)
            case FollowUp() | Decide():
                return self._slow(self._by_one(request))
            case ReadConfiguration():
                return passed_on(self._gateway.site.config, self._gateway.reloads)

    def forget(self, peer: Peer) -> None:
        """Forget a peer that has gone, and end its traces."""
        self._wait_for_the_end = [one for one in self._wait_for_the_end if one is not peer]
        for trace in [one for one in self._traces if one.peer is peer]:
            trace.stop()

    def finish(self, given_up: list[str]) -> None:
        """Tell all peers that wait for it that the gateway has stopped."""
        for peer in self._wait_for_the_end:
            peer.tell(Drained(given_up))
        self._wait_for_the_end.clear()

    def end_traces(self) -> None:
        """End all traces, because the workers end."""
        for trace in list(self._traces):
            trace.end("stopping")

    def joined(self, member: Member) -> None:
        """A worker serves from now on: it takes part in the traces."""
        for trace in self._traces:
            self._slow(self._join(trace, member))

    def _slow(self, work: Coroutine[Any, Any, AnyAnswer]) -> asyncio.Task[AnyAnswer]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _find(self, name: str) -> KnownTerminal | None:
        site = self._gateway.site
        return site.by_name.get(name) or site.by_login.get(name)

    # Asking the workers --------------------------------------------------------------------

    async def _ask_all(self, request: Request) -> list[AnyAnswer]:
        """The answers of those that answer in time."""
        answers = await asyncio.gather(
            *(member.ask_in_time(request) for member in self._team.members)
        )
        return [answer for answer in answers if answer is not None]

    async def _by_one(self, request: Request) -> AnyAnswer:
        """The answer of a worker, as long as that takes; of the first one if that serves."""
        for member in self._team.members:
            if not member.takes_turns or (channel := await member.converse()) is None:
                continue
            try:
                return await channel.ask(request)
            except GatewayGoneError:
                continue
            finally:
                channel.close()
        return Refused(NOBODY_SERVES)

    async def _numbers(self) -> AnyAnswer:
        workers = await self._team.families()
        return Numbers(os.getpid(), merged(self._families.families(), workers))

    async def _terminals(self) -> AnyAnswer:
        answers = await self._ask_all(ListTerminals())
        if not answers:
            return Refused(NOBODY_SERVES)
        workers = [answer.terminals for answer in answers if isinstance(answer, Terminals)]
        return Terminals(merged_terminals(self._gateway.site.by_name, workers))

    async def _kick(self, known: KnownTerminal, peer: Peer) -> AnyAnswer:
        name = known.view.name
        answers = await self._ask_all(Kick(name))
        lines = sum(answer.lines for answer in answers if isinstance(answer, Kicked))
        if not lines:
            return Refused(NOT_CONNECTED)
        self._note("terminal_kicked", terminal=name, lines=lines, uid=peer.uid)
        return Kicked(lines)

    # Tracing -------------------------------------------------------------------------------

    def _trace(self, request: Trace, known: KnownTerminal, peer: Peer) -> Answer | Later:
        if problem := trace_problem(request):
            return Refused(problem)
        if len(self._traces) >= TRACES_MAX:
            return Refused(f"{TRACES_MAX} traces are already running; wait until one has ended")
        if any(trace.peer is peer for trace in self._traces):
            return Refused("this connection already has a trace")
        name = known.view.name
        trace = JointTrace(Trace(name, request.seconds, request.frames), peer, self._trace_ended)
        self._traces.append(trace)
        self._note("trace_began", terminal=name, uid=peer.uid)
        beginning = self._slow(self._begin(trace))
        # The peer hears of the beginning in a callback that follows this one.
        loop = asyncio.get_running_loop()
        beginning.add_done_callback(lambda begun: loop.call_soon(trace.told))
        return beginning

    async def _begin(self, trace: JointTrace) -> AnyAnswer:
        lines = await asyncio.gather(*(trace.join(member) for member in self._team.members))
        return TraceBegan(trace.terminal, sum(lines))

    async def _join(self, trace: JointTrace, member: Member) -> AnyAnswer:
        return TraceBegan(trace.terminal, await trace.join(member))

    def _trace_ended(self, trace: JointTrace) -> None:
        self._traces.remove(trace)
        self._note("trace_ended", terminal=trace.terminal)
