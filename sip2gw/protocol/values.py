"""How one value is written and read, apart from where it stands. Reading never raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Any

from sip2gw.protocol.timestamps import write_timestamp


class PatronFlag(IntEnum):
    """Positions of the patron status.  Spec: SIP2 2.00, patron status."""

    CHARGE_DENIED = 0
    RENEWAL_DENIED = 1
    RECALL_DENIED = 2
    HOLD_DENIED = 3
    CARD_LOST = 4
    TOO_MANY_CHARGED = 5
    TOO_MANY_OVERDUE = 6
    TOO_MANY_RENEWALS = 7
    TOO_MANY_CLAIMS = 8
    TOO_MANY_LOST = 9
    EXCESSIVE_FINES = 10
    EXCESSIVE_FEES = 11
    RECALL_OVERDUE = 12
    TOO_MANY_BILLED = 13


class Summary(IntEnum):
    """Positions of the summary in a 63; 6-9 are undefined and ignored.  Spec: SIP2 2.00."""

    HOLDS = 0
    OVERDUE = 1
    CHARGED = 2
    FINES = 3
    RECALLS = 4
    UNAVAILABLE_HOLDS = 5


class SupportedMessage(StrEnum):
    """The slots of BX in their order, each by the code of its request.  Spec: SIP2 2.00, BX."""

    PATRON_STATUS_REQUEST = "23"
    CHECKOUT = "11"
    CHECKIN = "09"
    BLOCK_PATRON = "01"
    STATUS = "99"
    RESEND = "97"
    LOGIN = "93"
    PATRON_INFORMATION = "63"
    END_PATRON_SESSION = "35"
    FEE_PAID = "37"
    ITEM_INFORMATION = "17"
    ITEM_STATUS_UPDATE = "19"
    PATRON_ENABLE = "25"
    HOLD = "15"
    RENEW = "29"
    RENEW_ALL = "65"


UNKNOWN_CARD_FLAGS = frozenset(
    {
        PatronFlag.CHARGE_DENIED,
        PatronFlag.RENEWAL_DENIED,
        PatronFlag.RECALL_DENIED,
        PatronFlag.HOLD_DENIED,
    }
)
"""The patron status of an unknown card and of every failure form (B18, C27)."""


_READINGS_MAX = 512
"""Remembered readings of one kind of flag string."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to write a value. `write` gets the value and the width (0 when it is free)."""

    name: str
    read: Callable[[str], Any]
    write: Callable[[Any, int], str]


def _read_text(text: str) -> str:
    return text


def _write_text(value: str, width: int) -> str:
    return value[:width].ljust(width) if width else value


def _read_count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


def _write_count(value: int | None, width: int) -> str:
    if value is None:
        return " " * width
    return f"{min(max(value, 0), 10**width - 1):0{width}}"


def _read_fixed_count(text: str) -> int:
    return _read_count(text) or 0


@lru_cache(maxsize=_READINGS_MAX)
def _read_patron_status(text: str) -> frozenset[PatronFlag]:
    return frozenset(flag for flag in PatronFlag if text[flag : flag + 1] == "Y")


def _write_patron_status(value: frozenset[PatronFlag], width: int) -> str:
    return "".join("Y" if position in value else " " for position in range(width))


@lru_cache(maxsize=_READINGS_MAX)
def _read_summary(text: str) -> frozenset[Summary]:
    return frozenset(part for part in Summary if text[part : part + 1] == "Y")


def _write_summary(value: frozenset[Summary], width: int) -> str:
    return "".join("Y" if position in value else " " for position in range(width))


@lru_cache(maxsize=_READINGS_MAX)
def _read_supported(text: str) -> frozenset[str]:
    return frozenset(m.value for m, letter in zip(SupportedMessage, text, strict=False)
                     if letter == "Y")  # fmt: skip


def _write_supported(value: frozenset[str], _width: int) -> str:
    return "".join("Y" if message.value in value else "N" for message in SupportedMessage)


def _read_yes_no_unknown(text: str) -> bool | None:
    return {"Y": True, "N": False}.get(text)


def _write_yes_no_unknown(value: bool | None, _width: int) -> str:
    return "U" if value is None else "Y" if value else "N"


TEXT = Codec("text", _read_text, _write_text)
TIMESTAMP = Codec("date and time", _read_text, lambda value, _width: write_timestamp(value))
COUNT = Codec("number", _read_fixed_count, _write_count)
LIMIT = Codec("number", _read_count, _write_count)
FLAG = Codec("Y or N", lambda text: text == "Y", lambda value, _width: "Y" if value else "N")
OK = Codec("1 or 0", lambda text: text == "1", lambda value, _width: "1" if value else "0")
FLAG_OR_UNKNOWN = Codec("Y, N or U", _read_yes_no_unknown, _write_yes_no_unknown)
PATRON_STATUS = Codec("14 flags, Y or blank", _read_patron_status, _write_patron_status)
SUMMARY = Codec("10 flags, Y or blank", _read_summary, _write_summary)
SUPPORTED = Codec("16 letters, Y or N", _read_supported, _write_supported)
