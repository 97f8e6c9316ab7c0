"""How a payment goes up to a library system, and what a look at the debts tells of it afterwards.

Rules: B44, B46, B75, B76, C59, C155, C156.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from msgspec.structs import replace

from sip2gw.model import UNDATED, Fee, Minor, PatronRecord, PaymentLine
from sip2gw.model.shares import Debts, Kept, Share, stays_here
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.upstream.fees import OPEN_AMOUNT

Split = Literal["sum", "lines"]
"""How an account wants a payment that names no fee: one 37 for each debtor, or for each fee."""

CERTAIN_FOR = timedelta(minutes=10)
"""So long after a 37 a difference is taken for its effect; later it may have other causes."""

DEAD_AFTER = timedelta(seconds=30)
"""So long after it was written down that a share goes up it is looked at, whoever sends it: that
gateway may have died (C156). If it is not booked then, it may be later (`UNDONE_AFTER`)."""

UNDONE_AFTER = timedelta(seconds=90)
"""So long after a 37 nothing has moved because it was not booked. Before that it may be waiting
there, for a lock above all: MySQL gives up after 50 s, and most programs after a minute."""

LISTED_MAX = 50
"""With so many shares a list of fees is kept. More seldom go up in the time of one request, and a
list of thousands for each of thousands would fill the memory."""

_OPEN = "\0"
"""Begins the id of what a debtor owes without an id, while a payment of several is decided on. No
fee has such an id."""


class Verdict(StrEnum):
    """What became of a share; the words of `payment reconcile`."""

    BOOKED = "booked"
    NOT_BOOKED = "not-booked"


def debts_of(record: PatronRecord, *, is_whole: bool = True) -> Debts:
    """What a library system says that `record` owes; nothing that could be compared later, if it is
    without what was paid here and they do not know (C124).

    Args:
        record: as it was read out of an answer.
        is_whole: whether the answer lists as many fees as it counts.
    """
    if record.word is not None and record.word.pending:
        return Debts()
    balance = record.word.fee_amount if record.word is not None else None
    lines = sorted([(fee.id, fee.owed) for fee in record.fees])
    # What has no id comes first.
    is_complete = is_whole and balance is not None and not (lines and lines[0][0] == OPEN_AMOUNT)
    return Debts(balance, tuple(lines) if is_complete else None)


def payable_by(
    record: PatronRecord, amount: Minor, fee_id: str | None, *, goes_up: bool = True
) -> PatronRecord:
    """`record` as a payment of `amount`, for the fee `fee_id` (CG) if it names one, is decided on.

    A terminal shows fee lines as the library system wrote them, and may read ids in them that we
    cannot. So a fee that we do not know is part of what is owed without an id. Where nothing at all
    is said of what is owed, the amount is, if the payment `goes_up`: then the library system has
    the last word. Otherwise nobody has, and nothing is owed that is not said (C124).
    """
    fees, rest, is_named = [], 0, False
    for fee in record.fees:
        if fee.id == OPEN_AMOUNT:
            rest += fee.owed
        else:
            fees.append(fee)
            is_named = is_named or fee.id == fee_id
    word = record.word
    if goes_up and not record.fees and word is not None and word.fee_amount is None:
        rest = amount
    if not rest:
        return record
    if fee_id is not None and rest > 0 and not is_named:
        part = min(amount, rest)
        fees.append(Fee(fee_id, record.id, part, part, UNDATED))
        rest -= part
    if rest:
        fees.append(Fee(f"{_OPEN}{record.id}", record.id, rest, rest, UNDATED))
    return replace(record, fees=tuple(fees))


def shares_of(
    lines: Iterable[PaymentLine],
    fee_id: str | None,
    split: Split,
    cards: Mapping[str, str],
    debts: Mapping[str, Debts],
) -> tuple[Share, ...]:
    """The 37s for a payment that was decided on: one for each debtor, or for each fee.

    Args:
        lines: of the plan; those of several debtors may be mixed, by their age.
        fee_id: CG; then there is one share, of this fee.
        split: what the account wants where no fee is named.
        cards: which card goes up for a debtor, by their id; without one, the id itself.
        debts: of each debtor now, by their id.
    """
    shares: list[Share] = []
    lines_of: dict[str, list[PaymentLine]] = {}
    for line in lines:
        lines_of.setdefault(line.debtor_id, []).append(line)
    for debtor_id, own in lines_of.items():
        # Who has a credit pays less than their fees come to: only they know what it goes to.
        if split == "lines" and fee_id is None and all(line.amount > 0 for line in own):
            parts = [(line.amount, _said(line.fee_id)) for line in own]
        else:
            parts = [(sum([line.amount for line in own]), fee_id or OPEN_AMOUNT)]
        whose = debtor_id, cards.get(debtor_id, debtor_id), own[0].relation
        shares += [Share(*whose, *part, debts[debtor_id]) for part in parts]
    return one_after_the_other(shares) if len(shares) > 1 else tuple(shares)


def kept_here(shares: Iterable[Share], records: Iterable[PatronRecord]) -> tuple[Share, ...]:
    """`shares` as we book them ourselves (C124): with a fee of theirs, if it is one of those that
    `records`, the payer and the debtors, have with an id."""
    known = {(record.id, fee.id) for record in records for fee in record.fees if fee.id}
    return tuple(
        replace(share, kept=Kept.FEE if (share.debtor_id, share.fee_id) in known else Kept.SUM)
        for share in shares
    )


def receipt_of(bk: str, payment_id: str, position: int, *, guarded: bool) -> str | None:
    """BK of a 37. Each share has a number of its own, the same at every try: some library systems
    refuse a number that was there before. Where they book a repeated one once, it is our own, for
    terminals count their receipts from 1, some of them each day.
    """
    number = payment_id if guarded else bk
    if not number:
        return None
    return f"{number}-{position + 1}" if position else number


def refusal_of_rest(
    shares: Sequence[Share], plan: object, payable: Collection[str]
) -> PaymentRefusalReason | None:
    """Why what an earlier try of a payment has left does not go up now; None: it does.

    A part of it is booked, so it is a no only where the payer can do something about that (C98).
    How it is spread is not decided on again. But the payer must be who they say, and may still pay,
    and what is left must be owed still: it may have been paid elsewhere meanwhile (B44).

    Args:
        shares: what is left, each with what is owed right before it, as far as they say that.
        plan: what would be decided now on a new payment.
        payable: the payer, and those for whom they may pay now.
    """
    if plan is PaymentRefusalReason.NO_PIN or plan is PaymentRefusalReason.CARD_BLOCKED:
        return plan
    may_go_up = {share.debtor_id for share in shares} <= set(payable) and all(map(_is_owed, shares))
    return None if may_go_up else PaymentRefusalReason.UNKNOWN_OUTCOME


def _is_owed(share: Share) -> bool:
    """Whether so much is owed right before `share` goes up, as far as they say that."""
    owed = share.before.balance
    if share.fee_id and share.before.lines is not None:
        owed = dict(share.before.lines).get(share.fee_id, 0)
    return owed is None or share.amount <= owed


def refusal_beside(shares: Sequence[Share], others: Sequence[Share]) -> PaymentRefusalReason | None:
    """Why `shares`, which are all for one debtor, do not go up beside `others`; None: they do.

    What others pay is not owed any more, although the library system has not said so yet (C60). A
    share without a fee may be for any of them, so it counts against all that the debtor owes. Where
    nothing is said of that, what is paid is (see `payable_by`).

    Args:
        shares: of one payment, in their order, each with what is owed right before it.
        others: of other payments for the same debtor. If `shares` stay here, what they owe is
            without those that do too (C124).
    """
    if stays_here(shares):
        others = [other for other in others if not other.kept]
    taken = {other.fee_id for other in others}
    named = {share.fee_id for share in shares}
    if taken & named - {OPEN_AMOUNT}:
        return PaymentRefusalReason.NOTHING_TO_PAY
    if not taken or OPEN_AMOUNT not in taken | named:
        return None
    amount = sum([share.amount for share in shares])
    owed = shares[0].before.balance
    left = (amount if owed is None else owed) - sum([other.amount for other in others])
    if left <= 0:
        return PaymentRefusalReason.NOTHING_TO_PAY
    return PaymentRefusalReason.OVERPAYMENT if amount > left else None


def one_after_the_other(shares: Sequence[Share]) -> tuple[Share, ...]:
    """`shares` with what is owed right before each of them, if those before it are booked; after
    `LISTED_MAX` only what that comes to.

    Args:
        shares: in the order in which they go up, each with what is owed before the first.
    """
    seen: list[Share] = []
    last: dict[str, Share] = {}
    for number, share in enumerate(shares):
        earlier = last.get(share.debtor_id)
        if earlier is not None:
            share = replace(share, before=_after(earlier))  # noqa: PLW2901 -- it takes its place
        if number >= LISTED_MAX:
            share = replace(share, before=Debts(share.before.balance))  # noqa: PLW2901 -- too
        seen.append(share)
        last[share.debtor_id] = share
    return tuple(seen)


def _after(share: Share) -> Debts:
    """What is owed when `share` is booked; which lines, only they know, if it names no fee."""
    debts = share.before
    balance = None if debts.balance is None else debts.balance - share.amount
    if debts.lines is None or not share.fee_id:
        return Debts(balance)
    left = (
        line if line[0] != share.fee_id else (line[0], line[1] - share.amount)
        for line in debts.lines
    )
    return Debts(balance, tuple(line for line in left if line[1]))


def _said(fee_id: str) -> str:
    return OPEN_AMOUNT if fee_id.startswith(_OPEN) else fee_id


def verdict_of(share: Share, after: Debts, *, alone: bool, late: timedelta) -> Verdict | None:
    """What became of `share`, if the debts tell for certain; None: nobody can say.

    Args:
        share: with the debts right before it went up.
        after: the debts now.
        alone: whether nothing else went up that may have moved them.
        late: how long ago it went up.
    """
    if not (alone and late <= CERTAIN_FOR and _are_complete(share, after)):
        return None
    likely = likely_verdict(share, after)
    return None if likely is Verdict.NOT_BOOKED and late < UNDONE_AFTER else likely


def likely_verdict(share: Share, after: Debts) -> Verdict | None:
    """What the debts suggest to staff: exactly the amount is gone, or nothing has moved."""
    before = share.before
    if before.balance is None or after.balance is None:
        return None
    if before == after:
        return Verdict.NOT_BOOKED
    is_gone = before.balance - after.balance == share.amount
    return Verdict.BOOKED if is_gone and _only_sank(share, after) else None


def _are_complete(share: Share, after: Debts) -> bool:
    """Whether both lists tell all. The balance alone cannot: a new fine may hide a payment."""
    return share.before.lines is not None and after.lines is not None


def _only_sank(share: Share, after: Debts) -> bool:
    """Whether no fee is new or larger, and only the one that was named is smaller."""
    if share.before.lines is None or after.lines is None:
        return True
    then, now = dict(share.before.lines), dict(after.lines)
    if any(owed > then.get(fee_id, 0) for fee_id, owed in now.items()):
        return False
    sunk = {fee_id for fee_id, owed in then.items() if now.get(fee_id, 0) < owed}
    return not share.fee_id or sunk == {share.fee_id}
