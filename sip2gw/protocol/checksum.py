"""The checksum of SIP2 and the trailer that carries it.  Spec: SIP2 2.00, error detection."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from msgspec import Struct

from sip2gw.protocol.structs import Opaque

_CHUNK = 256
"""Adler-32's low half is an exact sum below 65,521: true for 256 bytes of at most 255 each."""
_ASCII_CHUNK = 512
"""And for 512 bytes of at most 127 each."""

_DIGITS = 4
_HEX_DIGITS = b"0123456789ABCDEFabcdef"


def checksum(data: bytes) -> int:
    """Sum of the bytes of `data`, computed at C speed through Adler-32."""
    if len(data) <= _CHUNK or (len(data) <= _ASCII_CHUNK and data.isascii()):
        return (zlib.adler32(data) & 0xFFFF) - 1
    chunk = _ASCII_CHUNK if data.isascii() else _CHUNK
    total = 0
    for start in range(0, len(data), chunk):
        total += (zlib.adler32(data[start : start + chunk]) & 0xFFFF) - 1
    return total


def checksum_digits(data: bytes) -> bytes:
    """The four upper-case hex digits that follow `data`, which ends in the letters `AZ` (B6)."""
    return b"%04X" % (-checksum(data) & 0xFFFF)


def character_checksum_digits(text: str) -> bytes:
    """The same over code points (B6)."""
    return b"%04X" % (-sum(map(ord, text)) & 0xFFFF)


def checksum_matches(data: bytes, digits: bytes) -> bool:
    """Whether `digits` are the checksum of `data`, which ends in `AZ`: four hex digits in either
    case."""
    # `_fits`, but for the call: each frame comes here.
    if len(digits) != _DIGITS or digits.strip(_HEX_DIGITS):
        return False
    return (checksum(data) + int(digits, 16)) & 0xFFFF == 0


def character_checksum_matches(text: str, digits: bytes) -> bool:
    """The same over code points: what some peers do with text beyond ASCII (B6)."""
    return _fits(sum(map(ord, text)), digits)


def _fits(total: int, digits: bytes) -> bool:
    if len(digits) != _DIGITS or digits.strip(_HEX_DIGITS):
        return False
    return (total + int(digits, 16)) & 0xFFFF == 0


class Trailer(Opaque, Struct):
    """A frame taken apart at its end. Its parts may hold secrets, so `repr` shows none (B16)."""

    body: bytes
    """Command, fixed block and fields."""
    sequence: bytes
    """The digit of AY, or empty."""
    digits: bytes
    """The four digits of AZ, or what a noisy line has made of them; empty without AZ."""
    summed: bytes
    """What the checksum covers: all up to and with the letters `AZ`; empty without AZ."""

    @property
    def has_checksum(self) -> bool:
        """Whether AZ is there, whatever its digits."""
        return bool(self.summed)


_USUAL_TRAILER = re.compile(rb"AY[0-9]AZ[0-9A-Fa-f]{4}\Z")
_USUAL_TRAILER_BYTES = 9
_TRAILER = re.compile(rb"(?:AY([0-9])\|?)?AZ([0-9A-Fa-f]{4})(\|*)\Z|AY([0-9])(\|*)\Z")
_DAMAGED_TRAILER = re.compile(rb"(?:AY([0-9])\|?|\|)AZ([^|]*)\|*\Z")
_TRAILER_BYTES_MAX = 16
_COMMAND_BYTES = 2


def split_trailer(frame: bytes) -> Trailer:
    """Cut AY and AZ off the end of `frame`, with or without `|` before, between and after (B1).

    AY or AZ alone with a `|` after it must begin where a field begins, so that a value that happens
    to end in such letters (`AA12AZ34EF|`) stays a value. An AZ without four hex digits still counts
    as a checksum, and a wrong one (B8).
    """
    if _USUAL_TRAILER.match(frame, max(_COMMAND_BYTES, len(frame) - _USUAL_TRAILER_BYTES)):
        return Trailer(frame[:-9], frame[-7:-6], frame[-4:], frame[:-4])
    tail = max(_COMMAND_BYTES, len(frame) - _TRAILER_BYTES_MAX)
    match = _TRAILER.search(frame, tail)
    if match is None:
        return _split_damaged(frame, tail)
    start = match.start()
    alone_and_followed = match.group(5) or (match.group(3) and not match.group(1))
    if alone_and_followed and not _begins_field(frame, start):
        return Trailer(frame, b"", b"", b"")
    body = frame[:start]
    if match.group(4):
        return Trailer(body, match.group(4), b"", b"")
    return Trailer(body, match.group(1) or b"", match.group(2), frame[: match.start(2)])


def usual_body(frame: bytes, sequence: bytes) -> bytes | None:
    """The body of a frame that ends in AY with `sequence` and AZ with its checksum, as nearly all
    do; None if it has to be taken apart by `split_trailer`."""
    summed = frame[:-_DIGITS]
    body = summed[: _DIGITS - _USUAL_TRAILER_BYTES]
    if len(body) < _COMMAND_BYTES or not summed.endswith(b"AY" + sequence + b"AZ"):
        return None
    # `checksum_digits`, but for the call: each answer of a library system comes here.
    return body if frame.endswith(b"%04X" % (-checksum(summed) & 0xFFFF)) else None


def _split_damaged(frame: bytes, tail: int) -> Trailer:
    match = _DAMAGED_TRAILER.search(frame, tail)
    if match is None:
        return Trailer(frame, b"", b"", b"")
    sequence = match.group(1) or b""
    body = frame[: match.start() if sequence else match.start() + 1]
    return Trailer(body, sequence, match.group(2), frame[: match.start(2)])


def _begins_field(frame: bytes, start: int) -> bool:
    return frame[start - 1 : start] == b"|" or b"|" not in frame[:start]


def seal(body: bytes, sequence: bytes, with_checksum: bool) -> bytes:
    """`body` followed by AY (unless `sequence` is empty) and AZ (if `with_checksum`)."""
    if not with_checksum:
        return body + b"AY" + sequence if sequence else body
    body += b"AY" + sequence + b"AZ" if sequence else b"AZ"
    # `checksum_digits`, but for the call: each frame leaves here.
    return body + b"%04X" % (-checksum(body) & 0xFFFF)


def seal_characters(
    decode: Callable[[bytes], str], body: bytes, sequence: bytes, with_checksum: bool
) -> bytes:
    """The same with a checksum over the characters that `decode` reads."""
    sealed = seal(body, sequence, with_checksum=False)
    if not with_checksum:
        return sealed
    summed = sealed + b"AZ"
    return summed + character_checksum_digits(decode(summed))
