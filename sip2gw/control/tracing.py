"""Traces of a terminal: the messages on its lines, decoded and without secrets, at a limited rate.

The gateway decodes and masks each frame before it shows it (B16, C78). So no secret leaves the
gateway, and no field that its tag marks as a possible secret. Decoding takes the loop some time, so
a trace shows a limited number of frames a second. It counts the frames beyond that, and those that
come while the reader is too slow (B68, B86).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from sip2gw.control.messages import Answer, TraceEnded, TraceEvent
from sip2gw.protocol.describe import describe_frame
from sip2gw.protocol.wire import WireFormat

FRAMES_PER_SECOND_MAX = 100

_What = Literal["received", "sent", "connected", "disconnected"]
_Reason = Literal["seconds", "frames", "stopping"]


class Peer(Protocol):
    """Whoever has asked for something."""

    uid: int
    """The user id of its process; -1: unknown."""
    pid: int
    """The number of its process; -1: unknown."""

    @property
    def ready(self) -> bool:
        """Whether it keeps up with what it is sent."""

    def tell(self, answer: Answer) -> None:
        """Send `answer` to it."""


class Trace:
    """Watches the lines of one terminal for one peer."""

    def __init__(
        self,
        peer: Peer,
        frames: int,
        *,
        moment: Callable[[], str],
        monotonic: Callable[[], float],
        on_end: Callable[[Trace], None],
    ) -> None:
        """Show `peer` at most `frames` frames; `on_end` is called when the trace ends."""
        self.peer = peer
        self._left = frames
        self._moment, self._monotonic = moment, monotonic
        self._on_end = on_end
        self._missed = self._missed_in_all = 0
        self._second, self._in_second = 0, 0
        self._over = False

    def came(self, line: int, address: str) -> None:
        """Show that the terminal has connected, and from where."""
        self._tell(line, "connected", [address])

    def went(self, line: int) -> None:
        """Show that the connection has ended."""
        self._tell(line, "disconnected", [])

    def saw(
        self, line: int, what: Literal["received", "sent"], frame: bytes, wire: WireFormat
    ) -> None:
        """Show a frame, or only count it if there are too many or the peer is too slow."""
        if self._over:
            return
        if not self.peer.ready or not self._has_time():
            self._missed += 1
            self._missed_in_all += 1
            return
        self._tell(line, what, describe_frame(frame, wire, wary=True))
        self._left -= 1
        if self._left <= 0:
            self.end("frames")

    def _has_time(self) -> bool:
        second = int(self._monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second <= FRAMES_PER_SECOND_MAX

    def _tell(self, line: int, what: _What, shown: list[str]) -> None:
        if self._over or not self.peer.ready:
            return
        missed, self._missed = self._missed, 0
        self.peer.tell(TraceEvent(self._moment(), line, what, shown, missed))

    def end(self, reason: _Reason) -> None:
        """End the trace and say why."""
        if not self._over:
            self.stop()
            self.peer.tell(TraceEnded(reason, self._missed_in_all))

    def stop(self) -> None:
        """End the trace without saying so, for a peer that has gone."""
        if not self._over:
            self._over = True
            self._on_end(self)
