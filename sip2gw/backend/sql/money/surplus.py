"""What was overpaid on a fee, and to whom it belongs (C103).

The amount of a fee may fall below what was paid on it, and a payment may be undone afterwards. Each
time the surplus is calculated again, and the difference to what is booked becomes an entry on the
fee against `surplus:<patron>`, so that the entries of the fee add up to what is owed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from msgspec import Struct

from sip2gw.backend.database import Connection
from sip2gw.backend.sql import queries
from sip2gw.model import Minor, Surplus
from sip2gw.policy.money.debts import surplus_of

_FEE = itemgetter(0, 1, 2, 3)


class Correction(Struct, frozen=True):
    """By how much the surplus of a patron from one fee changes; below zero it is taken back."""

    src: int
    """The line of the import that says so."""
    fee_id: str
    patron_id: str
    amount: Minor


def corrections(rows: Iterable[Sequence[Any]]) -> Iterator[Correction]:
    """What has to be booked for the fees in rows of `queries.balances`.

    All surplus of a fee belongs to its debtor; a former debtor of the fee has none.
    """
    for (src, fee_id, debtor, amount), found in groupby(rows, _FEE):
        booked = {holder: value for *_, holder, value in found}
        paid = amount - booked.pop(None)
        due = dict.fromkeys(sorted(booked), 0) | {debtor: surplus_of(amount, paid)}
        for holder, surplus in due.items():
            change = surplus - booked.get(holder, 0)
            if change:
                yield Correction(src, fee_id, holder, change)


def entries_of(changes: Iterable[Correction]) -> Iterator[tuple[Any, ...]]:
    """Account, amount, fee, debtor and relation of each entry that books `changes`."""
    for change in changes:
        yield f"fee:{change.fee_id}", change.amount, change.fee_id, change.patron_id, None
        yield f"surplus:{change.patron_id}", -change.amount, None, change.patron_id, None


def refund_entries_of(owned: Iterable[Surplus]) -> Iterator[tuple[Any, ...]]:
    """The same for money that leaves the library: less was paid of the fee then."""
    for entry in owned:
        yield f"fee:{entry.fee_id}", entry.amount, entry.fee_id, entry.patron_id, None
        yield f"refund:{entry.patron_id}", -entry.amount, None, entry.patron_id, None


def surpluses(connection: Connection) -> list[Surplus]:
    """Surpluses that were not given back, those unchanged for longest first (C103)."""
    return [
        Surplus(fee_id, patron_id, amount, datetime.fromisoformat(time))
        for fee_id, patron_id, amount, time in connection.execute(queries.SURPLUSES)
    ]
