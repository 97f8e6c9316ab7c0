"""What a coverage-guided fuzzer feeds: bytes of strangers, and the errors that we declare for them.

A target takes any bytes. Whatever it raises is a finding: a declared error ends inside, and what is
promised of the rest is asserted.
"""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from harness import CONFIG, LIBRARY, NOON, ZONE

from proofs.dialogues import ALL_BODIES, sealed
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.backend.loading.importing import ImportSettings, import_records
from sip2gw.config import ConfigError, load_config
from sip2gw.protocol.codec import (
    parse_request_body,
    parse_response,
    parse_response_body,
    serialise,
)
from sip2gw.protocol.connection import (
    ClientConnection,
    Reply,
    RequestReceived,
    ServerConnection,
    UnreadableReceived,
)
from sip2gw.protocol.describe import describe_frame, redact_frame
from sip2gw.protocol.errors import FrameTooLongError, ProtocolError, StrangeAnswerError
from sip2gw.protocol.proxy import ProxyHeaderError, read_proxy_header
from sip2gw.protocol.wire import WireFormat

WIRES = (
    WireFormat(),
    WireFormat(encoding="utf-8", terminator=b"\r\n", error_detection="always"),
    WireFormat(encoding="latin-1", error_detection="never", dialect="wise"),
    WireFormat(encoding="ascii", dialect="gossip", accept_character_checksum=True, substitute="?"),
    WireFormat(encoding="cp1252", resend_with_sequence=True, hands_out_unknown=True),
    WireFormat(encoding="utf-8", keeps_bytes=True, value_bytes_max=40),
)
FRAME_BYTES_MAX = 600
"""So short that a fuzzer gets there."""
ANSWERS = (
    b"941",
    b"98YNNNNN10000320260310    1200002.00AOHUB|AMHub|BXYYYYYYYYYYYYYYYY|",
    b"24              00120260310    120000AEAnna|AA1001|BLY|CQY|AOHUB|",
    b"38Y20260310    120000AOHUB|AA1001|AFPaid|",
)


@dataclass(frozen=True)
class Target:
    """One door for bytes of strangers."""

    feed: Callable[[bytes], None]
    seeds: Sequence[bytes]
    """Good input, from which the fuzzer sets out."""


def frames(data: bytes) -> None:
    """A line, whose first two bytes choose its form and how many bytes come at a time."""
    if len(data) < 2:
        return
    wire, size, rest = WIRES[data[0] % len(WIRES)], data[1] % 64 + 1, data[2:]
    server = ServerConnection(wire, FRAME_BYTES_MAX, resend_limit=3)
    server.logged_in = bool(data[0] & 0x80)
    for at in range(0, len(rest), size):
        server.receive(rest[at : at + size])
        _serve(server, float(at))
    _listen(rest, wire)


def _serve(server: ServerConnection, now: float) -> None:
    while (event := server.next_event(now)) is not None:
        answer = b""
        match event:
            case RequestReceived():
                answer = server.send(event.request.failure_form("HUB", NOON, ("no",)))
            case UnreadableReceived():
                answer = server.send(event.request_type().failure_form("HUB", NOON, ("no",)))
            case Reply():
                answer = event.data
        if answer:
            assert answer.endswith(server.wire.terminator)
            body = answer.removesuffix(server.wire.terminator)
            assert not set(body) & set(b"\r\n\0")
            parse_response(body, server.wire)


def _listen(data: bytes, wire: WireFormat) -> None:
    """The terminal's side, whose server may say anything as well."""
    for next_of in (ClientConnection.next_response, ClientConnection.next_body):
        client = ClientConnection(wire, FRAME_BYTES_MAX, characters=True)
        client.send_body(b"9900302.00")
        client.receive(data)
        with suppress(FrameTooLongError, StrangeAnswerError):
            while next_of(client) is not None:
                pass


def codec(data: bytes) -> None:
    """One frame, read as either side reads it and as people read it."""
    if not data:
        return
    wire, body = WIRES[data[0] % len(WIRES)], data[1:]
    with suppress(ProtocolError):
        answer = parse_request_body(body, wire).failure_form("HUB", NOON, ("no",))
        written = serialise(answer, wire)
        assert not set(written) & set(b"\r\n\0")
    with suppress(ProtocolError):
        serialise(parse_response_body(body, wire), wire)
    lines = describe_frame(redact_frame(body), wire, wary=bool(data[0] & 0x80))
    assert all(isinstance(line, str) for line in lines)


def proxy(data: bytes) -> None:
    """What comes before all else from a proxy (C132)."""
    try:
        header = read_proxy_header(data)
    except ProxyHeaderError:
        return
    if header is None:
        return
    assert header.source is None or ip_address(header.source)
    assert 0 < header.length <= len(data)
    # Whoever peeks sees it grow, and must find the same end.
    assert read_proxy_header(data[: header.length]) == header
    assert read_proxy_header(data[: header.length - 1]) is None


@cache
def _directory() -> Path:
    directory = tempfile.mkdtemp(prefix="sip2gw-fuzz-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def configuration(data: bytes) -> None:
    """A file that somebody wrote (B66)."""
    file = _directory() / "sip2gw.toml"
    file.write_bytes(data)
    problems: tuple[str, ...] = ()
    try:
        load_config(file)
    except ConfigError as error:
        problems = error.problems or ("nothing is said",)
    assert all(line.startswith(str(file)) for line in problems)


@cache
def _store() -> Library:
    file = _directory() / "store.toml"
    file.write_text(CONFIG)
    return open_backend(load_config(file), "command", "make").store


def json_lines(data: bytes) -> None:
    """A file to import, checked against an empty store; nothing is written (B69)."""
    report = import_records(
        _store(),
        [("data.jsonl", io.BytesIO(data))],
        settings=ImportSettings("EUR", ZONE, NOON),
        dry_run=True,
    )
    assert not report.applied
    assert all(line.startswith("data.jsonl:") for line in (*report.errors, *report.warnings))


_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_PEERS_4 = bytes.fromhex("c0000207 c0000201 1234 1771")
_PEERS_6 = bytes.fromhex("20010db8 00000000 00000000 00000007") * 2 + bytes(4)
_TLV = b"\x02\x00\x03hub"

TARGETS = {
    "frames": Target(
        frames,
        [
            bytes([at % 256, 20]) + sealed(body, at) + b"\r" + sealed(b"97", 0) + b"\r"
            for at, body in enumerate(ALL_BODIES)
        ],
    ),
    "codec": Target(
        codec,
        [bytes([at % 256]) + body for at, body in enumerate((*ALL_BODIES, *ANSWERS))],
    ),
    "proxy": Target(
        proxy,
        [
            b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 6001\r\n99",
            b"PROXY TCP6 2001:db8::7 2001:db8::1 4660 6001\r\n",
            b"PROXY UNKNOWN whatever\r\n",
            _V2 + b"\x21\x11\x00\x0c" + _PEERS_4 + b"99",
            _V2 + b"\x21\x11\x00\x12" + _PEERS_4 + _TLV,
            _V2 + b"\x21\x21\x00\x24" + _PEERS_6,
            _V2 + b"\x20\x00\x00\x00",
        ],
    ),
    "configuration": Target(
        configuration,
        [
            CONFIG.encode(),
            b'[institution]\nid = "HUB"\n',
            *(f"[institution]\nid = 'H'\n[{part}".encode() for part in CONFIG.split("\n[")[1:]),
        ],
    ),
    "json-lines": Target(
        json_lines,
        [
            "\n".join(map(json.dumps, LIBRARY)).encode(),
            *(json.dumps(record).encode() for record in LIBRARY),
        ],
    ),
}
