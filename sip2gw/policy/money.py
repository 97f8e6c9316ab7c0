"""What is owed, what may be paid, what blocks, and how a payment is spread.  (B23-B26, B43-B48)

*Owed* counts for limits and ages; *payable* is what a terminal may take money for (C7).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo

from sip2gw.model import Fee, FeeStatus, Minor, PatronRecord, PaymentLine
from sip2gw.policy.relationships import PayableAccount

OVERDUE_FEE_TYPE = "04"


def is_owed(fee: Fee) -> bool:
    """Whether `fee` counts for limits: all but a payment arrangement that runs (C7)."""
    if fee.status is FeeStatus.ARRANGEMENT and fee.arrangement_date is not None:
        return False
    return fee.owed > 0


def is_payable(fee: Fee, invoiced_payable: bool) -> bool:
    """Whether a terminal may take money for `fee` (B45, C7)."""
    if not is_owed(fee) or fee.status is FeeStatus.INVOICE:
        return False
    if fee.status in (FeeStatus.INVOICE_DEBIT, FeeStatus.DEBT_COLLECTION):
        return invoiced_payable
    return True


def owed_total(fees: Iterable[Fee]) -> Minor:
    """The sum that limits are compared with."""
    return sum(fee.owed for fee in fees if is_owed(fee))


def payable_total(fees: Iterable[Fee], invoiced_payable: bool) -> Minor:
    """The sum that BV shows."""
    return sum(fee.owed for fee in fees if is_payable(fee, invoiced_payable))


def fee_limit(record: PatronRecord) -> Minor | None:
    """The self-service limit that holds for `record`; None is no limit (B23, C35)."""
    if record.fee_limit is not None:
        return record.fee_limit
    return record.membership.max_fees_self_service if record.membership is not None else None


@dataclass(frozen=True, slots=True)
class MoneyStanding:
    """A patron's debts held against the limit and the branch's maximum age."""

    owed: Minor
    limit: Minor | None
    over_limit: bool
    """Owed above the limit; equality is no block (B23)."""
    over_age: bool
    """Some owed fee is older than the branch allows (B24)."""
    oldest_days: int
    has_fines: bool
    """Owes at least one overdue fee, type 04: flag 10 (C39)."""
    has_fees: bool
    """Owes at least one fee of another type: flag 11 (C39)."""
    alert_left: Minor | None
    """Between alert amount and limit: how much is left; else None (B32)."""

    @property
    def blocked(self) -> bool:
        """Whether money alone blocks the patron."""
        return self.over_limit or self.over_age


def money_standing(
    record: PatronRecord, today: date, zone: tzinfo, max_fee_age_days: int | None
) -> MoneyStanding:
    """Hold `record`'s debts against its limit and `max_fee_age_days` (B23, B24, B32, C38)."""
    owed_fees = [fee for fee in record.fees if is_owed(fee)]
    limit = fee_limit(record)
    if not owed_fees:
        return MoneyStanding(0, limit, False, False, 0, False, False, None)
    owed = sum(fee.owed for fee in owed_fees)
    oldest = max((today - fee.created.astimezone(zone).date()).days for fee in owed_fees)
    over_limit = limit is not None and owed > limit
    alert = record.membership.alert_amount if record.membership is not None else None
    warn = alert is not None and limit is not None and alert <= owed <= limit
    return MoneyStanding(
        owed=owed,
        limit=limit,
        over_limit=over_limit,
        over_age=max_fee_age_days is not None and oldest > max_fee_age_days,
        oldest_days=oldest,
        has_fines=any(fee.type == OVERDUE_FEE_TYPE for fee in owed_fees),
        has_fees=any(fee.type != OVERDUE_FEE_TYPE for fee in owed_fees),
        alert_left=limit - owed if warn and limit is not None else None,
    )


@dataclass(slots=True)
class PaymentRules:
    """What the terminal's profile allows of a payment."""

    partial_payment: bool
    """Part of a fee may be paid."""
    invoiced_payable: bool
    single_fee: bool = True
    """A fee may be paid by itself."""
    subtotal: bool = True
    """Less than all that is payable may be paid when no fee is named."""


@dataclass(slots=True)
class PaymentRequest:
    """What a 37 asks for, after its text was read."""

    amount: Minor
    fee_id: str | None
    """CG: exactly this fee; None spreads (B44)."""
    debtor_id: str | None = None
    """ZD in `separate`: whose fees; None is the payer's own there and everybody's in `merged`."""


def _age_order(candidate: tuple[Fee, str]) -> tuple[datetime, str]:
    fee, _ = candidate
    return fee.created, fee.id


def decide_allocation(
    payer: PatronRecord,
    accounts: Sequence[PayableAccount],
    request: PaymentRequest,
    rules: PaymentRules,
) -> tuple[PaymentLine, ...] | str:
    """Which fees `request` settles, or the word of the refusal (B43, B44, B51, C6, C37).

    Own fees come first, oldest first, then those of `accounts`, oldest first over all of them.

    Returns:
        Lines whose amounts add up to exactly `request.amount`, or one of the payment reasons
        `amount`, `single_fee`, `unknown_fee`, `not_payable`, `partial`, `subtotal`,
        `overpayment`, `nothing_to_pay`.
    """
    if request.amount <= 0:
        return "amount"
    own = [(fee, "own") for fee in payer.fees]
    others = [(fee, str(account.relation)) for account in accounts for fee in account.debtor.fees]
    if request.fee_id is not None:
        if not rules.single_fee:
            return "single_fee"
        return _pay_one(own + others, request.fee_id, request.amount, rules)
    candidates = sorted(own, key=_age_order) + sorted(others, key=_age_order)
    return _spread(candidates, request.amount, rules)


def _pay_one(
    candidates: Sequence[tuple[Fee, str]], fee_id: str, amount: Minor, rules: PaymentRules
) -> tuple[PaymentLine, ...] | str:
    for fee, relation in candidates:
        if fee.id != fee_id:
            continue
        if not is_payable(fee, rules.invoiced_payable):
            return "not_payable"
        if amount > fee.owed:
            return "overpayment"
        if amount < fee.owed and not rules.partial_payment:
            return "partial"
        return (PaymentLine(fee.id, fee.patron_id, relation, amount),)
    return "unknown_fee"


def _spread(
    candidates: Sequence[tuple[Fee, str]], amount: Minor, rules: PaymentRules
) -> tuple[PaymentLine, ...] | str:
    payable = [entry for entry in candidates if is_payable(entry[0], rules.invoiced_payable)]
    if not payable:
        return "nothing_to_pay"
    if not rules.subtotal and amount < sum(fee.owed for fee, _ in payable):
        return "subtotal"
    lines: list[PaymentLine] = []
    left = amount
    for fee, relation in payable:
        part = min(left, fee.owed)
        if part < fee.owed and not rules.partial_payment:
            return "partial"
        lines.append(PaymentLine(fee.id, fee.patron_id, relation, part))
        left -= part
        if not left:
            return tuple(lines)
    return "overpayment"
