"""Messages between two of our own processes, each with at most one descriptor beside it.

A worker and its parent speak over this (C131). Each message is a packet of a Unix socket
(SOCK_SEQPACKET), so it arrives whole, and its descriptor with it. Messages arrive in the order in
which they were sent, whether told or asked.

Nobody waits for the other side: what its socket does not take now is kept and sent later. A side
that leaves too much unread is no longer of use, and the link to it is cut.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

MESSAGE_BYTES_MAX = 65_536
"""The longest message; who has more to say sends several, or a descriptor of a file."""
UNSENT_MAX = 20_000
"""A side that leaves so many messages unread loses the link."""
MESSAGES_PER_TURN = 64
"""Messages that are read in one turn of the loop; the others wait in the kernel."""

_HEAD = struct.Struct(">q")
"""n > 0: the n-th question. -n: its answer. `_TOLD`: neither."""
_TOLD = 0
_NO_ANSWER = b""
_ONE_DESCRIPTOR = socket.CMSG_SPACE(array.array("i").itemsize)

Receive = Callable[[Any, int | None], Any]
"""Gets a message and its descriptor, which it now owns. For a message that was asked it returns the
answer, or an awaitable of it; for others None."""


def link_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new link, not yet in a loop."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class LinkLostError(Exception):
    """The other side has gone, or could not answer."""


class Link:
    """One end of a link; must be made in a running loop.

    Args:
        sock: this end, which the link now owns.
        kinds: the union of all messages and answers: tagged `msgspec.Struct`s.
        receive: gets what the other side says.
    """

    def __init__(self, sock: socket.socket, kinds: Any, receive: Receive) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when nothing arrives any more; everything that was sent before has arrived.

        Whoever has a callback here hears of it before any question fails.
        """
        sock.setblocking(False)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kinds).decode
        self._receive = receive
        self._unsent: deque[tuple[bytes, int | None]] = deque()
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Future[Any]] = set()
        self._loop.add_reader(sock, self._readable)

    # Sending -------------------------------------------------------------------------------

    def tell(self, message: msgspec.Struct, descriptor: int | None = None) -> None:
        """Send `message`; nothing happens if the other side has gone.

        `descriptor` stays the caller's, who may close it at once.
        """
        self._send(_TOLD, self._encode(message), descriptor)

    async def ask(self, message: msgspec.Struct, descriptor: int | None = None) -> Any:
        """The other side's answer to `message`, whenever it comes.

        Raises:
            LinkLostError: none will come.
        """
        if self.lost.done():
            await asyncio.sleep(0)  # the callbacks of `lost` come first
            raise LinkLostError
        self._asked += 1
        number = self._asked
        answer = self._waiting[number] = self._loop.create_future()
        try:
            self._send(number, self._encode(message), descriptor)
            return await answer
        finally:
            self._waiting.pop(number, None)

    def _send(self, head: int, body: bytes, descriptor: int | None = None) -> None:
        packet = _HEAD.pack(head) + body
        if len(packet) > MESSAGE_BYTES_MAX:
            raise ValueError(f"a message of {len(packet)} bytes is too long for a link")
        if self.lost.done() or (not self._unsent and self._put(packet, descriptor)):
            return
        if len(self._unsent) >= UNSENT_MAX:
            self.close()
            return
        if not self._unsent:
            self._loop.add_writer(self._socket, self._writable)
        self._unsent.append((packet, None if descriptor is None else os.dup(descriptor)))

    def _put(self, packet: bytes, descriptor: int | None) -> bool:
        """Whether it need not be kept: the kernel has taken it, or the other side has gone."""
        beside = [] if descriptor is None else [_rights(descriptor)]
        try:
            self._socket.sendmsg([packet], beside)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True  # what the other side said before is still to be read; then it ends
        return True

    def _writable(self) -> None:
        while self._unsent:
            packet, descriptor = self._unsent[0]
            if not self._put(packet, descriptor):
                return
            self._unsent.popleft()
            if descriptor is not None:
                os.close(descriptor)
        self._loop.remove_writer(self._socket)

    # Receiving -----------------------------------------------------------------------------

    def _readable(self) -> None:
        for _ in range(MESSAGES_PER_TURN):
            if self.lost.done():
                return
            try:
                packet, beside, _, _ = self._socket.recvmsg(
                    MESSAGE_BYTES_MAX, _ONE_DESCRIPTOR, socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                packet, beside = b"", []
            if not packet:
                self.close()
                return
            self._take(packet, _descriptor(beside))

    def _take(self, packet: bytes, descriptor: int | None) -> None:
        (head,), body = _HEAD.unpack_from(packet), packet[_HEAD.size :]
        if head < 0:
            self._answered(-head, body)
            return
        try:
            answer = self._receive(self._decode(body), descriptor)
        except Exception as error:
            self._failed(head, error)
            return
        if head != _TOLD and isinstance(answer, Awaitable):
            waits = asyncio.ensure_future(answer)
            self._answering.add(waits)
            waits.add_done_callback(lambda done: self._answer_later(head, done))
        elif head != _TOLD:
            self._send(-head, self._encode(answer))

    def _answer_later(self, head: int, done: asyncio.Future[Any]) -> None:
        self._answering.discard(done)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            self._send(-head, self._encode(done.result()))
        else:
            self._failed(head, error)

    def _failed(self, head: int, error: BaseException) -> None:
        """Report our own error; whoever asked learns only that there is no answer."""
        if head != _TOLD:
            self._send(-head, _NO_ANSWER)
        if not isinstance(error, asyncio.CancelledError):
            message = "a message of another process failed"
            self._loop.call_exception_handler({"message": message, "exception": error})

    def _answered(self, number: int, body: bytes) -> None:
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return  # nobody waits for it any more
        if body == _NO_ANSWER:
            answer.set_exception(LinkLostError())
        else:
            answer.set_result(self._decode(body))

    # The end -------------------------------------------------------------------------------

    def close(self) -> None:
        """Hang up. What the other side has been told already still reaches it."""
        if self.lost.done():
            return
        self.lost.set_result(None)
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for _, descriptor in self._unsent:
            if descriptor is not None:
                os.close(descriptor)
        self._unsent.clear()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(LinkLostError())
        for waits in self._answering:
            waits.cancel()


def _rights(descriptor: int) -> tuple[int, int, bytes]:
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes()


def _descriptor(beside: list[tuple[int, int, bytes]]) -> int | None:
    """The descriptor that came with a message; None too if we may have no more of them."""
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i")
            with suppress(ValueError):
                numbers.frombytes(data)
            if numbers:
                return numbers[0]
    return None
