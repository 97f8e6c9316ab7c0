"""Fees and accounts as a 64 lists them: AV, ZF and ZR.  (B45, B52, B53, C36, C37, C77, C86)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sip2gw.handlers.base import Session
from sip2gw.handlers.patron import owed_fees, payable
from sip2gw.handlers.snapshot_cache import derived
from sip2gw.model import UNDATED, Fee, PatronRecord, format_amount
from sip2gw.policy.relationships import PayableAccount
from sip2gw.texts.templates import fill, first_word


def fee_lines(
    session: Session, record: PatronRecord, accounts: Sequence[PayableAccount]
) -> list[str]:
    """AV: every owed fee of `record`, and then of `accounts`."""
    return _lines(session, record, accounts, _fee_line)


def extension_lines(
    session: Session, record: PatronRecord, accounts: Sequence[PayableAccount]
) -> list[str]:
    """ZF: the same."""
    return _lines(session, record, accounts, _extension_line)


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
        _day(session, fee),
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
        "date": _day(session, fee),
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
        _day(session, fee),
        fee_text(session, fee, is_own=account is None),
    )


def account_values(session: Session, accounts: Sequence[PayableAccount]) -> tuple[str, ...]:
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


def _day(session: Session, fee: Fee) -> str:
    """Of which day the fee is; empty where a library system does not say it."""
    if fee.created == UNDATED:
        return ""
    return fee.created.astimezone(session.terminal.zone).date().isoformat()
