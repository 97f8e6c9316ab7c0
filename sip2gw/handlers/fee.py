"""Fee paid: a terminal took money, we book it exactly once.  (B43-B48, B51-B53, C4-C7, C64)"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from hashlib import sha256

from msgspec import Struct

from sip2gw.backend.attempts import UnknownPayment
from sip2gw.backend.base import PaymentOrder, PaymentOutcome, PaymentResult
from sip2gw.handlers.base import Answer, Session, TerminalView
from sip2gw.handlers.patron import PresentedCard, present
from sip2gw.model import (
    CardState,
    Minor,
    PatronRecord,
    Payment,
    PaymentLine,
    PaymentStatus,
    currency_digits,
    parse_amount,
    read_currency,
)
from sip2gw.monitoring.metrics import Metrics
from sip2gw.policy.access import PinState
from sip2gw.policy.money.payments import PaymentCase, PaymentFacts
from sip2gw.policy.money.receipts import (
    Receipt,
    ReceiptUse,
    keyed_by,
    payer_in,
    receipt_use,
    said_by,
)
from sip2gw.policy.reasons import PAYMENT_TEXT_KEYS, PaymentRefusalReason
from sip2gw.protocol.messages import FeePaid, FeePaidResponse
from sip2gw.protocol.timestamps import read_timestamp
from sip2gw.texts.payments import PaymentTexts

KEY_CHARACTERS_MAX = 300
"""SIP2's own limit of a field, and what stands before it."""
KEY_CHARACTERS_KEPT = 100

_transacted = lru_cache(maxsize=256)(read_timestamp)
"""Remembered: when many terminals pay, they do so in the same seconds."""

_BOOKED = PaymentOutcome.BOOKED  # Python 3.11 takes 0.1 µs to find a member of an enumeration

NOBODY = ""
"""No patron has this id."""


class Bill(Struct):
    """A 37 after its text was read."""

    amount: Minor
    fee_id: str | None
    debtor_card: str | None
    bk: str


async def fee_paid(session: Session, request: FeePaid) -> Answer:
    """Answer a 37 with a 38.  Spec: SIP2 2.00, messages 37 and 38.

    `38Y` leaves only after the booking is durable; the same BK again gives the same 38 (B46).
    """
    number = request.patron_identifier
    bill = read_bill(session, request)
    if isinstance(bill, PaymentRefusalReason):
        session.note_pin(number, PinState.ABSENT)
        return refuse(session, request, bill)
    pin = request.patron_password
    seen, card, state = await session.services.identifier.identify_payer(session, number, pin)
    # A missing PIN (C1) counts as verified if the card's PIN recently was (C64).
    verified = not pin and session.is_verified(number)
    required = session.terminal.identification.pin_required and not verified
    record = seen.payer if seen is not None else None
    presented = present(session, number, pin, record, card, state, required)
    if seen is None or not presented.valid_patron:
        # Whatever the reason: a card whose data is withheld looks unknown (C99).
        said = PaymentRefusalReason.UNKNOWN_CARD
        return await turn_away(session, request, bill, not_identified(presented), said)
    if presented.pin in (PinState.WRONG, PinState.LOCKED):
        return await turn_away(session, request, bill, PaymentRefusalReason.WRONG_PIN)
    order = order_of(session, request, bill, seen, presented)
    if order is None:
        reason = PaymentRefusalReason.NO_TRANSACTION_DATE
        return refuse(session, request, reason, presented.shown)
    result = await session.services.backend.book_payment(order)
    return answer_to(session, request, result, presented.shown)


def count_failed(metrics: Metrics, outcome: str) -> None:
    """Count a 37 that could not be decided on."""
    metrics.payments[outcome, "own"] += 1


def read_bill(session: Session, request: FeePaid) -> Bill | PaymentRefusalReason:
    """Amount, currency and payment type, or why they are refused (B43, B48, C105)."""
    terminal = session.terminal
    if read_currency(request.currency_type, terminal.currency) != terminal.currency:
        return PaymentRefusalReason.CURRENCY
    if request.payment_type not in terminal.till.payment_types:
        return PaymentRefusalReason.PAYMENT_TYPE
    try:
        amount = parse_amount(request.fee_amount or "", terminal.currency)
    except ValueError:
        return PaymentRefusalReason.AMOUNT
    if amount <= 0:
        return PaymentRefusalReason.AMOUNT
    return Bill(
        amount,
        request.fee_identifier or None,
        request.debtor or None,
        (request.transaction_id or "").strip(),
    )


async def turn_away(
    session: Session,
    request: FeePaid,
    bill: Bill,
    reason: PaymentRefusalReason,
    said: PaymentRefusalReason | None = None,
) -> Answer:
    """`38N` to somebody who may not pay. If that repeats what was paid before, no certain no is
    said: the money may be given back otherwise (C98).

    A wrong and a locked PIN read the same also then (C99). What was paid can be no secret: the same
    without a PIN gets the first answer (B46).
    """
    kept = await repeats_kept(session, request, bill)
    if isinstance(kept, Payment) and kept.status != PaymentStatus.REFUSED:
        said = PaymentRefusalReason.UNKNOWN_OUTCOME
    return refuse(session, request, reason, said=said)


def not_identified(presented: PresentedCard) -> PaymentRefusalReason:
    """Why nobody pays; what the screen says of it is less (C99)."""
    if presented.record is not None and presented.pin in (PinState.WRONG, PinState.LOCKED):
        return PaymentRefusalReason.WRONG_PIN
    return PaymentRefusalReason.UNKNOWN_CARD


def _debtor_id(session: Session, bill: Bill, seen: PaymentFacts) -> str | None:
    """Whose fees are meant: None means all that may be paid (`merged`), else one patron's.

    In `separate` ZD names the debtor, and without ZD the payer is meant (C37). In `merged` ZD is
    ignored. In `off` it is refused if it names somebody else, because money for another must not
    settle the payer's own fees. The card of somebody for whom the payer cannot pay gives `NOBODY`.
    """
    family = session.terminal.presentation.family
    if family == "merged":
        return None
    if bill.debtor_card is None:
        return seen.payer.id
    candidates = (seen.payer,) if family == "off" else (seen.payer, *seen.debtors)
    holders = (record.id for record in candidates if record.card(bill.debtor_card) is not None)
    return next(holders, NOBODY)


def order_of(
    session: Session, request: FeePaid, bill: Bill, seen: PaymentFacts, presented: PresentedCard
) -> PaymentOrder | None:
    """The booking with its key: the BK or its substitute (B46); None without either."""
    services, terminal, payer = session.services, session.terminal, seen.payer
    key = _key(request, bill, payer.id)
    if key is None:
        return None
    now = session.now()
    return PaymentOrder(
        terminal=terminal.name,
        key=key,
        content=_content(terminal, request, bill, payer.id),
        payer_id=payer.id,
        amount=bill.amount,
        currency=terminal.currency,
        payment_type=request.payment_type,
        bk=bill.bk,
        now=now,
        key_expires=services.clock.in_days(terminal.till.bk_retention_days, terminal.zone),
        case=_case(session, bill, presented, _debtor_id(session, bill, seen), now.date()),
        texts=_texts(session, request, presented),
        card=request.patron_identifier,
        account=_account(terminal, request.payment_type),
        seen=seen,
        transacted=_transacted(request.transaction_date, terminal.zone),
        receipts=terminal.receipts,
    )


def _key(request: FeePaid, bill: Bill, payer_id: str) -> str | None:
    if bill.bk:
        return _short(f"bk:{bill.bk}")
    if request.transaction_date.strip():
        fee_id, date = bill.fee_id or "", request.transaction_date
        return _short(f"{keyed_by(payer_id)}{fee_id}|{bill.amount}|{date}")
    return None


def _content(terminal: TerminalView, request: FeePaid, bill: Bill, payer_id: str) -> str:
    """What a retry repeats exactly (C4)."""
    money = (str(bill.amount), terminal.currency, request.payment_type)
    return said_by(payer_id) + "|".join((*money, bill.fee_id or "", bill.debtor_card or ""))


async def repeats_kept(
    session: Session, request: FeePaid, bill: Bill
) -> Payment | PaymentRefusalReason | None:
    """The payment of which this is a retry with the same card; a refusal if it may be one or not
    (C4, C105); None if it is another payment.

    The payer need not be known. Without a receipt number the payment is found only if the card's
    number is the patron's.
    """
    terminal, now = session.terminal, session.now()
    key = _key(request, bill, request.patron_identifier)
    if key is None:
        return None
    kept = await session.services.backend.payment_under(terminal.name, key, now)
    if kept is None or kept[1].card != request.patron_identifier:
        return None
    first, payment = kept
    content = _content(terminal, request, bill, payer_in(first.content))
    again = Receipt(content, _transacted(request.transaction_date, terminal.zone), now)
    match receipt_use(first, again, terminal.receipts):
        case ReceiptUse.RETRY:
            return payment
        case ReceiptUse.DOUBTFUL:
            return PaymentRefusalReason.BK_ANOTHER_DAY
        case _:
            return None


def repeats_payment(session: Session, request: FeePaid, known: UnknownPayment) -> bool:
    """Whether it would be the same as `known`, if it came from the same payer (C4)."""
    bill = read_bill(session, request)
    if isinstance(bill, PaymentRefusalReason):
        return False
    payer_id = known.payer_id
    content = _content(session.terminal, request, bill, payer_id)
    return (_key(request, bill, payer_id), content) == (known.key, known.content)


def _short(key: str) -> str:
    """`key`, or a unique substitute for it if no index could hold it."""
    if len(key) <= KEY_CHARACTERS_MAX:
        return key
    return f"{key[:KEY_CHARACTERS_KEPT]}#{sha256(key.encode()).hexdigest()}"


def _account(terminal: TerminalView, payment_type: str) -> str:
    """Where the money goes, if not into the terminal's own till; a waived fee brings none."""
    till = terminal.till
    if payment_type == till.write_off_payment_type:
        return f"write_off:{terminal.name}"
    return f"till:{till.register_id}:{payment_type}" if till.register_id else ""


def _case(
    session: Session, bill: Bill, presented: PresentedCard, debtor_id: str | None, today: date
) -> PaymentCase:
    """What else decides the booking, inside its transaction (C60)."""
    terminal = session.terminal
    return PaymentCase(
        fee_id=bill.fee_id,
        debtor_id=debtor_id,
        pin_missing=presented.pin is PinState.ABSENT,
        card_active=presented.card is not None and presented.card.state is CardState.ACTIVE,
        today=today,
        relationships=None if terminal.presentation.family == "off" else terminal.relationships,
        rules=terminal.payments,
    )


def _texts(session: Session, request: FeePaid, presented: PresentedCard) -> PaymentTexts:
    terminal = session.terminal
    return PaymentTexts(
        session.services.texts,
        session.language("000", presented.record),
        terminal.currency,
        request.payment_type == terminal.till.write_off_payment_type,
    )


def _relation_label(lines: tuple[PaymentLine, ...]) -> str:
    """One label for a payment: the first relation used, else `own` (C23)."""
    return next((line.relation for line in lines if line.relation != "own"), "own")


def answer_to(
    session: Session, request: FeePaid, result: PaymentResult, payer: PatronRecord | None
) -> Answer:
    """The 38 for what became of a payment."""
    payment = result.payment
    if payment is None:
        reason = result.refusal or PaymentRefusalReason.SYSTEM
        return refuse(session, request, reason, payer)
    metrics = session.services.metrics
    metrics.payments[result.outcome, _relation_label(payment.lines)] += 1
    if result.outcome is _BOOKED:
        session.services.backend.note_activity(payment.payer_id, payment.time)
        metrics.payment_booked(
            payment.amount,
            payment.currency,
            currency_digits(payment.currency),
            payment.payment_type,
        )
    response = accepted(session, request, payment)
    return Answer(response, "ok", result.outcome, request.patron_identifier, payment)


def accepted(session: Session, request: FeePaid, payment: Payment) -> FeePaidResponse:
    """The 38 of `payment`, the same at every retry (C4)."""
    zone, time = session.terminal.zone, payment.time
    return FeePaidResponse(
        payment_accepted=True,
        # Unchanged if it is our own: the stamp of one moment is rendered once.
        transaction_date=time if time.tzinfo is zone else time.astimezone(zone),
        institution_id=session.terminal.institution_id,
        patron_identifier=payment.payer_id,
        transaction_id=request.transaction_id,
        screen_message=payment.texts,
    )


def refuse(
    session: Session,
    request: FeePaid,
    reason: PaymentRefusalReason,
    payer: PatronRecord | None = None,
    *,
    said: PaymentRefusalReason | None = None,
    texts: tuple[str, ...] = (),
) -> Answer:
    """`38N` in the language of the `payer`, if known: nothing is booked, the BK stays free
    (B29, B43, C4). `said` is shown on the screen instead of the reason, or `texts` are."""
    session.services.metrics.payments["refused", "own"] += 1
    language = session.language("000", payer)
    text = session.services.texts.text(language, PAYMENT_TEXT_KEYS[said or reason])
    response = FeePaidResponse(
        payment_accepted=False,
        transaction_date=session.now(),
        institution_id=session.terminal.institution_id,
        patron_identifier=session.as_scanned(request.patron_identifier),
        transaction_id=request.transaction_id,
        screen_message=texts or (text,),
    )
    return Answer(response, "refused", reason, request.patron_identifier)
