"""The words of the library: people, money, doors and items.

Everything here is a value whose behaviour needs no clock and no store, and nobody changes a value
once it is made. Even so, the values that are read, booked or recorded with each request are not
frozen: `Fee`, `PatronRecord`, `Payment`, `PaymentLine` and `AccessRow`. Freezing makes a new one
five to ten times as expensive, a microsecond or two each, and a payment makes several.
"""

from __future__ import annotations

from sip2gw.model.doors import (
    AS_CONFIGURED,
    EVERY_BRANCH,
    OBSERVED,
    AccessRow,
    CalendarChange,
    DoorCount,
    DoorEntry,
    ObservedCount,
    Passage,
    Presence,
    Reveal,
)
from sip2gw.model.items import ItemStatus
from sip2gw.model.memberships import MEMBERSHIP_AMOUNTS, MaterialRule, MembershipDefinition
from sip2gw.model.money import (
    AMOUNT_MAX_MINOR,
    UNDATED,
    Fee,
    FeeStatus,
    Minor,
    PaidFee,
    Payment,
    PaymentLine,
    PaymentStatus,
    Surplus,
    currency_digits,
    format_amount,
    parse_amount,
    read_currency,
)
from sip2gw.model.people import (
    Badge,
    BadgeAssignment,
    BadgeHolder,
    Block,
    BlockType,
    Card,
    CardState,
    FailedPins,
    Hold,
    Loan,
    Membership,
    PatronRecord,
    Relationship,
    RelationshipType,
)
from sip2gw.model.upstream import LibraryWord, Origin, Until
from sip2gw.model.values import (
    COUNT_MAX,
    NAME_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    Age,
    Count,
    Text,
    copied,
)

__all__ = [
    "AMOUNT_MAX_MINOR",
    "AS_CONFIGURED",
    "COUNT_MAX",
    "EVERY_BRANCH",
    "MEMBERSHIP_AMOUNTS",
    "NAME_CHARACTERS_MAX",
    "OBSERVED",
    "TEXT_CHARACTERS_MAX",
    "UNDATED",
    "AccessRow",
    "Age",
    "Badge",
    "BadgeAssignment",
    "BadgeHolder",
    "Block",
    "BlockType",
    "CalendarChange",
    "Card",
    "CardState",
    "Count",
    "DoorCount",
    "DoorEntry",
    "FailedPins",
    "Fee",
    "FeeStatus",
    "Hold",
    "ItemStatus",
    "LibraryWord",
    "Loan",
    "MaterialRule",
    "Membership",
    "MembershipDefinition",
    "Minor",
    "ObservedCount",
    "Origin",
    "PaidFee",
    "Passage",
    "PatronRecord",
    "Payment",
    "PaymentLine",
    "PaymentStatus",
    "Presence",
    "Relationship",
    "RelationshipType",
    "Reveal",
    "Surplus",
    "Text",
    "Until",
    "copied",
    "currency_digits",
    "format_amount",
    "parse_amount",
    "read_currency",
]
