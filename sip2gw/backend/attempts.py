"""Attempts of unknown outcome, and how they ended (C98).

After "not sure" both the terminal and the staff must be able to find out what happened. So each
order is an *attempt* with an id of its own. An attempt whose outcome is unknown is noted under that
id before the terminal is answered, and later *settled*: the gateway looks whether it was done, and
in the same step makes sure that it cannot be done any more (a fence).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from sip2gw.model import Minor
from sip2gw.model.journal import JournalEntry
from sip2gw.protocol.structs import Discreet, Hidden


class UnknownPayment(Discreet, Struct, frozen=True):
    """A payment that may or may not have been booked; everything that its row needs.

    The fields are in the order of the columns that `queries` reads.
    """

    id: str
    """Of the order, and of the payment if there is one."""
    time: datetime
    terminal: str
    payer_id: str
    amount: Minor
    currency: str
    payment_type: str
    bk: str
    key: str
    """Stays taken until the attempt is settled as not booked."""
    content: str
    key_expires: datetime
    card: Hidden[str] = ""
    owed: Minor | None = None
    """What the payer and those they may pay for owed when it was attempted; None: not seen."""


class UnknownCirculation(Struct, frozen=True):
    """A loan, return, renewal, hold … that may or may not have been done with an item.

    The fields are in the order of the columns that `queries` reads.
    """

    id: str
    time: datetime
    terminal: str
    code: str
    """Of the request: 11, 09, 29, 65, 15 or 19."""
    item_id: str
    patron_id: str
    """Empty where nobody asked for it, or where the card is unknown."""
    key: str
    """Under which it is done once; there is always one."""


class UnknownSending(UnknownCirculation, frozen=True):
    """The same of a request that went up to a library system: our store cannot say what became of
    it, so the library system is asked (C98, C127).

    `patron_id` is the card that went up; `item_id` is empty where only a title was named.
    """

    account: str = ""
    """At the library system."""
    cancels: bool = False
    """BI: what comes to light about the item later tells nothing about it."""


def sending_of(entry: JournalEntry) -> UnknownSending:
    """What is noted of a journalled request when nobody knows what became of it."""
    return UnknownSending(
        id=entry.id,
        time=entry.time,
        terminal=entry.terminal,
        code=entry.message,
        item_id=entry.item,
        patron_id=entry.patron,
        key=entry.key or f"#{entry.id}",
        account=entry.account,
        cancels=entry.request.get("cancel") is True,
    )


class DoubtfulSending(Struct, frozen=True):
    """An `UnknownSending` that nobody has closed, and what was seen when it was looked at.

    Or one that was found to be done, whose terminal may not have been told.
    """

    sending: UnknownSending
    seen: tuple[str, ...] = ()
    """Empty: nobody has looked yet."""
    is_done: bool = False


UnknownAttempt = UnknownPayment | UnknownCirculation | UnknownSending


class Settlement(Struct, frozen=True):
    """The result of settling: `done`, or not done and never to be."""

    attempt: UnknownAttempt
    done: bool


class AttemptState(StrEnum):
    """The state of a payment that was answered with "not sure" (C98, C157)."""

    UNKNOWN = "unknown"
    """Open: it may have been booked."""
    BOOKED = "booked"
    """It was booked, and the terminal has not asked again: it still thinks "not sure"."""
    REFUSED = "refused"
    """It was not booked, and never will be."""
    RESOLVED = "resolved"
    """The terminal has asked again and was told yes: there is nothing left to do."""


class Reconciliation(Struct, frozen=True):
    """A payment that was answered with "not sure", as staff see it (C157)."""

    payment: UnknownPayment
    state: AttemptState
    after: Minor | None
    """What the payer and those they may pay for owe now; `payment.owed` is what they owed then.
    Through a library system: what the debtor owed when it was last asked; None: not yet."""
    proposal: str = ""
    """What looking suggests for an open one, `booked` or `not-booked`; empty when settled."""
    settled: datetime | None = None
    note: str = ""
    """What the one who settled it wrote."""
