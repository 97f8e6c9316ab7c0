"""The parent of a gateway of several processes: all that must be one for all (B87, C131).

It accepts connections, keeps the caps, has the control socket, the process for HTTP and the
watchdog, reads the configuration, and looks after the workers. It has no store and serves nobody.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence

from sip2gw.backend.base import Access, Capability
from sip2gw.config import Config, ConfigError
from sip2gw.config.passing import write_config
from sip2gw.control.messages import Reloaded
from sip2gw.daemon import signals
from sip2gw.daemon.chores.figures import ClockChore
from sip2gw.daemon.ending import Ending, leave_within
from sip2gw.daemon.fleet.member import Member, Process
from sip2gw.daemon.fleet.operations import FleetOperations
from sip2gw.daemon.fleet.team import LOOK_EVERY_S, Team
from sip2gw.daemon.handover.sockets import SocketError, Sockets, TakeSockets
from sip2gw.daemon.handover.succession import Succession, SuccessionError, file_of
from sip2gw.daemon.notify import ServiceManager
from sip2gw.daemon.operating import OperatorSide
from sip2gw.daemon.process import LEAVE_S, OnReady, repeated
from sip2gw.daemon.reloading import Reloader, prepared, show
from sip2gw.foundation.children import start_module
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.link import link_pair
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log, Redactor, is_for_people, open_log
from sip2gw.monitoring.uncaught import told_to
from sip2gw.serving.arrivals import Acceptor
from sip2gw.serving.site import Site
from sip2gw.serving.tls import Contexts, holding
from sip2gw.shared.doorkeeper import Doorkeeper

COMPLETE_WITHIN_S = 10.0
"""At a start nobody waits longer for workers while others serve."""
HTTP_STOP_S = 4.0
CONTROL_STOP_S = 0.5
STOP_AFTER_DRAIN_S = 15.0
"""Time for what each worker does after the last requests, and for what follows here."""
WORKER_STOP_S = 8.0
"""The part of it that a worker has; longer than all of its parts may take together."""


class Parent:
    """The parent process.

    Args:
        access: what the first worker may do to the store when it starts for the first time.
        take_sockets: where its sockets come from.
    """

    def __init__(
        self,
        config: Config,
        access: Access,
        log: Log,
        clock: Clock,
        take_sockets: TakeSockets,
    ) -> None:
        self.config = config
        self._access: Access = access
        self._log, self._clock = log, clock
        self.metrics = Metrics()
        self._doorkeeper = Doorkeeper(lambda: self.config.server)
        self.team = Team(
            config,
            self._start,
            self._doorkeeper,
            metrics=self.metrics,
            log=log,
            monotonic=clock.monotonic,
            joined=self._joined,
        )
        self.acceptor = Acceptor(
            self._doorkeeper,
            lambda: self.config.server,
            lambda: self.site.expected,
            self.team.take,
            metrics=self.metrics,
            log=log,
            monotonic=clock.monotonic,
        )
        self._operations = FleetOperations(self, self.team, self.metrics, log.events.info)
        self.operators = OperatorSide(self._operations, self.metrics, log)
        self._clock_chore = ClockChore(self.metrics, clock, log)
        self._manager = ServiceManager()
        self._reloader = Reloader(
            config,
            frozenset(Capability),
            self._swap,
            self._manager,
            log=log,
            metrics=self.metrics,
            clock=clock,
        )
        self.config_file = file_of(config)
        self._take_sockets = take_sockets
        self._sockets = Sockets()
        self._handed_over = False
        self.reloads = 0
        """How often another configuration has come into force."""
        self._stopping = asyncio.Event()
        self._looking: list[asyncio.Task[None]] = []
        self.site: Site
        """The terminals as they are configured now; there from `run` on."""

    async def run(self, on_ready: OnReady) -> list[str]:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads. Returns what had to be abandoned.

        Raises:
            OSError: an address cannot be bound.
            ConfigError: a certificate cannot be used.
            SocketError: what was handed over is of no use.
            SuccessionError: the gateway that has the sockets keeps them.
            NobodyServesError: the first worker could not start, and has said why.
        """
        loop = asyncio.get_running_loop()
        signals.hear(loop, self.drain, self.reload)
        _, self.site, _ = await asyncio.to_thread(prepared, self.config, frozenset(Capability))
        show(self.config, self.metrics, self._clock)
        self._looking.append(repeated(self._look, LOOK_EVERY_S, LOOK_EVERY_S))
        try:
            await self._begin_workers()
            if not self._stopping.is_set():
                self._sockets = await self._take_sockets()
                await self.team.have_spools()
                self.team.expect_all()
                self.acceptor.listen(self._sockets.terminals)
                await self._serve(on_ready)
        except BaseException:
            await self.team.end(0.0)
            raise
        return await self._stop()

    async def _begin_workers(self) -> None:
        """Start the first worker alone, which brings the store up to date; then the others.

        Nobody is served worse meanwhile: a gateway before this one goes on until all are there.
        """
        team = self.team
        team.begin([0])
        await _first_of(team.served, team.failed, self._stopping)
        if team.failed.is_set() and not self._stopping.is_set():
            raise NobodyServesError
        if not self._stopping.is_set():
            team.begin(range(1, self.config.server.workers))
            await _first_of(team.complete, self._stopping, within_s=COMPLETE_WITHIN_S)

    async def _serve(self, on_ready: OnReady) -> None:
        control, admin = await self.operators.open(self.config, self._sockets.http)
        self._sockets.http = self.operators.listener
        self._log.events.info(
            "listening",
            sip2=self.acceptor.addresses,
            admin=admin,
            control=control,
            workers=self.config.server.workers,
        )
        self._manager.tell("READY=1")
        self._manager.keep_alive()
        self._looking.append(repeated(self.operators.look, 30.0, 30.0))
        self._looking.append(repeated(self._clock_chore.look, 1.0, 1.0))
        on_ready(self.acceptor.addresses, admin)
        await self._stopping.wait()

    async def _look(self) -> None:
        self.team.look(self.config.server.login_timeout_s)
        self._log.sum_up()

    # Workers -------------------------------------------------------------------------------

    async def _start(self, number: int, config: Config) -> Process:
        access: Access = "write"
        if number == 0:  # what it has made, the others and those after it find
            access, self._access = self._access, "write"
        return await asyncio.to_thread(_start, number, access, config)

    def _joined(self, member: Member) -> None:
        self._operations.joined(member)

    # What operators and signals ask for ----------------------------------------------------

    def drain(self) -> float:
        """Stop as after SIGTERM; the seconds after which it has stopped at the latest (C173)."""
        self._reloader.stop()
        self._stopping.set()
        return self.config.server.drain_timeout_s + STOP_AFTER_DRAIN_S

    @property
    def supervisor(self) -> str:
        """Who starts this gateway again and must not lose sight of it; empty: nobody."""
        return self._manager.supervisor

    def sockets(self) -> Sequence[socket.socket]:
        """The sockets that it listens on; none when it has been told to end."""
        if self._stopping.is_set() or not self.acceptor.listening:
            return ()
        return self._sockets.open()

    def hand_over(self, pid: int) -> float:
        """As `drain`, but process `pid`, which has the sockets, goes on with the terminals."""
        self._log.events.info("handed_over", to=pid)
        self._handed_over = True
        return self.drain()

    def reload(self) -> asyncio.Future[Reloaded]:
        """Read the configuration again, and let all workers follow (B66, C48, C113).

        Nothing changes anywhere if it is invalid, or changes something that a reload must not.
        """
        return self._reloader.ask()

    async def _swap(self, config: Config, site: Site, contexts: Contexts) -> None:
        if config.log != self.config.log:
            self._log.configure(config.log.level, console=is_for_people(config.log.format))
        self.config, self.site = config, site
        self.reloads += 1
        show(config, self.metrics, self._clock)
        await self.team.follow(config)

    async def _stop(self) -> list[str]:
        """Let all workers end, then close everything; what was abandoned."""
        self._reloader.stop()
        self._manager.tell("STOPPING=1")
        self._log.events.info("stopping")
        ending = Ending(self._log)
        if self._handed_over:
            for one in self.acceptor.release():
                one.sock.close()  # its file, if it has one, is the next gateway's
            await ending.part("control", CONTROL_STOP_S, self.operators.leave_socket())
        self.acceptor.close()
        within_s = self.config.server.drain_timeout_s + WORKER_STOP_S
        self._operations.end_traces()
        ending.given_up += await self.team.end(within_s)
        for task in self._looking:
            task.cancel()
        await ending.part("http", HTTP_STOP_S, self.operators.close_http())
        self.operators.say_goodbye(ending.given_up)
        await ending.part("control", CONTROL_STOP_S, self.operators.close_socket())
        ending.tell()
        self._manager.close()
        return ending.given_up


async def _first_of(*events: asyncio.Event, within_s: float | None = None) -> None:
    """Wait until one of these is set, or no longer."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()


class NobodyServesError(Exception):
    """The first worker could not start; it has said why."""


def _start(number: int, access: Access, config: Config) -> Process:
    """Start the process of a worker; blocks until the program is loaded."""
    link, their_link = link_pair()
    control, their_control = socket.socketpair()
    configuration = write_config(config)
    try:
        handed = (their_link.fileno(), their_control.fileno(), configuration)
        process = start_module("sip2gw.daemon.fleet", (number, access, *handed), handed)
    except BaseException:
        link.close()
        control.close()
        raise
    finally:
        their_link.close()
        their_control.close()
        os.close(configuration)
    return Process(link, control, process)


async def run_with_workers(
    config: Config, on_ready: OnReady, access: Access, succession: Succession
) -> int:
    """Run a gateway of several processes until it is told to stop; returns the exit status.

    Raises:
        OSError, ConfigError, SocketError, SuccessionError: see `Parent.run`.
    """
    # A random secret will do: this process never logs a card.
    redactor = Redactor(os.urandom(32))
    log = open_log(redactor, level=config.log.level, log_format=config.log.format, shared=True)
    try:
        with told_to(log, asyncio.get_running_loop()):
            # Workers that begin later get the certificates of now (C131, C173).
            config = await asyncio.to_thread(holding, config)
            parent = Parent(config, access, log, Clock(), succession.take)
            given_up = await parent.run(succession.ready(log, on_ready))
    except NobodyServesError:
        return 1
    except (OSError, ConfigError, SocketError, SuccessionError):
        raise
    except Exception as error:
        log.events.critical("crashed", exc_info=error)
        return 1
    finally:
        log.close()
    status = 1 if given_up else 0
    leave_within(LEAVE_S, status)
    return status
