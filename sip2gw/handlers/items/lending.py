"""Checkout, renewal, renewal of all: 11, 29, 65.  (B54, B56-B58, B60, C20, C42, C43)"""

from __future__ import annotations

from datetime import datetime

from sip2gw.backend.base import (
    BackendError,
    CirculationOrder,
    CirculationOutcome,
    CirculationResult,
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
    note_active,
    note_refusal,
    order_for,
    reader_of,
    refusal_texts,
)
from sip2gw.handlers.patron import PresentedCard, identify
from sip2gw.model import Loan, PatronRecord, format_amount
from sip2gw.model.items import Item, ItemRecord, Outcome
from sip2gw.policy.items.cases import (
    CancellationCase,
    CirculationCase,
    LoanCase,
    RenewalCase,
)
from sip2gw.policy.items.decisions import (
    CHECKOUT,
    CHECKOUT_FEE_TYPE,
    RENEWAL,
    CirculationRequest,
    Refusal,
    claimed,
    refusal,
)
from sip2gw.policy.items.lending import is_in_house
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
    presented = await identify(
        session, request.patron_identifier, request.patron_password, pin_required=False
    )
    response = CheckoutResponse(item_identifier=request.item_identifier)
    claim = claim_of(session, request)
    case = _checkout_case(session, request, presented, claim)
    order = order_for(session, CHECKOUT, request.item_identifier, request, presented, claim, case)
    refused = early_refusal(presented, None if request.cancel else claim)
    if refused is not None:
        await note_refusal(session, order, refused)
        return _loan_answer(session, response, presented, _refused(refused))
    order.borrowed_since = _looks_back(session, order)
    result = await session.services.backend.circulate(order)
    note_active(session, order.patron_id, result)
    refused = result.refusal
    if refused is not None and refused.reason is CirculationReason.PREVIOUSLY_BORROWED:
        session.ask(order)
    return _loan_answer(session, response, presented, result)


def _looks_back(session: Session, order: CirculationOrder) -> datetime | None:
    """Earlier loans since this time need a confirmation; None if not asked or confirmed."""
    rules = session.terminal.circulation
    if not rules.confirms_borrowed or rules.loan_history is None:
        return None
    if (order.claim is not None and order.claim.believed) or session.is_answer(order):
        return None
    return order.now - rules.loan_history


def _asked(
    session: Session,
    code: str,
    request: Checkout | Renew,
    presented: PresentedCard,
    claim: Claim | None,
) -> CirculationRequest:
    asked = CirculationRequest(
        now=session.now(),
        code=code,
        fee_acknowledged=request.fee_acknowledged,
        card_reason=card_reason(presented),
    )
    return claimed(asked, claim)


def _checkout_case(
    session: Session, request: Checkout, presented: PresentedCard, claim: Claim | None
) -> CirculationCase:
    asked, rules = (
        _asked(session, CHECKOUT, request, presented, claim),
        session.terminal.circulation,
    )
    if request.cancel:
        return CancellationCase(asked, rules)
    return LoanCase(asked, reader_of(session, presented), rules)


# Renewal ----------------------------------------------------------------------------------------


async def renew(session: Session, request: Renew) -> Answer:
    """Answer a 29 with a 30.  Spec: SIP2 2.00, messages 29 and 30; B54, B60."""
    presented = await identify(
        session, request.patron_identifier, request.patron_password, pin_required=False
    )
    item_id = request.item_identifier or _item_with_title(presented.shown, request.title_identifier)
    response = RenewResponse(item_identifier=item_id)
    claim = claim_of(session, request)
    case = _renewal_case(session, presented, _asked(session, RENEWAL, request, presented, claim))
    order = order_for(session, RENEWAL, item_id, request, presented, claim, case)
    order.with_borrower = request.third_party_allowed
    refused = early_refusal(presented, claim)
    if refused is not None:
        await note_refusal(session, order, refused)
        return _loan_answer(session, response, presented, _refused(refused))
    result = await session.services.backend.circulate(order)
    note_active(session, order.patron_id, result)
    return _loan_answer(session, response, presented, result)


def _item_with_title(record: PatronRecord | None, title: str | None) -> str:
    """The patron's loan that AJ names if AB is empty; empty unless there is exactly one."""
    loans = record.loans if record is not None and title else ()
    found = [loan.item_id for loan in loans if loan.title == title]
    return found[0] if len(found) == 1 else ""


def _renewal_case(
    session: Session, presented: PresentedCard, asked: CirculationRequest
) -> RenewalCase:
    terminal = session.terminal
    return RenewalCase(
        asked,
        reader_of(session, presented),
        terminal.circulation,
        terminal.relationships,
        pin_missing=terminal.identification.pin_required and not presented.valid_password,
    )


async def renew_all(session: Session, request: RenewAll) -> Answer:
    """Answer a 65 with a 66: each loan by itself.  Spec: SIP2 2.00, messages 65 and 66; B60.

    If the store fails halfway, the answer still lists what was renewed before (C98).
    """
    terminal = session.terminal
    presented = await identify(session, request.patron_identifier, request.patron_password)
    response = RenewAllResponse(
        transaction_date=session.now(), institution_id=terminal.institution_id
    )
    refused = early_refusal(presented)
    if refused is not None or presented.record is None:
        refused = refused or refusal(CirculationReason.UNKNOWN_CARD)
        response.screen_message = refusal_texts(session, refused, presented.shown)
        return Answer(response, "refused", refused.reason, presented.number)
    loans = [*presented.record.loans, *await loans_of_authorisers(session, presented.record)]
    renewed: list[str] = []
    unrenewed: dict[str, str] = {}
    failure: BackendError | None = None
    for loan in loans:
        if failure is not None:
            unrenewed[loan.item_id] = _unrenewed(session, presented.record, loan, "system")
            continue
        try:
            result = await _renew_one(session, request, presented, loan)
        except BackendError as error:
            if not renewed:
                raise
            failure = error
            is_unknown = isinstance(error, OutcomeUnknownError)
            key = "unknown_outcome_item" if is_unknown else "system"
            unrenewed[loan.item_id] = _unrenewed(session, presented.record, loan, key)
            continue
        if result.refusal is None:
            renewed.append(loan.item_id)
        else:
            unrenewed[loan.item_id] = _why_not(session, presented.record, loan, result.refusal)
    response.ok = bool(renewed) or not unrenewed
    response.renewed_count, response.unrenewed_count = len(renewed), len(unrenewed)
    response.renewed_items, response.unrenewed_items = tuple(renewed), tuple(unrenewed)
    response.screen_message = tuple(unrenewed.values())
    return Answer(response, "ok" if response.ok else "refused", "", presented.number)


async def _renew_one(
    session: Session, request: RenewAll, presented: PresentedCard, loan: Loan
) -> CirculationResult:
    now = session.now()
    asked = CirculationRequest(now, RENEWAL, fee_acknowledged=request.fee_acknowledged)
    assert presented.record is not None
    order = CirculationOrder(
        code=RENEW_ALL,
        terminal=session.terminal.name,
        item_id=loan.item_id,
        patron_id=presented.record.id,
        now=now,
        case=_renewal_case(session, presented, asked),
        key_expires=now + KEY_KEPT,
        with_borrower=session.terminal.rights.renewals_of_authorisers,
    )
    result = await session.services.backend.circulate(order)
    note_active(session, order.patron_id, result)
    return result


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
    """Others' loans that `record` may renew, if the profile allows it (B54)."""
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
    return CirculationResult(CirculationOutcome.REFUSED, None, refusal=refused)


def _loan_answer(
    session: Session, response: _LoanResponse, presented: PresentedCard, result: CirculationResult
) -> Answer:
    """The 12 or 30 of `result`."""
    response.transaction_date = session.now()
    response.institution_id = session.terminal.institution_id
    response.patron_identifier = presented.patron_id
    if result.record is not None:
        _describe(session, response, result.record)
    if result.done is None:
        assert result.refusal is not None
        _tell_fee(session, response, result.refusal.fee)
        response.screen_message = refusal_texts(session, result.refusal, presented.shown)
        return Answer(response, "refused", result.refusal.reason, presented.number)
    assert result.record is not None
    _tell_loan(session, response, presented, result.record.item, result.done)
    return Answer(response, "ok", result.outcome, presented.number)


def _describe(session: Session, response: _LoanResponse, record: ItemRecord) -> None:
    """What the answer says about the item in any case."""
    response.title_identifier = record.item.title
    response.magnetic_media = record.item.magnetic
    response.media_type = record.item.media_type
    response.item_properties = record.state.properties
    if session.terminal.presentation.item_fields:
        response.extra_fields = profile_fields.item_fields(session, record)


def _tell_loan(
    session: Session, response: _LoanResponse, presented: PresentedCard, item: Item, done: Outcome
) -> None:
    response.ok = True
    response.renewal_ok = done.renewed
    in_house = is_in_house(item, presented.record, session.terminal.circulation)
    response.desensitize = item.security_marker != NO_SECURITY and not in_house
    response.transaction_date = done.time.astimezone(session.terminal.zone)
    response.due_date = due_text(session, done.due)
    _tell_fee(session, response, done.fee)


def _tell_fee(session: Session, response: _LoanResponse, fee: int) -> None:
    """BT, BH and BV for the fee that is asked for or was booked (B56, C42)."""
    if fee:
        response.fee_type = CHECKOUT_FEE_TYPE
        response.currency_type = session.terminal.currency
        response.fee_amount = format_amount(fee, session.terminal.currency)
