"""Text on the wire: five encodings that never raise, and values that cannot break a frame."""

from __future__ import annotations

import codecs
import unicodedata
from functools import lru_cache
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

Encoding = Literal["cp850", "latin-1", "cp1252", "utf-8", "ascii"]
"""What a profile may choose; cp850 is SIP2's own default (B5)."""
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

_READABLE = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O",
    "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th",
    "\N{LATIN SMALL LETTER DOTLESS I}": "i", "ħ": "h", "Ħ": "H", "€": "EUR", "£": "GBP",
    "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MINUS SIGN}": "-",
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{SINGLE LOW-9 QUOTATION MARK}": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
    "•": "*", "·": ".", "\N{MULTIPLICATION SIGN}": "x", "°": "o",
}  # fmt: skip
"""Substitutes for what Unicode does not decompose into plain letters."""


_KEPT = "surrogateescape"
"""How Python says that bytes which are no character stay what they are: a byte from 80 to FF
becomes one of U+DC80 to U+DCFF. No text has these otherwise, and no delimiter is among them."""


def clean(text: str, substitute: str = " ") -> str:
    """`text` with `substitute` for every delimiter and every unprintable character (B4).

    A byte that was kept (C153) stays.
    """
    if text.isprintable() and "|" not in text:
        return text
    return "".join([c if _is_clean(c) else substitute for c in text])


def _is_clean(c: str) -> bool:
    return (c.isprintable() and c != "|") or "\udc80" <= c <= "\udcff"


def plain(text: str) -> str:
    """`text` in which a blank replaces each character that could shift a fixed block (B9)."""
    if text.isascii() and text.isprintable() and "|" not in text:
        return text
    return "".join([c if c.isascii() and c.isprintable() and c != "|" else " " for c in text])


class TextEncoding(Struct, frozen=True):
    """One character encoding of the wire. All five agree on ASCII, hence the fast paths."""

    name: str
    bytes_per_character_max: int
    substitute: str = " "
    """What a delimiter or an unprintable character of a value becomes."""
    keeps: bool = False
    """Whether undecodable bytes are kept; every encoding writes them as they came (C153)."""

    def decode(self, data: bytes) -> str:
        """Read `data`; an undecodable byte is kept or becomes U+FFFD, and every `|` stays."""
        if data.isascii():
            return data.decode("ascii")
        return data.decode(self.name, _KEPT if self.keeps else "replace")

    def encode(self, text: str) -> bytes:
        """Write `text`; what the encoding lacks becomes readable (ß→ss, č→c), else `?` (B5)."""
        try:
            return self.encode_strict(text)
        except UnicodeEncodeError:
            composed = unicodedata.normalize("NFC", text)
            return b"".join([self._encode_character(character) for character in composed])

    def encode_strict(self, text: str) -> bytes:
        """Write `text`.

        Raises:
            UnicodeEncodeError: the encoding lacks a character.
        """
        return text.encode("ascii" if text.isascii() else self.name, _KEPT)

    def _encode_character(self, character: str) -> bytes:
        for candidate in (character, *_substitutes(character)):
            try:
                return candidate.encode(self.name, _KEPT)
            except UnicodeEncodeError:
                continue
        return b"" if unicodedata.combining(character) else b"?"

    def head(self, data: bytes, limit: int) -> bytes:
        """At most `limit` bytes of encoded `data`, cut on a character edge."""
        if len(data) <= limit:
            return data
        # An incremental decoder leaves out nothing but a character that is not complete.
        whole = codecs.getincrementaldecoder(self.name)(_KEPT).decode(data[:limit])
        return whole.encode(self.name, _KEPT)

    def fit(self, text: str, limit: int) -> str:
        """`text` as it will arrive: clean, representable, at most `limit` bytes encoded (B4)."""
        data = self.head(self.encode(clean(text, self.substitute)), limit)
        return data.decode(self.name, _KEPT)

    def pieces(self, text: str, limit: int) -> list[str]:
        """`text` as `fit` would write it, in pieces of at most `limit` bytes; nothing is lost.

        A piece ends after a blank if there is one, so that a screen shows whole words.
        """
        rest = self.encode(clean(text, self.substitute))
        pieces = []
        while len(rest) > limit:
            end = rest.rfind(b" ", 0, limit) + 1 or len(self.head(rest, limit))
            pieces.append(rest[:end].decode(self.name, _KEPT))
            rest = rest[end:]
        pieces.append(rest.decode(self.name, _KEPT))
        return pieces


def _substitutes(character: str) -> tuple[str, ...]:
    """Simpler spellings of `character`, best first; never with a delimiter in them."""
    readable = _READABLE.get(character, "")
    plain = "".join(
        [c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c)]
    )
    return tuple([clean(candidate) for candidate in (readable, plain) if candidate])


def recode(data: bytes, source: TextEncoding, target: TextEncoding) -> bytes:
    """`data` from `source` to `target`: characters that both know; all other bytes stay (C153)."""
    if source.name == target.name or data.isascii():
        return data
    text = data.decode(source.name, "surrogateescape")
    try:
        return text.encode(target.name, "surrogateescape")
    except UnicodeEncodeError:
        return b"".join([_recoded(character, source.name, target.name) for character in text])


def _recoded(character: str, source: str, target: str) -> bytes:
    try:
        return character.encode(target, "surrogateescape")
    except UnicodeEncodeError:
        return character.encode(source)


def storable(text: str) -> str:
    """`text` with U+FFFD in the place of bytes that were kept: no store takes half a surrogate."""
    return text if text.isascii() else text.encode("utf-8", _KEPT).decode("utf-8", "replace")


def is_exact(text: str, encoding: TextEncoding) -> bool:
    """Whether `encoding` writes `text` as it is, with nothing replaced.

    U+FFFD stands for a byte that could not be read: it is not what was meant.
    """
    if text.isascii():
        return text.isprintable() and "|" not in text
    try:
        text.encode(encoding.name)  # strictly: a byte that was kept is no text either
    except UnicodeEncodeError:
        return False
    return "\ufffd" not in text and clean(text) == text


_TEXT_ENCODINGS = {name: TextEncoding(name, 4 if name == "utf-8" else 1) for name in ENCODINGS}


@lru_cache
def text_encoding(name: str, substitute: str = " ", *, keeps: bool = False) -> TextEncoding:
    """The encoding called `name`, with `substitute` for what would break a frame; it `keeps`
    undecodable bytes or not.

    Raises:
        ValueError: not one of `ENCODINGS`.
    """
    if name not in _TEXT_ENCODINGS:
        raise ValueError(f"unknown encoding; allowed: {', '.join(ENCODINGS)}")
    return replace(_TEXT_ENCODINGS[name], substitute=substitute, keeps=keeps)
