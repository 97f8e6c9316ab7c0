"""What a till or a card terminal should contain at the end of a day. (B47, C21)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, tzinfo

from msgspec import Struct

from sip2gw.model import Minor, Payment, PaymentStatus


class DayTotal(Struct, frozen=True):
    """The payments of one day, terminal, payment type and currency, taken together."""

    date: date
    """The local day."""
    terminal: str
    payment_type: str
    currency: str
    count: int
    amount: Minor


def day_totals(payments: Iterable[Payment], zone: tzinfo) -> list[DayTotal]:
    """Count and sum of the valid payments, by day in `zone`, terminal, type and currency.

    Undone payments are left out, because they were given back on the same day (C54), and so are
    payments of unknown outcome until they are reconciled.
    """
    counts: Counter[tuple[date, str, str, str]] = Counter()
    amounts: Counter[tuple[date, str, str, str]] = Counter()
    for payment in payments:
        if payment.status == PaymentStatus.BOOKED:
            day = payment.time.astimezone(zone).date()
            key = day, payment.terminal, payment.payment_type, payment.currency
            counts[key] += 1
            amounts[key] += payment.amount
    return [DayTotal(*key, counts[key], amounts[key]) for key in sorted(counts)]
