"""The words of circulation: copies, where they are, who waits for them, what was done lately.

A loan or a hold is seen from the item here, in `people` from the patron.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from sip2gw.model.money import Minor
from sip2gw.protocol.structs import Discreet, Hidden

LOCAL_HOLD = "01"
REMOTE_HOLD = "02"
TRANSFER = "04"
"""Alert types, CV (B59, C44)."""


class ItemStatus(StrEnum):
    """Where an item is when nobody has it on loan (the library data format)."""

    AVAILABLE = "available"
    IN_TRANSIT = "in_transit"
    LOST = "lost"
    MISSING = "missing"
    IN_PROCESS = "in_process"


class Item(Struct, frozen=True):
    """One copy as the catalogue describes it; its `ItemState` says where it is."""

    id: str
    title: str
    title_id: str | None = None
    author: str | None = None
    media_type: str | None = None
    """SIP2 media type, three digits."""
    material: str | None = None
    owner_branch: str | None = None
    shelf: str | None = None
    call_number: str | None = None
    for_loan: bool = True
    loan_days: int = 21
    max_renewals: int = 2
    checkout_fee: Minor | None = None
    overdue_fee_per_day: Minor | None = None
    magnetic: bool = False
    """Magnetic media: the copy itself must not be (de)sensitised by a magnet."""
    security_marker: str | None = None
    """SIP2 security marker, two digits."""
    note: str | None = None
    attachment: str | None = None
    overdue_fee_max: Minor | None = None
    """A late return costs no more; None leaves it to the borrower's membership (C167)."""
    minimum_age: int | None = None
    """Nobody younger may borrow it (B97)."""


class LateTerms(Struct, frozen=True):
    """What the borrower's membership says about a late return (B96, C167)."""

    grace_days: int = 0
    fee_max: Minor | None = None


class ItemLoan(Struct, frozen=True):
    """Who has a copy, and until when."""

    patron_id: str
    checked_out: datetime
    due: datetime
    renewals: int = 0


class ItemState(Struct, frozen=True):
    """Where a copy is now: all of it that circulation changes."""

    status: ItemStatus = ItemStatus.AVAILABLE
    """Holds while nobody has it on loan."""
    current_branch: str | None = None
    properties: str | None = None
    """What a terminal stored with a 19 (CH)."""
    loan: ItemLoan | None = None


class QueuedHold(Discreet, Struct, frozen=True):
    """A hold in the queue of a copy, or of any copy of a title while `item_id` is None."""

    id: str
    patron_id: str
    patron_name: Hidden[str]
    item_id: str | None
    title_id: str | None
    placed: datetime
    ready: bool = False
    pickup_branch: str | None = None
    expires: datetime | None = None


class Outcome(Struct, frozen=True):
    """What was done, as the terminal is told; kept so that a retry gets the same answer."""

    time: datetime
    patron_id: str = ""
    """Whose loan it was or is."""
    renewed: bool = False
    due: datetime | None = None
    fee: Minor = 0
    """Booked with it."""
    destination: str | None = None
    """The branch that the item must go to."""
    alert: str | None = None
    """Alert type, CV."""
    hold: QueuedHold | None = None
    """The hold that was placed, changed or removed, or for which the item was set aside."""
    branch: str | None = None
    """Where the item was returned, if that is known; not told."""


class PriorState(Struct, frozen=True):
    """What a transaction changed, as it was before: enough to cancel it (B58)."""

    state: ItemState
    hold: QueuedHold | None = None
    """The hold that it changed or removed."""
    hold_removed: bool = False
    fee_id: str | None = None
    """The fee that it created."""


class Event(Struct, frozen=True):
    """One of the last transactions with a copy (C69, B58)."""

    terminal: str
    code: str
    """Of the request: 11, 09, 29, 65, 15 or 19."""
    key: str
    """Under which it happened once; unique for the copy."""
    patron_id: str
    position: int
    """Counts the transactions with this copy; the highest is the last. 0 for a hold and for
    stored properties, which have no place in this order."""
    expires: datetime
    outcome: Outcome
    before: PriorState | None
    """None for what cannot be cancelled: a cancellation itself."""
    had_since: bool = False
    """Whether somebody has or had the copy on loan since then."""
    attempt: str = ""
    """Id of the order that did it; empty for what an earlier build did."""


class ReviewKind(StrEnum):
    """Why a person has to look at a transaction (C165)."""

    OFFLINE = "offline"
    """It happened off line, was done as told, and nothing spoke against it (B57)."""
    CONFLICT = "conflict"
    """It happened off line and was refused, or done although something spoke against it."""
    UNKNOWN = "unknown"
    """Nobody knows whether it was done (C98)."""


class Review(Struct, frozen=True):
    """A transaction that a person has to look at, or has looked at."""

    id: str
    time: datetime
    """When the terminal told us, by our clock."""
    kind: ReviewKind
    terminal: str
    message: str
    """Code of the request: 11, 09, 29, …"""
    item: str
    """As the terminal named it; it may be unknown."""
    patron: str
    """Id of the patron; empty where none is known."""
    outcome: str
    """`done`, `refused` or `unknown`."""
    reasons: tuple[str, ...] = ()
    """What spoke against it: words of `CirculationReason`. Of what a library system did not answer:
    what was seen when it was asked later."""
    note: str = ""
    """What the one who closed it wrote."""
    closed: datetime | None = None
    closed_by: str = ""

    @property
    def state(self) -> str:
        """`open` until somebody has closed it, then `closed`."""
        return "open" if self.closed is None else "closed"


class ItemRecord(Struct, frozen=True):
    """All that is known about one copy at one moment."""

    item: Item
    state: ItemState
    next_hold: QueuedHold | None = None
    """The first hold that this copy could serve: ready before waiting, then the one that it
    was promised to, then the oldest."""
    repeated: Event | None = None
    """The transaction under the key of the order, as long as it is kept."""
    last: Event | None = None
    """The last transaction, as long as it is kept."""
    late_terms: LateTerms = LateTerms()
    """Of whoever has it on loan."""
