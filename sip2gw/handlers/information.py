"""Patron information: 63 and 64 with lists and money.  (B26, B28, B30, B52, C36, C37, C77)"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar

from sip2gw.handlers.answers import show_answers
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.fee_lines import account_values, extension_lines, fee_lines
from sip2gw.handlers.items.lending import loans_of_authorisers
from sip2gw.handlers.patron import (
    Portrait,
    PresentedCard,
    accounts_payable_by,
    identify,
    owed_fees,
    show,
    shown_answer,
    total_payable,
    withhold,
)
from sip2gw.model import Hold, Loan, PatronRecord
from sip2gw.policy.relationships import PayableAccount
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.messages import PatronInformation, PatronInformationResponse

T = TypeVar("T")

PAYMENT_FETCH = "B"
"""The one value of FW: the patron is fetched in order to pay (B26)."""


def honours_payment_fetch(session: Session, request: PatronInformation) -> bool:
    """Whether this 63's `FW=B` lifts the money block here (B26, C40)."""
    return request.fetch_reason == PAYMENT_FETCH and session.terminal.rights.honours_fw_b


async def patron_information(session: Session, request: PatronInformation) -> Answer:
    """Answer a 63 with a 64.  Spec: SIP2 2.00, messages 63 and 64; B18-B32, B52."""
    presented = await identify(session, request.patron_identifier, request.patron_password)
    return await tell_information(session, request, presented)


TellMore = Callable[
    [
        Session,
        PatronInformation,
        PatronInformationResponse,
        PatronRecord,
        Sequence[PayableAccount],
    ],
    None,
]
"""Adds what a dialect says of a shown patron and the accounts whose fees are listed with theirs."""


async def tell_information(
    session: Session,
    request: PatronInformation,
    presented: PresentedCard,
    tell_more: TellMore | None = None,
) -> Answer:
    """The 64 for an identified card."""
    response = PatronInformationResponse(language=request.language)
    record = presented.shown
    if record is None or presented.card is None:
        return withhold(session, response, presented)
    for_payment = honours_payment_fetch(session, request)
    if for_payment:
        session.services.metrics.fee_limit_lifted += 1
    portrait = show(session, response, presented, record, presented.card, for_payment=for_payment)
    if record.answers:
        show_answers(session, response, record)
    others = await loans_of_authorisers(session, record) if record.payer_for else []
    _fill_circulation(response, record, request, session.now(), others)
    listed = await _fill_money(session, response, record, request, portrait)
    if tell_more is not None:
        tell_more(session, request, response, record, listed)
    personal = session.terminal.presentation.personal_fields
    if personal:
        _fill_personal(response, record, personal)
    return shown_answer(response, presented, portrait.standing)


def page(request: PatronInformation, values: list[T]) -> tuple[T, ...]:
    """The slice that BP/BQ ask for: 1-based, inclusive; nonsense means no limit (B28)."""
    if request.start_item is None and request.end_item is None:
        return tuple(values)
    return tuple(values[_index(request.start_item, 1) - 1 : _index(request.end_item, len(values))])


def _index(text: str | None, default: int) -> int:
    cleaned = (text or "").strip()
    if not cleaned.isascii() or not cleaned.isdigit() or len(cleaned) > 6:
        return default
    return int(cleaned) or default


def _fill_circulation(
    response: PatronInformationResponse,
    record: PatronRecord,
    request: PatronInformation,
    now: datetime,
    others: list[Loan],
) -> None:
    """The counts, always, and the lists that the summary asks for, merged (B28, C36).

    Loans that the patron may renew for `others` are among the charged items (B54).
    """
    if record.membership is not None and record.membership.max_items:
        response.charged_items_limit = record.membership.max_items
    if record.membership is not None and record.membership.max_holds:
        response.hold_items_limit = record.membership.max_holds
    if record.loans or others:
        charged = [*record.loans, *others]
        overdue = [loan for loan in record.loans if loan.due < now]
        response.overdue_items_count = len(overdue)
        response.charged_items_count = len(charged)
        if Summary.OVERDUE in request.summary:
            response.overdue_items = page(request, [_loan_value(loan) for loan in overdue])
        if Summary.CHARGED in request.summary:
            response.charged_items = page(request, [_loan_value(loan) for loan in charged])
    if record.holds:
        holds = [hold for hold in record.holds if hold.expires is None or now < hold.expires]
        ready = [hold for hold in holds if hold.ready]
        waiting = [hold for hold in holds if not hold.ready]
        response.hold_items_count = len(ready)
        response.unavailable_holds_count = len(waiting)
        if Summary.HOLDS in request.summary:
            response.hold_items = page(request, [_hold_value(hold) for hold in ready])
        if Summary.UNAVAILABLE_HOLDS in request.summary:
            response.unavailable_hold_items = page(request, [_hold_value(h) for h in waiting])


def _loan_value(loan: Loan) -> str:
    return loan.item_id


def _hold_value(hold: Hold) -> str:
    return hold.item_id or hold.title_id or hold.id


async def _fill_money(
    session: Session,
    response: PatronInformationResponse,
    record: PatronRecord,
    request: PatronInformation,
    portrait: Portrait,
) -> Sequence[PayableAccount]:
    """BH, BV, CC, and what may be paid for others (B25, B52, C36, C37, C77).

    Returns:
        The accounts whose fees are listed with the patron's own.
    """
    terminal = session.terminal
    accounts: tuple[PayableAccount, ...] = ()
    if record.payer_for:
        accounts = await accounts_payable_by(session, record, session.now().date())
    family = terminal.presentation.family
    merged = accounts if family == "merged" else ()
    response.currency_type = terminal.currency
    response.fee_amount = portrait.fee_amount
    response.fee_limit = portrait.fee_limit
    response.fine_items_count = portrait.fine_items_count
    if merged:
        response.fee_amount = total_payable(session, record, merged)
        debtors = [record, *(account.debtor for account in merged)]
        response.fine_items_count = sum(len(owed_fees(debtor)) for debtor in debtors)
    if family == "separate":
        response.payable_accounts = account_values(session, accounts)
    if Summary.FINES not in request.summary:
        return merged
    if family == "separate" or terminal.presentation.fee_lines == "ZF":
        response.payable_fees = page(request, extension_lines(session, record, accounts))
    if terminal.presentation.fee_lines == "AV":
        response.fine_items = page(request, fee_lines(session, record, merged))
    return merged


def _fill_personal(
    response: PatronInformationResponse, record: PatronRecord, fields: Collection[str]
) -> None:
    """BD BE BF PB PC, only those that the profile names (B30)."""
    if "BD" in fields:
        response.home_address = record.address
    if "BE" in fields:
        response.email = record.email
    if "BF" in fields:
        response.home_phone = record.phone
    if "PB" in fields and record.birth_date is not None:
        response.birth_date = record.birth_date.strftime("%Y%m%d")
    if "PC" in fields and record.membership is not None:
        response.patron_class = record.membership.code
