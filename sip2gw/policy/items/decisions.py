"""What every decision about an item is made of, and cancelling.  (B56-B61, C42-C44)

A decision looks at `Facts` and returns a `Refusal` or an `Effect`, which describes the library
afterwards. Deciding changes nothing, so it can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, tzinfo

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.model import Minor, PatronRecord
from sip2gw.model.items import (
    Event,
    Item,
    ItemRecord,
    ItemState,
    Outcome,
    PriorState,
    QueuedHold,
)
from sip2gw.policy.items.offline import Claim
from sip2gw.policy.items.sorting import SortRule
from sip2gw.policy.moments import END_OF_DAY
from sip2gw.policy.obstacles import Obstacle
from sip2gw.policy.reasons import CirculationReason

CHECKOUT = "11"
CHECKIN = "09"
RENEWAL = "29"
HOLD = "15"
STATUS_UPDATE = "19"

CHECKOUT_FEE_TYPE = "06"


class Materials(Struct, frozen=True):
    """Some kinds of material."""

    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    """How further names begin; the empty one is every material, even none."""

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Materials:
        """The kinds that `patterns` name; `*` at the end of one matches anything."""
        patterns = tuple(patterns)
        return cls(
            frozenset(pattern for pattern in patterns if not pattern.endswith("*")),
            tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*")),
        )

    def __contains__(self, material: str | None) -> bool:
        return material in self.names or (material or "").startswith(self.prefixes)


class CirculationRules(Struct, frozen=True):
    """The settings of the terminal, its profile and its branch."""

    terminal: str
    branch: str | None
    zone: tzinfo
    renews_own_loan: bool = True
    """A second checkout of one's own loan is a renewal; else it is refused (B56)."""
    takes_what_is_not_on_loan: bool = False
    """The return of an item that nobody has on loan is ok (B59)."""
    not_lent: Materials = Materials()
    lends_with_attachment: bool = True
    overdue_blocks: bool = False
    """Nothing is lent to whoever has something overdue."""
    lost_blocks: int = 0
    """Nothing is lent to whoever has so many lost items on loan; 0 is no limit."""
    loan_history: timedelta | None = None
    """How long it is remembered who borrowed what; None: not at all."""
    confirms_borrowed: bool = False
    """What the patron has borrowed within `loan_history` is lent when it is presented again."""
    in_house: Materials = Materials()
    in_house_memberships: frozenset[str] = frozenset()
    """Codes of memberships whose loans stay in the house."""
    not_taken_back: frozenset[CirculationReason] = frozenset()
    """Which of `returns.REFUSABLE` refuse a return (B59)."""
    not_taken_back_materials: Materials = Materials()
    captures_holds: bool = True
    """A return sets the item aside for the hold that it can serve."""
    holds_travel: bool = False
    """What is set aside here is on its way to the hold shelf until it is returned there."""
    sort_rules: tuple[SortRule, ...] = ()
    describe_checkout_fee: str = ""
    """What the record of such a fee says."""
    describe_overdue_fee: Callable[[int], str] = str
    """The same for so many days late."""


class CirculationRequest(Struct, frozen=True):
    """What a terminal asks for, apart from the item and the patron."""

    now: datetime
    code: str
    no_block: bool = False
    """It happened already, while the terminal was off line (B57); believed (C106)."""
    moment: datetime | None = None
    """When it happened, as the terminal says; None is now. Only with `no_block`."""
    due: datetime | None = None
    """The due date that the terminal gave. Only with `no_block`."""
    fee_acknowledged: bool = False
    card_reason: CirculationReason | None = None
    """What is wrong with the card or the PIN."""

    @property
    def at(self) -> datetime:
        """When it happens or happened."""
        return self.moment or self.now


def claimed(request: CirculationRequest, claim: Claim | None) -> CirculationRequest:
    """`request` as something that has already happened, if claimed and believed (C106)."""
    if claim is None or not claim.believed:
        return request
    return replace(request, no_block=True, moment=claim.moment, due=claim.due)


class Facts(Struct):
    """The facts of a decision, read inside the write transaction (C60)."""

    record: ItemRecord | None
    patron: PatronRecord | None
    borrower: PatronRecord | None = None
    """Who has the item on loan, if the order asked for it and it is not `patron`."""
    borrowed_before: bool = False
    """Whether `patron` had it, or another copy of the title, lately; if the order asked for it."""


class NewFee(Struct, frozen=True):
    """A fee record to be created: a debt, not a payment (C42)."""

    patron_id: str
    amount: Minor
    type: str
    """SIP2 fee type."""
    description: str


class Effect(Struct, frozen=True):
    """The decision to act: what changes, and what the terminal is told."""

    outcome: Outcome
    after: ItemState
    add_hold: QueuedHold | None = None
    """A new hold; its id is not known before it is written."""
    set_hold: QueuedHold | None = None
    """The hold as it is afterwards."""
    put_back: QueuedHold | None = None
    """A hold that waits, or is set aside, as it was; its day and branch are as they are now."""
    drop_hold: QueuedHold | None = None
    restore_hold: QueuedHold | None = None
    """A hold that had been dropped."""
    fee: NewFee | None = None
    undoes: Event | None = None
    """The transaction that is cancelled; its fee, if any, is waived, and what was paid of it is a
    surplus (C103)."""
    overridden: tuple[CirculationReason, ...] = ()
    """What would have been refused had it not happened already (B57)."""


class Refusal(Struct, frozen=True):
    """The decision not to act. All reasons are kept; the first one is given."""

    reasons: tuple[CirculationReason, ...]
    obstacle: Obstacle | None = None
    """What stands against the patron when that is among the reasons."""
    fee: Minor = 0
    """What it would cost."""

    @property
    def reason(self) -> CirculationReason:
        """The reason that is given."""
        return self.reasons[0]


Decision = Effect | Refusal


def refusal(reason: CirculationReason) -> Refusal:
    """A refusal with one reason."""
    return Refusal((reason,))


def due_after(moment: datetime, days: int, zone: tzinfo) -> datetime:
    """The end of the day in `zone` that is `days` after `moment`."""
    day = moment.astimezone(zone).date() + timedelta(days=days)
    return datetime.combine(day, END_OF_DAY, zone)


def waits_for_another(record: ItemRecord, patron_id: str) -> bool:
    """Whether the first hold that the copy could serve is another patron's (B56)."""
    return record.next_hold is not None and record.next_hold.patron_id != patron_id


def back_in_queue(hold: QueuedHold) -> QueuedHold:
    """`hold` once the copy set aside for it is gone; any copy of the title will do again."""
    return replace(hold, ready=False, item_id=None if hold.title_id else hold.item_id)


def checkout_fee(item: Item) -> Minor:
    """What a loan of `item` costs."""
    return item.checkout_fee or 0


_CANCELS = {CHECKIN: CHECKOUT, CHECKOUT: CHECKIN}
"""A return cancels a failed checkout, and the other way round (SIP2 2.00, BI)."""


def decide_cancel(facts: Facts, request: CirculationRequest, rules: CirculationRules) -> Decision:
    """Cancel the last transaction with the item if it matches, else do nothing (B58, C43).

    It matches if the same terminal made it within the last day, if it is of the opposite kind and
    for the same patron (where one is named), and if the item is still as it left it.
    """
    record = facts.record
    if record is None:
        return refusal(CirculationReason.UNKNOWN_ITEM)
    if request.code == CHECKOUT and facts.patron is None:
        return refusal(CirculationReason.UNKNOWN_CARD)
    event = record.last
    if event is None or event.before is None or not _matches(event, facts, request, rules):
        return refusal(CirculationReason.NOTHING_TO_CANCEL)
    before = event.before
    outcome = Outcome(request.now, event.patron_id)
    if before.state.loan is not None:
        outcome = replace(outcome, due=before.state.loan.due)
    return Effect(
        outcome,
        replace(before.state, properties=record.state.properties),
        put_back=None if before.hold_removed else before.hold,
        restore_hold=before.hold if before.hold_removed else None,
        undoes=event,
    )


def _matches(
    event: Event, facts: Facts, request: CirculationRequest, rules: CirculationRules
) -> bool:
    record, patron = facts.record, facts.patron
    assert record is not None
    if event.terminal != rules.terminal or event.code != _CANCELS.get(request.code):
        return False
    if event.expires <= request.now or (patron is not None and patron.id != event.patron_id):
        return False
    holder = record.state.loan.patron_id if record.state.loan is not None else ""
    return holder == (event.patron_id if event.code == CHECKOUT else "")


def decide_properties(facts: Facts, properties: str, now: datetime) -> Decision:
    """Store the properties that a terminal sends (B60)."""
    if facts.record is None:
        return refusal(CirculationReason.UNKNOWN_ITEM)
    return Effect(Outcome(now), replace(facts.record.state, properties=properties or None))


def before_of(record: ItemRecord, effect: Effect, fee_id: str | None) -> PriorState | None:
    """What must be kept so that `effect` can be cancelled."""
    if effect.undoes is not None:
        return None
    removed = effect.drop_hold is not None
    touched = removed or effect.set_hold is not None
    return PriorState(record.state, record.next_hold if touched else None, removed, fee_id)
