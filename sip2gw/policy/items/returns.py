"""Checkin as a pure, ordered decision: what is owed, and where the item goes.  (B57, B59, C44)"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo

from msgspec.structs import replace

from sip2gw.model import AMOUNT_MAX_MINOR, ItemStatus
from sip2gw.model.items import (
    LOCAL_HOLD,
    REMOTE_HOLD,
    ItemLoan,
    ItemRecord,
    ItemState,
    Outcome,
    QueuedHold,
)
from sip2gw.policy.items.decisions import (
    CirculationRequest,
    CirculationRules,
    Decision,
    Effect,
    Facts,
    NewFee,
    Refusal,
    refusal,
)
from sip2gw.policy.money.debts import OVERDUE_FEE_TYPE
from sip2gw.policy.reasons import CirculationReason

REFUSABLE = (
    CirculationReason.IN_TRANSIT,
    CirculationReason.NOTE,
    CirculationReason.NOT_CHARGED,
    CirculationReason.REFERENCE,
    CirculationReason.RESERVED,
)
"""For what a profile may refuse a return, besides the material (B59)."""

EXPECTED_BACK = frozenset({ItemStatus.IN_TRANSIT, ItemStatus.LOST, ItemStatus.MISSING})
"""A copy that nobody has on loan, and whose arrival is good news all the same."""


def decide_checkin(facts: Facts, request: CirculationRequest, rules: CirculationRules) -> Decision:
    """Whether the item is taken back, and where it goes from here (B59)."""
    record = facts.record
    if record is None:
        return refusal(CirculationReason.UNKNOWN_ITEM)
    loan = record.state.loan
    if loan is not None and request.moment is not None and request.moment < loan.checked_out:
        # The item has been lent again since: only the message is late, the item is not back.
        return Effect(
            Outcome(request.now),
            record.state,
            overridden=(CirculationReason.CHARGED_TO_OTHER,),
        )
    reasons = tuple(_against_return(record, rules))
    if reasons and not request.no_block:
        return Refusal(reasons)
    return _take_back(record, request, rules, reasons)


def _against_return(record: ItemRecord, rules: CirculationRules) -> Iterator[CirculationReason]:
    """All reasons to refuse the return, in their order."""
    item, state, refused = record.item, record.state, rules.not_taken_back
    if item.material in rules.not_taken_back_materials:
        yield CirculationReason.MATERIAL
    if state.loan is None and (
        CirculationReason.NOT_CHARGED in refused
        or not (rules.takes_what_is_not_on_loan or state.status in EXPECTED_BACK)
    ):
        yield CirculationReason.NOT_CHARGED
    speaks = {
        CirculationReason.IN_TRANSIT: state.loan is None and state.status is ItemStatus.IN_TRANSIT,
        CirculationReason.NOTE: bool(item.note),
        CirculationReason.REFERENCE: not item.for_loan,
        CirculationReason.RESERVED: record.next_hold is not None,
    }
    yield from (reason for reason, so in speaks.items() if so and reason in refused)


def _take_back(
    record: ItemRecord,
    request: CirculationRequest,
    rules: CirculationRules,
    overridden: tuple[CirculationReason, ...],
) -> Effect:
    loan, hold = record.state.loan, record.next_hold
    fee = _overdue_fee(record, loan, request.at, rules) if loan is not None else None
    outcome = Outcome(
        request.now,
        loan.patron_id if loan is not None else "",
        fee=fee.amount if fee is not None else 0,
        branch=rules.branch,
    )
    if hold is not None:
        decide = _for_hold if rules.captures_holds else _beside_hold
        return replace(decide(record, hold, outcome, rules), fee=fee, overridden=overridden)
    owner = record.item.owner_branch
    travels = owner is not None and rules.branch is not None and owner != rules.branch
    return Effect(
        replace(outcome, destination=owner) if travels else outcome,
        _arrived(record, rules, travels=travels),
        fee=fee,
        overridden=overridden,
    )


def _for_hold(
    record: ItemRecord, hold: QueuedHold, outcome: Outcome, rules: CirculationRules
) -> Effect:
    """Set the item aside for `hold`, here or on the way to where it is picked up."""
    elsewhere = _is_picked_up_elsewhere(hold, rules)
    travels = elsewhere or rules.holds_travel
    set_aside = replace(hold, item_id=record.item.id, ready=not travels)
    return Effect(
        replace(
            _told_of(set_aside, outcome, rules),
            destination=hold.pickup_branch or rules.branch if travels else None,
        ),
        _arrived(record, rules, travels=travels),
        set_hold=set_aside,
    )


def _beside_hold(
    record: ItemRecord, hold: QueuedHold, outcome: Outcome, rules: CirculationRules
) -> Effect:
    """Leave it to staff to set the item aside for `hold`: it stays here, and the alert says so."""
    return Effect(_told_of(hold, outcome, rules), _arrived(record, rules, travels=False))


def _is_picked_up_elsewhere(hold: QueuedHold, rules: CirculationRules) -> bool:
    pickup = hold.pickup_branch
    return pickup is not None and rules.branch is not None and pickup != rules.branch


def _told_of(hold: QueuedHold, outcome: Outcome, rules: CirculationRules) -> Outcome:
    alert = REMOTE_HOLD if _is_picked_up_elsewhere(hold, rules) else LOCAL_HOLD
    return replace(outcome, alert=alert, hold=hold)


def _arrived(record: ItemRecord, rules: CirculationRules, *, travels: bool) -> ItemState:
    return replace(
        record.state,
        status=ItemStatus.IN_TRANSIT if travels else ItemStatus.AVAILABLE,
        current_branch=rules.branch or record.state.current_branch,
        loan=None,
    )


def days_late(loan: ItemLoan, at: datetime, zone: tzinfo) -> int:
    """Calendar days in `zone` between the due date and the return; 0 when in time (C44)."""
    return max(0, (at.astimezone(zone).date() - loan.due.astimezone(zone).date()).days)


def _overdue_fee(
    record: ItemRecord, loan: ItemLoan, at: datetime, rules: CirculationRules
) -> NewFee | None:
    """Nothing within the days of grace; then every day counts, up to the cap (B96, C44, C167)."""
    item, terms = record.item, record.late_terms
    days = days_late(loan, at, rules.zone)
    if days <= terms.grace_days:
        return None
    cap = terms.fee_max if item.overdue_fee_max is None else item.overdue_fee_max
    amount = min(days * (item.overdue_fee_per_day or 0), AMOUNT_MAX_MINOR if cap is None else cap)
    if not amount:
        return None
    return NewFee(loan.patron_id, amount, OVERDUE_FEE_TYPE, rules.describe_overdue_fee(days))
