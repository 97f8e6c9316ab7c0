"""All workers of a gateway: who gets the next connection, and what follows when one ends.

Nobody waits for a worker that takes no turns: connections go to the others. If none can take them,
they wait here, as many as the caps allow, until one can (B68, B87, C131).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from sip2gw.config import Config
from sip2gw.daemon.fleet.member import Member, Process
from sip2gw.foundation.children import LIVED_S, restart_after
from sip2gw.foundation.link import LinkLostError
from sip2gw.monitoring.merging import lasting, merged
from sip2gw.monitoring.metrics import Family, Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.serving.arrivals import Arrival
from sip2gw.serving.tls import sufficient
from sip2gw.shared.doorkeeper import Doorkeeper
from sip2gw.shared.together.parent import Together

LOOK_EVERY_S = 0.5
"""How often each worker is asked whether it takes its turns."""

EXPECTED_S = 5.0
"""So long connections wait for a worker that was started, or whose predecessor has ended. One that
ended before it served is not waited for again."""
KILL_EVERY_S = 10.0
"""Not more often is one killed that is stuck: its successor serves before the next one goes."""
GO_WITHIN_S = 2.5
"""Seconds in which a worker that has closed everything must be gone."""
FOLLOW_WITHIN_S = 30.0
"""A worker that has a new configuration not in force by then is replaced."""

Start = Callable[[int, Config], Awaitable[Process]]
"""Starts the process of a worker, given its number and the configuration in force."""


class Team:
    """The workers, in the order of their numbers.

    Args:
        config: in force; it says how many there are.
        start: starts the process of one.
        doorkeeper: counts the connections of all.
        joined: called with each worker that can take connections from now on.
    """

    def __init__(
        self,
        config: Config,
        start: Start,
        doorkeeper: Doorkeeper,
        *,
        metrics: Metrics,
        log: Log,
        monotonic: Callable[[], float],
        joined: Callable[[Member], None] = lambda member: None,
    ) -> None:
        self._config = config
        self._tls = config.tls
        self._listeners = {listener: place for place, listener in enumerate(config.listeners)}
        self._start, self._doorkeeper, self._joined = start, doorkeeper, joined
        self._together = Together(doorkeeper, monotonic, self._login_shared)
        self._metrics, self._log, self._monotonic = metrics, log, monotonic
        self._numbers = itertools.count(1)
        self._waiting: deque[Arrival] = deque()
        self._ended: list[Family] = []
        """What workers that have ended had counted."""
        self._stopping = asyncio.Event()
        self._spools_are_free = False
        self._none_killed_until = float("-inf")
        self.served = asyncio.Event()
        """Set when a worker serves for the first time."""
        self._changed = asyncio.Event()
        """Set when a worker serves."""
        self.complete = asyncio.Event()
        """Set when all serve for the first time."""
        self.failed = asyncio.Event()
        """Set when a worker has ended before any has served: the gateway cannot start."""
        self.members = [
            Member(number, self, self._together) for number in range(config.server.workers)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics.workers = 0

    # Connections ---------------------------------------------------------------------------

    def take(self, arrival: Arrival, *, has_waited: bool = False) -> None:
        """Hand a connection that was let in to the worker with the fewest, or let it wait.

        It also waits for a worker that will serve in a moment, unless it `has_waited` already.
        Otherwise all terminals of one that has crashed, or all at a start, would go to the others
        and stay there for days.
        """
        able = [one for one in self.members if one.takes_turns]
        if not (able and has_waited):
            able += [one for one in self.members if self._is_expected(one)]
        if not able:
            self._waiting.append(arrival)
            return
        fewest = min(able, key=lambda member: member.lines)
        if fewest.takes_turns:
            self._hand(fewest, arrival)
        else:
            fewest.waiting.append(arrival)

    def _hand(self, member: Member, arrival: Arrival) -> None:
        member.hand(next(self._numbers), arrival, self._listeners[arrival.listener])

    def _is_expected(self, member: Member) -> bool:
        return not member.serving and self._monotonic() < member.expected_until

    def serves(self, member: Member) -> None:
        """Hand over what has waited; what it must have before goes first (`_prepare`)."""
        if not self._is_prepared(member):
            self._tasks.append(asyncio.get_running_loop().create_task(self._prepare(member)))
            return
        if not member.serving:
            member.serving = member.has_served = True
            self._log.events.info("worker_serves", worker=member.number)
        self.served.set()
        self._changed.set()
        if all(one.serving for one in self.members):
            self.complete.set()
        self._count()
        self._joined(member)
        while member.waiting:
            self._hand(member, member.waiting.popleft())
        while self._waiting and member.takes_turns:
            self.take(self._waiting.popleft())

    def look(self, login_timeout_s: float) -> None:
        """Find out which workers take their turns, kill one that is stuck, and let go of
        connections that have waited too long; to be called every
        `LOOK_EVERY_S`."""
        for member in self.members:
            member.look()
            if not member.takes_turns and not self._is_expected(member):
                for arrival in _all_of(member.waiting):
                    self.take(arrival, has_waited=True)
        self._kill_one()
        for waiting in (self._waiting, *(member.waiting for member in self.members)):
            # Longer than a login may take nobody waits for a worker (C101).
            while waiting and self._monotonic() - waiting[0].accepted_at > login_timeout_s:
                self._drop(waiting.popleft())

    def _kill_one(self) -> None:
        """End one that is stuck; whatever keeps several from answering at once may pass."""
        stuck = next((one for one in self.members if one.is_stuck), None)
        if stuck is not None and self._monotonic() >= self._none_killed_until:
            self._none_killed_until = self._monotonic() + KILL_EVERY_S
            stuck.kill("stuck")

    def _drop(self, arrival: Arrival) -> None:
        arrival.sock.close()
        self._doorkeeper.leave(arrival.address, stranger=True)
        self._doorkeeper.leave_place()

    def _count(self) -> None:
        self._metrics.workers = sum(member.serving for member in self.members)

    def _login_shared(self, terminal: str, addresses: Sequence[str]) -> None:
        self._log.events.warning("login_shared", terminal=terminal, addresses=addresses)

    # Processes -----------------------------------------------------------------------------

    def expect_all(self) -> None:
        """From now on connections come, and wait a moment for workers that do not serve yet."""
        for member in self.members:
            member.expected_until = self._monotonic() + EXPECTED_S

    def begin(self, numbers: Iterable[int]) -> None:
        """Start these workers, and replace each as often as it ends."""
        loop = asyncio.get_running_loop()
        for number in numbers:
            self._tasks.append(loop.create_task(self._keep(number)))

    async def _keep(self, number: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            member, began = self.members[number], self._monotonic()
            status = await self._run(member)
            self._leave(member)
            if self._stopping.is_set():
                return
            reason = member.why_killed or "crash"
            failures = 1 if self._monotonic() - began >= LIVED_S else failures + 1
            pause = restart_after(failures)
            self._log.events.error(
                "worker_ended", worker=number, reason=reason, status=status, again_in_s=pause
            )
            self._metrics.worker_restarts[reason] += 1
            if not self.served.is_set():
                self.failed.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, member: Member) -> int | str:
        """Run its process once; returns how it ended."""
        try:
            member.config = self._config
            # Listeners stay until the next start, and so do the certificates that they need.
            config = replace(member.config, tls=self._tls)
            started = await self._start(member.number, config)
            if self._stopping.is_set():
                started.process.kill()
            return await member.live(started)
        except Exception as error:
            # No descriptor, memory or process is left; there may be one later.
            return getattr(error, "strerror", None) or type(error).__name__

    def _leave(self, member: Member) -> None:
        """Put another in the place of one that has ended, and hand on what it never took."""
        self._ended = merged(self._ended, lasting(member.families))
        after = self.members[member.number] = Member(member.number, self, self._together)
        if member.has_served:
            after.expected_until = self._monotonic() + EXPECTED_S
        self._count()
        for arrival in member.leave():
            if self._stopping.is_set():
                self._drop(arrival)
            else:
                self.take(arrival, has_waited=True)

    async def end(self, within_s: float) -> list[str]:
        """Let all workers end in peace, for at most `within_s`; returns what was given up."""
        self._stopping.set()
        for waiting in (self._waiting, *(member.waiting for member in self.members)):
            for arrival in _all_of(waiting):
                self._drop(arrival)
        ended = await asyncio.gather(*(self._end(member, within_s) for member in self.members))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GO_WITHIN_S)
        for member in self.members:
            member.kill("stopping")
        await asyncio.gather(*self._tasks)
        return sorted({what for given_up in ended for what in given_up})

    async def _end(self, member: Member, within_s: float) -> Sequence[str]:
        """Let it end; one that does not, or that is only starting, is killed."""
        if not member.serving:
            member.kill("stopping")
            return ()
        try:
            return await asyncio.wait_for(member.end(), within_s)
        except (TimeoutError, LinkLostError):
            member.kill("stopping")
            return (f"worker {member.number}",)

    # What all have together ----------------------------------------------------------------

    async def families(self) -> list[Family]:
        """The numbers of all workers together, and of those that have ended."""
        await asyncio.gather(*(member.read_numbers() for member in self.members))
        return merged(*(member.families for member in self.members), self._ended)

    async def have_spools(self) -> None:
        """No gateway before this one has the spools any more: let all workers that serve take them.

        One that is starting does so before it gets connections.
        """
        self._spools_are_free = True
        await asyncio.gather(*(one.have_spool() for one in self.members if one.serving))

    def _is_prepared(self, member: Member) -> bool:
        """Whether it has the configuration in force, and its spool if that is free."""
        is_current = member.config is self._config
        return is_current and (member.has_spool or not self._spools_are_free)

    async def _prepare(self, member: Member) -> None:
        if self._spools_are_free and not member.has_spool:
            await member.have_spool()
        await self._follow(member)

    async def follow(self, config: Config) -> None:
        """Put `config` in force in all workers; one that cannot is replaced.

        One that is starting follows before it gets connections.
        """
        # A connection names its listener by its place among those of the start.
        self._config = replace(config, listeners=self._config.listeners)
        self._tls = sufficient(config.tls, self._tls)
        await asyncio.gather(*(self._follow(one) for one in self.members if one.serving))

    async def all_serve(self, within_s: float) -> None:
        """Wait until all serve, but not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not all(member.serving for member in self.members):
                    await self._changed.wait()
                    self._changed.clear()

    async def _follow(self, member: Member) -> None:
        while member.config is not self._config:
            if not await member.follow(self._config, FOLLOW_WITHIN_S):
                member.kill("stuck")  # the labels of the metric are a closed set (C173)
                return
        self.serves(member)


def _all_of(waiting: deque[Arrival]) -> list[Arrival]:
    """What is in `waiting`, which is empty from now on."""
    found = list(waiting)
    waiting.clear()
    return found
