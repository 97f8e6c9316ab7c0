"""Checkout and renewal as pure, ordered decisions.  (B54, B56, B57, B60, C42)"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from msgspec.structs import replace

from sip2gw.model import COUNT_MAX, ItemStatus, PatronRecord
from sip2gw.model.items import (
    Item,
    ItemLoan,
    ItemRecord,
    Outcome,
)
from sip2gw.policy.items.decisions import (
    CHECKOUT_FEE_TYPE,
    CirculationRequest,
    CirculationRules,
    Decision,
    Effect,
    Facts,
    NewFee,
    Refusal,
    back_in_queue,
    checkout_fee,
    due_after,
    refusal,
    waits_for_another,
)
from sip2gw.policy.items.materials import against_material, has_as_many_as_allowed, loan_days
from sip2gw.policy.obstacles import Obstacle, Standing
from sip2gw.policy.reasons import CirculationReason
from sip2gw.protocol.fields import PatronFlag

NEVER_LENT = frozenset({ItemStatus.LOST, ItemStatus.MISSING, ItemStatus.IN_PROCESS})
"""A copy on its way to another branch may be lent: the patron holds it in the hand."""


def decide_checkout(
    facts: Facts, standing: Standing | None, request: CirculationRequest, rules: CirculationRules
) -> Decision:
    """Whether the item is charged to the patron (B56).

    Args:
        facts: the item and the patron.
        standing: the patron's obstacles; None for an unknown patron.
        request: what the terminal asks.
        rules: of the terminal.
    """
    record, patron = facts.record, facts.patron
    if patron is None or standing is None:
        return refusal(CirculationReason.UNKNOWN_CARD)
    if record is None:
        return refusal(CirculationReason.UNKNOWN_ITEM)
    loan = record.state.loan
    if loan is not None and loan.patron_id == patron.id:
        if rules.renews_own_loan or request.no_block:
            return _renew(record, loan, patron, (standing,), request, rules)
        return refusal(CirculationReason.ALREADY_CHARGED)
    reasons = (
        *_against_checkout(record, patron, standing, request, rules),
        *_to_be_confirmed(facts, record, request),
    )
    if reasons and not request.no_block:
        return _refuse(reasons, (standing,), PatronFlag.CHARGE_DENIED, record.item)
    return _lend(record, patron, request, rules, reasons)


def _against_checkout(
    record: ItemRecord,
    patron: PatronRecord,
    standing: Standing,
    request: CirculationRequest,
    rules: CirculationRules,
) -> Iterator[CirculationReason]:
    """All obstacles that the patron cannot overcome by agreeing, in the order of B56."""
    if request.card_reason is not None:
        yield request.card_reason
    if not record.item.for_loan or record.state.status in NEVER_LENT:
        yield CirculationReason.NOT_FOR_LOAN
    if record.item.material in rules.not_lent:
        yield CirculationReason.MATERIAL
    if record.item.attachment and not rules.lends_with_attachment:
        yield CirculationReason.ATTACHMENT
    if waits_for_another(record, patron.id):
        yield CirculationReason.ON_HOLD
    if record.state.loan is not None:
        yield CirculationReason.CHARGED_TO_OTHER
    if _obstacle((standing,), PatronFlag.CHARGE_DENIED) is not None:
        yield CirculationReason.BLOCKED
    if rules.overdue_blocks and any(loan.due < request.at for loan in patron.loans):
        yield CirculationReason.OVERDUE
    if 0 < rules.lost_blocks <= sum(loan.lost for loan in patron.loans):
        yield CirculationReason.LOST_ITEMS
    if standing.too_many_items:
        yield CirculationReason.ITEM_LIMIT
    yield from against_material(record.item, patron, _day(request, rules))
    if has_as_many_as_allowed(record.item, patron):
        yield CirculationReason.MATERIAL_LIMIT


def _day(request: CirculationRequest, rules: CirculationRules) -> date:
    """The day on which it happens at the branch."""
    return request.at.astimezone(rules.zone).date()


def _to_be_confirmed(
    facts: Facts, record: ItemRecord, request: CirculationRequest
) -> Iterator[CirculationReason]:
    """What the patron can agree to; the fee last, because that yes (BO) comes with the request."""
    if facts.borrowed_before:
        yield CirculationReason.PREVIOUSLY_BORROWED
    if checkout_fee(record.item) and not request.fee_acknowledged:
        yield CirculationReason.FEE


def is_in_house(item: Item, patron: PatronRecord | None, rules: CirculationRules) -> bool:
    """Whether a loan must not leave the building, so that its security marker stays on."""
    membership = patron.membership if patron is not None else None
    return item.material in rules.in_house or (
        membership is not None and membership.code in rules.in_house_memberships
    )


def _obstacle(standings: tuple[Standing, ...], flag: int) -> Obstacle | None:
    """The first obstacle that denies what `flag` stands for."""
    obstacles = (o for standing in standings for o in standing.obstacles if flag in o.flags)
    return next(obstacles, None)


def _refuse(
    reasons: tuple[CirculationReason, ...],
    standings: tuple[Standing, ...],
    flag: int,
    item: Item,
) -> Refusal:
    fee = checkout_fee(item) if CirculationReason.FEE in reasons else 0
    return Refusal(reasons, _obstacle(standings, flag), fee)


def _lend(
    record: ItemRecord,
    patron: PatronRecord,
    request: CirculationRequest,
    rules: CirculationRules,
    overridden: tuple[CirculationReason, ...],
) -> Effect:
    """Charge the item. Off line, if somebody else has it on loan, that loan ends (C42)."""
    due = request.due or due_after(request.at, loan_days(record.item, patron), rules.zone)
    hold = record.next_hold
    own = hold is not None and hold.patron_id == patron.id
    set_aside = hold is not None and not own and hold.item_id is not None
    fee = _fee(record.item, patron.id, request, rules)
    return Effect(
        Outcome(request.now, patron.id, due=due, fee=fee.amount if fee is not None else 0),
        replace(
            record.state,
            status=ItemStatus.AVAILABLE,
            loan=ItemLoan(patron.id, request.at, due),
        ),
        set_hold=back_in_queue(hold) if hold is not None and set_aside else None,
        drop_hold=hold if own else None,
        fee=fee,
        overridden=overridden,
    )


def _fee(
    item: Item, patron_id: str, request: CirculationRequest, rules: CirculationRules
) -> NewFee | None:
    """The fee of a loan or a renewal, as far as the patron has agreed to it."""
    amount = checkout_fee(item)
    if not amount or not request.fee_acknowledged:
        return None
    return NewFee(patron_id, amount, CHECKOUT_FEE_TYPE, rules.describe_checkout_fee)


def decide_renewal(
    facts: Facts,
    standings: tuple[Standing, ...],
    request: CirculationRequest,
    rules: CirculationRules,
    *,
    may_act: bool = False,
) -> Decision:
    """Whether the loan is extended (B54, B60).

    Args:
        facts: the item, who asks, and the borrower.
        standings: the obstacles of the patron who asks and of the borrower.
        request: what the terminal asks.
        rules: of the terminal.
        may_act: whether the one may renew for the other, here and now.
    """
    record, patron = facts.record, facts.patron
    if patron is None:
        return refusal(CirculationReason.UNKNOWN_CARD)
    if record is None:
        return refusal(CirculationReason.UNKNOWN_ITEM)
    loan = record.state.loan
    if loan is not None and (loan.patron_id == patron.id or may_act):
        borrower = patron if loan.patron_id == patron.id else facts.borrower
        return _renew(record, loan, borrower, standings, request, rules)
    reason = CirculationReason.CHARGED_TO_OTHER if loan else CirculationReason.NOT_CHARGED
    if not request.no_block:
        return refusal(reason)
    return _lend(record, patron, request, rules, (reason,))


def _renew(
    record: ItemRecord,
    loan: ItemLoan,
    borrower: PatronRecord | None,
    standings: tuple[Standing, ...],
    request: CirculationRequest,
    rules: CirculationRules,
) -> Decision:
    material = against_material(record.item, borrower, _day(request, rules))
    reasons = tuple(_against_renewal(record, loan, standings, request, material))
    if reasons and not request.no_block:
        return _refuse(reasons, standings, PatronFlag.RENEWAL_DENIED, record.item)
    days = loan_days(record.item, borrower)
    due = request.due or max(loan.due, due_after(request.at, days, rules.zone))
    fee = _fee(record.item, loan.patron_id, request, rules)
    return Effect(
        Outcome(
            request.now,
            loan.patron_id,
            renewed=True,
            due=due,
            fee=fee.amount if fee is not None else 0,
        ),
        replace(
            record.state, loan=replace(loan, due=due, renewals=min(loan.renewals + 1, COUNT_MAX))
        ),
        fee=fee,
        overridden=reasons,
    )


def _against_renewal(
    record: ItemRecord,
    loan: ItemLoan,
    standings: tuple[Standing, ...],
    request: CirculationRequest,
    material: Iterator[CirculationReason],
) -> Iterator[CirculationReason]:
    if request.card_reason is not None:
        yield request.card_reason
    if waits_for_another(record, loan.patron_id):
        yield CirculationReason.ON_HOLD
    if _obstacle(standings, PatronFlag.RENEWAL_DENIED) is not None:
        yield CirculationReason.BLOCKED
    yield from material
    if loan.renewals >= record.item.max_renewals:
        yield CirculationReason.RENEWAL_LIMIT
    if checkout_fee(record.item) and not request.fee_acknowledged:
        yield CirculationReason.FEE
