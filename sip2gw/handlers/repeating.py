"""Whether a request may repeat something that was already done. (C59, C98)

This is for a request that fails before the library could be asked about patron and item, so nothing
is read here. The request is compared as if it came from the earlier one's patron.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sip2gw.backend.attempts import UnknownAttempt, UnknownCirculation, UnknownPayment
from sip2gw.handlers.base import Session
from sip2gw.handlers.fee import repeats_payment
from sip2gw.handlers.items.circulation import order_key
from sip2gw.handlers.items.hold import hold_key
from sip2gw.protocol.messages import (
    Checkin,
    Checkout,
    FeePaid,
    Hold,
    Renew,
    Request,
)

_KEYS: dict[type[Request], Callable[[Session, Any, str], str | None]] = {
    Checkout: order_key,
    Checkin: order_key,
    Renew: order_key,
    Hold: hold_key,
}


def repeats(session: Session, request: Request, known: UnknownAttempt) -> bool:
    """Whether `request` may be the retry of the attempt `known`.

    Where no date distinguishes requests (19, 65, a blank date), every request of the kind may be
    the retry unless it names another item. While the store fails, "not sure" does no harm, but a
    wrong no does.
    """
    if known.terminal != session.terminal.name:
        return False
    if isinstance(known, UnknownPayment):
        return isinstance(request, FeePaid) and repeats_payment(session, request, known)
    return known.code == request.code and _repeats_circulation(session, request, known)


def _repeats_circulation(session: Session, request: Request, known: UnknownCirculation) -> bool:
    item_id: str = getattr(request, "item_identifier", "")
    if item_id and item_id != known.item_id:
        return False
    key_of = _KEYS.get(type(request))
    key = key_of(session, request, known.patron_id) if key_of is not None else None
    return key in (None, known.key)
