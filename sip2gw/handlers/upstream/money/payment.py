"""37 in front of a library system: it goes up once, and our journal knows how it ended. Where the
library system takes no 37, we book it, and staff tell it later.

Rules: B43, B44, B46, B75, C59, C60, C98, C105, C124, C155, C156.
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
    turn_away,
)
from sip2gw.handlers.patron import present
from sip2gw.handlers.upstream.behind import is_offered, library_of, refuse_unoffered
from sip2gw.handlers.upstream.money.family import may_be_for_others, payment_facts
from sip2gw.handlers.upstream.money.sharing import Intent, RefusedThereError, pay_once
from sip2gw.model import PaymentStatus
from sip2gw.policy.access import PinState
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.upstream.facts import is_numbered_here
from sip2gw.policy.upstream.payments import debts_of, kept_here, payable_by, shares_of
from sip2gw.protocol.encoding import is_exact
from sip2gw.protocol.messages import FeePaid

_WRONG, _LOCKED = PinState.WRONG, PinState.LOCKED
_UNKNOWN_OUTCOME = PaymentRefusalReason.UNKNOWN_OUTCOME
"""By name: Python 3.11 takes 0.1 µs to find a member of an enumeration."""


async def fee_paid(session: Session, request: FeePaid) -> Answer:
    """Answer a 37 with a 38; the payer is known, and the PIN judged, before anything goes up."""
    if not is_offered(session, request):
        return refuse_unoffered(session, request)
    bill = read_bill(session, request)
    number, pin = request.patron_identifier, request.patron_password
    if isinstance(bill, PaymentRefusalReason):
        session.note_pin(number, PinState.ABSENT)
        return refuse(session, request, bill)
    verified = not pin and session.is_verified(number)
    identifier, asked = session.services.identifier, session.services.clock.instant()
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
        return await turn_away(session, request, bill, not_identified(presented), said)
    if presented.pin is _WRONG or presented.pin is _LOCKED:
        return await turn_away(session, request, bill, PaymentRefusalReason.WRONG_PIN)
    payer = presented.shown
    # Nobody is asked about for a payer who lacks the PIN (B53).
    if payer is not None and may_be_for_others(session, payer, bill.debtor_card):
        seen = await payment_facts(session, payer)
    order = order_of(session, request, bill, seen, presented)
    if order is None:
        return refuse(session, request, PaymentRefusalReason.NO_TRANSACTION_DATE, payer)
    order.payer_is_ours, order.asked = is_numbered_here(seen.payer), asked
    try:
        result = await pay_once(session, request, _intent(session, bill, order, seen))
    except RefusedThereError as there:
        return refuse(session, request, PaymentRefusalReason.UPSTREAM, payer, texts=there.texts)
    if result.refusal is _UNKNOWN_OUTCOME:
        raise OutcomeUnknownError("nobody knows yet what became of the first request")
    return answer_to(session, request, result, payer)


async def _kept(session: Session, request: FeePaid, bill: Bill) -> Answer | None:
    """What the journal says to a retry while the library system does not answer (C59, C105).

    Raises:
        OutcomeUnknownError: it says that nobody knows.
    """
    found = await repeats_kept(session, request, bill)
    if isinstance(found, PaymentRefusalReason):
        return refuse(session, request, found)
    if found is None or found.status == PaymentStatus.REFUSED:
        return None
    if found.status == PaymentStatus.UNKNOWN:
        raise OutcomeUnknownError("nobody knows yet what became of the first request")
    return answer_to(session, request, PaymentResult(PaymentOutcome.REPLAYED, found), None)


def _intent(session: Session, bill: Bill, order: PaymentOrder, facts: PaymentFacts) -> Intent:
    """What goes up for `order`, or what we book ourselves, or why nothing is.

    Which fees are paid is decided as in front of a store (`PaymentCase`).

    Args:
        session: who asks.
        bill: the text of the 37, as it was read.
        order: what it asks for.
        facts: the payer, and those for whom they may pay, each as a 63 has just shown them.
    """
    _, manner = library_of(session)
    records = (facts.payer, *facts.debtors)
    debts = {record.id: debts_of(record) for record in records}
    fee_id, amount, up = bill.fee_id, order.amount, manner.payments
    if fee_id is not None and not (fee_id.isprintable() and is_exact(fee_id, manner.text)):
        return Intent(order, manner.account, PaymentRefusalReason.UNKNOWN_FEE, debts)
    others = facts.debtors
    is_theirs = bool(others) and any(fee.id == fee_id for one in others for fee in one.fees)
    payer = payable_by(facts.payer, amount, None if is_theirs else fee_id, goes_up=up)
    # Of whom they say no amount, nothing was shown: nobody pays for what nobody was asked for.
    debtors = tuple([payable_by(one, amount, None, goes_up=False) for one in others])
    plan = order.case.decide(amount, PaymentFacts(payer, debtors))
    if not isinstance(plan, PaymentPlan):
        return Intent(order, manner.account, plan, debts)
    cards, texts = {payer.id: order.card}, order.texts.of(amount, plan.left)
    if up:
        shares = shares_of(plan.lines, fee_id, manner.payment_split, cards, debts)
        return Intent(order, manner.account, shares, debts, texts)
    shares = kept_here(shares_of(plan.lines, fee_id, "lines", cards, debts), records)
    pending = {record.id: record.word.pending for record in records if record.word is not None}
    return Intent(order, manner.account, shares, debts, texts, pending)
