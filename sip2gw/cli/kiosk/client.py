"""A test kiosk: the terminal's side of one line, one request at a time, waiting for each answer."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from msgspec import Struct

from sip2gw.cli.common import printable
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.cli.kiosk.tls import Tls, speaks_tls
from sip2gw.config.types import Address, parse_address
from sip2gw.protocol.checksum import seal, split_trailer
from sip2gw.protocol.codec import parse_response, serialise
from sip2gw.protocol.describe import describe_frame, redact_frame
from sip2gw.protocol.errors import FrameTooLongError, ProtocolError
from sip2gw.protocol.line.connection import ClientConnection
from sip2gw.protocol.line.framing import FrameBuffer
from sip2gw.protocol.messages import (
    Login,
    LoginResponse,
    Request,
    RequestAcsResend,
    Response,
    ScStatus,
)
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.wire import WireFormat

TIMEOUT_S = 10.0
FRAME_BYTES_MAX = 1 << 20
"""Longest answer accepted from a gateway; generous, because this is a test tool."""
_CHUNK = 65536
_RESEND = RequestAcsResend.code.encode()

LOGIN_REFUSED = (
    "the gateway refused the login (940); login_refused in its log has the reason: correct the"
    " password, network or certificate name that it is about"
)
_NOT_LET_IN = (
    "check that a terminal may come from this machine (networks), and whether that address has"
    " proxy = true: then it takes connections with a PROXY header only, so go through the proxy"
)


class NoAnswerError(CommandError):
    """No answer came in time."""


class LineClosedError(CommandError):
    """The other side has closed the line."""


Show = Callable[[str, bytes, WireFormat], None]
"""Prints an arrow and a frame."""


def show_frame(arrow: str, frame: bytes, wire: WireFormat) -> None:
    """Print `frame` as it is and field by field, with secrets masked."""
    sys.stdout.write(f"{arrow} {printable(wire.text.decode(redact_frame(frame)))}\n")
    for line in describe_frame(frame, wire):
        sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


class Credentials(Discreet, Struct, frozen=True):
    """How a terminal logs in; an empty login means that it does not."""

    login: Hidden[str]
    password: Hidden[str]
    location: str | None = None

    def request(self) -> Login:
        """The 93."""
        return Login(
            login_user_id=self.login, login_password=self.password, location_code=self.location
        )


class Kiosk:
    """One connection to a gateway."""

    def __init__(
        self,
        line: socket.socket,
        wire: WireFormat,
        timeout_s: float,
        *,
        checksums: bool,
        address: Address,
        tls: Tls | None = None,
    ) -> None:
        self.wire = wire
        self._address = address
        self._line = line
        self._tls = tls
        self._heard = False
        """Whether anything was answered."""
        self._timeout_s = timeout_s
        self._checksums = checksums
        self._sealer = ClientConnection(wire)
        self._frames = FrameBuffer(FRAME_BYTES_MAX)

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        encoding: str = "cp850",
        timeout_s: float = TIMEOUT_S,
        checksums: bool = True,
        tls: Tls | None = None,
    ) -> Kiosk:
        """Connect to `address`, `host:port`.

        Raises:
            UsageError: the address, the encoding or a file of `tls` is not valid.
            CommandError: nobody listens there, or TLS fails.
        """
        try:
            place = parse_address(address)
            wire = WireFormat(encoding=encoding)
        except ValueError as error:
            raise UsageError(f"{address}: {error}") from None
        context = None if tls is None else tls.context()
        try:
            line = socket.create_connection(place, timeout_s)
        except OSError as error:
            raise CommandError(
                f"{address}: {error.strerror or error}; start the gateway there, or correct the"
                " address"
            ) from None
        # Pieces that are written separately must leave separately.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None and context is not None:
            line = tls.secured(context, line, place.host)
        return cls(line, wire, timeout_s, checksums=checksums, address=place, tls=tls)

    def __enter__(self) -> Kiosk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    @property
    def closed(self) -> bool:
        """Whether we have hung up."""
        return self._line.fileno() < 0

    @contextmanager
    def noticing_tls(self) -> Iterator[None]:
        """Say why it may be that nothing is answered: the other side speaks TLS, or lets us not in.

        Raises:
            CommandError: nothing was answered.
        """
        try:
            yield
        except (NoAnswerError, LineClosedError) as error:
            if self._heard or self._tls is not None:
                raise
            if not speaks_tls(*self._address):
                if isinstance(error, NoAnswerError):
                    raise
                raise CommandError(f"{error}; {_NOT_LET_IN}") from None
            raise CommandError(
                f"{error}, because it speaks TLS there; add --tls, and --ca FILE if your library"
                " is its own authority"
            ) from None

    def log_in(self, credentials: Credentials) -> None:
        """Send a 93.

        Raises:
            CommandError: the login was refused, or no answer came.
        """
        answer = self.ask(credentials.request())
        if not isinstance(answer, LoginResponse) or not answer.ok:
            raise CommandError(LOGIN_REFUSED)

    def institution(self) -> str:
        """The institution id that the gateway sends; empty when it sends none.

        Raises:
            CommandError: the gateway does not answer.
        """
        return getattr(self.ask(ScStatus()), "institution_id", "")

    def ask(self, request: Request) -> Response:
        """Send `request` and return the answer as a message.

        Raises:
            CommandError: no readable answer came.
        """
        self.send(self.frame_of(request))
        try:
            return parse_response(self.receive(), self.wire)
        except ProtocolError as error:
            raise CommandError(f"the answer is not readable: {error}") from None

    def frame_of(self, request: Request) -> bytes:
        """`request` as it will leave, with its trailer."""
        return self.sealed(serialise(request, self.wire))

    def sealed(self, body: bytes) -> bytes:
        """`body` with the next AY and its AZ; a body with a trailer of its own is left unchanged.

        A 97 carries no AY (B7).
        """
        trailer = split_trailer(body)
        if not self._checksums or trailer.sequence or trailer.digits:
            return body
        if body == _RESEND:
            return seal(body, b"", with_checksum=True)
        return self._sealer.send_body(body).removesuffix(self.wire.terminator)

    def send(self, frame: bytes) -> None:
        """Write `frame` and its terminator.

        Raises:
            LineClosedError: the other side is gone.
        """
        self.write(frame + self.wire.terminator)

    def write(self, data: bytes) -> None:
        """Write bytes as they are.

        Raises:
            LineClosedError: the other side is gone.
        """
        try:
            self._line.sendall(data)
        except OSError as error:
            raise self._closed(error, "the line was closed") from None

    def receive(self) -> bytes:
        """The next frame, whatever it is.

        Raises:
            NoAnswerError: none came in time.
            LineClosedError: the other side closed the line.
            CommandError: the frame has no end.
        """
        deadline = time.monotonic() + self._timeout_s
        while (frame := self._next_frame()) is None:
            self._line.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._line.recv(_CHUNK)
            except TimeoutError:
                raise NoAnswerError(f"no answer within {self._timeout_s:g} s") from None
            except OSError as error:
                raise self._closed(error, "the line broke") from None
            if not data:
                raise self._closed(None, "no answer: the gateway closed the line")
            self._frames.feed(data)
        self._heard = True
        return frame

    def _closed(self, error: OSError | None, what: str) -> LineClosedError:
        """`what` has happened, and why if that is known."""
        if self._tls is not None and not self._heard:
            # With TLS 1.3 our handshake is over before the gateway has looked at our certificate.
            return LineClosedError(f"{what}: {self._tls.refusal(error)}")
        return LineClosedError(what if error is None else f"{what}: {error.strerror or error}")

    def _next_frame(self) -> bytes | None:
        try:
            return self._frames.next_frame()
        except FrameTooLongError as error:
            raise CommandError(str(error)) from None
