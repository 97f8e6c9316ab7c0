"""The library data format: one JSON object a line, `kind` first (B69, C82).

The same structures read an import and write an export. Amounts are decimal strings; a field that
takes a date or a time is a string here and is read by `moments`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from sip2gw.model import (
    NAME_CHARACTERS_MAX,
    Age,
    BlockType,
    CardState,
    Count,
    FeeStatus,
    ItemStatus,
    MembershipDefinition,
    Proposer,
    RelationshipType,
    Text,
)
from sip2gw.model.values import THREE_DIGITS
from sip2gw.protocol.structs import Opaque

_NAME = r"^[^\x00-\x20\x7f|](?:[^\x00-\x1f\x7f|]*[^\x00-\x20\x7f|])?$"

_LANGUAGE = r"^[a-z]{2,3}$"
_FEE_TYPE = r"^0[1-9]$"

IN_WORDS = {
    _NAME: "a text without control characters and |, and without a blank at either end",
    _LANGUAGE: "2 or 3 small letters, such as nl",
    THREE_DIGITS: "3 digits",
    _FEE_TYPE: "01 to 09",
}
"""What the patterns of values ask for."""

Key: TypeAlias = Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX, pattern=_NAME)]
"""Identifies something: 1-64 characters, no controls, no `|`, no blank at either end."""

Code: TypeAlias = Annotated[str, Meta(max_length=10, pattern=_NAME)]
"""A badge code (B22)."""


def in_words(pattern: str | None) -> str | None:
    """What the pattern of a value asks for; None without one."""
    return None if pattern is None else IN_WORDS[pattern]


class Written(StrEnum):
    """What a text of the format says, where its type does not tell; see `Meta.extra`."""

    AMOUNT = "amount"
    MOMENT = "date or time"


Amount: TypeAlias = Annotated[str, Meta(extra={"says": Written.AMOUNT})]
Moment: TypeAlias = Annotated[str, Meta(extra={"says": Written.MOMENT})]


class LineError(ValueError):
    """A line that cannot be imported; the text says why and shows no PIN."""


class Line(Struct, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True):
    """One line of a file."""


class MembershipLine(Line, MembershipDefinition[Amount], tag="membership"):
    """A membership definition (B62, C82)."""


class BadgeLine(Line, tag="badge"):
    """A badge definition (B22)."""

    code: Code
    name: Text
    description: Text = ""
    active: bool = True
    branches: list[Key] = []
    from_: Moment | None = field(name="from", default=None)
    until: Moment | None = None


class CardEntry(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A card of a patron."""

    number: Key
    state: CardState = CardState.ACTIVE


class BadgeEntry(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A badge of a patron, with limits of its own."""

    code: Code
    from_: Moment | None = field(name="from", default=None)
    until: Moment | None = None
    branches: list[Key] = []


class BlockEntry(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A block of a patron."""

    type: BlockType
    note: Text = ""
    until: Moment | None = None


class PatronLine(Opaque, Line, tag="patron"):
    """A patron with everything that belongs to them alone (C16, C35, C70)."""

    id: Key
    name: Text
    pin: str | None = None
    pin_hash: str | None = None
    birth_date: date | None = None
    membership: str | None = None
    membership_from: date | None = None
    membership_until: date | None = None
    status: Annotated[int, Meta(ge=0, le=9)] = 5
    home_branch: Key | None = None
    language: Annotated[str, Meta(pattern=_LANGUAGE)] | None = None
    email: Text | None = None
    phone: Text | None = None
    address: Text | None = None
    cards: list[CardEntry] = []
    badges: list[Code | BadgeEntry] | UnsetType = UNSET
    blocks: list[BlockEntry] = []
    notices: list[Text] = []
    house_rules_accepted: date | None = None
    fee_limit: Amount | None = None


class RelationshipLine(Line, tag="relationship"):
    """head → child, or authoriser → authorised (B49)."""

    type: RelationshipType
    from_: Key = field(name="from")
    to: Key
    functions: list[Literal["renew", "pay"]] = []
    confirmed: bool = True
    proposed_by: Proposer = Proposer.STAFF


class ItemLine(Line, tag="item"):
    """A copy that can be lent."""

    id: Key
    title: Text
    title_id: Key | None = None
    author: Text | None = None
    media_type: Annotated[str, Meta(pattern=THREE_DIGITS)] | None = None
    material: Text | None = None
    owner_branch: Key | None = None
    current_branch: Key | None = None
    shelf: Text | None = None
    call_number: Text | None = None
    for_loan: bool = True
    loan_days: Count = 21
    max_renewals: Count = 2
    checkout_fee: Amount | None = None
    overdue_fee_per_day: Amount | None = None
    overdue_fee_max: Amount | None = None
    minimum_age: Age | None = None
    magnetic: bool = False
    security_marker: Text | None = None
    note: Text | None = None
    attachment: Text | None = None
    status: ItemStatus = ItemStatus.AVAILABLE
    properties: Text | None = None


class LoanLine(Line, tag="loan"):
    """An item that somebody has."""

    item: Key
    patron: Key
    checked_out: Moment
    due: Moment
    renewals: Count = 0


class HoldLine(Line, tag="hold"):
    """A reservation of a copy or of a title."""

    id: Key
    patron: Key
    placed: Moment
    item: Key | None = None
    title_id: Key | None = None
    pickup_branch: Key | None = None
    ready: bool = False
    expires: Moment | None = None


class FeeLine(Line, tag="fee"):
    """A money line; `amount` is the original amount, that of a credit is negative (B98, C16, C17).

    `paid` is what was paid of it, even if too much (C103); below zero, the used part of a credit.
    """

    id: Key
    patron: Key
    amount: Amount
    created: Moment
    type: Annotated[str, Meta(pattern=_FEE_TYPE)] = "04"
    description: Text = ""
    item: Key | None = None
    status: FeeStatus = FeeStatus.OPEN
    arrangement_date: date | None = None
    paid: Amount | None = None


class PinSecretLine(Line, tag="pin_secret"):
    """Under which secret the PIN hashes of the file were made (C95)."""

    fingerprint: str


AnyLine: TypeAlias = (
    MembershipLine
    | BadgeLine
    | PatronLine
    | RelationshipLine
    | ItemLine
    | LoanLine
    | HoldLine
    | FeeLine
    | PinSecretLine
)

Take = Callable[[], AnyLine | None]
"""Gives the record of a line, None for none.

Raises:
    LineError: the line is not a record of the format.
"""

LINES: Mapping[str, type[AnyLine]] = {
    str(line.__struct_config__.tag): line
    for line in (
        MembershipLine,
        BadgeLine,
        PatronLine,
        RelationshipLine,
        ItemLine,
        LoanLine,
        HoldLine,
        FeeLine,
    )
}
"""The records of a library by kind, in the order in which an export has them."""
