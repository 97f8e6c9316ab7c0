"""What is owed, what may be paid, what blocks, how a payment is spread.  (B23-B26, B43-B48, B98)

*Owed* counts for limits and ages; *payable* is what a terminal may take money for (C7).

A credit is a fee with a negative amount. It belongs to its debtor's account, and counts where a
fee of its status would. All functions here that return fees return what credits leave of them:
nobody is asked for more, and no amount is ever below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, tzinfo

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.model import (
    Fee,
    FeeStatus,
    Minor,
    PaidFee,
    PatronRecord,
    PaymentLine,
)
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.relationships import PayableAccount

OVERDUE_FEE_TYPE = "04"


def surplus_of(amount: Minor, paid: Minor) -> Minor:
    """How much of `paid` is more than a fee of `amount` was worth (C103).

    What is owed is then `amount - paid + surplus_of(amount, paid)`: never negative, unless it is a
    credit of which nothing but its own use was booked. `paid` is negative for that use.
    """
    return max(paid - amount, 0) if paid > 0 else 0


def _counts(fee: Fee) -> bool:
    """Whether `fee` counts for limits: it does unless it is in a running arrangement (C7)."""
    return fee.status is not FeeStatus.ARRANGEMENT or fee.arrangement_date is None


_OPEN = FeeStatus.OPEN  # Python 3.11 takes 0.1 µs to find a member of an enumeration


def _may_be_paid(fee: Fee, invoiced_payable: bool) -> bool:
    """Whether a terminal may take money for a fee of this status (B45, C7)."""
    status = fee.status
    if status is _OPEN:
        return True
    if status is FeeStatus.INVOICE or not _counts(fee):
        return False
    return status is FeeStatus.ARRANGEMENT or invoiced_payable


_REMOTENESS = {FeeStatus.INVOICE_DEBIT: 1, FeeStatus.DEBT_COLLECTION: 1, FeeStatus.INVOICE: 2}
"""How far a fee is from being paid at a terminal; 0 is what every terminal takes money for."""


def _offsets(fees: Sequence[Fee]) -> Iterator[tuple[Fee, Fee, Minor]]:
    """Which credit settles how much of which fee: (credit, fee, amount), each above zero.

    A credit goes to its own debtor's fees: first to those that a terminal takes money for, then to
    the others, in each case the oldest first. So a terminal never shows more of a fee than it takes
    money for.
    """
    left = {fee.id: fee.owed for fee in fees if fee.owed > 0}
    owed = sorted((fee for fee in fees if fee.owed > 0), key=_nearness)
    for credit in (fee for fee in fees if fee.owed < 0):
        rest = -credit.owed
        for fee in owed:
            part = min(rest, left[fee.id]) if fee.patron_id == credit.patron_id else 0
            if part:
                rest -= part
                left[fee.id] -= part
                yield credit, fee, part


def _nearness(fee: Fee) -> tuple[int, datetime, str]:
    return _REMOTENESS.get(fee.status, 0), *_age(fee)


def _age(fee: Fee) -> tuple[datetime, str]:
    return fee.created, fee.id


def _are_all_owed(fees: Iterable[Fee]) -> bool:
    """Whether `fees` has no credit and no settled fee, which is nearly always so."""
    for fee in fees:  # noqa: SIM110 -- each payment asks twice, and `all` takes twice the time
        if fee.owed <= 0:
            return False
    return True


def _after_credits(fees: Sequence[Fee]) -> tuple[Fee, ...]:
    """The fees that `fees` leave open, each with what is left of it, in their order."""
    if _are_all_owed(fees):
        return tuple(fees)
    left = {fee.id: fee.owed for fee in fees}
    for _, fee, part in _offsets(fees):
        left[fee.id] -= part
    return tuple(
        fee if left[fee.id] == fee.owed else replace(fee, owed=left[fee.id])
        for fee in fees
        if left[fee.id] > 0
    )


def owed_fees(fees: Iterable[Fee]) -> tuple[Fee, ...]:
    """The fees that count for limits and are listed, after credits (C7, B98)."""
    return _after_credits([fee for fee in fees if _counts(fee)])


def open_fees(fees: Sequence[Fee]) -> tuple[Fee, ...]:
    """The owed fees and those in a payment arrangement."""
    owed = {fee.id: fee for fee in owed_fees(fees)}
    arranged = {fee.id: fee for fee in fees if fee.owed > 0 and not _counts(fee)}
    known = owed | arranged
    return tuple(known[fee.id] for fee in fees if fee.id in known)


def payable_fees(fees: Iterable[Fee], invoiced_payable: bool) -> tuple[Fee, ...]:
    """The fees that a terminal may take money for, after credits (B45, B98, C7)."""
    return _after_credits([fee for fee in fees if _may_be_paid(fee, invoiced_payable)])


def owed_total(fees: Iterable[Fee]) -> Minor:
    """The sum that limits are compared with; never negative."""
    return sum(fee.owed for fee in owed_fees(fees))


def payable_total(fees: Iterable[Fee], invoiced_payable: bool) -> Minor:
    """The sum that BV shows; never negative, whatever credits there are."""
    return sum(fee.owed for fee in payable_fees(fees, invoiced_payable))


def paid_in_money(settled: Sequence[PaidFee]) -> tuple[PaidFee, ...]:
    """The money that a payment brought for each fee, without the credits that it used up."""
    paid = [replace(one.fee, owed=one.paid) for one in settled]
    money = {fee.id: fee.owed for fee in _after_credits(paid)}
    return tuple(PaidFee(one.fee, money[one.fee.id]) for one in settled if one.fee.id in money)


def fee_limit(record: PatronRecord) -> Minor | None:
    """The self-service limit that applies to `record`; None means no limit (B23, C35)."""
    if record.fee_limit is not None:
        return record.fee_limit
    return record.membership.max_fees_self_service if record.membership is not None else None


class MoneyStanding(Struct, frozen=True):
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


def money_standing(
    record: PatronRecord, today: date, zone: tzinfo, max_fee_age_days: int | None
) -> MoneyStanding:
    """Hold `record`'s debts against its limit and `max_fee_age_days` (B23, B24, B32, C38).

    Where a library system does not say how much is owed, its flags decide instead (C150).
    """
    fees = owed_fees(record.fees)
    word = record.word
    limit = fee_limit(record) if word is None or word.fee_amount is not None else None
    if not fees:
        return MoneyStanding(0, limit, False, False, 0, False, False, None)
    owed = sum(fee.owed for fee in fees)
    oldest = max((today - fee.created.astimezone(zone).date()).days for fee in fees)
    over_limit = limit is not None and owed > limit
    alert = record.membership.alert_amount if record.membership is not None else None
    warn = alert is not None and limit is not None and alert <= owed <= limit
    return MoneyStanding(
        owed=owed,
        limit=limit,
        over_limit=over_limit,
        over_age=max_fee_age_days is not None and oldest > max_fee_age_days,
        oldest_days=oldest,
        has_fines=any(fee.type == OVERDUE_FEE_TYPE for fee in fees),
        has_fees=any(fee.type != OVERDUE_FEE_TYPE for fee in fees),
        alert_left=limit - owed if warn and limit is not None else None,
    )


class PaymentRules(Struct):
    """What the terminal's profile allows of a payment."""

    partial_payment: bool
    """Part of a fee may be paid."""
    invoiced_payable: bool
    single_fee_payment: bool = True
    """A fee may be paid by itself."""
    subtotal_payment: bool = True
    """Less than all that is payable may be paid when no fee is named."""


class PaymentRequest(Struct):
    """What a 37 asks for, after its text was read."""

    amount: Minor
    fee_id: str | None
    """CG: exactly this fee; None spreads (B44)."""


class PaymentPlan(Struct):
    """How a payment is spread."""

    lines: tuple[PaymentLine, ...]
    """Their amounts add up to exactly what was asked for."""
    left: Minor
    """What a terminal may still take money for afterwards."""


def decide_allocation(
    payer: PatronRecord,
    accounts: Sequence[PayableAccount],
    request: PaymentRequest,
    rules: PaymentRules,
) -> PaymentPlan | PaymentRefusalReason:
    """Which fees `request` settles, or why none (B43, B44, B51, B98, C6, C37).

    Own fees come first, oldest first, then those of `accounts`, oldest first over all of them.
    The payment uses up the credits of everybody for whom something is paid: the lines of credits
    are negative, and what they settle is included in the lines of the fees.
    """
    amount = request.amount
    if amount <= 0:
        return PaymentRefusalReason.AMOUNT
    fees = sorted(payer.fees, key=_age)
    relations = {fee.id: "own" for fee in fees}
    if accounts:
        relations |= {fee.id: str(of.relation) for of in accounts for fee in of.debtor.fees}
        fees += sorted((fee for of in accounts for fee in of.debtor.fees), key=_age)
    payable = payable_fees(fees, rules.invoiced_payable)
    if request.fee_id is not None:
        paid = _pay_one(fees, payable, request.fee_id, amount, rules)
    else:
        paid = _spread(payable, amount, rules)
    if isinstance(paid, str):
        return paid
    settled = _with_credits(fees, paid, rules)
    lines = tuple(
        PaymentLine(fee.id, fee.patron_id, relations[fee.id], settled[fee.id])
        for fee in fees
        if fee.id in settled
    )
    return PaymentPlan(lines, sum(fee.owed for fee in payable) - amount)


def _pay_one(
    fees: Sequence[Fee], payable: Sequence[Fee], fee_id: str, amount: Minor, rules: PaymentRules
) -> Mapping[str, Minor] | PaymentRefusalReason:
    """How much of the fee is paid; the part that the debtor's credits settle need not be."""
    if not rules.single_fee_payment:
        return PaymentRefusalReason.SINGLE_FEE
    left = _find(payable, fee_id)
    if left is None:
        return _not_payable(_find(fees, fee_id), rules)
    if amount > left.owed:
        return PaymentRefusalReason.OVERPAYMENT
    if amount < left.owed and not rules.partial_payment:
        return PaymentRefusalReason.PARTIAL
    return {fee_id: amount}


def _not_payable(named: Fee | None, rules: PaymentRules) -> PaymentRefusalReason:
    """Why nothing is payable of the fee that was named."""
    if named is None:
        return PaymentRefusalReason.UNKNOWN_FEE
    if named.owed < 0 or not _may_be_paid(named, rules.invoiced_payable):
        return PaymentRefusalReason.NOT_PAYABLE
    return PaymentRefusalReason.NOTHING_TO_PAY


def _find(fees: Iterable[Fee], fee_id: str) -> Fee | None:
    for fee in fees:
        if fee.id == fee_id:
            return fee
    return None


def _spread(
    payable: Sequence[Fee], amount: Minor, rules: PaymentRules
) -> Mapping[str, Minor] | PaymentRefusalReason:
    """How much of each fee is paid, in their order."""
    if not payable:
        return PaymentRefusalReason.NOTHING_TO_PAY
    if not rules.subtotal_payment and amount < sum(fee.owed for fee in payable):
        return PaymentRefusalReason.SUBTOTAL
    paid: dict[str, Minor] = {}
    left = amount
    for fee in payable:
        paid[fee.id] = part = min(left, fee.owed)
        if part < fee.owed and not rules.partial_payment:
            return PaymentRefusalReason.PARTIAL
        left -= part
        if not left:
            return paid
    return PaymentRefusalReason.OVERPAYMENT


def _with_credits(
    fees: Sequence[Fee], paid: Mapping[str, Minor], rules: PaymentRules
) -> Mapping[str, Minor]:
    """`paid`, plus what the same debtors' credits settle, and lines for those credits."""
    if _are_all_owed(fees):
        return paid
    debtors = {fee.patron_id for fee in fees if fee.id in paid}
    theirs = [
        fee
        for fee in fees
        if fee.patron_id in debtors and _may_be_paid(fee, rules.invoiced_payable)
    ]
    settled = dict(paid)
    for credit, fee, part in _offsets(theirs):
        settled[fee.id] = settled.get(fee.id, 0) + part
        settled[credit.id] = settled.get(credit.id, 0) - part
    return settled
