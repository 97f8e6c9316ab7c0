"""The terminal's side of a conversation, without I/O: for test kiosks, probes and upstreams."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sip2gw.protocol.checksum import Trailer, checksum_matches, seal, split_trailer
from sip2gw.protocol.codec import parse_response_body, serialise
from sip2gw.protocol.errors import ProtocolError
from sip2gw.protocol.framing import FRAME_BYTES_MAX, FrameBuffer
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.messages import RequestAcsResend, RequestScResend
from sip2gw.protocol.wire import WireFormat


@dataclass(slots=True)
class ResponseReceived:
    """An answer to the last request."""

    response: Response
    frame: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class ResendRequested:
    """The other side sent a 96: send the last request again with `ClientConnection.resend`."""


@dataclass(slots=True)
class BadChecksum:
    """An answer that cannot be trusted; ask for it again with `request_resend`."""

    reason: Literal["checksum", "unreadable"] = "checksum"
    """`unreadable`: the checksum is right or absent, but it is no answer that we know."""


ClientEvent = ResponseReceived | ResendRequested | BadChecksum


class ClientConnection:
    """One line to a SIP2 server: one request at a time, numbered 0 to 9 and round again."""

    __slots__ = ("_frames", "_last", "_sequence", "_with_checksum", "wire")

    def __init__(self, wire: WireFormat, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.wire = wire
        self._frames = FrameBuffer(frame_bytes_max)
        self._sequence = 9
        self._with_checksum = False
        self._last = b""

    def send(self, request: Request, checksum: bool = True) -> bytes:
        """The bytes of `request`, with the next sequence number and AZ if `checksum`."""
        return self.send_body(serialise(request, self.wire), checksum)

    def send_body(self, body: bytes, checksum: bool = True) -> bytes:
        """The same for a frame that was made by hand, without its trailer."""
        self._sequence = (self._sequence + 1) % 10
        self._with_checksum = checksum
        self._last = self._sealed(body, self._expected if checksum else b"")
        return self._last

    def resend(self) -> bytes:
        """The last request once more, unchanged; empty before the first."""
        return self._last

    def request_resend(self) -> bytes:
        """97: ask for the last answer again; it carries no AY."""
        return self._sealed(serialise(RequestAcsResend(), self.wire), b"")

    def receive(self, data: bytes) -> None:
        """Take what the server has sent."""
        self._frames.feed(data)

    def next_response(self) -> ClientEvent | None:
        """The next event, or None until more data comes.

        An answer with another sequence number than the last request's is passed over, as the
        standard demands.

        Raises:
            FrameTooLongError: the server sends without end; close the line.
        """
        while (frame := self._frames.next_frame()) is not None:
            trailer = split_trailer(frame)
            if trailer.digits and not checksum_matches(trailer.summed, trailer.digits):
                return BadChecksum()
            if trailer.sequence in (b"", self._expected):
                return self._understand(frame, trailer)
        return None

    def _understand(self, frame: bytes, trailer: Trailer) -> ClientEvent:
        try:
            response = parse_response_body(trailer.body, self.wire)
        except ProtocolError:
            return BadChecksum("unreadable")
        if isinstance(response, RequestScResend):
            return ResendRequested()
        return ResponseReceived(response, frame)

    @property
    def _expected(self) -> bytes:
        return b"%d" % self._sequence

    def _sealed(self, body: bytes, sequence: bytes) -> bytes:
        return seal(body, sequence, self._with_checksum) + self.wire.terminator
