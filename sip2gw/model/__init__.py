"""The words of the library: people, money, doors and items.

Everything here is a value without behaviour that needs a clock or a store, and nobody changes one
that is made. What is read, booked or recorded with each request is not frozen all the same: `Fee`,
`PatronRecord`, `Payment`, `PaymentLine` and `AccessRow`. Freezing makes a new one five to ten times
dearer, a microsecond or two each, of which a payment makes several.
"""

from __future__ import annotations

from sip2gw.model.doors import (
    EVERY_BRANCH,
    AccessRow,
    DoorCount,
    DoorEntry,
    Passage,
    Presence,
    Reveal,
)
from sip2gw.model.items import ItemStatus
from sip2gw.model.money import (
    AMOUNT_MAX_MINOR,
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
    Hold,
    Loan,
    Membership,
    PatronRecord,
    Relationship,
    RelationshipType,
)
from sip2gw.model.values import (
    COUNT_MAX,
    NAME_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    copied,
)

__all__ = [
    "AMOUNT_MAX_MINOR",
    "COUNT_MAX",
    "EVERY_BRANCH",
    "NAME_CHARACTERS_MAX",
    "TEXT_CHARACTERS_MAX",
    "AccessRow",
    "Badge",
    "BadgeAssignment",
    "BadgeHolder",
    "Block",
    "BlockType",
    "Card",
    "CardState",
    "DoorCount",
    "DoorEntry",
    "Fee",
    "FeeStatus",
    "Hold",
    "ItemStatus",
    "Loan",
    "Membership",
    "Minor",
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
    "copied",
    "currency_digits",
    "format_amount",
    "parse_amount",
    "read_currency",
]
