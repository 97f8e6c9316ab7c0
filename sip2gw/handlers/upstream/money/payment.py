"""37 in front of a library system: it goes up once, and our journal knows how it ended. Where the
library system takes no 37, we book it, and staff tell it later.

Rules: B43, B44, B46, B75, C59, C98, C105, C124, C155, C156.
"""

from __future__ import annotations

from sip2gw.backend.base import OutcomeUnknownError, PaymentOrder, PaymentOutcome, PaymentResult
from sip2gw.backend.system import LibrarySystemError
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.fee import (
    Bill,
    answer_to,
    not_identified,
    order_of,
    read_bill,
    refuse,
    repeats_kept,
)
from sip2gw.handlers.patron import PresentedCard, present
from sip2gw.handlers.upstream.behind import is_offered, library_of, refuse_unoffered
from sip2gw.handlers.upstream.money.family import payment_facts
from sip2gw.handlers.upstream.money.sharing import Known, RefusedThereError, pay_once
from sip2gw.model import PaymentStatus
from sip2gw.model.shares import Share
from sip2gw.policy.access import PinState
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.upstream.payments import debts_of, kept_here, payable_by, shares_of
from sip2gw.protocol.encoding import is_exact
from sip2gw.protocol.messages import FeePaid


async def fee_paid(session: Session, request: FeePaid) -> Answer:
    """Answer a 37 with a 38; the payer is known, and the PIN judged, before anything goes up."""
    if not is_offered(session, request):
        return refuse_unoffered(session, request)
    bill = read_bill(session, request)
    if isinstance(bill, PaymentRefusalReason):
        return refuse(session, request, bill)
    number, pin = request.patron_identifier, request.patron_password
    verified = not pin and session.is_verified(number)
    identifier = session.services.identifier
    try:
        seen, card, state = await identifier.identify_payer(session, number, pin)
    except LibrarySystemError:
        kept = await _kept(session, request, bill)
        if kept is None:
            raise
        return kept
    required = session.terminal.identification.pin_required and not verified
    record = seen.payer if seen is not None else None
    presented = present(session, number, pin, record, card, state, required)
    if seen is None or not presented.valid_patron or not seen.payer.id.isprintable():
        # Whatever the reason: a card whose data is withheld looks unknown (C99).
        said = PaymentRefusalReason.UNKNOWN_CARD
        return refuse(session, request, not_identified(presented), said=said)
    if presented.pin in (PinState.WRONG, PinState.LOCKED):
        return refuse(session, request, PaymentRefusalReason.WRONG_PIN)
    facts = PaymentFacts(seen.payer, ())
    if presented.shown is not None:  # nobody is asked about for a payer who lacks the PIN (B53)
        facts = await payment_facts(session, seen.payer, bill.debtor_card)
    return await pay(session, request, bill, facts, presented)


async def _kept(session: Session, request: FeePaid, bill: Bill) -> Answer | None:
    """What the journal says to a retry while the library system does not answer (C59).

    Raises:
        OutcomeUnknownError: it says that nobody knows.
    """
    if not bill.bk:
        return None
    found = await repeats_kept(session, request, bill)
    if found is None or found.status == PaymentStatus.REFUSED:
        return None
    if found.status == PaymentStatus.UNKNOWN:
        raise OutcomeUnknownError("nobody knows yet what became of the first request")
    return answer_to(session, request, PaymentResult(PaymentOutcome.REPLAYED, found), None)


async def pay(
    session: Session,
    request: FeePaid,
    bill: Bill,
    facts: PaymentFacts,
    presented: PresentedCard,
) -> Answer:
    """Pay what `bill` says, and answer with a 38.

    Args:
        session: who asks.
        request: the 37.
        bill: its text, as it was read.
        facts: the payer, and those for whom they may pay, each as a 63 has just shown them; which
            of their fees are paid is decided as in front of a store (`PaymentCase`).
        presented: the payer's card; the PIN was right, or none is needed, or it is missing.
    """
    order = order_of(session, request, bill, facts, presented)
    if order is None:
        reason = PaymentRefusalReason.NO_TRANSACTION_DATE
        return refuse(session, request, reason, presented.shown)
    plan, left = _decided(session, bill, order, facts)
    records = (facts.payer, *facts.debtors)
    known = Known(
        {record.id: debts_of(record) for record in records},
        {record.id: record.word.pending for record in records if record.word is not None},
    )
    try:
        result = await pay_once(session, request, order, plan, left, known)
    except RefusedThereError as refused:
        reason = PaymentRefusalReason.UPSTREAM
        return refuse(session, request, reason, presented.shown, texts=refused.texts)
    if result.refusal is PaymentRefusalReason.UNKNOWN_OUTCOME:
        raise OutcomeUnknownError("nobody knows yet what became of the first request")
    return answer_to(session, request, result, presented.shown)


def _decided(
    session: Session, bill: Bill, order: PaymentOrder, facts: PaymentFacts
) -> tuple[tuple[Share, ...] | PaymentRefusalReason, int]:
    """The 37s that go up, or what we book ourselves, or why nothing is; and what may still be paid
    afterwards."""
    _, manner = library_of(session)
    fee_id = bill.fee_id
    if fee_id is not None and not (fee_id.isprintable() and is_exact(fee_id, manner.text)):
        return PaymentRefusalReason.UNKNOWN_FEE, 0
    is_theirs = any(fee.id == fee_id for one in facts.debtors for fee in one.fees)
    up, amount = manner.payments, order.amount
    payer = payable_by(facts.payer, amount, None if is_theirs else fee_id, goes_up=up)
    debtors = tuple(payable_by(one, amount, None, goes_up=up) for one in facts.debtors)
    plan = order.case.decide(order.amount, PaymentFacts(payer, debtors))
    if not isinstance(plan, PaymentPlan):
        return plan, 0
    cards = {debtor.id: debtor.id for debtor in debtors} | {payer.id: order.card}
    shares = shares_of(plan.lines, fee_id, manner.payment_split if up else "lines", cards)
    return shares if up else kept_here(shares, (facts.payer, *facts.debtors)), plan.left
