"""What of a payment goes up to a library system, one 37 for each share (B75, C156), or is told to
it by staff later (C124)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from sip2gw.model.money import Minor
from sip2gw.protocol.structs import Discreet, Hidden


class Debts(Struct, frozen=True):
    """What a library system says that somebody owes, at one moment."""

    balance: Minor | None = None
    """BV; None: it is not said, or cannot be read."""
    lines: tuple[tuple[str, Minor], ...] | None = None
    """Id and amount of each fee, in the order of the ids; None: they do not tell all."""


class Kept(StrEnum):
    """What a share lowers that does not go up, until the library system knows of it (C124)."""

    FEE = "fee"
    """The fee, which has an id in their list: until it is gone there, or the export is done."""
    SUM = "sum"
    """Only what is owed in all, until the export is done."""


class Share(Discreet, Struct, frozen=True):
    """One 37: what is paid for one debtor, or on one of their fees."""

    debtor_id: str
    card: Hidden[str]
    """AA of the 37."""
    relation: str
    """As in `PaymentLine`."""
    amount: Minor
    fee_id: str = ""
    """CG of the 37; empty: the library system spreads the amount."""
    before: Hidden[Debts] = Debts()
    """What the debtor owed right before."""
    kept: Kept | None = None
    """None: it goes up. Otherwise we book it ourselves, and staff tell the library system."""


def stays_here(shares: Sequence[Share]) -> bool:
    """Whether we book a payment of `shares` ourselves: all of them are kept, or none is."""
    return shares[0].kept is not None


class ShareState(StrEnum):
    """How far a share has come; what is not `SENT` is certain."""

    PLANNED = "planned"
    """It has not gone up."""
    SENT = "sent"
    """Nobody knows yet, or any more, what the library system did with it."""
    BOOKED = "booked"
    REFUSED = "refused"


class SentShare(Struct, frozen=True):
    """A share that went up and of which nobody knows what became."""

    payment_id: str
    position: int
    account: str
    """At the library system."""
    terminal: str
    bk: str
    payment_type: str
    currency: str
    sent: datetime
    share: Share
    transacted: datetime | None
    """The terminal's date of the payment; None: it could not be read."""
    alone: bool = True
    """Whether nothing else has gone up for the same debtor that may have moved their debts."""
    in_doubt: bool = False
    """Whether staff are told about it."""


class PendingFee(Struct, frozen=True):
    """What we have taken money for and the library system does not know of yet (C124)."""

    id: str
    """Of the share: that of its payment, and its position."""
    fee_id: str
    """Theirs; empty: it lowers only what is owed in all."""
    amount: Minor


class Export(Struct, frozen=True):
    """A share that staff tell the library system, as they see it (C124, C157)."""

    id: str
    """The payment's, with a number behind it if that has several."""
    time: datetime
    terminal: str
    patron: str
    """Whose debt it is."""
    amount: Minor
    currency: str
    payment_type: str
    bk: str
    fee: str
    """Theirs; empty: none was named."""
    done: datetime | None
    """When it was told; None: it waits."""
