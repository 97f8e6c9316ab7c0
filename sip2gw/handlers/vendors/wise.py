"""Wise's dialog 41/42: money lines, open ones and paid ones.  (B55, C45)"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.fee_lines import account_label, fee_text
from sip2gw.handlers.patron import (
    PresentedCard,
    accounts_payable_by,
    identify,
    withheld_reason,
    withheld_text_key,
)
from sip2gw.model import (
    Fee,
    FeeStatus,
    Minor,
    PaidFee,
    PatronRecord,
    format_amount,
)
from sip2gw.policy.money.debts import open_fees
from sip2gw.policy.relationships import PayableAccount
from sip2gw.protocol.dialect import MoneyLines, MoneyLinesResponse
from sip2gw.protocol.fields import VALUE_BYTES_MAX

FINES = "2"
"""Wise's type of a line: fines, contributions and so on. Its other types (membership fees, sales,
cash receipts, theatre) are no fees here."""

_STATUS_LETTERS = {status: status.value for status in FeeStatus} | {FeeStatus.OPEN: ""}


async def money_lines(session: Session, request: MoneyLines) -> Answer:
    """Answer a 41 with a 42: what is owed, what was paid, or both, as the switches ask.

    Identification is that of a 63. Open lines are all fees with something owed, whether or not they
    may be paid here. Paid lines are recent payments, including parts of fees. With `family =
    "merged"` the lines of payable accounts follow; of the paid ones only those that this patron
    paid.
    """
    terminal = session.terminal
    presented = await identify(session, request.patron_identifier, request.patron_password)
    record = presented.shown
    if record is None:
        return _refuse(session, presented, withheld_text_key(presented), withheld_reason(presented))
    switches = {"FA": request.switch_fa, "FB": request.switch_fb, "FC": request.switch_fc}
    with_open, with_paid = terminal.wise.asked(switches)
    if not (with_open or with_paid):
        return _refuse(session, presented, "not_supported", "no_switch")
    accounts: tuple[PayableAccount, ...] = ()
    if terminal.presentation.family == "merged":
        accounts = await accounts_payable_by(session, record, session.now().date())
    language = session.language("000", record)
    lines: list[str] = []
    if with_open:
        lines += _open_lines(session, language, record, accounts)
    if with_paid:
        lines += await _paid_lines(session, language, record, accounts)
    response = _response(session, presented)
    response.money_lines = tuple(lines)
    return Answer(response, card=presented.number)


def _response(session: Session, presented: PresentedCard) -> MoneyLinesResponse:
    return MoneyLinesResponse(
        transaction_date=session.now(),
        institution_id=session.terminal.institution_id,
        patron_identifier=presented.patron_id,
    )


def _refuse(session: Session, presented: PresentedCard, text_key: str, reason: str) -> Answer:
    """No line, and a text."""
    response = _response(session, presented)
    text = session.services.texts.text(session.language("000"), text_key)
    response.screen_message = (text,)
    return Answer(response, "refused", reason, presented.number)


def _open_lines(
    session: Session, language: str, record: PatronRecord, accounts: Sequence[PayableAccount]
) -> list[str]:
    return [
        _line(session, language, fee, account, fee.owed, _STATUS_LETTERS[fee.status])
        for account in (None, *accounts)
        for fee in open_fees((record if account is None else account.debtor).fees)
    ]


async def _paid_lines(
    session: Session, language: str, record: PatronRecord, accounts: Sequence[PayableAccount]
) -> list[str]:
    backend, manner = session.services.backend, session.terminal.wise
    since = session.now() - timedelta(days=manner.paid_days)
    found: list[tuple[PayableAccount | None, PaidFee]] = []
    found += [(None, paid) for paid in await backend.paid_fees(record.id, since)]
    for account in accounts:
        theirs = await backend.paid_fees(account.debtor.id, since, record.id)
        found += [(account, paid) for paid in theirs]
    return [
        _line(session, language, paid.fee, account, paid.paid, manner.paid_status)
        for account, paid in found
    ]


def _line(
    session: Session,
    language: str,
    fee: Fee,
    account: PayableAccount | None,
    amount: Minor,
    status: str,
) -> str:
    """One YZ; as its date of calculation we send the day on which the fee was made."""
    terminal = session.terminal
    created = f"{fee.created.astimezone(terminal.zone):%d-%m-%Y}"
    arranged = f"{fee.arrangement_date:%d-%m-%Y}" if fee.arrangement_date is not None else ""
    description, title = _texts(session, language, fee, account)
    collected = ""
    parts = [
        created,
        description,
        title,
        created,
        format_amount(amount, terminal.currency),
        status,
        collected,
        fee.id,
        FINES,
        arranged,
    ]
    return _fitted(session, parts)


def _texts(
    session: Session, language: str, fee: Fee, account: PayableAccount | None
) -> tuple[str, str]:
    """Description, and title or kind of fee; titles of others' items by profile (B53)."""
    kind = session.services.texts.text(language, f"fee_type_{fee.type}")
    if account is None:
        return fee.description, fee.title or kind
    label = f"{account_label(account)}:"
    if session.terminal.presentation.relation_titles:
        return f"{label} {fee.description}".rstrip(), fee.title or kind
    return f"{label} {fee_text(session, fee, is_own=False)}".rstrip(), kind


_DESCRIPTION, _TITLE = 1, 2


def _fitted(session: Session, parts: list[str]) -> str:
    """The parts as one value; texts are shortened so that nothing after them is cut off (B4)."""
    text, separator = session.terminal.wire.text, session.terminal.wise.separator
    parts = [part.replace("~", "-") for part in parts]
    rest = [part for at, part in enumerate(parts) if at not in (_DESCRIPTION, _TITLE)]
    spare = VALUE_BYTES_MAX - len(text.encode("".join(rest))) - len(separator) * (len(parts) - 1)
    spare = max(spare, 0)
    parts[_DESCRIPTION] = text.fit(parts[_DESCRIPTION], spare // 2)
    parts[_TITLE] = text.fit(parts[_TITLE], spare - len(text.encode(parts[_DESCRIPTION])))
    return separator.join(parts)
