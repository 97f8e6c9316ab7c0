"""Open sockets that travel beside a line of the control socket (SCM_RIGHTS).

An event loop's transports cannot carry them. So they are sent around the transport, at a moment
when it has nothing left to send.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

from sip2gw.control.messages import Answer

SOCKETS_MAX = 253
"""The kernel takes no more at a time (SCM_MAX_FD)."""


class Beside(NamedTuple):
    """An answer, and the sockets that go with it."""

    answer: Answer
    sockets: Sequence[socket.socket]


def send(line: int, data: bytes, sockets: Sequence[socket.socket]) -> bytes:
    """Send `data` and copies of `sockets` on the connection with the descriptor `line`.

    Returns:
        The rest of `data` that the kernel did not take; the sockets have left.

    Raises:
        OSError: nothing has left.
    """
    with socket.socket(fileno=os.dup(line)) as around:
        around.setblocking(False)
        descriptors = array.array("i", [sock.fileno() for sock in sockets])
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if sockets else []
        return data[around.sendmsg([data], beside) :]


def receive(line: socket.socket, bytes_max: int) -> tuple[bytes, list[socket.socket]]:
    """What `line` has to say, at most `bytes_max` at a time, and the sockets that came with it.

    Raises:
        OSError: as of `recv`.
    """
    size = array.array("i").itemsize
    data, beside, _, _ = line.recvmsg(
        bytes_max, socket.CMSG_SPACE(SOCKETS_MAX * size), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, content in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % size])
    return data, [socket.socket(fileno=descriptor) for descriptor in descriptors]
