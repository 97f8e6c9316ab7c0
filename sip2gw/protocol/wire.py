"""How one terminal wants its messages on the wire: tolerance and dialect as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import force_setattr

from sip2gw.protocol.dialect import DialectName
from sip2gw.protocol.encoding import TextEncoding, text_encoding
from sip2gw.protocol.fields import VALUE_BYTES_MAX
from sip2gw.protocol.timestamps import DateZone, TimestampCache

ErrorDetection = Literal["mirror", "always", "never"]
UNCUT = 1 << 30
"""No limit of a value: longer than any frame."""
Readers = dict[bytes, Callable[[bytes], Any]]
Writers = dict[type[Any], Callable[[Any], bytes]]


class _Derived:
    """What a wire format makes of its settings, of which it is no part."""

    __slots__ = ("request_readers", "response_readers", "text", "timestamps", "writers")

    text: TextEncoding
    timestamps: TimestampCache
    request_readers: Readers
    response_readers: Readers
    writers: Writers
    """What `codec` has compiled for this format, by command or message class."""


class WireFormat(_Derived, Struct, frozen=True):
    """The wire side of a profile; share one object among all connections of a profile.

    The defaults hold before login (C73).

    Raises:
        ValueError: `encoding` is not one of `encoding.ENCODINGS`.
    """

    encoding: str = "cp850"
    terminator: bytes = b"\r"
    """What ends a frame we send: CR or CRLF (B3)."""
    error_detection: ErrorDetection = "mirror"
    """`mirror`: AZ is verified when it came, and answered with AZ. `always`: a message without AZ
    is asked for again. `never`: AZ is neither verified nor sent. AY is echoed in all (B7, C29)."""
    accept_character_checksum: bool = False
    """Also accept checksums that were summed over characters (B6)."""
    resend_with_sequence: bool = False
    """Whether the answer to a 97 is identical, or without its AY as the standard says (B8)."""
    date_zone: DateZone = "local"
    hidden_fields: frozenset[str] = frozenset()
    """Tags that never leave; a required one leaves empty (C33)."""
    dialect: DialectName = "standard"
    """Which vendor's messages are known besides the standard's (B55)."""
    substitute: str = " "
    """What a delimiter or an unprintable character inside a value becomes (B4)."""
    rewritten: tuple[tuple[str, str], ...] = ()
    """What is found in screen texts and what stands there instead, one after the other."""
    value_bytes_max: int = VALUE_BYTES_MAX
    """What is longer is cut or spread over several fields (B4); `UNCUT` where a library system
    behind the gateway has said it (C153)."""
    keeps_bytes: bool = False
    """Whether bytes that the encoding does not know are kept in texts (C153)."""

    hands_out_unknown: bool = False
    """Whether a request with an unknown command is handed out as well (C126); else it is dropped
    (B2)."""

    def __post_init__(self) -> None:
        text = text_encoding(self.encoding, self.substitute, keeps=self.keeps_bytes)
        force_setattr(self, "text", text)
        force_setattr(self, "timestamps", TimestampCache(self.date_zone))
        for compiled in ("request_readers", "response_readers", "writers"):
            force_setattr(self, compiled, {})
