"""Values of the configuration file as they are written, and how they are read.

Models keep the text of the file, so that it can be shown and compared. The functions here turn it
into values that the program works with.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    WithJsonSchema,
)

from sip2gw.policy.hours.calendar import DAY_MIN

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


RELOAD = "x-reload"
"""The name of a mark in the JSON Schema; a key of the file without a mark takes effect at once."""
ReloadMark = Literal["restart", "refused"]
NEXT_START: dict[str, JsonValue] = {RELOAD: "restart"}
"""Mark: a change takes effect at the next start, and is reported until then (C113)."""
NEVER_BY_RELOAD: dict[str, JsonValue] = {RELOAD: "refused"}
"""Mark: money or identity depends on it; a reload that changes it is refused as a whole (C113)."""


class Section(BaseModel):
    """A table of the file: unknown keys are errors, values are not converted, nothing changes."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        defer_build=True,
        hide_input_in_errors=True,
        regex_engine="python-re",
    )


class Address(NamedTuple):
    """An address to listen on or connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        """As `parse_address` reads it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `127.0.0.1:6001` or `[::1]:6001`; port 0 means any free port.

    Raises:
        ValueError: the text has another form.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif "/" in text:
        raise ValueError("must have the form host:port, without a scheme or a path")
    elif ":" in host:
        raise ValueError('write an IPv6 address in brackets, as "[::1]:6001"')
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("must have the form host:port")
    return Address(host, int(port))


def parse_minute(text: str) -> int:
    """Read `HH:MM` (00:00-24:00) as minutes after midnight.

    Raises:
        ValueError: the text has another form.
    """
    hours, colon, minutes = text.partition(":")
    if not (colon and len(hours) == len(minutes) == 2 and (hours + minutes).isdecimal()):
        raise ValueError("must be a time of day HH:MM")
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > DAY_MIN:
        raise ValueError("must be a time of day between 00:00 and 24:00")
    return minute


def parse_network(text: str) -> Network:
    """Read a CIDR network or a single address.

    Raises:
        ValueError: it is neither, or has bits set beyond the prefix.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        whole = ipaddress.ip_network(text, strict=False)
    address = text.partition("/")[0]
    raise ValueError(f"write {whole} for the whole network, or {address} for this address alone")


@lru_cache(maxsize=100)
def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """`texts`, read."""
    return tuple(map(parse_network, texts))


def within(address: str, among: tuple[Network, ...]) -> bool:
    """Whether the IP `address` is in one of the networks; an unreadable one is in none."""
    ip = _ip(address)
    return ip is not None and any(ip in network for network in among)


@lru_cache(maxsize=1_000)
def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP `address` without its zone, and as IPv4 when it is mapped; None if unreadable."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def _check_address(text: str) -> str:
    parse_address(text)
    return text


def _check_minute(text: str) -> str:
    parse_minute(text)
    return text


def _check_start(text: str) -> str:
    if parse_minute(text) == DAY_MIN:
        raise ValueError("a start must be before 24:00")
    return text


def _check_network(text: str) -> str:
    parse_network(text)
    return text


def _check_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, OSError, ValueError):
        raise ValueError("unknown time zone; write it like Europe/Brussels") from None
    return text


def _check_name(text: str) -> str:
    if not text.isprintable() or "|" in text or "~" in text:
        raise ValueError("control characters, | and ~ are not allowed")
    return text


def _check_unique(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return values


_Value = TypeVar("_Value")


def check_some(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    """Only a list with something in it."""
    if not values:
        raise ValueError("must not be empty")
    return values


def _read_day(value: object) -> object:
    """A TOML date, or the same as a string."""
    if isinstance(value, str):
        with suppress(ValueError):
            return date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("must be a date YYYY-MM-DD")
    return value


def _read_day_or_time(value: object) -> object:
    """A TOML date or time, or the same as a string."""
    if isinstance(value, str):
        with suppress(ValueError):
            return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    if not isinstance(value, date):
        raise ValueError("must be a date YYYY-MM-DD or a time YYYY-MM-DDTHH:MM:SS")
    return value


def _read_yes_or_day(value: object) -> object:
    return value if isinstance(value, bool) else _read_day(value)


_ADDRESS_SCHEMA = {"type": "string", "format": "host:port"}

AddressText = Annotated[str, AfterValidator(_check_address), WithJsonSchema(_ADDRESS_SCHEMA)]
StartText = Annotated[
    str, AfterValidator(_check_start), WithJsonSchema({"type": "string", "format": "HH:MM"})
]
EndText = Annotated[
    str, AfterValidator(_check_minute), WithJsonSchema({"type": "string", "format": "HH:MM"})
]
NetworkText = Annotated[
    str, AfterValidator(_check_network), WithJsonSchema({"type": "string", "format": "CIDR"})
]
ZoneText = Annotated[
    str,
    AfterValidator(_check_zone),
    WithJsonSchema({"type": "string", "format": "IANA time zone"}),
]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_check_name)]
"""A text that is shown or sent: printable, without delimiters."""
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,20}$")]
"""A code of a branch or institution."""
BadgeCode = Annotated[str, Field(min_length=1, max_length=10), AfterValidator(_check_name)]
"""Wise: 4 characters (B22)."""
MembershipCode = Annotated[str, Field(pattern=r"^[0-9]{3}$")]
FieldCode = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Language = Literal["nl", "en", "fr", "de"]
Terminator = Literal["CR", "CRLF"]
FileName = Annotated[
    str, Field(min_length=1), WithJsonSchema({"type": "string", "format": "file name"})
]
"""Relative to the configuration file; `$CREDENTIALS_DIRECTORY/…` for systemd credentials."""
Day = Annotated[
    date, BeforeValidator(_read_day), WithJsonSchema({"type": "string", "format": "date"})
]
DayOrTime = Annotated[
    datetime | date,
    BeforeValidator(_read_day_or_time),
    WithJsonSchema({"type": "string", "format": "date or time"}),
]
YesOrDay = Annotated[
    bool | date,
    BeforeValidator(_read_yes_or_day),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string", "format": "date"}]}),
]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

# The list of a TOML file becomes a tuple; its members stay strict.
_AsTuple = Strict(False)
Networks = Annotated[tuple[NetworkText, ...], _AsTuple, AfterValidator(_check_unique)]
Badges = Annotated[tuple[BadgeCode, ...], _AsTuple, AfterValidator(_check_unique)]
Memberships = Annotated[tuple[MembershipCode, ...], _AsTuple, AfterValidator(_check_unique)]
FieldCodes = Annotated[tuple[FieldCode, ...], _AsTuple, AfterValidator(_check_unique)]
Weekdays = Annotated[
    tuple[Weekday, ...], _AsTuple, AfterValidator(_check_unique), AfterValidator(check_some)
]

PersonalField = Literal["BD", "BE", "BF", "PB", "PC"]
PERSONAL_FIELDS: tuple[PersonalField, ...] = ("BD", "BE", "BF", "PB", "PC")


def _read_personal_fields(value: object) -> object:
    if isinstance(value, bool):
        return PERSONAL_FIELDS if value else ()
    return value


PersonalFields = Annotated[
    tuple[PersonalField, ...],
    _AsTuple,
    AfterValidator(_check_unique),
    BeforeValidator(_read_personal_fields, json_schema_input_type=bool | list[PersonalField]),
]


def weekday_numbers(days: tuple[str, ...]) -> frozenset[int]:
    """Monday is 0."""
    return frozenset(WEEKDAYS.index(day) for day in days)
