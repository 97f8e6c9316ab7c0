"""Patron information: 63 and 64 with lists and money.  (B26, B28, B30, B52, C36, C37, C77)"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from sip2gw.handlers.answers import show_answers
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.items.lending import loans_of_authorisers
from sip2gw.handlers.patron import (
    Portrait,
    PresentedCard,
    accounts_payable_by,
    identify,
    owed_fees,
    payable,
    show,
    shown_answer,
    total_payable,
    withhold,
)
from sip2gw.handlers.snapshot_cache import derived
from sip2gw.model import (
    Fee,
    Hold,
    Loan,
    PatronRecord,
    format_amount,
)
from sip2gw.policy.relationships import PayableAccount
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.messages import PatronInformation, PatronInformationResponse
from sip2gw.texts.templates import fill, first_word

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
        response.payable_accounts = _account_values(session, accounts)
    if Summary.FINES not in request.summary:
        return merged
    if family == "separate" or terminal.presentation.fee_lines == "ZF":
        lines = _lines(session, record, accounts, _extension_line)
        response.payable_fees = page(request, lines)
    if terminal.presentation.fee_lines == "AV":
        response.fine_items = page(request, _lines(session, record, merged, _fee_line))
    return merged


_FeeWriter = Callable[[Session, Fee, PayableAccount | None], str]


def _lines(
    session: Session,
    record: PatronRecord,
    accounts: Sequence[PayableAccount],
    write: _FeeWriter,
) -> list[str]:
    """Every owed fee of `record` and then of `accounts`, each as `write` has it."""
    terminal = session.terminal
    # All that a line depends on besides the fees, so that terminals share rendered lines.
    template, titles = terminal.presentation.template_av, terminal.presentation.relation_titles
    circumstances = (terminal.zone, terminal.currency, titles, template)
    lines: list[str] = []
    for account in (None, *accounts):
        debtor = record if account is None else account.debtor
        lines += derived(
            debtor,
            ("lines", write, *circumstances, account is None),
            partial(_write_lines, session, debtor, account, write),
        )
    return lines


def _write_lines(
    session: Session, debtor: PatronRecord, account: PayableAccount | None, write: _FeeWriter
) -> tuple[str, ...]:
    return tuple(write(session, fee, account) for fee in owed_fees(debtor))


def account_label(account: PayableAccount) -> str:
    """Whose fee it is, in one word: the debtor's first name (C77)."""
    return first_word(account.debtor.name) or account.debtor.id


def fee_text(session: Session, fee: Fee, *, is_own: bool) -> str:
    """What a fee is for; titles of a debtor's items only by profile (B53, C37)."""
    if not is_own and not session.terminal.presentation.relation_titles:
        return fee.description if not fee.title else fee.description.replace(fee.title, "").strip()
    return " ".join(part for part in (fee.description, fee.title) if part)


def _fee_line(session: Session, fee: Fee, account: PayableAccount | None) -> str:
    """One AV: fee id, amount, currency, date, label and description (C36)."""
    terminal = session.terminal
    template = terminal.presentation.template_av
    if template is not None:
        return fill(template, _fee_values(session, fee, account))
    parts = [
        fee.id,
        format_amount(fee.owed, terminal.currency),
        terminal.currency,
        fee.created.astimezone(terminal.zone).date().isoformat(),
        f"{account_label(account)}:" if account is not None else "",
        fee_text(session, fee, is_own=account is None),
    ]
    return " ".join(part for part in parts if part)


def _fee_values(session: Session, fee: Fee, account: PayableAccount | None) -> dict[str, object]:
    """The values for the placeholders of `templates.FEE`."""
    terminal = session.terminal
    titled = account is None or terminal.presentation.relation_titles
    return {
        "fee": fee.id,
        "amount": format_amount(fee.owed, terminal.currency),
        "currency": terminal.currency,
        "date": fee.created.astimezone(terminal.zone).date().isoformat(),
        "type": fee.type,
        "label": account_label(account) if account is not None else "",
        "description": fee.description if titled else fee_text(session, fee, is_own=False),
        "title": fee.title if titled else "",
    }


def _tilde_line(*parts: str) -> str:
    return "~".join(part.replace("~", "-") for part in parts)


def _extension_line(session: Session, fee: Fee, account: PayableAccount | None) -> str:
    """One ZF: fee id~patron~amount~type~date~description (B52)."""
    terminal = session.terminal
    return _tilde_line(
        fee.id,
        fee.patron_id,
        format_amount(fee.owed, terminal.currency),
        fee.type,
        fee.created.astimezone(terminal.zone).date().isoformat(),
        fee_text(session, fee, is_own=account is None),
    )


def _account_values(session: Session, accounts: Sequence[PayableAccount]) -> tuple[str, ...]:
    """ZR: patron~label~relation~total, for accounts with something payable (C37)."""
    terminal = session.terminal
    values = []
    for account in accounts:
        total = payable(session, account.debtor)
        if total:
            amount = format_amount(total, terminal.currency)
            values.append(
                _tilde_line(account.debtor.id, account_label(account), account.relation, amount)
            )
    return tuple(values)


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
