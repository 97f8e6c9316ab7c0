"""Whether a receipt number (BK) comes again with a retry or with another payment.  (B46, C4, C105)

Kiosks count their receipts, and some start again each day. The same number then belongs to another
payment, and treating it as a retry would silently lose money. The transaction date shows which it
is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum, auto

from msgspec import Struct

from sip2gw.model.people import STUB_MARK

RETRY_WITHIN = timedelta(hours=1)
"""A retry may cross midnight; so much apart it is one at any hour."""


class ReceiptUse(Enum):
    """What a payment is whose receipt number is already taken."""

    RETRY = auto()
    """The same payment again: it gets the first answer."""
    REUSED = auto()
    """Another payment, too soon after the first: refused (C4)."""
    DOUBTFUL = auto()
    """A late retry or the next day's number for the same thing, or perhaps for somebody who was
    forgotten since, nobody can say: refused, and a person looks at it."""
    NEW = auto()
    """Another payment, to be booked; the number is the new one's from then on."""


def said_by(payer_id: str) -> str:
    """How the content of a payment by this payer begins (C4); no id contains `|`."""
    return f"{payer_id}|"


def payer_in(content: str) -> str:
    """The payer of `said_by`: after a merge the lasting patron, whoever paid."""
    return content.partition("|")[0]


def keyed_by(payer_id: str) -> str:
    """How the key of a payment by this payer begins if it has no receipt number (B46)."""
    return f"tx:{payer_id}|"


class Receipt(Struct):
    """The parts of a payment that distinguish one receipt from another."""

    content: str
    """What a retry repeats exactly (C4)."""
    transacted: datetime | None
    """The transaction date in the message, of the terminal's clock; None when there was none or
    it could not be read."""
    time: datetime
    """By our own clock: when it was booked, or has come in now."""


class ReceiptRules(Struct, frozen=True):
    """How a terminal numbers its receipts."""

    zone: tzinfo = UTC
    """Whose midnight ends a day."""
    starts_anew: bool = False
    """The counter starts anew each day (`bk_retention_days` of 1, C5)."""


def receipt_use(first: Receipt, again: Receipt, rules: ReceiptRules) -> ReceiptUse:
    """What `again` is, if `first` already has its receipt number (C105)."""
    same_content = first.content == again.content
    may_be_same = same_content or _names_somebody_forgotten(first.content, again.content)
    if _belong_together(first, again, rules.zone):
        if same_content:
            return ReceiptUse.RETRY
        return ReceiptUse.DOUBTFUL if may_be_same else ReceiptUse.REUSED
    if may_be_same and not rules.starts_anew:
        return ReceiptUse.DOUBTFUL
    return ReceiptUse.NEW


def _names_somebody_forgotten(first: str, again: str) -> bool:
    """Whether all but the debtor is the same, and the first one's was forgotten since: the money is
    booked, so no certain no may be said (C98, C146)."""
    said, _, debtor = first.rpartition("|")
    repeated, _, named = again.rpartition("|")
    return debtor.startswith(STUB_MARK) and bool(named) and repeated == said


def _belong_together(first: Receipt, again: Receipt, zone: tzinfo) -> bool:
    """Of the same day, or at most an hour apart.

    One clock measures both: the terminal's, or ours where a date is missing. So a terminal whose
    clock is wrong, or stands still, is compared with itself.
    """
    if first.transacted is None or again.transacted is None:
        one, other = first.time, again.time
    else:
        one, other = first.transacted, again.transacted
    same_day = one.astimezone(zone).date() == other.astimezone(zone).date()
    # In UTC, because Python subtracts two moments of the same zone by their local times.
    return same_day or abs(one.astimezone(UTC) - other.astimezone(UTC)) <= RETRY_WITHIN
