"""Gossip's habits: each fee in a group of fields, in the 64 that asks and in the 38.  (B55)"""

from __future__ import annotations

from collections.abc import Sequence

from sip2gw.handlers import fee as standard
from sip2gw.handlers.base import Answer, Session, if_told
from sip2gw.handlers.fee_lines import account_label, fee_text
from sip2gw.handlers.information import page, tell_information
from sip2gw.handlers.patron import identify, owed_fees
from sip2gw.model import (
    Fee,
    PaidFee,
    PatronRecord,
    Payment,
    format_amount,
)
from sip2gw.policy.money.debts import paid_in_money
from sip2gw.policy.relationships import PayableAccount
from sip2gw.protocol.fields import FeeDetail, SettledFee, Summary
from sip2gw.protocol.messages import (
    FeePaid,
    FeePaidResponse,
    PatronInformation,
    PatronInformationResponse,
)


async def patron_information(session: Session, request: PatronInformation) -> Answer:
    """Answer a 63 with a 64; position 7 of the summary asks for the details of all fees."""
    presented = await identify(session, request.patron_identifier, request.patron_password)
    wanted = Summary.FEE_DETAILS in request.summary
    return await tell_information(session, request, presented, _tell_fees if wanted else None)


def _tell_fees(
    session: Session,
    request: PatronInformation,
    response: PatronInformationResponse,
    record: PatronRecord,
    accounts: Sequence[PayableAccount],
) -> None:
    """The fees that an AV would list: own ones, then those of `accounts` (C77)."""
    language = session.language(request.language, record)
    details = [_detail(session, language, fee, None) for fee in owed_fees(record)]
    for account in accounts:
        details += [_detail(session, language, fee, account) for fee in owed_fees(account.debtor)]
    response.fee_details = page(request, details)


def _detail(session: Session, language: str, fee: Fee, account: PayableAccount | None) -> FeeDetail:
    title = _title(session, fee, is_own=account is None)
    if account is not None:
        title = f"{account_label(account)}: {title}"
    return _described(session, language, fee, title, is_own=account is None)


def _title(session: Session, fee: Fee, *, is_own: bool) -> str:
    """The item's title, else what the fee is for; titles of others' items by profile (B53)."""
    shown = is_own or session.terminal.presentation.relation_titles
    return (fee.title if shown else "") or fee_text(session, fee, is_own=is_own)


def _described(session: Session, language: str, fee: Fee, title: str, *, is_own: bool) -> FeeDetail:
    terminal = session.terminal
    item_shown = is_own or terminal.presentation.relation_titles
    return FeeDetail(
        id=fee.id,
        owed=format_amount(fee.owed, terminal.currency),
        item_id=(fee.item_id or "") if item_shown else "",
        created=f"{fee.created.astimezone(terminal.zone):%d.%m.%Y}",
        title=title,
        type=fee.type,
        type_text=session.services.texts.text(language, f"fee_type_{fee.type}"),
    )


async def fee_paid(session: Session, request: FeePaid) -> Answer:
    """Answer a 37 with a 38 that says what was paid on each fee and what is left of it."""
    answer = await standard.fee_paid(session, request)
    response, payment = answer.response, answer.payment
    if payment is None or not isinstance(response, FeePaidResponse):
        return answer
    settled = await if_told(session.services.backend.fees_settled_by(payment.id))
    if settled is None:
        session.services.metrics.backend_errors["fees_settled_by", "unavailable"] += 1
    else:
        response.settled_fees = tuple(
            _settled(session, payment, one) for one in paid_in_money(settled)
        )
    return answer


def _settled(session: Session, payment: Payment, settled: PaidFee) -> SettledFee:
    fee = settled.fee
    is_own = fee.patron_id == payment.payer_id
    title = _title(session, fee, is_own=is_own)
    detail = _described(session, session.language("000"), fee, title, is_own=is_own)
    return SettledFee(*detail, format_amount(settled.paid, payment.currency))
