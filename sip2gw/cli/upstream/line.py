"""One line to a library system that is looked at: everything has a time limit (B80)."""

from __future__ import annotations

import re
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import Any

from sip2gw.cli.upstream.seen import Exchange, Tls, Verdict
from sip2gw.config.tables.upstream import Account, UpstreamTls
from sip2gw.protocol.checksum import split_trailer
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.errors import FrameTooLongError
from sip2gw.protocol.line.connection import ClientConnection
from sip2gw.protocol.line.framing import FrameBuffer
from sip2gw.protocol.line.matching import asked_by
from sip2gw.protocol.message import Request
from sip2gw.protocol.wire import WireFormat

CONNECT_WITHIN_S = 10.0
ANSWER_WITHIN_S_MAX = 10.0
FRAME_BYTES_MAX = 1 << 20
_CHUNK = 65536
_LINE_END = re.compile(rb"\r\n|\n\r|\r|\n")


class UnreachableError(Exception):
    """There is no line; the text says why, and what to do."""


class Line:
    """One connection, on which one request at a time is asked."""

    def __init__(self, account: Account, checksums: bool) -> None:
        self._socket, self.tls = _connected(account)
        wire = WireFormat(
            encoding=account.encoding,
            terminator=account.terminator,
            date_zone=account.date_zone,
        )
        self.wire = wire
        self.checksums = checksums
        self._sealer = ClientConnection(wire)
        # Longer than the gateway waits, so that it can be said how long it should.
        self._within_s = min(2 * account.timeout_s, ANSWER_WITHIN_S_MAX)
        self._frames = FrameBuffer(FRAME_BYTES_MAX)
        self._received = bytearray()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    @property
    def line_ends(self) -> tuple[bytes, ...]:
        """What ended the messages so far, each once."""
        return tuple(dict.fromkeys(_LINE_END.findall(self._received)))

    def ask(self, request: Request, *, checksum: bool | None = None) -> Exchange:
        """Send `request`, and wait for one frame; whatever happens is in the result."""
        sums = self.checksums if checksum is None else checksum
        body = serialise(request, self.wire)
        data = self._sealer.send_body(body, sums)
        sequence = split_trailer(data.rstrip()).sequence
        began = time.monotonic()
        try:
            self._socket.sendall(data)
            frame = self._frame(began + self._within_s)
        except TimeoutError:
            failure: Any = Verdict.SILENT
        except FrameTooLongError:
            failure = Verdict.ENDLESS
        except OSError:
            failure = Verdict.CLOSED
        else:
            took_s = time.monotonic() - began
            return Exchange(request.code, sequence, frame, took_s, asked=asked_by(body))
        return Exchange(request.code, sequence, b"", time.monotonic() - began, failure)

    def _frame(self, deadline: float) -> bytes:
        while (frame := self._frames.next_frame()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionResetError
            self._received += data
            self._frames.feed(data)
        return frame


def _connected(account: Account) -> tuple[socket.socket, Tls | None]:
    address = account.address
    try:
        plain = socket.create_connection((address.host, address.port), CONNECT_WITHIN_S)
    except OSError as error:
        raise UnreachableError(
            f"nobody answers at {address} ({error.strerror or error}); check address, firewall and"
            " whether its SIP2 server is running"
        ) from None
    # Pieces that are written separately must leave separately.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if account.tls is None:
        return plain, None
    try:
        secured = _context(account.tls).wrap_socket(
            plain, server_hostname=account.tls.name or address.host
        )
    except (OSError, ValueError) as error:
        plain.close()
        raise UnreachableError(_tls_problem(error, account.tls)) from None
    return secured, _tls_seen(secured)


def _context(tls: UpstreamTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def _tls_problem(error: Exception, tls: UpstreamTls) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); name the right authority as"
            " tls_ca, and the name in the certificate as tls_name"
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS failed ({error.reason or 'it broke off'}); check whether this port speaks TLS 1.2"
            " or later, and whether it wants a client certificate (tls_certificate, tls_key)"
        )
    if isinstance(error, TimeoutError):
        return "TLS failed (no answer in time); check whether this port speaks TLS"
    files = ", ".join(str(one) for one in (tls.ca, tls.certificate, tls.key) if one is not None)
    if isinstance(error, FileNotFoundError | PermissionError):
        return f"TLS failed, because a file cannot be read; check {files}"
    return "TLS failed, because the line broke off; check whether this port speaks TLS"


def _tls_seen(line: ssl.SSLSocket) -> Tls:
    certificate: Any = line.getpeercert() or {}
    names = [value for _, value in certificate.get("subjectAltName", ())]
    subject = [value for part in certificate.get("subject", ()) for _, value in part]
    end = certificate.get("notAfter")
    return Tls(
        line.version() or "TLS",
        next(iter([*names, *subject]), ""),
        datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if end else None,
    )
