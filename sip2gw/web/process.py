"""Starts, watches, restarts and stops the process for HTTP (C130).

Two channels connect it to the gateway. It asks its questions on one. The other is its standard
error, which the gateway writes into its own log, so that lines of the two never mix. If one of the
two processes dies, the other sees the first channel end; the kernel kills the process if it cannot
look (`end_with`), because it would keep the gateway's address busy.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from typing import Any, Protocol

import msgspec

from sip2gw.config import Address
from sip2gw.foundation.children import LIVED_S, restart_after, start_module
from sip2gw.monitoring.telemetry import Log

LEAVE_WITHIN_S = 0.7
"""Seconds in which it must end by itself before it is killed."""
LOOK_EVERY_S = 1.0
STUCK_AFTER = 15
"""So many looks in a row without a word from it, and it is killed. Looks are counted, not seconds:
a machine that stood still for a while harms nobody."""
BEGUN_AFTER = 60
"""The same before its first word: on a busy machine it begins slowly."""
LOG_LINE_BYTES_MAX = 16_384
LOG_LINES_PER_SECOND_MAX = 50
LISTEN_BACKLOG = 128

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


def bind(address: Address) -> socket.socket:
    """Listen at `address`; this blocks while a name is looked up.

    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(LISTEN_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class Adopted(Protocol):
    """The gateway's end of the channel for questions."""

    ended: asyncio.Future[None]
    heard: int
    """How often the process has said something, which it does at least every second."""
    answering: bool
    """Whether it waits for an answer that takes a while; what it says meanwhile is not heard."""

    def close(self) -> None:
        """Hang up."""


class Adopter(Protocol):
    """Answers the process's questions."""

    async def adopt(self, line: socket.socket) -> Adopted:
        """Answer the questions that arrive on `line`."""


class LogRelay(asyncio.Protocol):
    """Copies the process's standard error into the gateway's log.

    Events stay events. Anything else comes from a dying interpreter; only its size is logged,
    because secrets have not been removed from it (C78).
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._data = b""
        self._second, self._lines = 0, 0

    def data_received(self, data: bytes) -> None:
        """Log each complete line."""
        *lines, self._data = (self._data + data).split(b"\n")
        if len(self._data) > LOG_LINE_BYTES_MAX:
            lines.append(self._data)
            self._data = b""
        for line in lines:
            self._tell(line)

    def _tell(self, line: bytes) -> None:
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if not line or self._lines > LOG_LINES_PER_SECOND_MAX:
            return
        try:
            fields = msgspec.json.decode(line, type=dict[str, Any])
            event, level = str(fields.pop("event")), _LEVELS[fields.pop("level")]
        except (msgspec.DecodeError, RecursionError, TypeError, KeyError):
            self._log.uncaught("http_output", None, bytes=len(line))
        else:
            fields |= {"process": "http"}
            fields.pop("time", None)
            self._log.events.log(level, event, **fields)


class WebProcess:
    """This gateway's process for HTTP.

    Args:
        adopter: answers its questions.
        log: gets its errors and its end.
        on_restart: called each time before it is started again.
    """

    def __init__(self, adopter: Adopter, log: Log, on_restart: Callable[[], None]) -> None:
        self._adopter, self._log, self._on_restart = adopter, log, on_restart
        self.listener: socket.socket | None = None
        """Where clients connect; None when it serves nobody."""
        self._running: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Adopted | None = None
        self._stopping = asyncio.Event()

    async def start(self, address: Address, listener: socket.socket | None = None) -> str:
        """Listen at `address` and start the process; returns the real `host:port`.

        Args:
            listener: bound already, perhaps by another program; it is this object's from now on.

        From now on clients can connect. They get answers as soon as the process runs, and wait
        while it is restarted.

        Raises:
            OSError: the address cannot be bound; the error's `filename` is that address.
        """
        try:
            # In a thread: a name may need a look-up, and terminals are being served already.
            found = await asyncio.to_thread(bind, address) if listener is None else listener
            found.listen(LISTEN_BACKLOG)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(address)) from None
        self.listener = found
        self._running = asyncio.get_running_loop().create_task(self._keep_running(found))
        return str(Address(address.host, found.getsockname()[1]))

    async def _keep_running(self, listener: socket.socket) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            started = loop.time()
            status = await self._run(listener)
            if self._stopping.is_set():
                return
            failures = 1 if loop.time() - started >= LIVED_S else failures + 1
            pause = restart_after(failures)
            self._log.events.error("http_ended", status=status, again_in_s=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            self._on_restart()

    async def _run(self, listener: socket.socket) -> int | str:
        """Run the process once; returns how it ended."""
        problem = ""
        try:
            self._line = line = await self._begin(listener)
            if self._stopping.is_set():
                line.close()
            watching = asyncio.get_running_loop().create_task(self._watch(line))
            try:
                await line.ended
            finally:
                watching.cancel()
        except Exception as error:
            # No descriptor, memory, process or thread is left; there may be one later.
            problem = getattr(error, "strerror", None) or type(error).__name__
        status = await asyncio.to_thread(self._reap)
        return problem or status

    async def _watch(self, line: Adopted) -> None:
        """Kill the process when it does not take its turns any more."""
        heard = silent = 0
        while silent < (STUCK_AFTER if heard else BEGUN_AFTER):
            await asyncio.sleep(LOOK_EVERY_S)
            silent = silent + 1 if line.heard == heard and not line.answering else 0
            heard = line.heard
        if self._process is not None:
            self._log.events.error("http_stuck", looks=silent)
            self._process.kill()

    async def _begin(self, listener: socket.socket) -> Adopted:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        try:
            log, writing = _pipe()
            try:
                await loop.connect_read_pipe(lambda: LogRelay(self._log), log)
                self._process = await asyncio.to_thread(_spawn, listener, theirs, writing)
            finally:
                os.close(writing)
            return await self._adopter.adopt(ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def _reap(self) -> int:
        """Wait until the process ends, and kill it after `LEAVE_WITHIN_S`; blocks."""
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            return process.wait(LEAVE_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    async def stop(self) -> None:
        """Stop the process, and stop listening."""
        self._stopping.set()
        if self._line is not None:
            self._line.close()
        if self._running is not None:
            await self._running
        if self.listener is not None:
            self.listener.close()
            self.listener = None


def _pipe() -> tuple[FileIO, int]:
    """A pipe: the end to read from, which its user closes, and the end to write to."""
    reading, writing = os.pipe()
    return FileIO(reading, "rb"), writing


def _spawn(listener: socket.socket, line: socket.socket, log: int) -> subprocess.Popen[bytes]:
    """Start the process with these descriptors; blocks until the program is loaded."""
    handed = (listener.fileno(), line.fileno())
    return start_module("sip2gw.web", (*handed, os.getpid()), handed, stderr=log)
