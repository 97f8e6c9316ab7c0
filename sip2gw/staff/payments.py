"""Payments, doubts, surpluses and refusals in JSON for staff (B47, B100, C103, C157)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NotRequired

from typing_extensions import TypedDict

from sip2gw.model import format_amount
from sip2gw.model.refusals import RefusedPayment, RefusedPaymentsMore
from sip2gw.staff.documents import Person, Persons

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.backend.attempts import Reconciliation
    from sip2gw.backend.library import Library
    from sip2gw.model import Payment, Surplus
    from sip2gw.model.shares import Export
    from sip2gw.policy.money.till_totals import DayTotal

SHOWN_FOR = timedelta(days=30)
"""How long a settled payment stays listed."""


class PaymentLineJson(TypedDict):
    """What of a payment settled one fee."""

    fee: str
    debtor: Person
    amount: str


class PaymentJson(TypedDict):
    """A payment at a terminal (C21)."""

    id: str
    time: str
    terminal: str
    payer: Person
    debtors: Persons
    relation: str
    amount: str
    currency: str
    payment_type: str
    bk: str
    status: str
    lines: list[PaymentLineJson]


class ShownPaymentJson(PaymentJson):
    """A payment, and the card that was scanned."""

    card: Person


class TotalJson(TypedDict):
    """The valid payments of a day, terminal, payment type and currency, taken together (C21)."""

    date: str
    terminal: str
    payment_type: str
    currency: str
    count: int
    amount: str


class RefusedPaymentJson(TypedDict):
    """A payment that was refused (B100); or, with `count`, how many more of that day were."""

    time: str
    terminal: str
    payer: Person
    amount: str
    currency: str
    payment_type: str
    bk: str
    reason: str
    count: NotRequired[int]


class ReconciliationJson(TypedDict):
    """A payment that was answered with "not sure" (C157)."""

    id: str
    time: str
    terminal: str
    payer: Person
    amount: str | None
    currency: str
    bk: str
    state: str
    before: str | None
    after: str | None
    proposal: str


class SurplusJson(TypedDict):
    """What was paid on a charge beyond its present amount (C103)."""

    surplus: str
    currency: str
    fee: str
    patron: Person
    time: str


class ExportJson(TypedDict):
    """What staff enter in a library system that takes no payments (C124, C157)."""

    id: str
    time: str
    terminal: str
    patron: Person
    amount: str
    currency: str
    payment_type: str
    bk: str
    fee: str
    done: NotRequired[str | None]
    """When somebody recorded that it was entered; left out where only those that wait are listed.
    """


EXPORT_KEYS = tuple(name for name in ExportJson.__annotations__ if name != "done")
REFUSED_KEYS = tuple(name for name in RefusedPaymentJson.__annotations__ if name != "count")
MORE = "more"
"""In place of a reason: the number of further refusals on the terminal's day, which were only
counted.
"""


def find_payment(store: Library, payment_id: str) -> Payment:
    """The payment with this id.

    Raises:
        NotFoundError: there is no such payment.
    """
    from sip2gw.backend.base import NotFoundError

    found = store.payment(payment_id)
    if found is None:
        raise NotFoundError(f"no payment has the id {payment_id}; see `payment list`")
    return found


def payment_json(payment: Payment, zone: tzinfo) -> PaymentJson:
    """A payment with the keys of C21; amounts are strings, the time is local with its offset."""
    relations = [line.relation for line in payment.lines if line.relation != "own"]
    return {
        "id": payment.id,
        "time": payment.time.astimezone(zone).isoformat(),
        "terminal": payment.terminal,
        "payer": payment.payer_id,
        "debtors": list(dict.fromkeys(line.debtor_id for line in payment.lines)),
        "relation": relations[0] if relations else "own",
        "amount": format_amount(payment.amount, payment.currency),
        "currency": payment.currency,
        "payment_type": payment.payment_type,
        "bk": payment.bk,
        "status": payment.status,
        "lines": [
            {
                "fee": line.fee_id,
                "debtor": line.debtor_id,
                "amount": format_amount(line.amount, payment.currency),
            }
            for line in payment.lines
        ],
    }


def shown_payment_json(payment: Payment, zone: tzinfo) -> ShownPaymentJson:
    """The same for a single payment, with its card."""
    return {**payment_json(payment, zone), "card": payment.card}


def total_json(total: DayTotal) -> TotalJson:
    """A day total with the keys of C21."""
    return {
        "date": total.date.isoformat(),
        "terminal": total.terminal,
        "payment_type": total.payment_type,
        "currency": total.currency,
        "count": total.count,
        "amount": format_amount(total.amount, total.currency),
    }


def refused_json(entry: RefusedPayment | RefusedPaymentsMore, zone: tzinfo) -> RefusedPaymentJson:
    """A refused payment; the number of further refusals has the same keys, and `count`."""
    known = (
        RefusedPayment(entry.time, entry.terminal, "", "", "", "", "", MORE)
        if isinstance(entry, RefusedPaymentsMore)
        else entry
    )
    told: RefusedPaymentJson = {
        "time": known.time.astimezone(zone).isoformat(),
        "terminal": known.terminal,
        "payer": known.payer,
        "amount": known.amount,
        "currency": known.currency,
        "payment_type": known.payment_type,
        "bk": known.bk,
        "reason": known.reason,
    }
    if isinstance(entry, RefusedPaymentsMore):
        told["count"] = entry.count
    return told


def reconciliation_json(entry: Reconciliation, zone: tzinfo) -> ReconciliationJson:
    """A payment with the keys of C157; amounts are strings, the time is local with its offset."""
    payment = entry.payment

    def amount(minor: int | None) -> str | None:
        return None if minor is None else format_amount(minor, payment.currency)

    return {
        "id": payment.id,
        "time": payment.time.astimezone(zone).isoformat(),
        "terminal": payment.terminal,
        "payer": payment.payer_id,
        "amount": amount(payment.amount),
        "currency": payment.currency,
        "bk": payment.bk,
        "state": entry.state.value,
        "before": amount(payment.owed),
        "after": amount(entry.after),
        "proposal": entry.proposal,
    }


def export_json(entry: Export, zone: tzinfo, *, pending: bool = False) -> ExportJson:
    """What staff tell the library system, with the keys of C157; unless `pending`, also when it
    was done.
    """
    told: ExportJson = {
        "id": entry.id,
        "time": entry.time.astimezone(zone).isoformat(),
        "terminal": entry.terminal,
        "patron": entry.patron,
        "amount": format_amount(entry.amount, entry.currency),
        "currency": entry.currency,
        "payment_type": entry.payment_type,
        "bk": entry.bk,
        "fee": entry.fee,
    }
    if not pending:
        told["done"] = entry.done.astimezone(zone).isoformat() if entry.done is not None else None
    return told


def surplus_json(entry: Surplus, currency: str, zone: tzinfo) -> SurplusJson:
    """An overpayment as a string, with its fee, its patron, and the time since when."""
    return {
        "surplus": format_amount(entry.amount, currency),
        "currency": currency,
        "fee": entry.fee_id,
        "patron": entry.patron_id,
        "time": entry.since.astimezone(zone).isoformat(),
    }
