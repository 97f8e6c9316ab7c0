"""Customer support: what staff follow up, and the tables that say who does it (B64, C145, C163)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

from sip2gw.protocol.structs import Discreet, Hidden

AUTOMATIC_TYPE = "AU"
"""The type of the messages that the gateway opens by itself (C145)."""

DEFAULT_TEXT_DESCRIPTION_MAX = 30
"""Characters of the description of a default message."""

PREFERRED_DAYS_MAX = 365
"""No preferred response or processing time is longer, in opening days."""


class AutomaticCategory(StrEnum):
    """What the gateway opens messages for (C145); a library may rename and route them."""

    UNKNOWN_PAYMENT = "PAYU"
    REFUSED_PAYMENT = "PAYR"
    BLOCKED_CARD = "CARD"
    PIN_LOCKS = "PINL"
    PIN_FAILURES = "PINT"
    OFFLINE = "OFFL"
    JOURNAL = "JOUR"
    DOOR = "DOOR"
    SILENT_TERMINAL = "SILE"
    OLD_DATA = "DATA"


class SupportStatus(StrEnum):
    """Where a message stands; fixed, as in Wise."""

    OPEN = "A"
    SENT = "B"
    AT_CUSTOMER = "C"
    AT_LIBRARY = "D"
    CLOSED_BY_LIBRARY = "X"
    CLOSED_BY_REPORTER = "Y"
    CLOSED = "Z"


class Cause(Discreet, Struct, frozen=True):
    """Something that a person must follow up: the gateway opens one message for it (C163)."""

    category: str
    """One of `AutomaticCategory`."""
    object: Hidden[str]
    """What it is about: the card, the door, the terminal, the payment, the entry, the store. While
    a message about it is open, the same cause is counted there instead of opening another."""
    text: Hidden[str]
    """What staff read; without PINs and passwords."""
    patron_id: Hidden[str | None] = None
    branch: str | None = None
    """Whose opening days count; None: those of the institution's first branch."""


class SupportMessage(Discreet, Struct, frozen=True, kw_only=True):
    """A message to customer support."""

    id: int
    """Counted up from 1, so that it can be typed."""
    type: str
    category: str
    status: SupportStatus
    text: Hidden[str]
    created: datetime
    """Of one that was reopened still the first time."""
    department: str | None = None
    unit: str | None = None
    processor: str = ""
    reporter: str = ""
    due: date | None = None
    """The last day to respond in time, and after the first answer, to finish. None: no rule."""
    count: int = 1
    """How often the cause has occurred."""
    repeated: datetime | None = None
    """When it last occurred again."""
    patron_id: Hidden[str | None] = None
    branch: str | None = None
    closed: datetime | None = None


class SupportFilter(Discreet, Struct, frozen=True):
    """Which messages are listed; what is not given does not matter."""

    only_open: bool = False
    overdue_on: date | None = None
    """Only open ones that were due before this day."""
    type: str | None = None
    category: str | None = None
    department: str | None = None
    unit: str | None = None
    patron_id: Hidden[str | None] = None


class SupportCounts(Struct, frozen=True):
    """How many messages are open, by type (0 for one without any), and how many are overdue."""

    open: Mapping[str, int]
    overdue: int


class EventKind(StrEnum):
    """What happened to a message."""

    OPENED = "opened"
    ANSWERED = "answered"
    CHANGED = "changed"


class SupportEvent(Discreet, Struct, frozen=True):
    """One step in the history of a message."""

    time: datetime
    user: str
    """Who did it; empty: the gateway."""
    kind: EventKind
    before: SupportStatus | None
    after: SupportStatus
    note: Hidden[str] = ""
    """The answer, or what was noted about the change."""


class CodeTable(StrEnum):
    """The tables of codes; `processing` has none and is a table of `ProcessingRule`."""

    TYPE = "type"
    CATEGORY = "category"
    DEPARTMENT = "department"
    UNIT = "unit"
    DEFAULT_MESSAGE = "default_message"


class ProcessingRule(Struct, frozen=True):
    """How messages of a type and category are handled; days are opening days (C163)."""

    type: str
    category: str
    response_days: int | None = None
    """Within so many days the customer gets a response; None: no limit."""
    processing_days: int | None = None
    """Within so many days the message is finished; None: no limit."""
    group: str | None = None
    """The department."""
    unit: str | None = None
    """Of that department."""
    processor: str = ""
    reporter: str = ""


class CodeEntry(Struct, frozen=True):
    """A row of one of the tables of codes: what it is called, and what else belongs to it."""

    code: str
    description: str
    department: str | None = None
    """Of a unit."""
    text: str | None = None
    """Of a default message."""
