"""`/payments`: payments at terminals (B47)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response

from sip2gw.staff.members.patrons import find_patron
from sip2gw.staff.payments import (
    PaymentJson,
    ShownPaymentJson,
    find_payment,
    payment_json,
    shown_payment_json,
)
from sip2gw.web.api.editing import IfMatch, insist_on, show_etag
from sip2gw.web.api.moments import Since, Until, since_of, until_of
from sip2gw.web.api.paging import Cursor, Limit, Page, page, place_of, time_key
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("payments")

PaymentId = Annotated[str, Path(max_length=100, description="Id of the payment.")]


@resources.get("/payments", "payment list")
def list_payments(
    asked: Asks,
    terminal: Annotated[str | None, Query(max_length=100, description="Of this terminal.")] = None,
    patron: Annotated[
        str | None, Query(max_length=100, description="With this patron (any card); needs `staff`.")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[PaymentJson]:
    """List payments, oldest first. Undone payments are listed with that status."""
    whose = None if patron is None else asked.run(find_patron(asked.store, patron)).id
    found = asked.store.payments(
        terminal=terminal,
        patron=whose,
        since=since_of(since, asked.zone),
        until=until_of(until, asked.zone),
        after=place_of(cursor),
        limit=limit + 1,
    )
    return page(
        found,
        limit,
        cursor,
        key=lambda one: time_key(one.time, one.id),
        told=lambda one: payment_json(one, asked.zone),
    )


@resources.get("/payments/{payment_id}", "payment show")
def show_payment(asked: Asks, payment_id: PaymentId, response: Response) -> ShownPaymentJson:
    """Show a payment, the fees it settled, and the card that was scanned."""
    told = shown_payment_json(find_payment(asked.store, payment_id), asked.zone)
    show_etag(response, told)
    return told


@resources.post("/payments/{payment_id}/undo", "payment undo", is_once=True)
def undo_payment(asked: Asks, payment_id: PaymentId, if_match: IfMatch = None) -> ShownPaymentJson:
    """Undo a whole payment, on the day it was made; undoing it twice is a 409.

    The patron owes the fees again. Give the amount back.
    """
    found = find_payment(asked.store, payment_id)
    insist_on(if_match, shown_payment_json(found, asked.zone))
    undone = asked.run(asked.store.undo_payment(found.id, asked.now, asked.zone))
    return shown_payment_json(undone, asked.zone)
