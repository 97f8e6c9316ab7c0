"""Checkout and checkin: 11 and 09.  (B56-B59, B61, C20, C42-C44, C69)"""

from __future__ import annotations

from datetime import datetime, timedelta

from sip2gw.backend.base import CirculationOrder, CirculationResult, DecideCirculation
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.patron import Visit, identify, obstacle_text, standing_of
from sip2gw.model import Card, CardState, PatronRecord, format_amount
from sip2gw.policy.access import PinState
from sip2gw.policy.circulation import (
    CHECKIN,
    CHECKOUT,
    CHECKOUT_FEE_TYPE,
    Decision,
    Facts,
    Refusal,
    Wish,
    decide_cancel,
)
from sip2gw.policy.lending import decide_checkout
from sip2gw.policy.reasons import CIRCULATION_REASONS, CirculationReason
from sip2gw.policy.returns import decide_checkin
from sip2gw.policy.standing import Standing
from sip2gw.protocol.messages import Checkin, CheckinResponse, Checkout, CheckoutResponse
from sip2gw.protocol.timestamps import read_timestamp, write_timestamp
from sip2gw.stock import Item, ItemRecord, Outcome
from sip2gw.texts import format_money

KEY_KEPT = timedelta(hours=24)
"""How long a retry gets the same answer, and a transaction can be cancelled (C69)."""

_OTHER_ALERT = "99"
_NO_SECURITY = "01"
"""The security marker of an item that has none."""


async def checkout(session: Session, request: Checkout) -> Answer:
    """Answer a 11 with a 12.  Spec: SIP2 2.00, messages 11 and 12; B56-B58."""
    visit = await identify(
        session, request.patron_identifier, request.patron_password, pin_required=False
    )
    refused = early_refusal(visit, no_block=request.no_block)
    if refused is not None:
        return _checkout_answer(session, request, visit, CirculationResult("", None, None, refused))
    wish = Wish(
        now=session.now(),
        code=CHECKOUT,
        no_block=request.no_block,
        moment=_offline_time(session, request.no_block, request.transaction_date),
        due=_offline_time(session, request.no_block, request.nb_due_date),
        fee_acknowledged=request.fee_acknowledged,
        card_reason=card_reason(visit),
    )
    order = order_for(session, CHECKOUT, request, visit)
    decide = _checkout_decider(session, visit, wish, cancel=request.cancel)
    result = await session.services.backend.circulate(order, decide)
    return _checkout_answer(session, request, visit, result)


def _checkout_decider(
    session: Session, visit: Visit, wish: Wish, *, cancel: bool
) -> DecideCirculation:
    rules = session.terminal.circulation

    def decide(facts: Facts) -> Decision:
        if cancel:
            return decide_cancel(facts, wish, rules)
        standing = _standing(session, facts.patron, visit.card)
        return decide_checkout(facts, standing, wish, rules)

    return decide


def _standing(session: Session, record: PatronRecord | None, card: Card | None) -> Standing | None:
    """What stands against `record` with `card`, as the transaction sees it."""
    if record is None or card is None:
        return None
    known = record.card(card.number) or card
    return standing_of(session, record, known, session.now().date())


async def checkin(session: Session, request: Checkin) -> Answer:
    """Answer a 09 with a 10.  Spec: SIP2 2.00, messages 09 and 10; B57-B59."""
    wish = Wish(
        now=session.now(),
        code=CHECKIN,
        no_block=request.no_block,
        moment=_offline_time(session, request.no_block, request.return_date),
    )
    rules = session.terminal.circulation
    decide = decide_cancel if request.cancel else decide_checkin
    result = await session.services.backend.circulate(
        order_for(session, CHECKIN, request, None), lambda facts: decide(facts, wish, rules)
    )
    return _checkin_answer(session, request, result)


# What all requests about a loan have in common --------------------------------------------------


def card_reason(visit: Visit) -> CirculationReason | None:
    """What is wrong with the card or the PIN (C20)."""
    if visit.card is not None and visit.card.state is CardState.REPLACED:
        return CirculationReason.CARD_REPLACED
    if visit.record is None or visit.card is None or not visit.valid_patron:
        return CirculationReason.UNKNOWN_CARD
    if visit.pin in (PinState.WRONG, PinState.LOCKED):
        return CirculationReason.WRONG_PIN
    return CirculationReason.NO_PIN if visit.pin is PinState.ABSENT else None


def early_refusal(visit: Visit, *, no_block: bool) -> Refusal | None:
    """Who shows no good card and PIN is told nothing about items.

    What happened off line goes on all the same: it is accepted, or at least noted (B57).
    """
    reason = card_reason(visit)
    return None if reason is None or no_block else Refusal((reason,))


def _offline_time(session: Session, no_block: bool, raw: str) -> datetime | None:
    """The terminal's own date, for what happened off line only (B57)."""
    return read_timestamp(raw, session.terminal.zone) if no_block else None


def order_for(
    session: Session, code: str, request: Checkout | Checkin, visit: Visit | None
) -> CirculationOrder:
    """The order for the item of `request`."""
    record = visit.record if visit is not None else None
    now = session.now()
    return CirculationOrder(
        code=code,
        terminal=session.terminal.name,
        item_id=request.item_identifier,
        patron_id=record.id if record is not None else None,
        now=now,
        key=_key(session, code, request, record),
        key_expires=now + KEY_KEPT,
        no_block=request.no_block,
    )


def _key(
    session: Session, code: str, request: Checkout | Checkin, record: PatronRecord | None
) -> str | None:
    """Under which the request is done once; None without a date (C69, C88)."""
    if not request.transaction_date.strip():
        return None
    said = (getattr(request, name, False) for name in ("fee_acknowledged", "cancel", "no_block"))
    patron = record.id if record is not None else ""
    flags = "".join("Y" if flag else "N" for flag in said)
    return f"{session.terminal.name}|{code}|{patron}|{request.transaction_date}|{flags}"


def refusal_texts(
    session: Session, refusal: Refusal, record: PatronRecord | None
) -> tuple[str, ...]:
    """What the screen says of a refusal."""
    language = session.language("000", record)
    if refusal.reason is CirculationReason.BLOCKED and refusal.obstacle is not None:
        return (obstacle_text(session, language, refusal.obstacle),)
    values = {}
    if refusal.reason is CirculationReason.FEE:
        values["amount"] = format_money(refusal.fee, session.terminal.currency, language)
    key = CIRCULATION_REASONS[refusal.reason].text_key
    return (session.services.texts.text(language, key, **values),)


def due_text(session: Session, due: datetime | None) -> str:
    """AH: like the other dates of the answer, in the branch's zone."""
    if due is None:
        return ""
    return write_timestamp(due.astimezone(session.terminal.zone), session.terminal.wire.date_zone)


# Answering --------------------------------------------------------------------------------------


def _checkout_answer(
    session: Session, request: Checkout, visit: Visit, result: CirculationResult
) -> Answer:
    record = result.record
    response = CheckoutResponse(
        transaction_date=session.now(),
        institution_id=session.terminal.institution_id,
        patron_identifier=visit.patron_id,
        item_identifier=request.item_identifier,
    )
    if record is not None:
        _describe(response, record)
    if result.done is None:
        assert result.refusal is not None
        _tell_fee(session, response, result.refusal.fee)
        response.screen_message = refusal_texts(session, result.refusal, visit.shown)
        return Answer(response, "refused", result.refusal.reason, visit.number)
    assert record is not None
    _tell_loan(session, response, record.item, result.done)
    return Answer(response, "ok", result.outcome, visit.number)


def _describe(response: CheckoutResponse, record: ItemRecord) -> None:
    """What is told of the item whatever becomes of the request."""
    response.title_identifier = record.item.title
    response.magnetic_media = record.item.magnetic
    response.media_type = record.item.media_type
    response.item_properties = record.state.properties


def _tell_loan(session: Session, response: CheckoutResponse, item: Item, done: Outcome) -> None:
    response.ok = True
    response.renewal_ok = done.renewed
    response.desensitize = item.security_marker != _NO_SECURITY
    response.transaction_date = done.time.astimezone(session.terminal.zone)
    response.due_date = due_text(session, done.due)
    _tell_fee(session, response, done.fee)


def _tell_fee(session: Session, response: CheckoutResponse, fee: int) -> None:
    """BT, BH and BV, for what is asked or was booked (B56, C42)."""
    if fee:
        response.fee_type = CHECKOUT_FEE_TYPE
        response.currency_type = session.terminal.currency
        response.fee_amount = format_amount(fee, session.terminal.currency)


def _checkin_answer(session: Session, request: Checkin, result: CirculationResult) -> Answer:
    response = CheckinResponse(
        transaction_date=session.now(),
        institution_id=session.terminal.institution_id,
        item_identifier=request.item_identifier,
    )
    if result.record is not None:
        _describe_returned(response, result.record)
    if result.done is None:
        assert result.refusal is not None
        if result.record is None:
            response.alert, response.alert_type = True, _OTHER_ALERT
        response.screen_message = refusal_texts(session, result.refusal, None)
        return Answer(response, "refused", result.refusal.reason)
    assert result.record is not None
    _tell_return(session, response, result.record.item, result.done)
    return Answer(response, "ok", result.outcome)


def _describe_returned(response: CheckinResponse, record: ItemRecord) -> None:
    """What is told of the item whatever becomes of the request."""
    item = record.item
    response.permanent_location = item.owner_branch or ""
    response.title_identifier = item.title
    response.magnetic_media = item.magnetic
    response.media_type = item.media_type
    response.item_properties = record.state.properties
    response.collection_code = item.material
    response.call_number = item.call_number


def _tell_return(session: Session, response: CheckinResponse, item: Item, done: Outcome) -> None:
    response.ok = True
    response.resensitize = item.security_marker != _NO_SECURITY
    response.transaction_date = done.time.astimezone(session.terminal.zone)
    response.patron_identifier = done.patron_id or None
    response.destination_location = done.destination
    response.alert = done.alert is not None
    response.alert_type = done.alert
    response.hold_patron_identifier = done.hold_patron_id
    response.hold_patron_name = done.hold_patron_name
