"""What is done with items: exactly once, decided on facts of the same transaction (B56-B61, C60).

`decided` is the common heart of both databases: facts and a decision become a result and rows to
write. What was done with an item lately is kept for a day, so that a retry gets the same answer
while that is true (C69, C97) and a failed transaction can be cancelled (B58).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from sip2gw.backend.base import CirculationOrder, CirculationOutcome, CirculationResult
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql import queries, writes
from sip2gw.backend.sql.desk.reviews import review_row
from sip2gw.backend.sql.records import load_patron
from sip2gw.backend.sql.values import moment_value, time_text, time_value
from sip2gw.backend.sql.writes import Rows
from sip2gw.model import (
    ItemStatus,
    Loan,
    PatronRecord,
)
from sip2gw.model.items import (
    Event,
    Item,
    ItemLoan,
    ItemRecord,
    ItemState,
    LateTerms,
    Outcome,
    PriorState,
    QueuedHold,
    ReviewKind,
)
from sip2gw.policy.items.decisions import (
    HOLD,
    STATUS_UPDATE,
    Effect,
    Facts,
    NewFee,
    Refusal,
    before_of,
)
from sip2gw.policy.items.repeats import still_holds

_ITEM_COLUMNS = 20
NO_TERMS = LateTerms()
_encode = msgspec.json.Encoder().encode
_outcome_of = msgspec.json.Decoder(Outcome).decode
_before_of = msgspec.json.Decoder(PriorState | None).decode
_STATUSES = {status.value: status for status in ItemStatus}

FindPatron = Callable[[Connection, str], PatronRecord | None]
"""A patron as the running transaction sees them."""


def circulate(
    connection: Connection, order: CirculationOrder, find: FindPatron
) -> WriteResult[CirculationResult]:
    """Do what `order` asks, or repeat what was done (C69).

    Raises:
        BackendError: the attempt was given up meanwhile (see `unknown.settle`).
    """
    plan = planned(connection, order, find)
    for write, row in plan.rows:
        connection.execute(write.statement, row)
    return WriteResult(plan.result, plan.touched, changes=plan.changes)


def planned(connection: Connection, order: CirculationOrder, find: FindPatron) -> Plan:
    """What `order` comes to, as `connection` sees the library now; nothing is written."""
    order = keyed(order)
    record = load_item(connection, order.item_id, order.now, order.key)
    facts = Facts(record, find(connection, order.patron_id) if order.patron_id else None)
    loan = record.state.loan if record is not None else None
    if order.with_borrower and loan is not None and loan.patron_id != order.patron_id:
        facts.borrower = find(connection, loan.patron_id)
    if order.borrowed_since is not None:
        values = (order.patron_id, order.item_id, time_text(order.borrowed_since))
        found = connection.execute(queries.BORROWED_BEFORE, values).fetchone()
        facts.borrowed_before = found is not None
    return decided(order, facts)


def done_before(
    connection: Connection, order: CirculationOrder, find: FindPatron
) -> CirculationResult | None:
    """What was done under the order's key, while that is true; None: the key is free."""
    result = planned(connection, order, find).result
    return result if result.outcome is CirculationOutcome.REPLAYED else None


def look_ahead(connection: Connection, order: CirculationOrder) -> None:
    """Read what `circulate` will read and nobody has read yet for the order (C114)."""
    record = load_item(connection, order.item_id, order.now, order.key)
    loan = record.state.loan if record is not None else None
    if order.with_borrower and loan is not None:
        load_patron(connection, loan.patron_id)


def keyed(order: CirculationOrder) -> CirculationOrder:
    """`order` with a key of its own if it has none, so that no try of it is made twice."""
    return order if order.key is not None else replace(order, key=f"#{order.id}")


# Reading ----------------------------------------------------------------------------------------


def load_item(
    connection: Connection, item_id: str, now: datetime, key: str | None = None
) -> ItemRecord | None:
    """The item as the connection sees it now; what it does not have is not asked for.

    The transactions are left out without the `key` of an order.
    """
    row = connection.execute(queries.ITEM, (item_id,)).fetchone()
    if row is None:
        return None
    has_own_holds, has_title_holds, has_events = row[-3:]
    holds: list[Any] = []
    if has_own_holds:
        values = (item_id, time_text(now))
        holds += connection.execute(queries.NEXT_HOLD_OF_ITEM, values).fetchall()
    if has_title_holds:
        values = (row[2], time_text(now))
        holds += connection.execute(queries.NEXT_HOLD_OF_TITLE, values).fetchall()
    events: list[Any] = []
    if has_events and key is not None:
        events = connection.execute(queries.EVENTS, (item_id, key, item_id)).fetchall()
    return item_record(row, holds, events, key)


def item_record(
    row: Sequence[Any],
    holds: Iterable[Sequence[Any]],
    events: Iterable[Sequence[Any]],
    key: str | None,
) -> ItemRecord:
    """The record behind a row of `queries.ITEM` and rows of holds and events."""
    known = [_event(event) for event in events]
    status, branch, properties, patron_id, checked_out, due, renewals = row[_ITEM_COLUMNS:27]
    grace_days, fee_max = row[27:29]
    loan, terms = None, NO_TERMS
    if patron_id is not None:
        taken, until = moment_value(checked_out), moment_value(due)
        loan = ItemLoan(patron_id, taken, until, renewals)
    if grace_days or fee_max is not None:
        terms = LateTerms(grace_days, fee_max)
    values = list(row[:_ITEM_COLUMNS])
    values[9], values[14] = bool(values[9]), bool(values[14])
    return ItemRecord(
        Item(*values),
        ItemState(_STATUSES[status], branch, properties, loan),
        min(map(_hold, holds), key=_place_in_queue, default=None),
        next((event for event in known if event.key == key), None),
        max(known, key=attrgetter("position"), default=None),
        terms,
    )


def _hold(row: Sequence[Any]) -> QueuedHold:
    hold_id, patron_id, name, item_id, title_id, placed, ready, pickup_branch, expires = row
    return QueuedHold(
        hold_id,
        patron_id,
        name,
        item_id,
        title_id,
        moment_value(placed),
        bool(ready),
        pickup_branch,
        time_value(expires),
    )


def _place_in_queue(hold: QueuedHold) -> tuple[bool, bool, datetime, str]:
    """First the hold it waits on the shelf for, then one it is assigned to, then the oldest.

    Any copy of the title would have served the hold to which this one is assigned. A copy on its
    way keeps its goal, even if somebody with an older hold lost theirs.
    """
    promised = hold.item_id is not None and hold.title_id is not None
    return not hold.ready, not promised, hold.placed, hold.id


def _event(row: Sequence[Any]) -> Event:
    terminal, code, key, patron_id, position, expires, outcome, before, had_since, attempt = row
    return Event(
        terminal,
        code,
        key,
        patron_id,
        position,
        moment_value(expires),
        _outcome_of(outcome),
        _before_of(before),
        bool(had_since),
        attempt,
    )


def queue_values(item: Item, now: datetime) -> tuple[Any, ...]:
    """What `queries.HOLD_QUEUE` wants to know."""
    return item.id, item.title_id, time_text(now)


# Deciding ---------------------------------------------------------------------------------------


class Plan(Struct):
    """The result of an order."""

    result: CirculationResult
    rows: Rows = field(default_factory=list)
    """To be written."""
    touched: Collection[str] = ()
    """Patrons whose snapshots are out of date then."""
    changes: Mapping[str, Callable[[PatronRecord], PatronRecord]] = field(default_factory=dict)
    """Patrons of whom only loans change, and how."""

    @property
    def parties(self) -> set[str]:
        """All patrons whom the rows concern."""
        return {*self.touched, *self.changes}


def decided(order: CirculationOrder, facts: Facts) -> Plan:
    """The result of `order`: repeated, refused or done."""
    record = facts.record
    earlier = _holder_of_key(order, facts)
    if earlier is not None:
        return Plan(CirculationResult(CirculationOutcome.REPLAYED, record, earlier.outcome))
    decision = order.case.decide(facts)
    if isinstance(decision, Refusal):
        result = CirculationResult(CirculationOutcome.REFUSED, record, refusal=decision)
        return Plan(result, list(_review_rows(order, CirculationOutcome.REFUSED, decision.reasons)))
    assert record is not None
    effect = _with_hold_id(order, decision)
    plan = Plan(CirculationResult(CirculationOutcome.DONE, record, effect.outcome))
    plan.rows.extend(_rows_of(order, record, effect))
    plan.touched = _touched(effect)
    plan.changes = _changes(record, effect)
    return plan


def _with_hold_id(order: CirculationOrder, effect: Effect) -> Effect:
    """`effect` with an id for a new hold: that of the attempt, however often it is tried."""
    if effect.add_hold is None:
        return effect
    hold = replace(effect.add_hold, id=order.id)
    return replace(effect, add_hold=hold, outcome=replace(effect.outcome, hold=hold))


def _holder_of_key(order: CirculationOrder, facts: Facts) -> Event | None:
    """What was done under the order's key, while that is true; else the key is free (C97)."""
    event = facts.record.repeated if facts.record is not None else None
    if event is None or event.expires <= order.now:
        return None
    return event if still_holds(event, facts, order.now) else None


def _touched(effect: Effect) -> set[str]:
    """Patrons for whom more than loans changes."""
    changed = (effect.add_hold, effect.set_hold, effect.drop_hold)
    holds = (*changed, effect.put_back, effect.restore_hold)
    touched = {hold.patron_id for hold in holds if hold is not None}
    if effect.fee is not None:
        touched.add(effect.fee.patron_id)
    if effect.undoes is not None:
        touched.add(effect.undoes.patron_id)
    return touched


def _changes(
    record: ItemRecord, effect: Effect
) -> dict[str, Callable[[PatronRecord], PatronRecord]]:
    """How the snapshots change of patrons who had or have the item on loan."""
    before, after = record.state.loan, effect.after.loan
    if before == after:
        return {}
    holders = {loan.patron_id for loan in (before, after) if loan is not None}
    return {holder: partial(_with_item, record.item, effect.after, holder) for holder in holders}


def _with_item(item: Item, after: ItemState, holder: str, record: PatronRecord) -> PatronRecord:
    """`record` of `holder` with the loan of `item` in its place, by due date and item, if any."""
    loans = [known for known in record.loans if known.item_id != item.id]
    loan = after.loan
    if loan is not None and loan.patron_id == holder:
        taken = (loan.due.astimezone(UTC), loan.checked_out.astimezone(UTC), loan.renewals)
        lost = after.status is ItemStatus.LOST
        of_item = (item.max_renewals, lost, item.material)
        loans.append(Loan(item.id, item.title, *taken, *of_item))
        loans.sort(key=lambda known: (known.due, known.item_id))
    return replace(record, loans=tuple(loans))


# Writing ----------------------------------------------------------------------------------------


def _rows_of(order: CirculationOrder, record: ItemRecord, effect: Effect) -> Iterator[Any]:
    yield from _state_rows(record, effect.after)
    if order.keeps_history:
        yield from _history_rows(order, record, effect)
    yield from _hold_rows(effect)
    fee_id = None
    if effect.fee is not None:
        fee_id = new_id()
        yield from _fee_rows(order, effect.fee, fee_id)
    if effect.undoes is not None:
        yield from _undo_rows(order, effect.undoes)
    position = _next_position(order, record)
    if order.key_expires is not None:
        yield _event_row(order, record, effect, fee_id, position)
    yield from _review_rows(order, CirculationOutcome.DONE, effect.overridden, position)


def _state_rows(record: ItemRecord, after: ItemState) -> Iterator[Any]:
    before, item_id = record.state, record.item.id
    if after.loan is None:
        if before.loan is not None:
            yield writes.END_LOAN, (item_id,)
    elif after.loan != before.loan:
        loan = after.loan
        taken, due = time_text(loan.checked_out), time_text(loan.due)
        yield writes.PUT_LOAN, (item_id, loan.patron_id, taken, due, loan.renewals)
    where = (after.status, after.current_branch, after.properties)
    if where != (before.status, before.current_branch, before.properties):
        status, branch, properties = where
        yield writes.MOVE_ITEM, (status.value, branch, properties, item_id)


def _history_rows(order: CirculationOrder, record: ItemRecord, effect: Effect) -> Iterator[Any]:
    """The patron whose loan ends is remembered, unless the loan is cancelled."""
    before, after = record.state.loan, effect.after.loan
    if before is None or effect.undoes is not None:
        return
    if after is None or after.patron_id != before.patron_id:
        yield writes.REMEMBER_LOAN, (before.patron_id, time_text(order.now), record.item.id)


def _hold_rows(effect: Effect) -> Iterator[Any]:
    if effect.drop_hold is not None:
        yield writes.DROP_HOLD, (effect.drop_hold.id,)
    hold = effect.set_hold
    if hold is not None:
        expires = time_text(hold.expires) if hold.expires else None
        values = (hold.item_id, hold.pickup_branch, int(hold.ready), expires, hold.id)
        yield writes.SET_HOLD, values
    hold = effect.put_back
    if hold is not None:
        yield writes.PUT_BACK_HOLD, (hold.item_id, int(hold.ready), hold.id)
    hold = effect.add_hold or effect.restore_hold
    if hold is not None:
        expires = time_text(hold.expires) if hold.expires else None
        placed, ready = time_text(hold.placed), int(hold.ready)
        whose = (hold.id, hold.patron_id, hold.item_id, hold.title_id)
        yield writes.ADD_HOLD, (*whose, placed, hold.pickup_branch, ready, expires)


def _fee_rows(order: CirculationOrder, fee: NewFee, fee_id: str) -> Iterator[Any]:
    """A fee enters the ledger through `opening`, like one that was imported (C71)."""
    now, item_id = time_text(order.now), order.item_id
    whose = (fee_id, fee.patron_id, fee.amount)
    yield writes.ADD_FEE, (*whose, now, fee.type, fee.description, item_id)
    yield writes.OPEN_FEE, (fee_id, now, "opening")
    yield writes.ADD_ENTRY, (fee_id, 0, f"fee:{fee_id}", fee.amount, fee_id, fee.patron_id)
    yield writes.ADD_ENTRY, (fee_id, 1, "opening", -fee.amount, None, fee.patron_id)


def _undo_rows(order: CirculationOrder, event: Event) -> Iterator[Any]:
    """A cancelled transaction frees its key. Its fee is waived, and what was paid of it a surplus:
    nothing is owed for what never was, neither twice nor after an undo (C103)."""
    yield writes.DROP_EVENT, (order.item_id, event.key)
    fee_id = event.before.fee_id if event.before is not None else None
    if fee_id is not None:
        waiver, surplus, now = f"{fee_id}-waived", f"{fee_id}-surplus", time_text(order.now)
        yield writes.WAIVE, (waiver, now, fee_id)
        yield writes.ADD_WAIVER, (waiver, fee_id)
        yield writes.WAIVE_FEE, (fee_id,)
        yield writes.OWE_BACK, (surplus, now, fee_id)
        yield writes.ADD_SURPLUS, (surplus, fee_id)


def _next_position(order: CirculationOrder, record: ItemRecord) -> int:
    """The place of `order` among the transactions with the item; holds and properties have none."""
    if order.code in (HOLD, STATUS_UPDATE):
        return 0
    return 1 + (record.last.position if record.last else 0)


def _event_row(
    order: CirculationOrder, record: ItemRecord, effect: Effect, fee_id: str | None, position: int
) -> Any:
    assert order.key_expires is not None
    values = (
        order.item_id,
        order.key,
        order.terminal,
        order.code,
        effect.outcome.patron_id,
        position,
        time_text(order.key_expires),
        _encode(effect.outcome).decode(),
        _encode(before_of(record, effect, fee_id)).decode(),
        order.id,
    )
    return writes.PUT_EVENT, values


def _review_rows(
    order: CirculationOrder, outcome: CirculationOutcome, reasons: Iterable[str], position: int = 0
) -> Iterator[Any]:
    """Staff look at everything that happened off line, once (B57).

    A request that only claimed to be off line, and was done like any other, is not listed (C106). A
    key may be used again (`position` tells how often the copy was handled): for another item, and
    for this one when it was lent and came back while the terminal's clock stood still.
    """
    claim = order.claim
    if claim is None:
        return
    reasons = (*reasons, *claim.doubts)
    smooth = outcome is CirculationOutcome.DONE and not reasons
    if smooth and not claim.believed:
        return
    kind = ReviewKind.OFFLINE if smooth else ReviewKind.CONFLICT
    yield writes.ADD_REVIEW, review_row(order, kind, outcome, reasons, position)


def count_forgotten_transactions(connection: Connection, now: datetime) -> int:
    """How many transactions can neither be repeated nor cancelled any more at `now`."""
    values = (time_text(now),)
    return int(connection.execute(queries.COUNT_FORGOTTEN_EVENTS, values).fetchone()[0])


def count_forgotten_loans(connection: Connection, before: datetime) -> int:
    """How many loans had ended at `before`, and are still known."""
    values = (time_text(before),)
    return int(connection.execute(queries.COUNT_FORGOTTEN_LOANS, values).fetchone()[0])


def forget_transactions(connection: Connection, now: datetime) -> int:
    """Forget who did what with which item, once it can neither be repeated nor cancelled.

    Returns:
        How many transactions were forgotten.
    """
    return connection.execute(queries.FORGET_EVENTS, (time_text(now),)).rowcount


def forget_loans(connection: Connection, before: datetime) -> int:
    """Forget who borrowed what until `before`; loans that go on are not touched.

    Returns:
        How many were forgotten.
    """
    return connection.execute(queries.FORGET_LOANS, (time_text(before),)).rowcount
