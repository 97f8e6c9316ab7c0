"""Amounts, fees and payments.

Amounts are whole *minor units* of the institution's currency (cents for EUR), so sums are exact
(B43).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TypedDict

from msgspec import Struct

from sip2gw.protocol.structs import Discreet, Hidden

Minor = int
"""An amount of money in minor units of the currency; never a float (B43)."""


class _Digits(dict[str, int]):
    def __missing__(self, currency: str) -> int:
        return 2


CURRENCY_DIGITS = _Digits(JPY=0, KRW=0, ISK=0, BHD=3, KWD=3, TND=3, EUR=2)
"""Decimals of the currencies: two, but for these (ISO 4217). EUR saves most libraries a call."""

AMOUNT_MAX_MINOR = 10**12
"""No amount in a library is larger; a bigger one is an input error."""

_AMOUNT = re.compile(r"(-?)(?=\.?[0-9])([0-9]{0,12})(?:\.([0-9]{1,6}))?", re.ASCII)


def currency_digits(currency: str) -> int:
    """Decimals of the ISO 4217 `currency`: EUR 2, JPY 0 (C77)."""
    return CURRENCY_DIGITS[currency]


def parse_amount(text: str, currency: str) -> Minor:
    """Read `text` ("2.50", ".5", " 7 ") as minor units of `currency`; nothing is guessed (C105).

    Raises:
        ValueError: not a plain decimal, more decimals than the currency has, or out of range.
    """
    match = _AMOUNT.fullmatch(text.strip(" "))
    if match is None:
        raise ValueError("not an amount like 2.50")
    sign, whole, fraction = match.groups("")
    digits = CURRENCY_DIGITS[currency]
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
    digits = CURRENCY_DIGITS[currency]
    if digits == 2 and minor >= 0:
        return f"{minor // 100}.{minor % 100:02d}"
    sign, magnitude = ("-", -minor) if minor < 0 else ("", minor)
    if not digits:
        return f"{sign}{magnitude}"
    scale = 10**digits
    return f"{sign}{magnitude // scale}.{magnitude % scale:0{digits}d}"


UNDATED = datetime(9999, 1, 1, tzinfo=UTC)
"""When a fee began of which nobody says it: it is no older than any fee may be."""


class FeeStatus(StrEnum):
    """How a fee is being collected (B45, C7)."""

    OPEN = "open"
    INVOICE = "I"
    INVOICE_DEBIT = "J"
    DEBT_COLLECTION = "D"
    ARRANGEMENT = "R"


class Fee(Struct):
    """One open money line (Wise: registration). `owed` is the sum of its ledger entries (C71).

    A fee with a negative amount is a credit; it still lowers the debtor's debts by `-owed` (B98).
    `policy.money.debts` says what credits leave of fees.
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


class PaidFee(Struct, frozen=True):
    """A fee that was paid in part or in full."""

    fee: Fee
    paid: Minor


class Surplus(Struct, frozen=True):
    """What was paid on a fee beyond its present amount, and must be given back (C103)."""

    fee_id: str
    patron_id: str
    amount: Minor
    since: datetime
    """When it changed last."""


class PaymentLine(Struct):
    """What one payment settles of one fee."""

    fee_id: str
    debtor_id: str
    relation: str
    """`own`, `head_of_family` or `authorisation`."""
    amount: Minor


class PaymentStatus(StrEnum):
    """What is known about a payment (C157)."""

    BOOKED = "booked"
    UNKNOWN = "unknown"
    """Nobody knows whether it was booked."""
    REFUSED = "refused"
    """It was unknown, and was found not to be booked."""
    UNDONE = "undone"
    """It was given back on the day it was made (C54)."""


class Payment(Discreet, Struct):
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
    """A `PaymentStatus`."""
    lines: tuple[PaymentLine, ...]
    texts: tuple[str, ...] = ()
    """The screen messages of the first 38, repeated in every replay (C4)."""
    card: Hidden[str] = ""
    """The payer's card as scanned (B21)."""


class PaymentFilters(TypedDict, total=False):
    """Which payments to list; without any, all of them. None sets no limit."""

    since: datetime | None
    until: datetime | None
    """The first moment after the time span."""
    terminal: str | None
    status: str | None
    """A `PaymentStatus`."""
    patron: str | None
    """Id of whoever paid, or owed what was paid; also of records that were merged into theirs."""
    after: tuple[datetime, str] | None
    """Time and id of a payment; only those that come after it."""
    limit: int | None
    """No more than so many; what is not in the store yet comes besides."""
