"""What of a payment goes up to a library system, one 37 for each share (B75, C156)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sip2gw.model.money import Minor


@dataclass(frozen=True, slots=True)
class Debts:
    """What a library system says that somebody owes, at one moment."""

    balance: Minor | None = None
    """BV; None: it is not said, or cannot be read."""
    lines: tuple[tuple[str, Minor], ...] | None = None
    """Id and amount of each fee, in the order of the ids; None: they do not tell all."""


@dataclass(frozen=True, slots=True)
class Share:
    """One 37: what is paid for one debtor, or on one of their fees."""

    debtor_id: str
    card: str = field(repr=False)
    """AA of the 37."""
    relation: str
    """As in `PaymentLine`."""
    amount: Minor
    fee_id: str = ""
    """CG of the 37; empty: the library system spreads the amount."""
    before: Debts = field(default_factory=Debts, repr=False)
    """What the debtor owed right before."""


class ShareState(StrEnum):
    """How far a share has come; what is not `SENT` is certain."""

    PLANNED = "planned"
    """It has not gone up."""
    SENT = "sent"
    """Nobody knows yet, or any more, what the library system did with it."""
    BOOKED = "booked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SentShare:
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
    alone: bool = True
    """Whether nothing else has gone up for the same debtor that may have moved their debts."""
    in_doubt: bool = False
    """Whether staff are told about it."""
