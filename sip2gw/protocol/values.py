"""How one value is written and read, apart from its place. Only reading a verdict may raise."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Any

from msgspec import Struct

from sip2gw.protocol.encoding import plain
from sip2gw.protocol.errors import UnclearVerdictError
from sip2gw.protocol.timestamps import write_timestamp

_READINGS_MAX = 512
"""Remembered readings of one kind of flag string."""


class Codec(Struct, frozen=True):
    """One way to write a value."""

    name: str
    read: Callable[[str], Any] | None
    """None: the text is taken as it is."""
    write: Callable[[Any, int], str]
    """Makes exactly the given width of a value; a text of free width needs no codec."""


def _write_text(value: str, width: int) -> str:
    return plain(value[:width].ljust(width))


_COUNT_DIGITS_MAX = 9
"""No count has more, and Python reads no number of thousands of digits."""


def _read_count(text: str) -> int | None:
    is_count = text.isascii() and text.isdecimal() and len(text) <= _COUNT_DIGITS_MAX
    return int(text) if is_count else None


def _write_count(value: int, width: int) -> str:
    return f"{min(max(value, 0), 10**width - 1):0{width}}"


def _read_fixed_count(text: str) -> int:
    # As `_read_count`; it is never long, and a 64 has six.
    return int(text) if text.isascii() and text.isdecimal() else 0


def _read_yes_no_unknown(text: str) -> bool | None:
    return {"Y": True, "N": False}.get(text)


def _write_yes_no_unknown(value: bool | None, _width: int) -> str:
    return "U" if value is None else "Y" if value else "N"


NO_LANGUAGE = "000"


_LANGUAGES = frozenset(f"{number:03}" for number in range(1_000))


def _read_language(text: str) -> str:
    """A value that is not three digits is treated as no language at all (C108)."""
    return text if text in _LANGUAGES else NO_LANGUAGE


TEXT = Codec("text", None, _write_text)
LANGUAGE = Codec("3 digits", _read_language, _write_text)
TIMESTAMP = Codec("date and time", None, lambda value, _width: write_timestamp(value))
COUNT = Codec("number", _read_fixed_count, _write_count)
LIMIT = Codec("number", _read_count, _write_count)
FLAG = Codec("Y or N", lambda text: text == "Y", lambda value, _width: "Y" if value else "N")
FLAG_OR_UNKNOWN = Codec("Y, N or U", _read_yes_no_unknown, _write_yes_no_unknown)


def _verdict(name: str, yes: str, no: str) -> Codec:
    """Whether what was asked for is done. Anything but `yes` and `no` is an answer of which nobody
    knows, never a no: what was done would be asked for again (B46, C98)."""
    said = {yes: True, no: False}

    def read(text: str) -> bool:
        if text not in said:
            raise UnclearVerdictError
        return said[text]

    return Codec(name, read, lambda value, _width: yes if value else no)


OK = _verdict("1 or 0", "1", "0")
ACCEPTED = _verdict("Y or N", "Y", "N")


def _is_yes(sign: str) -> bool:
    return sign == "Y"


def may_deny(sign: str) -> bool:
    """Whether a flag of a patron status counts as set. What a sign that is neither a blank nor `N`
    means is unknown, and unknown fails closed (B72)."""
    return sign not in (" ", "N")


def flags(name: str, positions: type[IntEnum], is_set: Callable[[str], bool] = _is_yes) -> Codec:
    """A string of `Y` and blanks, one place per member; undefined places are ignored.

    Args:
        name: for people.
        positions: of the flags.
        is_set: whether a sign that was read means yes.
    """

    @lru_cache(maxsize=_READINGS_MAX)
    def read(text: str) -> frozenset[IntEnum]:
        return frozenset(flag for flag in positions if is_set(text[flag : flag + 1]))

    def write(value: frozenset[IntEnum], width: int) -> str:
        return "".join("Y" if position in value else " " for position in range(width))

    return Codec(name, read, write)


def letters(name: str, slots: type[StrEnum]) -> Codec:
    """A string of `Y` and `N`, one place per member in its order."""

    @lru_cache(maxsize=_READINGS_MAX)
    def read(text: str) -> frozenset[str]:
        said = zip(slots, text, strict=False)
        return frozenset(slot.value for slot, letter in said if letter == "Y")

    def write(value: frozenset[str], _width: int) -> str:
        return "".join("Y" if slot.value in value else "N" for slot in slots)

    return Codec(name, read, write)
