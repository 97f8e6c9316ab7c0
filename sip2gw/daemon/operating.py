"""The operators' interfaces: the control socket and the process for HTTP (C130).

Terminals come first. They are served even if an interface cannot be opened, which is logged (B68).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sip2gw.config import Config
from sip2gw.control.lending import Lender
from sip2gw.control.operations import Daemon, Lines, Operations
from sip2gw.control.server import Answering, ControlServer
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.unix_socket import Place
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.web.process import WebProcess


class Finishing(Answering, Protocol):
    """Carries out the requests of operators, until the end."""

    def finish(self, given_up: list[str]) -> None:
        """Tell the peers that wait for the end what had to be abandoned."""


def operations_of(
    daemon: Daemon,
    lines: Lines,
    metrics: Metrics,
    clock: Clock,
    note: Callable[..., object],
    lender: Lender | None = None,
) -> Operations:
    """Operations on what this process has; `note` writes to the log what was done."""
    return Operations(
        daemon,
        lines,
        metrics,
        clock,
        later=lambda seconds, what: asyncio.get_running_loop().call_later(seconds, what),
        note=note,
        lender=lender,
    )


class OperatorSide:
    """Both interfaces of one gateway."""

    def __init__(self, operations: Finishing, metrics: Metrics, log: Log) -> None:
        self._log = log
        self._path: Path | None = None
        self._problem = ""
        """The reason, as last logged, why there is no control socket."""
        self._metrics = metrics
        self._operations = operations
        self._control = ControlServer(self._operations)
        self._http = WebProcess(self._control, log, self._count_restart)

    def _count_restart(self) -> None:
        self._metrics.http_restarts += 1

    async def open(self, config: Config, listener: socket.socket | None = None) -> tuple[str, str]:
        """Open both; returns the socket's path and the real `host:port` of HTTP, empty for none.

        Args:
            listener: the socket for HTTP if it is bound already.

        Raises:
            OSError: the address for HTTP cannot be bound.
        """
        path = await self.open_socket(config.socket_path)
        if not config.admin.enabled:
            return path, ""
        try:
            return path, await self._http.start(config.admin.address, listener)
        except OSError:
            await self.close_socket()
            raise

    async def open_socket(self, path: Path) -> str:
        """Open the control socket; returns its path, or empty if it cannot be opened.

        `look` tries again later. The same problem is logged only once.
        """
        self._path = path
        try:
            await self._control.listen(Place(path))
        except OSError as error:
            problem = f"{path}: {error.strerror or type(error).__name__}"
            if problem != self._problem:
                self._log.events.error("control_socket_failed", problem=problem)
            self._problem = problem
            return ""
        self._problem = ""
        return str(path)

    async def look(self) -> None:
        """Open the socket if that failed before, or if somebody has removed it."""
        if self._path is not None and not await self._control.is_reachable():
            opened = await self.open_socket(self._path)
            if opened:
                self._log.events.info("control_socket_opened", path=opened)

    @property
    def listener(self) -> socket.socket | None:
        """The socket of HTTP, if it is served."""
        return self._http.listener

    async def close_http(self) -> None:
        """Stop the process for HTTP."""
        await self._http.stop()

    def say_goodbye(self, given_up: list[str]) -> None:
        """Tell the peers that wait for the end what had to be abandoned."""
        self._operations.finish(given_up)

    async def leave_socket(self) -> None:
        """Make room for the socket of the gateway that follows; whoever is connected stays so."""
        self._path = None
        await self._control.leave()

    async def close_socket(self) -> None:
        """Hang up on all peers, and remove the control socket."""
        await self._control.stop()
