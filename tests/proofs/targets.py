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
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from backend.library import LIBRARY as RICH_LIBRARY
from harness import CONFIG, LIBRARY, NOON, ZONE
from msgspec import structs

from proofs.dialogues import ALL_BODIES, sealed
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.backend.loading.format import LINES
from sip2gw.backend.loading.importing import ImportSettings, import_records
from sip2gw.backend.loading.json_lines import records
from sip2gw.backend.loading.lines import Findings, RecordReader, Rules, TooManyErrorsError
from sip2gw.backend.loading.staging import Stage, Staged
from sip2gw.config import ConfigError, json_schema, load_config
from sip2gw.demo import configuration as demo_configuration
from sip2gw.model import RelationshipType
from sip2gw.protocol.codec import (
    parse_request_body,
    parse_response,
    parse_response_body,
    serialise,
)
from sip2gw.protocol.describe import describe_frame, redact_frame
from sip2gw.protocol.errors import FrameTooLongError, ProtocolError, StrangeAnswerError
from sip2gw.protocol.line.connection import (
    ClientConnection,
    Reply,
    RequestReceived,
    ServerConnection,
    UnreadableReceived,
)
from sip2gw.protocol.line.proxy import ProxyHeaderError, read_proxy_header
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


IMPORTED_EVERY = 8
"""The store takes most of the time; which inputs it gets depends on them alone."""


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


class _Rows(Stage):
    """What is read, kept nowhere: a store would take a hundred times as long as the reading."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, table: Staged, row: tuple[object, ...]) -> None:
        assert len(row) == len(table.all_columns)
        self.count += 1


def json_lines(data: bytes) -> None:
    """A file to import; some of those without a mistake are checked in an empty store (B69)."""
    rows, findings = _Rows(), Findings()
    findings.begin_file("data.jsonl", 0)
    reader = RecordReader(rows, Rules("EUR", ZONE, frozenset(RelationshipType)), findings)
    with suppress(TooManyErrorsError):
        for src, take in records(io.BytesIO(data), 0):
            reader.read(src, take)
    told = findings.texts([*findings.errors, *findings.warnings])
    assert all(line.startswith("data.jsonl:") for line in told)
    if rows.count and not findings.errors and zlib.crc32(data) % IMPORTED_EVERY == 0:
        _import(data)


def _import(data: bytes) -> None:
    """Nothing is written."""
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


def _keys_of_configuration() -> list[bytes]:
    tables = [json_schema(), *json_schema()["$defs"].values()]
    return sorted({key.encode() for table in tables for key in table.get("properties", {})})


def _keys_of_json_lines() -> list[bytes]:
    kinds = LINES.values()
    return sorted({field.encode_name.encode() for kind in kinds for field in structs.fields(kind)})


def _short_lines(record: dict[str, Any]) -> Iterator[bytes]:
    """Lines with what must be there, and one key of `record` more: spoiling hits what matters."""
    fields = structs.fields(LINES[record["kind"]])
    needed = {"kind"} | {field.encode_name for field in fields if field.required}
    for more in sorted(record.keys() - needed) or ["kind"]:
        keys = {key: record[key] for key in record if key in needed or key == more}
        yield json.dumps(keys).encode()


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
            demo_configuration("127.0.0.1:0", "127.0.0.1:0").encode(),
            b"# " + b" ".join(_keys_of_configuration()),
            *(f"[institution]\nid = 'H'\n[{part}".encode() for part in CONFIG.split("\n[")[1:]),
        ],
    ),
    "json-lines": Target(
        json_lines,
        [
            "\n".join(map(json.dumps, LIBRARY)).encode(),
            *(line for record in (*LIBRARY, *RICH_LIBRARY) for line in _short_lines(record)),
            b" ".join(_keys_of_json_lines()),
        ],
    ),
}
