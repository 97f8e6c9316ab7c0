"""The composition root of a gateway of one process: it starts, serves, reloads, and stops cleanly.

What serves terminals is in `daemon/terminals.py`; here is what a process owns besides.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial

from sip2gw.backend.base import Access, BackendError
from sip2gw.backend.factory import Opened, open_backend, store_name
from sip2gw.config import Config, ConfigError
from sip2gw.config.availability import unavailable
from sip2gw.control.messages import Reloaded
from sip2gw.daemon import signals
from sip2gw.daemon.ending import Ending, leave_within
from sip2gw.daemon.handover.rehearsal import rehearse
from sip2gw.daemon.handover.sockets import SocketError, Sockets, TakeSockets, gather, inherited
from sip2gw.daemon.handover.succession import Succession, SuccessionError, file_of
from sip2gw.daemon.notify import ServiceManager
from sip2gw.daemon.operating import OperatorSide, operations_of
from sip2gw.daemon.process import (
    LEAVE_S,
    OnReady,
    event_loop_factory,
    raise_file_limit,
    why_not_listening,
)
from sip2gw.daemon.reloading import Reloader
from sip2gw.daemon.terminals import TerminalSide
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.patience import telling
from sip2gw.foundation.threads import SHARED_THREADS, ready_pool
from sip2gw.monitoring.telemetry import Log, Redactor, open_log
from sip2gw.monitoring.uncaught import told_to
from sip2gw.serving.arrivals import Acceptor

HTTP_STOP_S = 4.0
"""Of a process that may still be starting; it ends beside the parts that follow the requests."""
CONTROL_STOP_S = 0.5
STOP_AFTER_DRAIN_S = 10.0
"""Time for everything that follows the last requests, on a busy machine."""


class App(TerminalSide):
    """A gateway of one process.

    Args:
        take_sockets: where its sockets come from; without it they are bound.
    """

    def __init__(
        self,
        config: Config,
        opened: Opened,
        log: Log,
        clock: Clock,
        take_sockets: TakeSockets | None = None,
    ) -> None:
        super().__init__(config, opened, log, clock)
        self.acceptor = Acceptor(
            self.state.doorkeeper,
            lambda: self.config.server,
            lambda: self.site.expected,
            self.server.take,
            metrics=self.metrics,
            log=log,
            monotonic=clock.monotonic,
        )
        operations = operations_of(
            self, self.server, self.metrics, clock, log.events.info, lender=self
        )
        self.operators = OperatorSide(operations, self.metrics, log)
        self._manager = ServiceManager()
        self._reloader = Reloader(
            config,
            self.backend.capabilities,
            self.swap,
            self._manager,
            log=log,
            metrics=self.metrics,
            clock=clock,
        )
        self.config_file = file_of(config)
        self._take_sockets = take_sockets or partial(gather, config.listeners, None)
        self._sockets = Sockets()
        self._handed_over = False
        self._stopping = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether terminals are served and the store works."""
        return self.acceptor.listening and self.gateway.backend_up

    async def start(self) -> list[str]:
        """Serve terminals; returns the addresses on which it listens.

        Raises:
            OSError: an address cannot be bound.
            ConfigError: a certificate cannot be used.
            SocketError: what was handed over is of no use.
            SuccessionError: the gateway that has the sockets keeps them.
        """
        await self.begin()
        self._sockets = await self._take_sockets()
        await self.have_spool()
        self.server.start()
        self.acceptor.listen(self._sockets.terminals)
        return self.acceptor.addresses

    async def run(self, on_ready: OnReady) -> list[str]:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads. Returns what had to be abandoned."""
        signals.hear(asyncio.get_running_loop(), self.drain, self.reload)
        sip2 = await self.start()
        control, admin = await self.operators.open(self.config, self._sockets.http)
        self._sockets.http = self.operators.listener
        self.log.events.info("listening", sip2=sip2, admin=admin, control=control)
        self._manager.tell("READY=1")
        self._manager.keep_alive()
        self.keep_going()
        self.repeat(self.operators.look, 30.0, 30.0)
        self.repeat(self.clock_chore.look, 1.0, 1.0)
        on_ready(sip2, admin)
        await self._stopping.wait()
        return await self.stop()

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
        self.log.events.info("handed_over", to=pid)
        self._handed_over = True
        return self.drain()

    async def stop(self) -> list[str]:
        """Drain and close everything; returns what was abandoned because it took too long.

        This takes at most `drain_timeout_s` and ten seconds more.
        """
        self._reloader.stop()
        self._manager.tell("STOPPING=1")
        self.log.events.info("stopping")
        if self._handed_over:
            for one in self.acceptor.release():
                one.sock.close()  # its file, if it has one, is the next gateway's
        self.acceptor.close()
        ending = Ending(self.log)
        if self._handed_over:
            await ending.part("control", CONTROL_STOP_S, self.operators.leave_socket())
        await self.end_requests(ending)
        http = asyncio.ensure_future(ending.part("http", HTTP_STOP_S, self.operators.close_http()))
        await self.end_chores(ending)
        await http
        await self.close(ending)
        self.operators.say_goodbye(ending.given_up)
        await ending.part("control", CONTROL_STOP_S, self.operators.close_socket())
        ending.tell()
        self._manager.close()
        return ending.given_up

    def reload(self) -> asyncio.Future[Reloaded]:
        """Read the configuration again (B66, C48, C113).

        Nothing changes if it is invalid, or if it changes something that a reload must not.
        """
        return self._reloader.ask()


def serve(
    config: Config,
    on_ready: OnReady = lambda sip2, admin: None,
    *,
    access: Access = "write",
) -> int:
    """Run a gateway in the foreground until it is told to stop; returns the exit status.

    Args:
        on_ready: called with the addresses for terminals and HTTP.
        access: `make` makes a missing store, with which it otherwise does not start.
    """
    problems = unavailable(config)
    if problems:
        sys.stderr.write("".join(f"{line}\n" for line in problems))
        return 2
    if signals.stop_was_asked_for():
        return 0
    raise_file_limit()
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        return runner.run(_serve(config, on_ready, access))


def _waiting_for(config: Config) -> AbstractContextManager[None]:
    """Tell people what takes long."""
    return telling(sys.stderr.write, f"sip2gw: waiting for the database {store_name(config)}\n")


async def _serve(config: Config, on_ready: OnReady, access: Access) -> int:
    asyncio.get_running_loop().set_default_executor(ready_pool(SHARED_THREADS, "sip2gw"))
    run = _run
    if config.server.workers > 1:
        # Imported here: a gateway of one process starts sooner without it.
        from sip2gw.daemon.fleet.parent import run_with_workers as run
    try:
        async with Succession(config, inherited(), sys.stderr.write) as succession:
            with _waiting_for(config):
                must_be_free = rehearse(config, access)
            if must_be_free:
                await succession.take()
            if signals.stop_was_asked_for():
                return 0
            return await run(config, on_ready, access, succession)
    except (BackendError, ConfigError, SocketError, SuccessionError) as error:
        sys.stderr.write(f"sip2gw: {error}\n")
    except OSError as error:
        sys.stderr.write(f"sip2gw: {why_not_listening(error)}\n")
    return 1


async def _run(config: Config, on_ready: OnReady, access: Access, succession: Succession) -> int:
    with _waiting_for(config):
        opened = open_backend(config, "daemon", access)
    redactor = Redactor(opened.store.pin_secret)
    log = open_log(redactor, level=config.log.level, log_format=config.log.format)
    try:
        with told_to(log, asyncio.get_running_loop()):
            app = App(config, opened, log, Clock(), succession.take)
            given_up = await app.run(succession.ready(log, on_ready))
    except (OSError, ConfigError, SocketError, SuccessionError):
        await opened.store.close()
        raise
    except Exception as error:
        log.events.critical("crashed", exc_info=error)
        return 1
    finally:
        log.close()
    status = 1 if given_up else 0
    leave_within(LEAVE_S, status)
    return status
