"""Holds as pure, ordered decisions: place, change, remove.  (B60)"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.model import (
    NAME_CHARACTERS_MAX,
    Hold,
    ItemStatus,
    PatronRecord,
)
from sip2gw.model.items import (
    Item,
    ItemRecord,
    Outcome,
    QueuedHold,
)
from sip2gw.policy.items.decisions import (
    Decision,
    Effect,
    Facts,
    Refusal,
    refusal,
)
from sip2gw.policy.items.materials import against_material
from sip2gw.policy.obstacles import Obstacle, Standing
from sip2gw.policy.reasons import CirculationReason
from sip2gw.protocol.fields import PatronFlag


class HoldRequest(Struct, frozen=True):
    """What a terminal asks about a hold."""

    now: datetime
    """By the clock of the branch."""
    mode: str
    """`+` places, `-` removes, `*` changes."""
    any_copy: bool
    """Any copy of the title will do; else this very copy is wanted."""
    pickup_branch: str | None = None
    """None is what the hold has, or the terminal's branch for a new one."""
    expires: datetime | None = None
    branches: Collection[str] = ()
    """Where holds may be picked up; empty: nobody knows."""
    here: str | None = None
    """The terminal's branch."""


def decide_hold(facts: Facts, standing: Standing | None, request: HoldRequest) -> Decision:
    """Whether the hold is placed, changed or removed."""
    record, patron = facts.record, facts.patron
    if patron is None or standing is None:
        return refusal(CirculationReason.UNKNOWN_CARD)
    if record is None:
        return refusal(CirculationReason.UNKNOWN_ITEM)
    own = _own_hold(record, patron, request)
    if request.mode == "+":
        return _place(record, patron, standing, own, request)
    if own is None:
        return refusal(CirculationReason.NO_SUCH_HOLD)
    if request.mode == "-":
        return Effect(Outcome(request.now, patron.id, hold=own), record.state, drop_hold=own)
    if request.mode == "*":
        return _change(record, own, request)
    return refusal(CirculationReason.UNKNOWN_MODE)


def is_available(record: ItemRecord, but_for: QueuedHold | None = None) -> bool:
    """Whether the copy is on the shelf for anybody, ignoring the hold `but_for`."""
    first = record.next_hold
    return (
        record.state.loan is None
        and record.state.status is ItemStatus.AVAILABLE
        and (first is None or (but_for is not None and first.id == but_for.id))
    )


def _own_hold(record: ItemRecord, patron: PatronRecord, request: HoldRequest) -> QueuedHold | None:
    """The patron's hold of this copy, or else of its title."""
    own = next(holds_of(record.item, patron, request.now), None)
    return _queued(own, patron) if own is not None else None


def holds_of(item: Item, patron: PatronRecord, now: datetime) -> Iterator[Hold]:
    """The patron's holds of this copy, then those of its title, that have not expired."""
    of_copy = (hold for hold in patron.holds if hold.item_id == item.id)
    of_title = (hold for hold in patron.holds if item.title_id and hold.title_id == item.title_id)
    for hold in (*of_copy, *of_title):
        if hold.expires is None or now < hold.expires:
            yield hold


def _queued(hold: Hold, patron: PatronRecord) -> QueuedHold:
    return QueuedHold(
        hold.id,
        patron.id,
        patron.name,
        hold.item_id,
        hold.title_id,
        hold.placed,
        hold.ready,
        hold.pickup_branch,
        hold.expires,
    )


def _place(
    record: ItemRecord,
    patron: PatronRecord,
    standing: Standing,
    own: QueuedHold | None,
    request: HoldRequest,
) -> Decision:
    obstacle = next((o for o in standing.obstacles if PatronFlag.HOLD_DENIED in o.flags), None)
    reasons = (
        *_against_placing(record, patron, obstacle, own),
        *against_material(record.item, patron, request.now.date()),
        *_against_holds(patron, standing, request.now),
        *_against_terms(request),
    )
    if reasons:
        return Refusal(reasons, obstacle)
    item = record.item
    title_id = item.title_id if request.any_copy else None
    hold = QueuedHold(
        id="",
        patron_id=patron.id,
        patron_name=patron.name,
        item_id=None if title_id else item.id,
        title_id=title_id,
        placed=request.now,
        pickup_branch=request.pickup_branch or request.here,
        expires=request.expires,
    )
    return Effect(Outcome(request.now, patron.id, hold=hold), record.state, add_hold=hold)


def _against_placing(
    record: ItemRecord,
    patron: PatronRecord,
    obstacle: Obstacle | None,
    own: QueuedHold | None,
) -> Iterator[CirculationReason]:
    loan = record.state.loan
    if not record.item.for_loan:
        yield CirculationReason.NOT_FOR_LOAN
    if loan is not None and loan.patron_id == patron.id:
        yield CirculationReason.ALREADY_CHARGED
    if own is not None:
        yield CirculationReason.ALREADY_HELD
    if obstacle is not None:
        yield CirculationReason.BLOCKED


def _against_holds(
    patron: PatronRecord, standing: Standing, now: datetime
) -> Iterator[CirculationReason]:
    """What the membership says about holds; exactly the limit of money is no block (C167)."""
    membership = patron.membership
    if membership is None:
        return
    if not membership.holds_permitted:
        yield CirculationReason.HOLDS_NOT_PERMITTED
    elif 0 < membership.max_holds <= _held(patron, now):
        yield CirculationReason.HOLD_LIMIT
    if membership.hold_limit is not None and standing.money.owed > membership.hold_limit:
        yield CirculationReason.HOLD_FEE_LIMIT


def _held(patron: PatronRecord, now: datetime) -> int:
    return sum(hold.expires is None or now < hold.expires for hold in patron.holds)


def _against_terms(request: HoldRequest) -> Iterator[CirculationReason]:
    if request.pickup_branch and not _is_branch(request.pickup_branch, request.branches):
        yield CirculationReason.UNKNOWN_BRANCH
    if request.expires is not None and request.expires <= request.now:
        yield CirculationReason.EXPIRED


def _is_branch(name: str, branches: Collection[str]) -> bool:
    """Whether `name` is one of `branches`, or could be one if no branches are known."""
    if branches:
        return name in branches
    return len(name) <= NAME_CHARACTERS_MAX and name.isprintable() and name == name.strip()


def _change(record: ItemRecord, own: QueuedHold, request: HoldRequest) -> Decision:
    """Another day or branch; the place in the queue stays."""
    moves = request.pickup_branch is not None and request.pickup_branch != own.pickup_branch
    reasons = tuple(_against_terms(request))
    if own.ready and moves:
        reasons = (CirculationReason.HOLD_READY, *reasons)
    if reasons:
        return Refusal(reasons)
    changed = replace(
        own,
        pickup_branch=request.pickup_branch or own.pickup_branch,
        expires=request.expires or own.expires,
    )
    return Effect(Outcome(request.now, own.patron_id, hold=changed), record.state, set_hold=changed)
