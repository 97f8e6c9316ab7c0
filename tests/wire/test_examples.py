"""Every example read and written, whole and chopped, with each trailer and line end (B1, B3)."""

import pytest

from sip2gw.protocol.checksum import seal
from sip2gw.protocol.codec import parse_request, parse_response, serialise
from sip2gw.protocol.dialect import MESSAGES_OF, dialect_of
from sip2gw.protocol.line.connection import (
    ClientConnection,
    RequestReceived,
    ResponseReceived,
    ServerConnection,
)
from sip2gw.protocol.message import Message, Request
from sip2gw.protocol.registry import MESSAGES
from sip2gw.protocol.wire import WireFormat

from .examples import EXAMPLES, Example

WIRES = {name: WireFormat(dialect=name) for name in MESSAGES_OF}
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.message.code)


def parse(frame: bytes, like: Message) -> Message:
    if isinstance(like, Request):
        return parse_request(frame, wire_of(like))
    return parse_response(frame, wire_of(like))


def wire_of(message: Message) -> WireFormat:
    return WIRES[dialect_of(type(message))]


def test_every_message_has_an_example() -> None:
    assert {example.message.code for example in EXAMPLES} == set(MESSAGES)
    assert all(example.origin for example in EXAMPLES)


@each_example
def test_is_read_as_what_it_means(example: Example) -> None:
    assert parse(example.wire, example.message) == example.message


@each_example
def test_is_written_byte_for_byte(example: Example) -> None:
    assert serialise(example.message, wire_of(example.message)) == example.wire


@each_example
@pytest.mark.parametrize("between", [b"", b"|"])
@pytest.mark.parametrize("behind", [b"", b"|"])
def test_trailer_is_found_with_and_without_delimiters(
    example: Example, between: bytes, behind: bytes
) -> None:
    has_fields = b"|" in example.wire
    body = example.wire.removesuffix(b"|") + (between if has_fields else b"")
    frame = seal(body, b"7", True) + behind
    assert parse(frame, example.message) == example.message


@each_example
@pytest.mark.parametrize("line_end", [b"\r", b"\n", b"\r\n", b"\r\r\n"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("junk", [b"", b"\0 \n", b"\r\n\r\n"])
def test_stream_of_it_gives_it_whatever_the_chunks(
    example: Example, line_end: bytes, size: int, junk: bytes
) -> None:
    line = seal(example.wire, b"", True)
    stream = junk + line + line_end + junk
    assert messages_from(stream, size, example.message) == [example.message] * (
        0 if example.message.code in ("96", "97") else 1
    )


def messages_from(stream: bytes, size: int, like: Message) -> list[Message]:
    """What one of the two peers makes of `stream` in chunks of `size`; 96 and 97 stay inside."""
    found: list[Message] = []
    server, client = ServerConnection(wire_of(like)), ClientConnection(wire_of(like))
    for start in range(0, len(stream), size):
        chunk = stream[start : start + size]
        if isinstance(like, Request):
            server.receive(chunk)
            while (event := server.next_event(0.0)) is not None:
                if isinstance(event, RequestReceived):
                    found.append(event.request)
        else:
            client.receive(chunk)
            while (answer := client.next_response()) is not None:
                if isinstance(answer, ResponseReceived):
                    found.append(answer.response)
    return found
