"""Checkout, renewal, renewal of all: 11, 29, 65.  (B54, B56-B58, B60, C20, C42, C43)"""

from __future__ import annotations

from datetime import datetime

from sip2gw.backend.base import (
    BackendError,
    CirculationOrder,
    CirculationResult,
    DecideCirculation,
    OutcomeUnknownError,
)
from sip2gw.handlers import profile_fields
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.items.circulation import (
    KEY_KEPT,
    NO_SECURITY,
    card_reason,
    claim_of,
    due_text,
    early_refusal,
    note_refusal,
    order_for,
    refusal_texts,
    standing_in,
)
from sip2gw.handlers.patron import Visit, identify
from sip2gw.model import (
    Card,
    Loan,
    PatronRecord,
    format_amount,
)
from sip2gw.model.items import Item, ItemRecord, Outcome
from sip2gw.policy.items.decisions import (
    CHECKOUT,
    CHECKOUT_FEE_TYPE,
    RENEWAL,
    Decision,
    Facts,
    Refusal,
    Wish,
    claimed,
    decide_cancel,
    refusal,
)
from sip2gw.policy.items.lending import decide_checkout, decide_renewal, is_in_house
from sip2gw.policy.items.offline import Claim
from sip2gw.policy.reasons import CirculationReason
from sip2gw.policy.relationships import may_renew_for, renewable_by
from sip2gw.protocol.messages import (
    Checkout,
    CheckoutResponse,
    Renew,
    RenewAll,
    RenewAllResponse,
    RenewResponse,
)

RENEW_ALL = "65"


# Checkout ---------------------------------------------------------------------------------------


async def checkout(session: Session, request: Checkout) -> Answer:
    """Answer a 11 with a 12.  Spec: SIP2 2.00, messages 11 and 12; B56-B58."""
    visit = await identify(
        session, request.patron_identifier, request.patron_password, pin_required=False
    )
    response = CheckoutResponse(item_identifier=request.item_identifier)
    claim = claim_of(session, request)
    order = order_for(session, CHECKOUT, request.item_identifier, request, visit, claim)
    refused = early_refusal(visit, None if request.cancel else claim)
    if refused is not None:
        await note_refusal(session, order, refused)
        return _loan_answer(session, response, visit, _refused(refused))
    wish = _wish(session, CHECKOUT, request, visit, claim)
    order.borrowed_since = _looks_back(session, order)
    decide = _checkout_decider(session, visit, wish, cancel=request.cancel)
    result = await session.services.backend.circulate(order, decide)
    refused = result.refusal
    if refused is not None and refused.reason is CirculationReason.PREVIOUSLY_BORROWED:
        session.ask(order)
    return _loan_answer(session, response, visit, result)


def _looks_back(session: Session, order: CirculationOrder) -> datetime | None:
    """Since when an earlier loan has to be confirmed; None when nobody asks, or it is."""
    rules = session.terminal.circulation
    if not rules.confirms_borrowed or rules.loan_history is None:
        return None
    if (order.claim is not None and order.claim.believed) or session.is_answer(order):
        return None
    return order.now - rules.loan_history


def _wish(
    session: Session, code: str, request: Checkout | Renew, visit: Visit, claim: Claim | None
) -> Wish:
    wish = Wish(
        now=session.now(),
        code=code,
        fee_acknowledged=request.fee_acknowledged,
        card_reason=card_reason(visit),
    )
    return claimed(wish, claim)


def _checkout_decider(
    session: Session, visit: Visit, wish: Wish, *, cancel: bool
) -> DecideCirculation:
    rules = session.terminal.circulation

    def decide(facts: Facts) -> Decision:
        if cancel:
            return decide_cancel(facts, wish, rules)
        standing = standing_in(session, facts.patron, visit.card)
        return decide_checkout(facts, standing, wish, rules)

    return decide


# Renewal ----------------------------------------------------------------------------------------


async def renew(session: Session, request: Renew) -> Answer:
    """Answer a 29 with a 30.  Spec: SIP2 2.00, messages 29 and 30; B54, B60."""
    visit = await identify(
        session, request.patron_identifier, request.patron_password, pin_required=False
    )
    item_id = request.item_identifier or _item_with_title(visit.shown, request.title_identifier)
    response = RenewResponse(item_identifier=item_id)
    claim = claim_of(session, request)
    order = order_for(session, RENEWAL, item_id, request, visit, claim)
    order.with_borrower = request.third_party_allowed
    refused = early_refusal(visit, claim)
    if refused is not None:
        await note_refusal(session, order, refused)
        return _loan_answer(session, response, visit, _refused(refused))
    wish = _wish(session, RENEWAL, request, visit, claim)
    result = await session.services.backend.circulate(order, _renewal_decider(session, visit, wish))
    return _loan_answer(session, response, visit, result)


def _item_with_title(record: PatronRecord | None, title: str | None) -> str:
    """The patron's loan that AJ names when AB names none; empty when that is not one."""
    loans = record.loans if record is not None and title else ()
    found = [loan.item_id for loan in loans if loan.title == title]
    return found[0] if len(found) == 1 else ""


def _renewal_decider(session: Session, visit: Visit, wish: Wish) -> DecideCirculation:
    """For own loans, and for those of an authoriser when the facts hold the borrower (B54)."""
    terminal = session.terminal
    today = session.now().date()
    pin_missing = terminal.identification.pin_required and not visit.valid_password

    def decide(facts: Facts) -> Decision:
        standings = [standing_in(session, facts.patron, visit.card)]
        may_act = False
        if facts.borrower is not None and facts.patron is not None:
            rules = terminal.relationships
            may_act = may_renew_for(facts.patron, facts.borrower, rules, today)
            if may_act and pin_missing and not wish.no_block:
                return refusal(CirculationReason.NO_PIN)
            standings.append(standing_in(session, facts.borrower, Card(facts.borrower.id)))
        known = tuple(standing for standing in standings if standing is not None)
        return decide_renewal(facts, known, wish, terminal.circulation, may_act=may_act)

    return decide


async def renew_all(session: Session, request: RenewAll) -> Answer:
    """Answer a 65 with a 66: each loan by itself.  Spec: SIP2 2.00, messages 65 and 66; B60.

    When the store fails on the way, what was renewed before is told all the same (C98).
    """
    terminal = session.terminal
    visit = await identify(
        session,
        request.patron_identifier,
        request.patron_password,
        pin_required=terminal.identification.pin_required,
    )
    response = RenewAllResponse(
        transaction_date=session.now(), institution_id=terminal.institution_id
    )
    refused = early_refusal(visit)
    if refused is not None or visit.record is None:
        refused = refused or refusal(CirculationReason.UNKNOWN_CARD)
        response.screen_message = refusal_texts(session, refused, visit.shown)
        return Answer(response, "refused", refused.reason, visit.number)
    loans = [*visit.record.loans, *await loans_of_authorisers(session, visit.record)]
    renewed: list[str] = []
    unrenewed: dict[str, str] = {}
    failure: BackendError | None = None
    for loan in loans:
        if failure is not None:
            unrenewed[loan.item_id] = _unrenewed(session, visit.record, loan, "system")
            continue
        try:
            result = await _renew_one(session, request, visit, loan)
        except BackendError as error:
            if not renewed:
                raise
            failure = error
            is_unknown = isinstance(error, OutcomeUnknownError)
            key = "unknown_outcome_item" if is_unknown else "system"
            unrenewed[loan.item_id] = _unrenewed(session, visit.record, loan, key)
            continue
        if result.refusal is None:
            renewed.append(loan.item_id)
        else:
            unrenewed[loan.item_id] = _why_not(session, visit.record, loan, result.refusal)
    response.ok = bool(renewed) or not unrenewed
    response.renewed_count, response.unrenewed_count = len(renewed), len(unrenewed)
    response.renewed_items, response.unrenewed_items = tuple(renewed), tuple(unrenewed)
    response.screen_message = tuple(unrenewed.values())
    return Answer(response, "ok" if response.ok else "refused", "", visit.number)


async def _renew_one(
    session: Session, request: RenewAll, visit: Visit, loan: Loan
) -> CirculationResult:
    now = session.now()
    wish = Wish(now, RENEWAL, fee_acknowledged=request.fee_acknowledged)
    assert visit.record is not None
    order = CirculationOrder(
        code=RENEW_ALL,
        terminal=session.terminal.name,
        item_id=loan.item_id,
        patron_id=visit.record.id,
        now=now,
        key_expires=now + KEY_KEPT,
        with_borrower=session.terminal.rights.renewals_of_authorisers,
    )
    return await session.services.backend.circulate(order, _renewal_decider(session, visit, wish))


def _why_not(session: Session, record: PatronRecord, loan: Loan, refused: Refusal) -> str:
    """One line of AF for an item that was not renewed."""
    (text,) = refusal_texts(session, refused, record)
    language = session.language("000", record)
    return session.services.texts.text(language, "unrenewed", title=loan.title, reason=text)


def _unrenewed(session: Session, record: PatronRecord, loan: Loan, key: str) -> str:
    """The same for one that the store could not renew."""
    texts, language = session.services.texts, session.language("000", record)
    reason = texts.text(language, key)
    return texts.text(language, "unrenewed", title=loan.title, reason=reason)


async def loans_of_authorisers(session: Session, record: PatronRecord) -> list[Loan]:
    """What others have on loan and `record` may renew, where the profile says so (B54)."""
    terminal = session.terminal
    if not terminal.rights.renewals_of_authorisers:
        return []
    today = session.now().date()
    loans: list[Loan] = []
    for authoriser_id in renewable_by(record, terminal.relationships):
        authoriser = await session.services.backend.find_patron(authoriser_id)
        if authoriser is not None and may_renew_for(
            record, authoriser, terminal.relationships, today
        ):
            loans += (loan for loan in authoriser.loans if loan.renewals < loan.max_renewals)
    return loans


# Answering --------------------------------------------------------------------------------------

_LoanResponse = CheckoutResponse | RenewResponse


def _refused(refused: Refusal) -> CirculationResult:
    return CirculationResult("refused", None, refusal=refused)


def _loan_answer(
    session: Session, response: _LoanResponse, visit: Visit, result: CirculationResult
) -> Answer:
    """The 12 or 30 of `result`."""
    response.transaction_date = session.now()
    response.institution_id = session.terminal.institution_id
    response.patron_identifier = visit.patron_id
    if result.record is not None:
        _describe(session, response, result.record)
    if result.done is None:
        assert result.refusal is not None
        _tell_fee(session, response, result.refusal.fee)
        response.screen_message = refusal_texts(session, result.refusal, visit.shown)
        return Answer(response, "refused", result.refusal.reason, visit.number)
    assert result.record is not None
    _tell_loan(session, response, visit, result.record.item, result.done)
    return Answer(response, "ok", result.outcome, visit.number)


def _describe(session: Session, response: _LoanResponse, record: ItemRecord) -> None:
    """What is told of the item whatever becomes of the request."""
    response.title_identifier = record.item.title
    response.magnetic_media = record.item.magnetic
    response.media_type = record.item.media_type
    response.item_properties = record.state.properties
    if session.terminal.presentation.item_fields:
        response.extra_fields = profile_fields.item_fields(session, record)


def _tell_loan(
    session: Session, response: _LoanResponse, visit: Visit, item: Item, done: Outcome
) -> None:
    response.ok = True
    response.renewal_ok = done.renewed
    in_house = is_in_house(item, visit.record, session.terminal.circulation)
    response.desensitize = item.security_marker != NO_SECURITY and not in_house
    response.transaction_date = done.time.astimezone(session.terminal.zone)
    response.due_date = due_text(session, done.due)
    _tell_fee(session, response, done.fee)


def _tell_fee(session: Session, response: _LoanResponse, fee: int) -> None:
    """BT, BH and BV, for what is asked or was booked (B56, C42)."""
    if fee:
        response.fee_type = CHECKOUT_FEE_TYPE
        response.currency_type = session.terminal.currency
        response.fee_amount = format_amount(fee, session.terminal.currency)
