"""A worker: serves the terminals whose connections its parent hands over (B87, C131).

It listens nowhere, hears no signal and has no socket of its own. It ends when its parent says so or
has gone, after the requests that run.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable

from sip2gw.backend.base import Access, BackendError
from sip2gw.backend.factory import Opened, open_backend
from sip2gw.config import Config, ConfigError
from sip2gw.config.passing import read_config
from sip2gw.control.messages import Reloaded
from sip2gw.control.server import ControlServer
from sip2gw.daemon.ending import Ending, leave_within
from sip2gw.daemon.fleet.messages import (
    AnyMessage,
    Arrived,
    Converse,
    Done,
    End,
    Follow,
    Followed,
    HaveSpool,
    Look,
    Over,
    Serving,
    Taken,
    Turn,
)
from sip2gw.daemon.operating import operations_of
from sip2gw.daemon.process import LEAVE_S, event_loop_factory, raise_file_limit
from sip2gw.daemon.reloading import Prepared, prepared
from sip2gw.daemon.terminals import TerminalSide
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.link import Link
from sip2gw.foundation.threads import SHARED_THREADS, ready_pool
from sip2gw.monitoring.telemetry import Log, Redactor, open_log
from sip2gw.monitoring.uncaught import told_to
from sip2gw.serving.arrivals import Arrival
from sip2gw.shared.state import SharedState
from sip2gw.shared.together.messages import Asked, Told
from sip2gw.shared.together.worker import WorkerState

NO_STORE = 3
"""The exit status of a worker that could not open the store, and has said why."""


class Worker(TerminalSide):
    """One worker; to be made in the running loop.

    Args:
        number: among the workers of the gateway, from 0 on; the first one does the chores.
        link: connects it with its parent.
        control: the channel for operators' requests, which the parent passes on.
    """

    def __init__(
        self,
        config: Config,
        opened: Opened,
        log: Log,
        clock: Clock,
        *,
        number: int,
        link: socket.socket,
        control: socket.socket,
    ) -> None:
        self._link = Link(link, AnyMessage, self._told)
        super().__init__(config, opened, log, clock)
        self._number, self._control_line = number, control
        self._listeners = config.listeners
        # The parent logs who wanted what, once.
        note = log.events.debug
        self._control = ControlServer(operations_of(self, self.server, self.metrics, clock, note))
        self._stopping = asyncio.Event()
        self._ended: asyncio.Future[Over] = asyncio.get_running_loop().create_future()
        self._adopting: set[asyncio.Task[object]] = set()

    def make_state(self, monotonic: Callable[[], float]) -> SharedState:
        """See `TerminalSide`; much of it all workers share."""
        self._state = WorkerState(lambda: self.config.server, monotonic, self._link)
        return self._state

    @property
    def is_ready(self) -> bool:
        """Whether the store works; terminals are always served."""
        return self.gateway.backend_up

    def reload(self) -> asyncio.Future[Reloaded]:
        """Refuse: the configuration comes from the parent."""
        refused: asyncio.Future[Reloaded] = asyncio.get_running_loop().create_future()
        refused.set_result(Reloaded(["a worker follows its parent"], []))
        return refused

    def drain(self) -> float:
        """Stop as when the parent says so."""
        self._stopping.set()
        return self.config.server.drain_timeout_s

    async def run(self) -> list[str]:
        """Serve until the parent says that it is enough, or has gone; what was abandoned."""
        self._link.lost.add_done_callback(lambda lost: self._orphaned())
        await self._control.adopt(self._control_line)
        await self.begin()
        self.server.start()
        self._link.tell(Serving(self.is_ready))
        self.keep_going(chores=self._number == 0)
        await self._stopping.wait()
        ending = Ending(self.log)
        await self.end_requests(ending)
        await self.end_chores(ending)
        await self.close(ending)
        ending.tell()
        if not self._ended.done():
            self._ended.set_result(Over(ending.given_up))
        await asyncio.sleep(0)  # the answer leaves
        await self._control.stop()
        self._link.close()
        return ending.given_up

    def _orphaned(self) -> None:
        """End without the parent.

        What only it could allow would be refused now. That may be untrue: a payment that is booked
        may be repeated here. So nobody gets another answer, and each machine asks elsewhere.
        """
        self._stopping.set()
        self.server.hang_up()

    # What the parent says ------------------------------------------------------------------

    def _told(self, message: AnyMessage, descriptor: int | None) -> object:
        match message:
            case Arrived():
                self._arrived(message, descriptor)
            case Told() | Asked():
                return self._state.receive(message)
            case Look():
                return Turn(self.is_ready)
            case Converse() if descriptor is not None:
                self._converse(socket.socket(fileno=descriptor))
            case HaveSpool():
                return self._have_spool()
            case Follow() if descriptor is not None:
                return self._follow(descriptor)
            case End():
                self._stopping.set()
                return self._ended
        return None

    def _arrived(self, message: Arrived, descriptor: int | None) -> None:
        """Take a connection; it may have gone, and then it ends at once."""
        self._link.tell(Taken(message.number))
        if descriptor is None or self._stopping.is_set():
            # No descriptor was left for it here, or it came when we were told to end.
            if descriptor is not None:
                socket.socket(fileno=descriptor).close()
            self._state.doorkeeper.leave(message.address, stranger=True)
            return
        self.server.take(
            Arrival(
                socket.socket(fileno=descriptor),
                message.address,
                self._listeners[message.listener],
                message.accepted_at,
                message.number,
            )
        )

    def _converse(self, line: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._control.adopt(line))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _have_spool(self) -> Done:
        await self.have_spool()
        return Done()

    async def _follow(self, descriptor: int) -> Followed:
        config, site, contexts = await asyncio.to_thread(self._prepare, descriptor)
        self.swap(config, site, contexts)
        return Followed()

    def _prepare(self, descriptor: int) -> Prepared:
        return prepared(read_config(descriptor), self.backend.capabilities)


def serve(
    number: int, access: Access, *, link: socket.socket, control: socket.socket, config: Config
) -> int:
    """Be a worker until the parent says that it is enough, or has gone; the exit status."""
    raise_file_limit()
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        return runner.run(_serve(number, access, link, control, config))


async def _serve(
    number: int, access: Access, link: socket.socket, control: socket.socket, config: Config
) -> int:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ready_pool(SHARED_THREADS, "sip2gw"))
    try:
        opened = open_backend(config, "daemon", access, worker=number)
    except BackendError as error:
        sys.stderr.write(f"sip2gw: {error}\n")
        return NO_STORE
    redactor = Redactor(opened.store.pin_secret)
    log = open_log(
        redactor,
        level=config.log.level,
        log_format=config.log.format,
        worker=number,
        shared=True,
    )
    try:
        with told_to(log, loop):
            worker = Worker(config, opened, log, Clock(), number=number, link=link, control=control)
            given_up = await worker.run()
    except ConfigError as error:
        log.events.critical("cannot_start", problems=str(error).splitlines())
        return 1
    except Exception as error:
        log.events.critical("crashed", exc_info=error)
        return 1
    finally:
        log.close()
    status = 1 if given_up else 0
    leave_within(LEAVE_S, status)
    return status
