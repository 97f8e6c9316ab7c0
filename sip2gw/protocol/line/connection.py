"""The conversation, without I/O: bytes in, events and bytes out, for both sides (B7, B8).

Framing, checksums, sequence numbers, replay, 96 and 97 and the login gate live here and nowhere
else; handlers see typed messages only (B10).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Literal

from msgspec import Struct

from sip2gw.protocol.checksum import (
    Trailer,
    character_checksum_matches,
    checksum_matches,
    seal,
    seal_characters,
    split_trailer,
    usual_body,
)
from sip2gw.protocol.codec import parse_request_body, parse_response_body, serialise
from sip2gw.protocol.errors import (
    FrameTooLongError,
    ProtocolError,
    StrangeAnswerError,
    UnknownMessageError,
    UnreadableError,
)
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.line.framing import FRAME_BYTES_MAX, FrameBuffer
from sip2gw.protocol.message import Request, Response, UnknownRequest
from sip2gw.protocol.messages import (
    Login,
    RequestAcsResend,
    RequestScResend,
    ScStatus,
)
from sip2gw.protocol.registry import requests_in
from sip2gw.protocol.structs import Discreet, Hidden, Opaque
from sip2gw.protocol.wire import WireFormat
from sip2gw.protocol.written import Written

RESEND_LIMIT = 3
"""Default of how many bad checksums in a row are answered before the line is closed (B8)."""
REPLAY_WINDOW_S = 60.0
"""How long after the first a retransmission counts as one (C68)."""

_RESEND = RequestAcsResend.code.encode()
RESEND_BODY = RequestScResend.code.encode()
"""A 96: its sender wants the last request again."""
_UNGATED = (Login, ScStatus)
"""Served before login, and always answered afresh (B11, C68)."""


class RequestReceived(Discreet, Struct):
    """A request for a handler; to be answered with `ServerConnection.send`."""

    request: Request
    gated: bool
    """The terminal must log in first: to be answered in failure form (C26)."""
    frame: Hidden[bytes] = b""
    """As it came, for a trace that redacts it first; so in the next three."""


class UnreadableReceived(Discreet, Struct):
    """A known command with an unreadable fixed block; `send` its refusal (B2)."""

    request_type: type[Request]
    frame: Hidden[bytes] = b""


@dataclass(slots=True)
class Reply:
    """Bytes that the connection itself wants written at once."""

    data: bytes = field(repr=False)
    kind: Literal["requested_by_us", "requested_by_terminal", "replayed"]
    frame: bytes = field(default=b"", repr=False, compare=False)


@dataclass(slots=True)
class Dropped:
    """A frame that gets no answer and is only counted (B2)."""

    reason: Literal["unknown_message"]
    frame: bytes = field(default=b"", repr=False, compare=False)


class Closed(Struct):
    """The connection must be closed; nothing more will come out of it."""

    reason: Literal["too_long", "checksum"]


Event = RequestReceived | UnreadableReceived | Reply | Dropped | Closed


class _Sent(Opaque, Struct):
    """Something that we sent, kept to send it again."""

    body: bytes
    sequence: bytes
    with_checksum: bool
    data: bytes
    """All of it, with trailer and terminator."""


class _Exchange(Opaque, Struct):
    """The last request that was handed out, and its answer once there is one."""

    frame: bytes
    trailer: Trailer
    at: float
    replayable: bool
    answer: _Sent | None = None


class ServerConnection:
    """Our side of one terminal's line.

    Feed it with `receive`, then take events until None. After RequestReceived or
    UnreadableReceived the next event comes only when `send` has answered it, so a pipelining
    terminal is served one request at a time and in order.
    """

    __slots__ = (
        "_bad_checksums",
        "_closing",
        "_exchange",
        "_frames",
        "_last_sent",
        "_over",
        "_resend_limit",
        "logged_in",
        "pending",
        "wire",
    )

    def __init__(
        self,
        wire: WireFormat,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        resend_limit: int = RESEND_LIMIT,
    ) -> None:
        self.wire = wire
        """May be replaced at any time, above all after a login."""
        self.logged_in = False
        self.pending = False
        """Whether a request waits for its answer."""
        self._frames = FrameBuffer(frame_bytes_max)
        self._resend_limit = resend_limit
        self._bad_checksums = 0
        self._closing: Closed | None = None
        self._over = False
        self._exchange: _Exchange | None = None
        self._last_sent: _Sent | None = None

    @property
    def partial(self) -> bool:
        """Whether a half-sent frame waits for its end (slow-loris limit, B3)."""
        return self._frames.partial

    @property
    def has_more(self) -> bool:
        """Whether `next_event` may have something to say before more data comes."""
        return self._closing is not None or self._frames.partial

    def trim(self) -> None:
        """Take no more room than what has come needs, since it is to wait (C137)."""
        self._frames.trim()

    def receive(self, data: bytes) -> None:
        """Take what the terminal has sent; ignored once the connection is closed."""
        if not self._over:
            self._frames.feed(data)

    def next_event(self, now: float) -> Event | None:
        """The next event at the monotonic time `now`, in seconds, or None.

        None means that there is nothing to do until more data comes or the pending request is
        answered, or that the connection has already been declared closed.
        """
        if self._over or self.pending:
            return None
        if self._closing is not None:
            return self._close(self._closing)
        try:
            frame = self._frames.next_frame()
        except FrameTooLongError:
            return self._close(Closed("too_long"))
        return None if frame is None else self._judge(frame, now)

    @property
    def pending_body(self) -> bytes:
        """The request that waits for its answer as it came, without AY and AZ; else empty."""
        return self._exchange.trailer.body if self._exchange is not None and self.pending else b""

    def send(self, response: Response, written: Written | None = None) -> bytes:
        """The bytes that answer the pending request, with its AY echoed; empty for no answer.

        `written` remembers the body for the next time.

        Raises:
            ProtocolError: no request is pending.
        """
        exchange = self._exchange
        if exchange is None or not self.pending:
            raise ProtocolError("no request is pending")
        trailer, wire = exchange.trailer, self.wire
        body = serialise(response, wire) if written is None else written.body_of(response, wire)
        self.pending = False
        if not body:
            exchange.replayable = False
            return b""
        exchange.answer = self._sealed(body, trailer.sequence, self._uses_checksum(trailer))
        return exchange.answer.data

    def _close(self, closed: Closed) -> Closed:
        self._over = True
        return closed

    def _judge(self, frame: bytes, now: float) -> Event:
        trailer = split_trailer(frame)
        if not self._checksum_good(trailer):
            return self._ask_again(frame, trailer)
        self._bad_checksums = 0
        if trailer.body[:COMMAND_WIDTH] == _RESEND:
            return self._send_again(frame, trailer)
        exchange = self._exchange
        if exchange is not None and _is_retransmission(exchange, frame, now):
            assert exchange.answer is not None, "frames wait while a request is pending"
            self._last_sent = exchange.answer
            return Reply(exchange.answer.data, "replayed", frame)
        return self._hand_out(frame, trailer, now)

    def _hand_out(self, frame: bytes, trailer: Trailer, now: float) -> Event:
        event: RequestReceived | UnreadableReceived
        try:
            request = parse_request_body(trailer.body, self.wire)
        except UnknownMessageError:
            if not self.wire.hands_out_unknown:
                return Dropped("unknown_message", frame)
            request_type: type[Request] = UnknownRequest
            event = RequestReceived(UnknownRequest(), not self.logged_in, frame)
        except UnreadableError as error:
            request_type = requests_in(self.wire.dialect)[error.command]
            event = UnreadableReceived(request_type, frame)
        else:
            request_type = type(request)
            gated = not self.logged_in and request_type not in _UNGATED
            event = RequestReceived(request, gated, frame)
        self._exchange = _Exchange(frame, trailer, now, request_type not in _UNGATED)
        self.pending = True
        return event

    def _checksum_good(self, trailer: Trailer) -> bool:
        wire = self.wire
        if wire.error_detection == "never":
            return True
        if not trailer.has_checksum:
            code = trailer.body[:COMMAND_WIDTH].decode("latin-1")
            return wire.error_detection == "mirror" or code not in requests_in(wire.dialect)
        if checksum_matches(trailer.summed, trailer.digits):
            return True
        return wire.accept_character_checksum and character_checksum_matches(
            wire.text.decode(trailer.summed), trailer.digits
        )

    def _uses_checksum(self, trailer: Trailer) -> bool:
        """Whether the answer to a frame with this `trailer` carries AZ (B7, C29)."""
        mode = self.wire.error_detection
        return mode == "always" or (mode == "mirror" and trailer.has_checksum)

    def _ask_again(self, frame: bytes, trailer: Trailer) -> Reply:
        """96; after the last one allowed the connection closes (B8, C28)."""
        self._bad_checksums += 1
        if self._bad_checksums >= self._resend_limit:
            self._closing = Closed("checksum")
        return Reply(self._request_resend(trailer), "requested_by_us", frame)

    def _request_resend(self, trailer: Trailer) -> bytes:
        body = serialise(RequestScResend(), self.wire)
        return self._sealed(body, b"", self._uses_checksum(trailer)).data

    def _send_again(self, frame: bytes, trailer: Trailer) -> Reply:
        """Answer a 97: the last thing sent, even a 96; 96 if there was nothing yet (B8)."""
        sent = self._last_sent
        if sent is None:
            return Reply(self._request_resend(trailer), "requested_by_terminal", frame)
        sequence = sent.sequence if self.wire.resend_with_sequence else b""
        with_checksum = sent.with_checksum or self._uses_checksum(trailer)
        data = seal(sent.body, sequence, with_checksum) + self.wire.terminator
        return Reply(data, "requested_by_terminal", frame)

    def _sealed(self, body: bytes, sequence: bytes, with_checksum: bool) -> _Sent:
        data = seal(body, sequence, with_checksum) + self.wire.terminator
        self._last_sent = _Sent(body, sequence, with_checksum, data)
        return self._last_sent


def _is_retransmission(exchange: _Exchange, frame: bytes, now: float) -> bool:
    """The previous request once more: same AY, same bytes, soon after (B8, C30, C68)."""
    return (
        exchange.replayable
        and exchange.trailer.sequence != b""
        and exchange.frame == frame
        and now - exchange.at <= REPLAY_WINDOW_S
    )


class ResponseReceived(Discreet, Struct):
    """An answer to the last request."""

    response: Response
    frame: Hidden[bytes] = b""


class ResendRequested(Struct):
    """The other side sent a 96: send the last request again with `ClientConnection.resend`."""


class BadChecksum(Struct):
    """An answer that cannot be trusted; ask for it again with `request_resend`."""

    reason: Literal["checksum", "unreadable"] = "checksum"
    """`unreadable`: the checksum is right or absent, but it is no answer that we know."""


_DIGITS = tuple(b"%d" % digit for digit in range(10))

ClientEvent = ResponseReceived | ResendRequested | BadChecksum


class ClientConnection:
    """One line to a SIP2 server: one request at a time, numbered from 0 to 9 in turn."""

    __slots__ = (
        "_characters",
        "_expected",
        "_frames",
        "_last",
        "_seal",
        "_sequences",
        "_with_checksum",
        "wire",
    )

    def __init__(
        self,
        wire: WireFormat,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        *,
        characters: bool = False,
    ) -> None:
        """With `characters` checksums are summed over characters; an answer may have either."""
        self.wire = wire
        self._characters = characters
        self._seal = partial(seal_characters, wire.text.decode) if characters else seal
        self._frames = FrameBuffer(frame_bytes_max)
        self._sequences = cycle(_DIGITS)
        self._expected = _DIGITS[-1]
        """The sequence number of the last request."""
        self._with_checksum = False
        self._last = b""

    def send(self, request: Request, checksum: bool = True) -> bytes:
        """The bytes of `request`, with the next sequence number and AZ if `checksum`."""
        return self.send_body(serialise(request, self.wire), checksum)

    def send_body(self, body: bytes, checksum: bool = True) -> bytes:
        """The same for a frame that was made by hand, without its trailer."""
        self._expected = next(self._sequences)
        self._with_checksum = checksum
        sequence = self._expected if checksum else b""
        self._last = self._seal(body, sequence, checksum) + self.wire.terminator
        return self._last

    def resend(self) -> bytes:
        """The last request once more, unchanged; empty before the first."""
        return self._last

    def request_resend(self) -> bytes:
        """97: ask for the last answer again; it carries no AY."""
        body = serialise(RequestAcsResend(), self.wire)
        return self._seal(body, b"", self._with_checksum) + self.wire.terminator

    def receive(self, data: bytes) -> None:
        """Take what the server has sent."""
        self._frames.feed(data)

    def next_response(self) -> ClientEvent | None:
        """The next event, or None until more data comes.

        An answer whose sequence number is not that of the last request is ignored, as the standard
        demands.

        Raises:
            FrameTooLongError: the server sends a message without end; close the line.
        """
        while (frame := self._frames.next_frame()) is not None:
            trailer = split_trailer(frame)
            if trailer.has_checksum and not checksum_matches(trailer.summed, trailer.digits):
                return BadChecksum()
            if trailer.sequence in (b"", self._expected):
                return self._understand(frame, trailer)
        return None

    @property
    def has_more(self) -> bool:
        """Whether more has come than what `next_body` gave, line ends not counted."""
        return self._frames.partial

    def next_body(self, data: bytes = b"") -> bytes | None:
        """The body of the next frame after `data` has come, or None until more does.

        Stricter than `next_response`, for lines that several users share: with checksums an answer
        must have the AY of the request. A 96, which has none, is given out like an answer.

        Raises:
            StrangeAnswerError: it is damaged, or answers another request; close the line.
            FrameTooLongError: as `next_response`.
        """
        if data:
            self._frames.feed(data)
        frame = self._frames.next_frame()
        if frame is None:
            return None
        if self._with_checksum:
            body = usual_body(frame, self._expected)
            if body is not None:
                return body
        trailer = split_trailer(frame)
        if self._with_checksum:
            if (
                trailer.summed
                and not checksum_matches(trailer.summed, trailer.digits)
                and not self._characters_good(trailer)
            ):
                raise StrangeAnswerError
            if trailer.sequence != self._expected and trailer.body != RESEND_BODY:
                raise StrangeAnswerError
        return trailer.body

    def _characters_good(self, trailer: Trailer) -> bool:
        return self._characters and character_checksum_matches(
            self.wire.text.decode(trailer.summed), trailer.digits
        )

    def _understand(self, frame: bytes, trailer: Trailer) -> ClientEvent:
        try:
            response = parse_response_body(trailer.body, self.wire)
        except ProtocolError:
            return BadChecksum("unreadable")
        if isinstance(response, RequestScResend):
            return ResendRequested()
        return ResponseReceived(response, frame)
