"""Answers of library systems, made of the bytes that they send."""

from sip2gw.protocol.codec import parse_response_body
from sip2gw.protocol.wire import WireFormat

WIRE = WireFormat()
DECODE = WIRE.text.decode
DATE = b"20260310    120000"


def information(fields, flags=b"", wire=WIRE):
    """A 64 with `flags` at the beginning of the patron status, and tagged `fields`."""
    counts = b"0000" * 6
    return parse_response_body(b"64" + flags.ljust(14) + b"000" + DATE + counts + fields, wire)


def status(fields, flags=b"", wire=WIRE):
    """The same as a 24, which declares fewer fields."""
    return parse_response_body(b"24" + flags.ljust(14) + b"000" + DATE + fields, wire)
