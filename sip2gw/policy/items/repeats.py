"""Whether a stored answer may be repeated: only while it is true. (C69, C97)

A terminal that sends the same request again may have lost the answer. Or its clock may have
stopped; then the same date, patron and item mean something new. Only the library's data shows
which.
"""

from __future__ import annotations

from datetime import datetime

from sip2gw.model import ItemStatus, PatronRecord
from sip2gw.model.items import Event, Item, ItemRecord
from sip2gw.policy.items.decisions import (
    CHECKIN,
    CHECKOUT,
    HOLD,
    Facts,
)
from sip2gw.policy.items.holds import holds_of


def still_holds(event: Event, facts: Facts, now: datetime) -> bool:
    """Whether the answer to `event` is still true in the library.

    Args:
        event: what was done with the item under the key of a request.
        facts: the item and the patron of that request as they are.
        now: when it is asked for again.
    """
    record, patron = facts.record, facts.patron
    if record is None:
        return False
    if event.code == HOLD:
        return patron is not None and _hold_is_so(event, record.item, patron, now)
    if event.before is None:
        return _cancellation_is_so(event, record)
    if event.code == CHECKIN:
        return _return_is_so(event, record)
    return _loan_is_so(event, record)


def _loan_is_so(event: Event, record: ItemRecord) -> bool:
    """The loan that it made or renewed is open, with the due date that was told."""
    loan, said, before = record.state.loan, event.outcome, event.before
    if loan is None or (loan.patron_id, loan.due) != (said.patron_id, said.due):
        return False
    renewed = before.state.loan if said.renewed and before is not None else None
    return renewed is None or loan.renewals > renewed.renewals


def _return_is_so(event: Event, record: ItemRecord) -> bool:
    """Nobody has had the item since, and it is where it was sent or set aside."""
    said, state = event.outcome, record.state
    if state.loan is not None or event.had_since:
        return False
    travels = said.destination is not None
    if state.status is not (ItemStatus.IN_TRANSIT if travels else ItemStatus.AVAILABLE):
        return False
    return said.branch in (None, state.current_branch) and _is_set_aside_as_said(event, record)


def _is_set_aside_as_said(event: Event, record: ItemRecord) -> bool:
    """A newer hold changes nothing until the item is on the hold shelf for it."""
    said, first = event.outcome.hold, record.next_hold
    if said is None:
        return first is None or not first.ready
    if first is None:
        return False
    return (first.id, first.item_id, first.ready) == (said.id, said.item_id, said.ready)


def _cancellation_is_so(event: Event, record: ItemRecord) -> bool:
    """Nothing has happened since, and the restored loan, if any, is as it was told.

    A cancelled return restores the loan of the named patron; a cancelled loan restores that of the
    patron who had the item before.
    """
    last, loan = record.last, record.state.loan
    if last is None or last.position != event.position:
        return False
    if loan is None:
        return event.outcome.due is None
    is_theirs = event.code != CHECKOUT or loan.patron_id == event.patron_id
    return is_theirs and loan.due == event.outcome.due


def _hold_is_so(event: Event, item: Item, patron: PatronRecord, now: datetime) -> bool:
    """The hold is there as it was told; or it was removed, and no newer one is there."""
    said, before = event.outcome.hold, event.before
    assert said is not None
    assert before is not None
    own = holds_of(item, patron, now)
    if before.hold_removed:
        return all(hold.id != said.id and hold.placed < event.outcome.time for hold in own)
    terms = (said.id, said.pickup_branch, said.expires)
    return any((hold.id, hold.pickup_branch, hold.expires) == terms for hold in own)
