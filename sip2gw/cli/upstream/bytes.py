"""What bytes say about the encoding and the line end that somebody uses."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from sip2gw.protocol.encoding import Encoding

_CANDIDATES: tuple[Encoding, ...] = ("cp850", "latin-1", "cp1252")
"""Where two look alike, the first is taken."""
_NAMES = {b"\r": "CR", b"\n": "LF", b"\r\n": "CRLF", b"\n\r": "LF CR"}


def encoding_of(data: bytes) -> Encoding | None:
    """The encoding in which `data` looks most like words; None when all of it is ASCII."""
    if data.isascii():
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return max(_CANDIDATES, key=lambda name: _likeness(data.decode(name, "replace")))
    return "utf-8"


def _likeness(text: str) -> int:
    """Points for letters as they stand in words: small ones beside letters are the usual case."""
    return sum(map(_points, (c for c in text if not c.isascii())))


def _points(character: str) -> int:
    match unicodedata.category(character):
        case "Ll":
            return 2
        case "Lu":
            return 1
        case "Pd" | "Pi" | "Pf" | "Sc":
            return 0
    return -2


def names_of_line_ends(ends: Iterable[bytes]) -> list[str]:
    """CR, LF or CRLF."""
    return [_NAMES[end] for end in ends]
