"""`/payments/…`: what bookkeeping needs beside the payments themselves (B47, B100, C103, C157)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Path, Query
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from sip2gw.backend.attempts import Reconciliation
from sip2gw.backend.base import NotFoundError
from sip2gw.model import Surplus
from sip2gw.model.refusals import RefusedPayment, RefusedPaymentsMore
from sip2gw.model.shares import Export
from sip2gw.policy.money.till_totals import DayTotal, day_totals
from sip2gw.staff.payments import (
    SHOWN_FOR,
    ExportJson,
    ReconciliationJson,
    RefusedPaymentJson,
    SurplusJson,
    TotalJson,
    export_json,
    reconciliation_json,
    refused_json,
    surplus_json,
    total_json,
)
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.moments import Since, Until, since_of, until_of
from sip2gw.web.api.paging import Cursor, Key, Limit, Page, page
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("bookkeeping")

Terminal = Annotated[str | None, Query(max_length=100, description="Only this terminal.")]


class LedgerErrorJson(TypedDict):
    """Something in the ledger that cannot be."""

    problem: str


class Settlement(BaseModel):
    """What became of a payment that was answered with "not sure"."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["booked", "not-booked"]
    note: Annotated[
        str,
        Field(
            pattern=r"\S",
            max_length=2_000,
            description="What you found, for anyone who asks later.",
            examples=["the till has the money"],
        ),
    ]


# Totals and refusals ----------------------------------------------------------------------------


@resources.get("/payments/totals", "payment totals")
def list_totals(
    asked: Asks,
    terminal: Terminal = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 1_000,
    cursor: Cursor = None,
) -> Page[TotalJson]:
    """Add up payments by day, terminal and payment type: what each till should hold.

    Undone payments do not count, because they were given back on the same day. Payments of unknown
    outcome do not count either; see `/payments/reconcile`. Days follow the library's time zone.
    """
    found = asked.store.payments(
        terminal=terminal, since=since_of(since, asked.zone), until=until_of(until, asked.zone)
    )
    totals = sorted(day_totals(found, asked.zone), key=_key_of_total)
    return page(totals, limit, cursor, key=_key_of_total, told=total_json)


def _key_of_total(total: DayTotal) -> Key:
    return total.date.isoformat(), total.terminal, total.payment_type, total.currency


@resources.get("/payments/refused", "payment refused")
def list_refused(
    asked: Asks,
    terminal: Terminal = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[RefusedPaymentJson]:
    """List refused payments, oldest first: the terminal may have taken the money.

    Each attempt counts, including retries. Terminal and BK show which attempts belong together, and
    `/payments` shows whether the payment was booked later. The store keeps 1,000 for each terminal
    and day; an entry with the reason `more` says how many others there were.
    """
    found = asked.store.refused_payments(
        terminal=terminal, since=since_of(since, asked.zone), until=until_of(until, asked.zone)
    )
    return page(
        _numbered(found),
        limit,
        cursor,
        key=lambda it: it[0],
        told=lambda it: refused_json(it[1], asked.zone),
    )


Refused = RefusedPayment | RefusedPaymentsMore


def _numbered(found: Iterable[Refused]) -> Iterator[tuple[Key, Refused]]:
    """Each with a key: they have no ids, and many may be of the same second."""
    same: Counter[datetime] = Counter()
    for one in found:
        time = _moment(one.time)
        if isinstance(one, RefusedPaymentsMore):
            yield (time, "", one.terminal), one
        else:
            same[one.time] += 1
            yield (time, f"{same[one.time]:06}", ""), one


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")


# What needs a person ----------------------------------------------------------------------------


@resources.get("/payments/reconcile", "payment reconcile")
def list_reconciliations(
    asked: Asks,
    only_open: Annotated[
        bool, Query(alias="open", description="Only payments that are not settled yet.")
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ReconciliationJson]:
    """List payments answered with "not sure", oldest first.

    Open ones are `unknown`; the gateway settles them as soon as the store allows it. Those settled
    in the last 30 days are listed too: `booked`; `refused`, which was not booked and never will be;
    `resolved`, where the machine asked again and got a yes.
    """
    found = (one for one in _reconciliations(asked) if one.settled is None or not only_open)
    return page(
        found,
        limit,
        cursor,
        key=lambda one: (_moment(one.payment.time), one.payment.id),
        told=lambda one: reconciliation_json(one, asked.zone),
    )


def _reconciliations(asked: Asked) -> list[Reconciliation]:
    return asked.store.reconciliations(asked.now - SHOWN_FOR)


@resources.post("/payments/{payment_id}/settle", "payment reconcile --settle", object="payment_id")
def settle_payment(
    asked: Asks,
    payment_id: Annotated[str, Path(max_length=100, description="Id of the payment.")],
    settlement: Settlement,
) -> ReconciliationJson:
    """Settle a payment of unknown outcome as you found it; settling it twice is a 409."""
    _reconciliation(asked, payment_id)
    booked = settlement.verdict == "booked"
    asked.run(
        asked.store.settle_payment(payment_id, booked=booked, note=settlement.note, now=asked.now)
    )
    return reconciliation_json(_reconciliation(asked, payment_id), asked.zone)


def _reconciliation(asked: Asked, payment_id: str) -> Reconciliation:
    found = (one for one in _reconciliations(asked) if one.payment.id == payment_id)
    known = next(found, None)
    if known is None:
        raise NotFoundError(f"no payment of unknown outcome has the id {payment_id}")
    return known


@resources.get("/payments/surpluses", "payment reconcile")
def list_surpluses(asked: Asks, limit: Limit = 100, cursor: Cursor = None) -> Page[SurplusJson]:
    """List charges that an import has lowered below what was paid: give the difference back."""
    found = sorted(asked.store.surpluses(), key=_key_of_surplus)
    return page(found, limit, cursor, key=_key_of_surplus, told=lambda one: _surplus(asked, one))


def _key_of_surplus(one: Surplus) -> Key:
    return _moment(one.since), one.fee_id, one.patron_id


def _surplus(asked: Asked, one: Surplus) -> SurplusJson:
    return surplus_json(one, asked.config.institution.currency, asked.zone)


@resources.post("/payments/surpluses/{fee_id}/refund", "payment refund", is_once=True)
def refund(
    asked: Asks,
    fee_id: Annotated[str, Path(max_length=100, description="Id of the charge.")],
) -> list[SurplusJson]:
    """Record that you have given back an overpayment of a charge; recording it twice is a 409."""
    return [_surplus(asked, one) for one in asked.run(asked.store.refund(fee_id, asked.now))]


@resources.get("/payments/errors", "payment reconcile")
def list_ledger_errors(
    asked: Asks, limit: Limit = 100, cursor: Cursor = None
) -> Page[LedgerErrorJson]:
    """Look for errors in the ledger; there should be none."""
    found = sorted(set(asked.store.self_check()))
    return page(found, limit, cursor, key=lambda it: (it,), told=lambda it: {"problem": it})


# What staff enter in a library system -----------------------------------------------------------


@resources.get("/payments/export", "payment export")
def list_exports(
    asked: Asks,
    pending: Annotated[
        bool, Query(description="Only what nobody has entered in the library system yet.")
    ] = False,
    terminal: Terminal = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ExportJson]:
    """List payments that staff enter in the library system, because it takes none.

    One entry for each fee, or for each patron if the fees have no ids; oldest first. `done` says
    when somebody recorded that it was entered; it is null as long as it waits, and left out where
    only those that wait are listed. Undone payments are not listed.
    """
    found = asked.store.payment_exports(
        pending=pending,
        terminal=terminal,
        since=since_of(since, asked.zone),
        until=until_of(until, asked.zone),
    )
    return page(
        found,
        limit,
        cursor,
        key=_key_of_export,
        told=lambda one: export_json(one, asked.zone, pending=pending),
    )


def _key_of_export(one: Export) -> Key:
    payment_id, _, position = one.id.partition("-")
    return _moment(one.time), payment_id, position.zfill(6)


@resources.post("/payments/export/{export_id}/done", "payment export --done", object="export_id")
def note_entered(
    asked: Asks,
    export_id: Annotated[
        str, Path(max_length=100, description="Id of an entry, or of a payment: all of it.")
    ],
) -> list[ExportJson]:
    """Record that you have entered this in the library system; recording it twice is a 409.

    Enter it there first: from then on terminals show what the library system says.
    """
    now = asked.now
    entered = asked.run(asked.store.set_exported(export_id, now))
    return [export_json(replace(one, done=now), asked.zone) for one in entered]
