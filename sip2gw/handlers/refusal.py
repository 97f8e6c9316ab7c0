"""What is recorded about a refused 37, whatever the reason (B100, C104)."""

from __future__ import annotations

import asyncio

from sip2gw.handlers.base import Session
from sip2gw.model import (
    Minor,
    currency_digits,
    format_amount,
    parse_amount,
    read_currency,
)
from sip2gw.model.refusals import RefusedPayment
from sip2gw.monitoring.metrics import OTHER_CURRENCIES
from sip2gw.monitoring.telemetry import Log
from sip2gw.protocol.describe import without_swallowed
from sip2gw.protocol.messages import FeePaid

UNREADABLE = "unreadable"
"""What the log says in place of such an amount: it may be half of the message."""
TEXT_MAX = 255
"""Characters that are kept of what a terminal sent."""


def keep_refused_payment(
    session: Session, request: FeePaid, reason: str, log: Log
) -> asyncio.Future[None] | None:
    """Record a refused 37 for staff: the terminal may have taken the money.

    It also goes to the log at once, even if the store fails.
    """
    is_readable = _count(session, request)
    refused = _refused_payment(session, request, reason)
    log.events.info(
        "payment_refused",
        terminal=refused.terminal,
        card=refused.payer,
        amount=refused.amount if is_readable else UNREADABLE,
        currency=refused.currency,
        payment_type=refused.payment_type,
        bk=refused.bk,
        reason=refused.reason,
    )
    return session.services.backend.keep_refused_payment(refused)


def _refused_payment(session: Session, request: FeePaid, reason: str) -> RefusedPayment:
    """What staff see of `request`. Its texts come from the terminal, so they are cleaned and cut,
    and a PIN that one of them has swallowed is masked; so is an unreadable amount."""

    def shown(text: str) -> str:
        return kept(without_swallowed(text, request))

    currency = read_currency(request.currency_type, session.terminal.currency)
    minor = _minor(request.fee_amount, currency)
    return RefusedPayment(
        time=session.now(),
        terminal=session.terminal.name,
        payer=shown(request.patron_identifier),
        amount=shown(request.fee_amount) if minor is None else format_amount(minor, currency),
        currency=shown(currency),
        payment_type=kept(request.payment_type),
        bk=shown((request.transaction_id or "").strip()),
        reason=str(reason),
    )


def _count(session: Session, request: FeePaid) -> bool:
    """Count the amount of a refused 37; whether there is one that can be read."""
    own = session.terminal.currency
    currency = read_currency(request.currency_type, own)
    minor = _minor(request.fee_amount, currency)
    if minor is not None and minor > 0:
        label = own if currency == own else OTHER_CURRENCIES
        session.services.metrics.payment_refused(minor, label, currency_digits(currency))
    return minor is not None


def _minor(text: str, currency: str) -> Minor | None:
    try:
        return parse_amount(text, currency)
    except ValueError:
        return None


def kept(text: str) -> str:
    """`text` without characters that a database or a screen cannot take, and not too long."""
    return "".join(c if c.isprintable() else "?" for c in text[:TEXT_MAX])
