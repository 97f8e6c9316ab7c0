"""The control socket in the gateway's loop, with limits on the number, rate and time of its peers.

In each turn of the loop a peer gets one request done, and the next one only after it has read the
previous answer; meanwhile its data waits in the kernel. The gateway hangs up on peers that send
nothing or read nothing. So peers use bounded memory and delay no terminal (B68, C130).
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Protocol, cast

from sip2gw.control.descriptors import Beside, send
from sip2gw.control.messages import (
    REQUEST_BYTES_MAX,
    Answer,
    AnyRequest,
    Draining,
    Later,
    LineBuffer,
    LineTooLongError,
    ReadConfiguration,
    Refused,
    TraceBegan,
    TraceEnded,
    encode,
    read_request,
)
from sip2gw.control.tracing import Peer
from sip2gw.foundation.unix_socket import BACKLOG, Place

PEERS_MAX = 16
SILENT_MAX_S = 30.0
"""How long a peer may stay silent, or leave answers unread."""
ANSWER_WITHIN_S = 120.0
"""How long a slow answer may take before the gateway hangs up."""
WRITE_BYTES_MAX = 256 * 1024
"""A peer with this much unread gets only the answers to its requests."""


class Answering(Protocol):
    """The object that carries out the requests."""

    def answer(self, request: AnyRequest, peer: Peer) -> Answer | Beside | Later:
        """Carry out a request; its answer may take a while."""

    def forget(self, peer: Peer) -> None:
        """Forget a peer that has hung up."""


class ControlLine(asyncio.Protocol):
    """One peer."""

    def __init__(self, server: ControlServer, *, is_child: bool = False) -> None:
        """`is_child`: one of our own processes, which may stay silent as long as it likes."""
        self.uid = self.pid = -1
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is lost."""
        self.heard = 0
        """How often something has arrived."""
        self._server = server
        self._is_child = is_child
        self._transport: asyncio.Transport | None = None
        self._lines = LineBuffer(REQUEST_BYTES_MAX)
        self._writable = True
        self._streaming = False
        self.answering = False
        """Whether a request is under way; the next one waits."""
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    # asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the peer, unless there are too many or another user owns it."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_BYTES_MAX)
        self.pid, self.uid = _owner_of(transport.get_extra_info("socket"))
        obstacle = "" if self._is_child else self._server.obstacle(self.uid)
        self._server.lines.add(self)
        self._rearm()
        if obstacle:
            self.tell(Refused(obstacle))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End everything that runs for the peer."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._server.lines.discard(self)
        self._server.operations.forget(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Do the first request; the others get later turns."""
        self.heard += 1
        self._lines.feed(data)
        self._go_on()

    def pause_writing(self) -> None:
        """Note that the peer does not read."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on: the peer reads again."""
        self._writable = True
        self._rearm()
        self._schedule()

    # Requests ------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled and not self.answering:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._go_on()

    def _go_on(self) -> None:
        """Do the next request if there is one and the peer has read the last answer."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._scheduled:
            return
        if not self._writable or self.answering:
            transport.pause_reading()
            return
        try:
            line = self._lines.next_line()
        except LineTooLongError:
            self.tell(Refused(f"a request has at most {REQUEST_BYTES_MAX} bytes"))
            self.close()
            return
        if line is None:
            transport.resume_reading()
            return
        transport.pause_reading()
        self._rearm()
        self._do(line)
        self._schedule()

    def _do(self, line: bytes) -> None:
        request = read_request(line)
        if isinstance(request, ReadConfiguration) and not self._is_child:
            request = Refused("only the gateway's own processes get its configuration")
        if isinstance(request, Refused):
            self.tell(request)
            return
        try:
            answer = self._server.operations.answer(request, self)
        except Exception as error:
            answer = _failed(error)
        if isinstance(answer, asyncio.Future):
            self.answering = True
            self._rearm(ANSWER_WITHIN_S)
            if self._transport is not None:
                self._transport.resume_reading()  # to notice a hang-up; requests still wait
            answer.add_done_callback(self._answered)
            return
        if isinstance(answer, Beside):
            self._hand(answer)
        else:
            self.tell(answer)

    def _answered(self, done: Later) -> None:
        """Send an answer that took a while, and go on with the next request."""
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        self.answering = False
        self.tell(done.result() if error is None else _failed(error))
        if self._transport is not None:
            self._rearm()
            self._schedule()

    # Answers -------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the peer keeps up with what it is sent."""
        return self._writable and self._transport is not None

    def tell(self, answer: Answer) -> None:
        """Send `answer` to the peer, if it is still there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(answer))
            if isinstance(answer, Draining | TraceBegan):
                self._streaming = True
            elif isinstance(answer, TraceEnded):
                self._streaming = False
                self._rearm()

    def _hand(self, handed: Beside) -> None:
        """Send an answer with its sockets, if nothing that was said before is still on its way."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size():
            self.tell(Refused("read the earlier answers first"))
            return
        line = transport.get_extra_info("socket").fileno()
        try:
            rest = send(line, encode(handed.answer), handed.sockets)
        except OSError as error:
            self.tell(Refused(f"the sockets cannot be handed over: {error.strerror}"))
        else:
            transport.write(rest)

    def _rearm(self, seconds: float | None = None) -> None:
        """Restart the peer's time limit, which is `seconds` or `SILENT_MAX_S`."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SILENT_MAX_S if seconds is None else seconds, self._silent)

    def _silent(self) -> None:
        """Hang up, unless the peer may wait for what comes and has read what came."""
        if self._writable and (self._streaming or self._is_child):
            self._rearm()
        elif self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Hang up as soon as everything sent has left."""
        if self._transport is not None:
            self._transport.close()


class ControlServer:
    """The control socket and all of its peers."""

    def __init__(self, operations: Answering) -> None:
        self.operations = operations
        self.lines: set[ControlLine] = set()
        self._place: Place | None = None
        self._listener: asyncio.Server | None = None

    async def listen(self, place: Place) -> None:
        """Open the socket at `place`; it replaces one that was open before.

        Raises:
            OSError: it cannot be created there.
        """
        loop = asyncio.get_running_loop()
        if self._listener is not None:
            self._listener.close()
            self._listener = self._place = None
        listening = await asyncio.to_thread(place.open)
        self._place = place
        self._listener = await loop.create_unix_server(
            lambda: ControlLine(self), sock=listening, backlog=BACKLOG
        )

    async def is_reachable(self) -> bool:
        """Whether clients of the socket still reach this gateway."""
        return self._place is not None and await asyncio.to_thread(self._place.is_ours)

    async def adopt(self, line: socket.socket) -> ControlLine:
        """Serve our own process at the other end of `line`."""
        loop = asyncio.get_running_loop()
        _, served = await loop.connect_accepted_socket(
            lambda: ControlLine(self, is_child=True), line
        )
        return served

    def obstacle(self, uid: int) -> str:
        """Why to refuse another peer, of user `uid`; empty: serve it."""
        if uid not in (os.geteuid(), 0):
            return "only the gateway's own user and root may use this socket"
        return (
            "too many programs are connected to the gateway already; try again later"
            if len(self.lines) >= PEERS_MAX
            else ""
        )

    async def stop(self) -> None:
        """Hang up on all peers and remove the socket."""
        for line in list(self.lines):
            line.close()
        await self.leave()

    async def leave(self) -> None:
        """Make room for another gateway's socket; who is connected stays so."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._place is not None:
            await asyncio.to_thread(self._place.remove)
            self._place = None


def _failed(error: BaseException) -> Refused:
    """Log our own error; returns the answer for the peer."""
    message = "a request to the control socket failed"
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": message, "exception": error})
    return Refused("the gateway failed to carry it out; look in its log")


def _owner_of(line: socket.socket) -> tuple[int, int]:
    """Process and user id of the other end of a Unix socket."""
    credentials = struct.Struct("3i")
    data = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    pid, uid, _ = credentials.unpack(data)
    return int(pid), int(uid)
