"""How a starting gateway follows the one that serves its configuration: nobody is refused (B89).

The gateway that runs is found by its control socket. First it lends copies of its listening
sockets, and goes on serving. What can fail is done now. Then it is asked to leave: it stops
accepting, finishes its requests, closes its store and ends. From then on, terminals that connect
wait in the kernel's queues, until the new gateway accepts.

Starts of one configuration take turns, by a lock on its file: of several at once, each follows the
one before it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType

from sip2gw.config import Config
from sip2gw.control.client import Control, NoGatewayError, RefusedError, SilentGatewayError
from sip2gw.control.messages import Drained, Draining, Lend, Lent, TakeOver
from sip2gw.daemon import signals
from sip2gw.daemon.handover.sockets import (
    Offered,
    SocketError,
    Sockets,
    gather,
    insist_on_nothing_left,
)
from sip2gw.daemon.process import OnReady
from sip2gw.monitoring.telemetry import Log

ANSWER_WITHIN_S = 10.0
LEAVE_WITHIN_S = 5.0
"""How long the process may take to end after it has closed what it could."""
END_AFTER_DRAIN_S = 15.0
"""How long a gateway that ends may take when its requests are done."""
MARGIN_S = 2.0
TURN_WITHIN_S = 90.0
"""How long another start may take before this one goes on: longer than the end of a gateway."""
TURN_EVERY_S = 0.05


class SuccessionError(Exception):
    """A gateway serves this configuration and does not hand over; the text says why."""


def file_of(config: Config) -> str:
    """What tells one configuration from another: its file, links in the path followed."""
    return os.path.realpath(config.path)


class Succession:
    """The start of one gateway, from its turn until it listens; a context that ends the turn.

    Args:
        inherited: bound sockets from systemd.
        tell: gets lines for people.
    """

    def __init__(
        self,
        config: Config,
        inherited: Sequence[socket.socket],
        tell: Callable[[str], object],
    ) -> None:
        self._config, self._tell = config, tell
        self._inherited = Offered(inherited)
        self._sockets: Sockets | None = None
        self._turn: int | None = None
        self.taken_from: int | None = None
        """The process that has left; None: nobody was there."""

    async def __aenter__(self) -> Succession:
        self._turn = await _turn_of(self._config, self._tell)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.done()
        self._inherited.close()

    def done(self) -> None:
        """End the turn: this gateway listens, and the next start may follow it."""
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None

    def ready(self, log: Log, on_ready: OnReady) -> OnReady:
        """What to call when this gateway serves: `on_ready`, when the turn has ended."""

        def ready(sip2: list[str], admin: str) -> None:
            if self.taken_from is not None:
                log.events.info("taken_over", pid=self.taken_from)
            self.done()
            on_ready(sip2, admin)

        return ready

    async def take(self) -> Sockets:
        """The sockets of this gateway, after whoever had them has left; the same every time.

        Raises:
            SuccessionError: whoever has them does not hand over.
            SocketError: systemd has handed over something of no use.
            OSError: an address cannot be bound; the error's `filename` is that address.
        """
        if self._sockets is None:
            predecessor = await asyncio.to_thread(_find, self._config, self._tell)
            self._sockets = await self._follow(predecessor)
        return self._sockets

    async def _follow(self, predecessor: _Predecessor | None) -> Sockets:
        if predecessor is None:
            return await self._gather(Offered())
        with predecessor.control:
            sockets = await self._gather(Offered(predecessor.sockets))
            self._tell(f"sip2gw: taking over from process {predecessor.pid}\n")
            try:
                await _unless_stopped(predecessor.leave, predecessor.control)
            except BaseException:
                sockets.close()
                raise
        sockets.adopt(predecessor.sockets)
        self.taken_from = predecessor.pid
        return sockets

    async def _gather(self, lent: Offered) -> Sockets:
        admin = self._config.admin
        http = admin.address if admin.enabled else None
        try:
            sockets = await gather(self._config.listeners, http, self._inherited, lent)
        finally:
            lent.close()
        try:
            insist_on_nothing_left(self._inherited)
        except SocketError:
            sockets.close()
            raise
        return sockets


class _Predecessor:
    """The gateway that serves this configuration; every method blocks.

    Raises:
        NoGatewayError: it does not answer.
        RefusedError: it does not hand over.
    """

    def __init__(self, control: Control, config: str) -> None:
        self.control, self.pid = control, control.pid
        self._config = config
        lent = control.ask(Lend(config), ANSWER_WITHIN_S)
        assert isinstance(lent, Lent)
        self.sockets, control.sockets = control.sockets, []
        self.is_ending = lent.ending

    def leave(self) -> None:
        """Ask it to leave, and wait until it has closed its store or ended.

        Raises:
            SuccessionError: it stays.
        """
        with self.control.watching_its_end() as process:
            try:
                leaving = self.control.ask(TakeOver(self._config), ANSWER_WITHIN_S)
                assert isinstance(leaving, Draining)
                end = self.control.next_answer(leaving.within_s + MARGIN_S)
            except RefusedError as error:
                raise SuccessionError(_why(self.pid, error)) from None
            except NoGatewayError:
                end = None
            closed = isinstance(end, Drained) and not end.given_up
            if not closed and not signals.stop_was_asked_for():
                # What it holds is free at its very end.
                process.has_ended(LEAVE_WITHIN_S)


def _find(config: Config, tell: Callable[[str], object]) -> _Predecessor | None:
    """The gateway that serves `config`, with its sockets; None if there is none. Blocks.

    Raises:
        SuccessionError: it does not hand over.
    """
    try:
        control = Control(config.socket_path)
    except NoGatewayError:
        return None
    with ExitStack() as closing:
        closing.enter_context(control)
        try:
            found = _Predecessor(control, file_of(config))
            if found.is_ending:
                tell(f"sip2gw: waiting for process {found.pid} to end\n")
                control.next_answer(config.server.drain_timeout_s + END_AFTER_DRAIN_S)
        except RefusedError as error:
            raise SuccessionError(_why(control.pid, error)) from None
        except SilentGatewayError:
            raise SuccessionError(
                f"process {control.pid} holds the control socket but does not answer; end it"
                f" (kill {control.pid}; if it stays, kill -9 {control.pid}), then start again"
            ) from None
        except NoGatewayError:
            return None  # it has just ended
        if found.sockets:
            closing.pop_all()
            return found
    return None


def _why(pid: int, error: Exception) -> str:
    return f"process {pid} serves this configuration and does not hand over: {error}"


async def _unless_stopped(leave: Callable[[], None], control: Control) -> None:
    """Wait in a thread for what may take long, or until this process is told to stop."""
    leaving = asyncio.ensure_future(asyncio.to_thread(leave))
    while not leaving.done() and not signals.stop_was_asked_for():
        await asyncio.wait({leaving}, timeout=0.1)
    if not leaving.done():
        control.close()
    await leaving


async def _turn_of(config: Config, tell: Callable[[str], object]) -> int | None:
    """The lock of the configuration file; None if it cannot be had, and then there are no turns."""
    try:
        # Not to wait if it is a pipe (`--config <(…)`), which was read to its end.
        descriptor = os.open(config.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    told, until = False, asyncio.get_running_loop().time() + TURN_WITHIN_S
    while asyncio.get_running_loop().time() < until and not signals.stop_was_asked_for():
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                tell("sip2gw: waiting for another start of this configuration\n")
            told = True
            await asyncio.sleep(TURN_EVERY_S)
        except OSError:
            break  # this file system has no locks
        else:
            return descriptor
    os.close(descriptor)
    return None
