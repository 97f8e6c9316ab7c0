"""The control socket, seen from a command: ask, wait, and read the answers (C130)."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from sip2gw.control.descriptors import receive
from sip2gw.control.messages import (
    ANSWER_BYTES_MAX,
    Answer,
    AnyAnswer,
    LineBuffer,
    LineTooLongError,
    Refused,
    Request,
    UnreadableAnswerError,
    encode,
    read_answer,
)
from sip2gw.foundation.unix_socket import connect

CONNECT_WITHIN_S = 5.0
_CHUNK = 65_536


class NoGatewayError(Exception):
    """No gateway can be reached; the text says why."""


class SilentGatewayError(NoGatewayError):
    """A gateway has the socket, but its answer did not come in time."""


class RefusedError(Exception):
    """The gateway refuses; the text says why."""


class Control:
    """One connection to a running gateway; a context that closes it.

    Raises:
        NoGatewayError: no gateway listens at `path`.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._line = connect(path, CONNECT_WITHIN_S)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise NoGatewayError(f"no gateway answers at {path} ({why})") from None
        self._lines = LineBuffer(ANSWER_BYTES_MAX)
        self.sockets: list[socket.socket] = []
        """Those that came beside the answers; theirs who takes them."""

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; another thread that waits for an answer gets none."""
        with suppress(OSError):  # the gateway was first
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()

    def ask(self, request: Request, within_s: float) -> AnyAnswer:
        """The gateway's first answer to `request`.

        Raises:
            RefusedError: the gateway refuses.
            NoGatewayError: no answer came in time.
        """
        with suppress(OSError):  # it may have said why before it hung up
            self._line.sendall(encode(request))
        answer = self.next_answer(within_s)
        if answer is None:
            raise NoGatewayError("the gateway ended before it answered")
        if isinstance(answer, Refused):
            raise RefusedError(answer.problem)
        return answer

    def next_answer(self, within_s: float) -> AnyAnswer | None:
        """The gateway's next message; None when it has hung up.

        Raises:
            NoGatewayError: nothing readable came in time.
        """
        until = time.monotonic() + within_s
        try:
            while (line := self._lines.next_line()) is None:
                self._line.settimeout(max(0.001, until - time.monotonic()))
                data, sockets = receive(self._line, _CHUNK)
                self.sockets += sockets
                if not data:
                    return None
                self._lines.feed(data)
            return read_answer(line)
        except TimeoutError:
            raise SilentGatewayError(f"the gateway did not answer within {within_s:g} s") from None
        except OSError:
            return None
        except (UnreadableAnswerError, LineTooLongError) as error:
            raise NoGatewayError(f"the gateway has another version: {error}; restart it") from None

    def answers(self, silent_max_s: float) -> Iterator[Answer]:
        """All messages of the gateway from now on, until it hangs up."""
        while (answer := self.next_answer(silent_max_s)) is not None:
            yield answer

    @property
    def pid(self) -> int:
        """The number of the process at the other end."""
        credentials = struct.Struct("3i")
        data = self._line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
        return int(credentials.unpack(data)[0])

    @contextmanager
    def watching_its_end(self) -> Iterator[GatewayProcess]:
        """The process at the other end, to wait for."""
        process = GatewayProcess(self.pid)
        try:
            yield process
        finally:
            process.close()


class GatewayProcess:
    """A process that is not our child; a later process with its number is not mistaken for it."""

    def __init__(self, pid: int) -> None:
        self._handle: int | None = None
        with suppress(OSError):  # gone, or not to be seen from here
            self._handle = os.pidfd_open(pid)

    def has_ended(self, within_s: float) -> bool:
        """Wait until it has ended; False when it has not ended in time."""
        if self._handle is None:
            return True
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    def close(self) -> None:
        """Stop waiting for it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
