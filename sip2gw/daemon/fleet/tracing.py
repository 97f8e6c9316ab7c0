"""One trace of a terminal, wherever its lines are (B86).

Each worker traces what it has of the terminal, and limits how much that is a second. Here the
frames of all are counted, and the peer gets one end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from sip2gw.control.channel import Channel
from sip2gw.control.messages import (
    TRACE_SECONDS_MAX,
    AnyAnswer,
    Trace,
    TraceBegan,
    TraceEnded,
    TraceEvent,
)
from sip2gw.control.tracing import Peer
from sip2gw.daemon.fleet.member import Member

_Reason = Literal["seconds", "frames", "stopping"]
_FRAMES = ("received", "sent")


class JointTrace:
    """A trace for one peer.

    Args:
        request: names a terminal that exists, and limits that are allowed.
        on_end: called when it has ended.
    """

    def __init__(self, request: Trace, peer: Peer, on_end: Callable[[JointTrace], None]) -> None:
        self.peer, self.terminal = peer, request.terminal
        self._request, self._on_end = request, on_end
        loop = asyncio.get_running_loop()
        self._until = loop.time() + request.seconds
        self._timer = loop.call_later(request.seconds, self.end, "seconds")
        self._channels: list[Channel] = []
        self._left = request.frames
        self._missed = self._missed_in_all = 0
        self._over = False
        self._early: list[AnyAnswer] | None = []
        """What came before the peer was told that the trace has begun."""
        self._early_end: _Reason | None = None

    def told(self) -> None:
        """The peer knows that it has begun."""
        early, self._early = self._early or [], None
        for answer in early:
            self._hear(answer)
        if self._early_end is not None:
            self.end(self._early_end)

    async def join(self, member: Member) -> int:
        """Trace what this worker has of the terminal, too; returns how many lines that is."""
        channel = await member.converse(self._hear)
        remaining = self._until - asyncio.get_running_loop().time()
        if channel is None:
            return 0
        if self._over or remaining <= 0:
            channel.close()
            return 0
        self._channels.append(channel)
        # Longer than here, where it ends for all at once.
        seconds = min(remaining + 1.0, TRACE_SECONDS_MAX)
        began = await channel.ask(Trace(self.terminal, seconds, self._request.frames))
        return began.lines if isinstance(began, TraceBegan) else 0

    def _hear(self, answer: AnyAnswer) -> None:
        if self._over or not isinstance(answer, TraceEvent):
            return
        if self._early is not None:
            self._early.append(answer)
            return
        self._missed += answer.missed
        self._missed_in_all += answer.missed
        is_frame = answer.what in _FRAMES
        if not self.peer.ready:
            self._missed += is_frame
            self._missed_in_all += is_frame
            return
        missed, self._missed = self._missed, 0
        self.peer.tell(TraceEvent(answer.time, answer.line, answer.what, answer.shown, missed))
        self._left -= is_frame
        if self._left <= 0:
            self.end("frames")

    def end(self, reason: _Reason) -> None:
        """End it everywhere, and say why; not before the peer knows that it has begun."""
        if self._early is not None:
            self._early_end = reason
        elif not self._over:
            self.stop()
            self.peer.tell(TraceEnded(reason, self._missed_in_all))

    def stop(self) -> None:
        """End it without saying so, for a peer that has gone."""
        if not self._over:
            self._over = True
            self._timer.cancel()
            for channel in self._channels:
                channel.close()
            self._on_end(self)
