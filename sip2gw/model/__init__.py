"""The words of the library: patrons, cards, memberships, badges, fees, relationships, loans.

Everything here is an immutable value without behaviour that needs a clock or a store. Amounts are
whole *minor units* of the institution's currency (cents for EUR), so sums are exact (B43).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _values_of(kind: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*(field.name for field in fields(kind)))


def altered(value: T, **changes: Any) -> T:
    """`dataclasses.replace` for the values here that are not frozen.

    Several times cheaper: each payment makes new snapshots of what was paid.
    """
    kind: Any = type(value)
    new: T = kind(*_values_of(kind)(value))
    for name, changed in changes.items():
        setattr(new, name, changed)
    return new


Minor = int
"""An amount of money in minor units of the currency; never a float (B43)."""

CURRENCY_DIGITS = {"JPY": 0, "KRW": 0, "ISK": 0, "BHD": 3, "KWD": 3, "TND": 3}
"""Decimals of the currencies that do not have two (ISO 4217)."""

AMOUNT_MAX_MINOR = 10**12
"""No amount in a library is larger; a bigger one is an input error."""

TEXT_CHARACTERS_MAX = 2_000
"""No text of a library is longer: an import takes it, so an export gives it."""
NAME_CHARACTERS_MAX = 64
"""The same for what identifies something."""
COUNT_MAX = 9_999
"""The same for what is counted: loans, renewals, days."""

_AMOUNT = re.compile(r"(-?)(?=\.?[0-9])([0-9]{0,12})(?:\.([0-9]{1,6}))?", re.ASCII)


def currency_digits(currency: str) -> int:
    """Decimals of the ISO 4217 `currency`: EUR 2, JPY 0 (C77)."""
    return CURRENCY_DIGITS.get(currency, 2)


def parse_amount(text: str, currency: str) -> Minor:
    """Read `text` ("2.50", ".5", " 7 ") as minor units of `currency`; nothing is guessed (C105).

    Raises:
        ValueError: not a plain decimal, more decimals than the currency has, or out of range.
    """
    match = _AMOUNT.fullmatch(text.strip(" "))
    if match is None:
        raise ValueError("not an amount like 2.50")
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    digits = currency_digits(currency)
    if fraction[digits:].strip("0"):
        raise ValueError(f"{currency} has {digits} decimals")
    minor = int(whole + fraction[:digits].ljust(digits, "0") or "0")
    if minor > AMOUNT_MAX_MINOR:
        raise ValueError("amount out of range")
    return -minor if sign else minor


def read_currency(text: str, own: str) -> str:
    """The code that a terminal means by `text`: capitals, blanks around left out, `own` for nothing
    but blanks (C105). Only ASCII letters have capitals here; anything else stays as it is."""
    if text == own:
        return own
    code = text.strip(" ")
    return (code.upper() if code.isascii() else code) or own


def format_amount(minor: Minor, currency: str) -> str:
    """Write `minor` as a plain decimal with a dot and the currency's decimals ("2.50")."""
    digits = currency_digits(currency)
    if digits == 2 and minor >= 0:
        return f"{minor // 100}.{minor % 100:02d}"
    sign, magnitude = ("-", -minor) if minor < 0 else ("", minor)
    if not digits:
        return f"{sign}{magnitude}"
    scale = 10**digits
    return f"{sign}{magnitude // scale}.{magnitude % scale:0{digits}d}"


class CardState(StrEnum):
    """What may be done with one card (B21, C84)."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    REPLACED = "replaced"
    LOST = "lost"


class BlockType(StrEnum):
    """The seven Wise block types (B27, C14)."""

    GENERAL = "general"
    COLLECTIONS = "collections"
    PAYMENT = "payment"
    INTERNET_REGISTRATION = "internet_registration"
    REPORTED_MISSING = "reported_missing"
    ADDRESS_EMAIL = "address_email"
    PUBLIC_FUNCTIONS = "public_functions"


class FeeStatus(StrEnum):
    """How a fee is being collected (B45, C7)."""

    OPEN = "open"
    INVOICE = "I"
    INVOICE_DEBIT = "J"
    DEBT_COLLECTION = "D"
    ARRANGEMENT = "R"


class RelationshipType(StrEnum):
    """The two Wise relationships (B49)."""

    HEAD_OF_FAMILY = "head_of_family"
    AUTHORISATION = "authorisation"


class ItemStatus(StrEnum):
    """Where an item is when nobody has it on loan."""

    AVAILABLE = "available"
    IN_TRANSIT = "in_transit"
    LOST = "lost"
    MISSING = "missing"
    IN_PROCESS = "in_process"


@dataclass(frozen=True, slots=True)
class Membership:
    """A membership definition (Wise: abonnement) as far as self-service decisions need it."""

    code: str
    description: str
    type: int
    minimum_age: int | None = None
    maximum_age: int | None = None
    max_items: int = 0
    """Loans at a time; 0 is no limit (B56)."""
    max_fees_self_service: Minor | None = None
    """Owed above this blocks self-service; None is no limit (B23)."""
    alert_amount: Minor | None = None
    """Owed from here on up to the limit is worth a warning (B32)."""
    max_holds: int = 0
    """Holds at a time; 0 is no limit."""
    holds_permitted: bool = True


@dataclass(frozen=True, slots=True)
class Card:
    """One card of a patron, with the state of the PIN that all their cards share (B20, B21)."""

    number: str
    state: CardState = CardState.ACTIVE
    pin_failures: int = 0
    """Wrong PINs of the patron, with whatever card (C99)."""
    pin_locked_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class BadgeAssignment:
    """A badge that a patron holds, joined with its definition (B22, C35).

    Empty branch tuples mean every branch. `valid_from`/`valid_until` are whole days, inclusive.
    """

    code: str
    active: bool = True
    valid_from: date | None = None
    valid_until: date | None = None
    badge_branches: tuple[str, ...] = ()
    assignment_branches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Badge:
    """A badge definition as staff lists it (B65, C21)."""

    code: str
    name: str
    active: bool = True
    description: str = ""


@dataclass(frozen=True, slots=True)
class BadgeHolder:
    """One assignment of a badge as staff reports it (B65)."""

    code: str
    patron_id: str
    name: str
    """Of the patron."""
    active: bool
    """Whether the badge is; terminals see active ones only."""
    valid_from: date | None
    valid_until: date | None
    branches: tuple[str, ...]
    """Of the assignment; empty is every branch of the badge."""
    source: str
    """Who assigned it: `import` or `staff` (C70)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A reason, set by staff or a terminal, why a patron may not use self-service (B27)."""

    type: BlockType
    note: str = ""
    valid_until: date | None = None
    """The last day on which it blocks; None is until lifted."""
    source: str = "import"
    """Who set it: `import`, `staff` (`patron block`) or `terminal` (message 01) (C41, C70)."""


EVERY_BRANCH = "*"
"""Stands in a `DoorEntry` for all branches."""


@dataclass(frozen=True, slots=True)
class DoorEntry:
    """A card on a bar or pass list that the store keeps for all gateways (C10, C11)."""

    kind: str
    """`bar` or `pass`."""
    branch: str
    """The branch whose doors it concerns, or `EVERY_BRANCH`."""
    card: str = field(repr=False)
    valid_until: date | None = None
    """The last day; None is until removed."""
    weekdays: frozenset[int] = frozenset(range(7))
    """Days on which a pass holds, 0 is Monday; a bar holds on all."""
    start_minute: int = 0
    end_minute: int = 24 * 60
    """Hours of a pass, half-open; an end at or before the start is on the next day."""
    note: str = field(default="", repr=False)
    """For the staff; never sent."""


@dataclass(slots=True)
class Fee:
    """One open money line (Wise: registration). `owed` is the sum of its ledger entries (C71).

    One with a negative amount is a credit; what it still lowers the debtor's debts by is `-owed`
    (B98). `policy.money` says what credits leave of fees.

    Never changed, only replaced; not frozen, because that would make it three times dearer.
    """

    id: str
    patron_id: str
    amount: Minor
    """The original amount."""
    owed: Minor
    created: datetime
    type: str = "04"
    """SIP2 fee type 01-09."""
    description: str = ""
    item_id: str | None = None
    title: str = ""
    """Title of the item, empty without one."""
    status: FeeStatus = FeeStatus.OPEN
    arrangement_date: date | None = None


@dataclass(frozen=True, slots=True)
class PaidFee:
    """A fee of which something was paid, settled or not."""

    fee: Fee
    paid: Minor


@dataclass(frozen=True, slots=True)
class Surplus:
    """What was paid of a fee beyond what it is worth by now, and is to be given back (C103)."""

    fee_id: str
    patron_id: str
    amount: Minor
    since: datetime
    """When it changed last."""


@dataclass(frozen=True, slots=True)
class Loan:
    """An item that the patron has on loan."""

    item_id: str
    title: str
    due: datetime
    checked_out: datetime
    renewals: int = 0
    max_renewals: int = 2
    lost: bool = False
    """The item has been reported lost."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation; `ready` when it waits on the shelf (B28)."""

    id: str
    item_id: str | None
    title_id: str | None
    title: str
    placed: datetime
    ready: bool = False
    pickup_branch: str | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Relationship:
    """head of family → child, or authoriser → authorised (B49)."""

    type: RelationshipType
    from_id: str
    to_id: str
    functions: frozenset[str] = frozenset()
    """For an authorisation: `renew` and/or `pay`; empty for a family."""
    confirmed: bool = True

    @property
    def key(self) -> tuple[RelationshipType, str, str]:
        """What identifies it: there is one of a type between the same two."""
        return self.type, self.from_id, self.to_id


@dataclass(slots=True)
class PatronRecord:
    """All that is known of one patron at one moment: the facts that policies decide on.

    A snapshot: it is never changed, only replaced (not frozen for the same reason as `Fee`).
    `repr` shows nothing personal (B16).
    """

    id: str
    """The main card number, sent as AA (B21)."""
    name: str
    pin_hash: str | None = None
    birth_date: date | None = None
    membership: Membership | None = None
    membership_from: date | None = None
    membership_until: date | None = None
    """The last valid day (C34)."""
    status: int = 5
    """Wise customer status 0-9 (B27)."""
    home_branch: str | None = None
    language: str | None = None
    email: str | None = None
    phone: str | None = None
    address: str | None = None
    cards: tuple[Card, ...] = ()
    badges: tuple[BadgeAssignment, ...] = ()
    blocks: tuple[Block, ...] = ()
    notices: tuple[str, ...] = ()
    house_rules_accepted: date | None = None
    fee_limit: Minor | None = None
    """Overrides the membership's limit when set (C35)."""
    fees: tuple[Fee, ...] = ()
    """Fees with something owed, oldest first, then by id."""
    loans: tuple[Loan, ...] = ()
    """By due date, then item."""
    holds: tuple[Hold, ...] = ()
    """By placing time, then id."""
    payer_for: tuple[Relationship, ...] = ()
    """Relationships in which this patron may act for the other, above all pay: children of a
    head, and authorisers of an authorised person; functions, validity and confirmation are judged
    when used (B51, B54)."""
    door_entries: tuple[DoorEntry, ...] = ()
    """Entries of the store's bar and pass lists for any of the cards, without their notes."""
    extra: dict[tuple[object, ...], object] = field(default_factory=dict, compare=False)
    """Values derived from this snapshot once and kept with it."""

    def __repr__(self) -> str:
        return "<PatronRecord>"

    def card(self, number: str) -> Card | None:
        """The patron's card with `number`, if it is one of theirs."""
        for card in self.cards:
            if card.number == number:
                return card
        return None


@dataclass(slots=True)
class AccessRow:
    """One decision at a door as it is kept (B42, C65)."""

    time: datetime
    branch: str
    terminal: str
    decision: str
    """`granted` or `refused`."""
    reason: str
    mode: str
    """`normal`, `emergency` or `facts` (C74)."""
    checks: str
    """`name=result` pairs in check order, blank-separated."""
    patron_id: str | None
    """Kept until erasure; shown as a pseudonym (C76)."""
    direction: str = "in"


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is inside a branch, as far as one patron's entry is concerned (C10)."""

    others: int
    """Other patrons inside."""
    inside: bool
    """Whether the patron went in before and neither went out nor stayed beyond the end."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One granted passage of a known patron through a door, in or out."""

    time: datetime
    patron_id: str = field(repr=False)
    direction: str


@dataclass(frozen=True, slots=True)
class DoorCount:
    """How many decisions of one reason a branch's doors made in one minute (C96)."""

    minute: datetime
    branch: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Reveal:
    """Somebody had the names of those told who were inside (C76)."""

    time: datetime
    user: str
    """The system's name of the account that asked."""
    branch: str
    since: datetime
    until: datetime
    people: int
    """How many were told."""


@dataclass(slots=True)
class PaymentLine:
    """What one payment settles of one fee."""

    fee_id: str
    debtor_id: str
    relation: str
    """`own`, `head_of_family` or `authorisation`."""
    amount: Minor


@dataclass(slots=True)
class Payment:
    """A booked payment as listed and as replayed (B46, B47, C21)."""

    id: str
    time: datetime
    terminal: str
    payer_id: str
    amount: Minor
    currency: str
    payment_type: str
    bk: str
    status: str
    """`booked`, `unknown`, `refused` or `undone` (C157)."""
    lines: tuple[PaymentLine, ...]
    texts: tuple[str, ...] = ()
    """The screen messages of the first 38, repeated in every replay (C4)."""
    card: str = field(default="", repr=False)
    """The payer's card as scanned (B21)."""
