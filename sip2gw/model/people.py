"""Patrons: their cards, memberships, badges, blocks and relationships, and what they have."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

from sip2gw.model.doors import DoorEntry
from sip2gw.model.memberships import MaterialRule
from sip2gw.model.money import Fee, Minor
from sip2gw.model.upstream import LibraryWord
from sip2gw.protocol.structs import Opaque, Room

STUB_MARK = "~"
"""How the id begins that stands in place of a patron who was forgotten (C146)."""


class CardState(StrEnum):
    """Whether and how one card can be used (B21, C84)."""

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


class RelationshipType(StrEnum):
    """The two Wise relationships (B49)."""

    HEAD_OF_FAMILY = "head_of_family"
    AUTHORISATION = "authorisation"


class Membership(Struct, frozen=True):
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
    hold_limit: Minor | None = None
    """Owed above this, nothing can be reserved; None is no limit (C167)."""
    materials: tuple[MaterialRule, ...] = ()
    """The first that fits speaks; what none fits is lent as the item says (C167)."""


class FailedPins(Struct, frozen=True):
    """The wrong PINs of a patron that the store has counted (B20, C19)."""

    failures: int = 0
    locked_until: datetime | None = None
    """Set as long as nothing was counted after the lock, even if that has ended (C81)."""

    @property
    def since_lock(self) -> int:
        """Those that still count: an expired lock starts again at 0."""
        return self.failures if self.locked_until is None else 0

    def are_locked(self, now: datetime) -> bool:
        """Whether the PIN is locked at `now`."""
        return self.locked_until is not None and now < self.locked_until


NO_FAILURES = FailedPins()


class Card(Struct, frozen=True):
    """One card of a patron, with the state of the PIN that all their cards share (B20, B21)."""

    number: str
    state: CardState = CardState.ACTIVE
    pin_failures: int = 0
    """Wrong PINs of the patron, with whatever card (C99)."""
    pin_locked_until: datetime | None = None


class BadgeAssignment(Struct, frozen=True):
    """A badge that a patron holds, joined with its definition (B22, C35).

    Empty branch tuples mean every branch. `valid_from`/`valid_until` are whole days, inclusive.
    """

    code: str
    active: bool = True
    valid_from: date | None = None
    valid_until: date | None = None
    badge_branches: tuple[str, ...] = ()
    assignment_branches: tuple[str, ...] = ()
    badge_from: date | None = None
    badge_until: date | None = None
    """The badge's own days, which limit those of every assignment."""


class Badge(Struct, frozen=True):
    """A badge definition as staff see it (B65, C21)."""

    code: str
    name: str
    active: bool = True
    description: str = ""
    valid_from: date | None = None
    valid_until: date | None = None
    """Whole days, inclusive; nobody has the badge on any other day."""


class BadgeHolder(Struct, frozen=True):
    """One assignment of a badge as staff see it (B65)."""

    code: str
    patron_id: str
    name: str
    """Of the patron."""
    active: bool
    """Whether the badge is; terminals see active ones only."""
    valid_from: date | None
    valid_until: date | None
    """The days on which both the assignment and the badge count, inclusive."""
    branches: tuple[str, ...]
    """Of the assignment; empty is every branch of the badge."""
    source: str
    """Who assigned it: `import` or `staff` (C70)."""
    badge: str = ""
    """The name of the badge."""


class Block(Struct, frozen=True):
    """A reason, set by staff or a terminal, why a patron may not use self-service (B27)."""

    type: BlockType
    note: str = ""
    valid_until: date | None = None
    """The last day on which it blocks; None is until lifted."""
    source: str = "import"
    """Who set it: `import`, `staff` (`patron block`) or `terminal` (message 01) (C41, C70)."""


class Loan(Struct, frozen=True):
    """An item that the patron has on loan."""

    item_id: str
    title: str
    due: datetime
    checked_out: datetime
    renewals: int = 0
    max_renewals: int = 2
    lost: bool = False
    """The item has been reported lost."""
    material: str | None = None


class Hold(Struct, frozen=True):
    """A hold; `ready` when the item waits on the hold shelf (B28)."""

    id: str
    item_id: str | None
    title_id: str | None
    title: str
    placed: datetime
    ready: bool = False
    pickup_branch: str | None = None
    expires: datetime | None = None


class Proposer(StrEnum):
    """Who proposed a relationship (B50)."""

    FROM = "from"
    """The authoriser."""
    TO = "to"
    """The authorised person."""
    STAFF = "staff"
    """Staff, or an import that does not say who."""


class Relationship(Struct, frozen=True):
    """head of family → child, or authoriser → authorised (B49)."""

    type: RelationshipType
    from_id: str
    to_id: str
    functions: frozenset[str] = frozenset()
    """For an authorisation: `renew` and/or `pay`; empty for a family."""
    confirmed: bool = True
    proposed_by: Proposer = Proposer.STAFF

    @property
    def key(self) -> tuple[RelationshipType, str, str]:
        """What identifies it: the same two patrons have at most one of each type."""
        return self.type, self.from_id, self.to_id


class PatronRecord(Opaque, Room, Struct):
    """All that is known about one patron at one moment: the facts that policies decide on.

    A snapshot: it is never changed, only replaced. `repr` shows nothing personal (B16).

    What the shell derives from it has its room here; no policy looks there. A table beside the
    snapshots costs a 63 more than C136 allows: each look into it misses the processor's cache.
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
    """Wise customer status 0-9 (B27), as stored: `policy.statuses.status_of` says what it is."""
    status_fee: str | None = None
    """The fee for which account maintenance set a status of 2, 3 or 4 (C160)."""
    home_branch: str | None = None
    language: str | None = None
    email: str | None = None
    phone: str | None = None
    address: str | None = None
    cards: tuple[Card, ...] = ()
    badges: tuple[BadgeAssignment, ...] = ()
    blocks: tuple[Block, ...] = ()
    notices: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    """What staff answered to the patron's messages and no kiosk has shown yet (C145)."""
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
    word: LibraryWord | None = None
    """What a library system behind the gateway has decided; None: the store is the library."""

    def card(self, number: str) -> Card | None:
        """The patron's card with `number`, if it is one of theirs."""
        for card in self.cards:
            if card.number == number:
                return card
        return None


class CardHere(Opaque, Struct, frozen=True):
    """What our store says of a card number, if only a library system may know its holder."""

    holder: PatronRecord | None = None
    """Whoever has the card here."""
    listed: tuple[DoorEntry, ...] = ()
    """Entries of the store's bar and pass lists for a number that nobody has here. A holder's are
    in the snapshot."""
