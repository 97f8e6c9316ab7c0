"""Answers of a library system that say the same are read once (B71)."""

from __future__ import annotations

import pytest

from sip2gw.backend.upstream.readings import KEPT_BYTES_MAX, Readings
from sip2gw.protocol.errors import ProtocolError
from sip2gw.protocol.wire import WireFormat

NO_FLAGS = b" " * 14


def b64(time: bytes = b"20260302    101500", more: bytes = b"") -> bytes:
    return b"64" + NO_FLAGS + b"001" + time + b"0" * 24 + b"AOHUB|AA91|AEJan|BLY|" + more


def b24(time: bytes = b"20260302    101500") -> bytes:
    return b"24" + NO_FLAGS + b"001" + time + b"AOHUB|AA91|AEJan|BLY|"


async def test_what_says_the_same_later_is_the_same_message() -> None:
    read = Readings(WireFormat()).read
    first = read(b64())
    assert read(b64(b"20260302    101501")) is first
    assert read(b24()) is read(b24(b"20260302    101502"))


@pytest.mark.parametrize(
    "other",
    [
        b64(more=b"BV1.00|"),  # another field
        b64().replace(b"64 ", b"64Y"),  # a flag
        b64().replace(b"0" * 24, b"0001" + b"0" * 20),  # a count, which stands after the date
        b64().replace(b"AA91", b"AA92"),
    ],
)
async def test_what_says_anything_else_is_another(other: bytes) -> None:
    read = Readings(WireFormat()).read
    assert read(b64()) != read(other)


async def test_only_answers_about_patrons_are_kept_and_no_long_ones() -> None:
    read = Readings(WireFormat()).read
    assert read(b"941") is not read(b"941")
    long = b64(more=b"AS" + b"x" * KEPT_BYTES_MAX + b"|")
    assert read(long) is not read(long)


async def test_what_is_forgotten_is_read_anew() -> None:
    readings = Readings(WireFormat())
    first = readings.read(b64())
    readings.forget()
    assert readings.read(b64()) is not first


async def test_what_cannot_be_read_is_an_error_each_time() -> None:
    read = Readings(WireFormat()).read
    for _ in range(2):
        with pytest.raises(ProtocolError):
            read(b"64too short|")
