"""A library system's answer, as if it knew of what was paid here and staff have not told it yet.

Everything that is decided and said follows from the answer: BV, fee lines, what a payment may
settle, and what a door or a kiosk refuses. So it is enough to change the answer.

Rules: B52, C121, C123, C124, C150.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from sip2gw.model import Minor, format_amount
from sip2gw.model.shares import PendingFee
from sip2gw.policy.upstream.denials import about_money
from sip2gw.policy.upstream.fees import FeeLine, fee_list_of, read_lines, read_money, with_amount
from sip2gw.policy.upstream.fields import Decode, Fields, PatronAnswer
from sip2gw.policy.upstream.rules import FactRules
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
)

_NOTHING = frozenset("0.,$ ")
"""What amounts are written with that are nothing."""


def may_owe(answer: PatronAnswer) -> bool:
    """Whether the answer says, or leaves open, that there is something to pay. Most patrons owe
    nothing, and nobody looks further."""
    owed = answer.fee_amount
    return bool(answer.patron_status) or owed is None or not _NOTHING.issuperset(owed)


def lists_fees(request: PatronInformation | PatronStatusRequest, rules: FactRules) -> bool:
    """Whether the answer to `request` should have all fee lines."""
    return (
        isinstance(request, PatronInformation)
        and fee_list_of(rules) in request.summary
        and request.start_item is None
        and request.end_item is None
    )


def listed_fees(
    answer: PatronAnswer, rules: FactRules, currency: str, decode: Decode
) -> Mapping[str, Minor] | None:
    """What is owed by the id of the fee; None if the list may lack a fee, or its id.

    Their count alone cannot tell: many say 0 with any list. BV tells, where they say one.
    """
    lines = read_lines(Fields(answer, decode), rules.fees, currency)
    count = getattr(answer, "fine_items_count", 0)
    if len(lines) < count or not all(line.id for line in lines):
        return None
    listed = {line.id: line.amount or 0 for line in lines}
    balance = read_money(answer.fee_amount, currency)
    return listed if balance in (None, sum(listed.values())) else None


def not_entered(
    pending: Sequence[PendingFee], listed: Mapping[str, Minor] | None
) -> tuple[PendingFee, ...]:
    """What of `pending` the library system does not have yet: it has what is gone from its list,
    and of a fee that it lists no more can be missing than is left of it there."""
    if listed is None:
        return tuple(pending)
    left, missing = dict(listed), []
    for fee in pending:
        amount = min(fee.amount, left.get(fee.fee_id, 0)) if fee.fee_id else fee.amount
        if amount > 0:
            missing.append(replace(fee, amount=amount))
            left[fee.fee_id] = left.get(fee.fee_id, 0) - amount
    return tuple(missing)


def without_paid(
    answer: PatronAnswer,
    pending: Sequence[PendingFee],
    rules: FactRules,
    currency: str,
    decode: Decode,
) -> PatronAnswer:
    """`answer` without what was paid here.

    BV sinks by all of it, but not below zero. A line sinks by what was paid of it, and is left out
    when nothing is left. If nothing is left at all there are no lines, and what is declared to be a
    denial about money is lifted (C123).
    """
    if not pending:
        return answer
    balance = read_money(answer.fee_amount, currency)
    paid = sum(fee.amount for fee in pending)
    left = None if balance is None else min(balance, max(balance - paid, 0))
    changes: dict[str, Any] = {}
    if left is not None:
        changes["fee_amount"] = format_amount(left, currency)
    if isinstance(answer, PatronInformationResponse):
        changes |= _lists(answer, pending, rules, currency, decode, is_settled=left == 0)
    if left == 0:
        flags, texts = about_money(
            answer.patron_status, answer.screen_message, rules.denials_by_money
        )
        changes["patron_status"] = answer.patron_status - flags
        changes["screen_message"] = tuple(
            text for text in answer.screen_message if text not in texts
        )
    return replace(answer, **changes)


def _lists(
    answer: PatronInformationResponse,
    pending: Sequence[PendingFee],
    rules: FactRules,
    currency: str,
    decode: Decode,
    *,
    is_settled: bool,
) -> dict[str, Any]:
    """The fee lists of the 64, and its count."""
    if is_settled:
        return {"fine_items": (), "fee_details": (), "fine_items_count": 0}
    paid: dict[str, Minor] = {}
    for fee in pending:
        paid[fee.fee_id] = paid.get(fee.fee_id, 0) + fee.amount
    lines = read_lines(Fields(answer, decode), rules.fees, currency)
    left = [_left(line, paid) for line in lines]
    gone = sum(amount == 0 for amount in left)
    count = max(answer.fine_items_count - gone, 0)
    if rules.fees == "gossip":
        details = tuple(
            detail if amount is None else detail._replace(owed=format_amount(amount, currency))
            for detail, amount in zip(answer.fee_details, left, strict=False)
            if amount != 0
        )
        return {"fee_details": details, "fine_items_count": count}
    items = tuple(
        text if amount is None else with_amount(text, rules.fees, amount, currency)
        for text, amount in zip(answer.fine_items, left, strict=False)
        if amount != 0
    )
    return {"fine_items": items, "fine_items_count": count} if lines else {}


def _left(line: FeeLine, paid: Mapping[str, Minor]) -> Minor | None:
    """What is left of a line of which something was paid; None if nothing was."""
    if not line.id or line.id not in paid or line.amount is None:
        return None
    return max(line.amount - paid[line.id], 0)
