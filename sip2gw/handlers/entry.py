"""What a door decides about a presented card, and on which facts.  (B33-B41, C10, C142)"""

from __future__ import annotations

from datetime import date, timedelta

from sip2gw.backend.base import EntryOrder
from sip2gw.handlers import patron
from sip2gw.handlers.base import Session
from sip2gw.handlers.patron import PresentedCard
from sip2gw.handlers.snapshot_cache import derived, shared
from sip2gw.model import Card, PatronRecord, Presence
from sip2gw.policy.access import (
    AccessDecision,
    AssessedHolder,
    DoorFacts,
    Holder,
    accompanied,
    assess_holder,
    decide_access,
    has_pass,
    is_barred,
    lists_here,
    may_be_accompanied,
)
from sip2gw.policy.data_age import is_too_old
from sip2gw.policy.hours.stays import stay_end
from sip2gw.policy.relationships import children_of
from sip2gw.shared.door_memory import Lead


def gather_facts(session: Session, presented: PresentedCard) -> DoorFacts:
    """Everything that the decision about an identified card needs, at this moment."""
    terminal = session.terminal
    now = session.now()
    record, card = presented.record, presented.card
    holder = None
    if record is not None and card is not None:
        holder = _assessed_holder(session, record, card, now.date())
    barred = passes = False
    if record is not None and (terminal.bars or terminal.passes or record.door_entries):
        cards = frozenset(held.number for held in record.cards)
        more_bars, more_passes = lists_here(record.door_entries, terminal.branch or "")
        barred = is_barred((*terminal.bars, *more_bars), cards, now.date())
        passes = has_pass((*terminal.passes, *more_passes), cards, now)
    limit, since, hours = terminal.data_limit, session.services.data_since, terminal.calendar
    calendar = None
    if hours is not None:  # what staff have changed them to, else what is configured (C139)
        calendar = session.services.today.state_at(terminal.branch or "", hours, now)
    return DoorFacts(
        now=now,
        branch=terminal.branch,
        calendar=calendar,
        record=record,
        card=card,
        pin=presented.pin,
        holder=holder,
        barred=barred,
        has_pass=passes,
        data_too_old=limit is not None and is_too_old(since(limit.account), now, limit.max_age),
    )


def _assessed_holder(
    session: Session, record: PatronRecord, card: Card, today: date
) -> AssessedHolder:
    """`assess_holder` at the session's door, kept with the snapshot for all similar doors."""
    terminal = session.terminal

    def assess() -> AssessedHolder:
        money = patron.standing_of(session, record, card, today).money
        holder = Holder(record, card, terminal.branch, today, money)
        return shared(assess_holder(holder, terminal.door))

    return derived(record, ("door", terminal.standpoint, card.state, today), assess)


def decide_alone(session: Session, presented: PresentedCard) -> tuple[DoorFacts, AccessDecision]:
    """The decision and its facts, where it depends on nobody else."""
    facts = gather_facts(session, presented)
    return facts, decide_access(facts, session.terminal.door)


async def decide_entry(
    session: Session, presented: PresentedCard
) -> tuple[DoorFacts, AccessDecision]:
    """The decision and its facts, where it depends on others too.

    A child under age may follow their head of family (C142). Where people are counted, an admitted
    patron has now entered, and the store says whether it is a second reading: who has gone out
    meanwhile, at whatever gateway, comes in anew. Everything else is decided first, because a
    refused patron must not count as inside.
    """
    facts, decision = decide_alone(session, presented)
    terminal = session.terminal
    if terminal.door.companions and not decision.granted:
        decision = _decide_with_head(session, facts, presented.number) or decision
    if not decision.granted:
        return facts, decision
    if terminal.counts_inside:
        facts.presence = await _enter(session, facts)
        decision = decide_access(facts, terminal.door)
    if terminal.door.companions and decision.granted and not _is_read_again(session, facts):
        _lead_children(session, facts)
    return facts, decision


async def _enter(session: Session, facts: DoorFacts) -> Presence:
    """Note that the patron is inside, if there is room; returns who was inside before.

    If nobody hears the end of it, because the store fails or the terminal hangs up, the entry may
    have been noted, though nobody was let in. It is taken back, at the latest before the next one.
    """
    backend, departures = session.services.backend, session.services.departures
    if departures.waiting:
        await departures.tell(backend)
    order = _entry_order(session, facts)
    try:
        return await backend.enter_branch(order)
    except BaseException:
        departures.waiting.append(order)
        raise


def _decide_with_head(session: Session, facts: DoorFacts, card: str) -> AccessDecision | None:
    """The decision about a child who follows their head of family; None if nobody does.

    Then `facts` are those of a child who is accompanied.
    """
    services, terminal = session.services, session.terminal
    record, holder = facts.record, facts.holder
    if record is None or holder is None or not may_be_accompanied(facts, terminal.door):
        return None
    window_s, now_s = terminal.door_manner.passage_window_s, services.clock.monotonic()
    lead = services.passages.lead_of(terminal.name, record.id, card, now_s, window_s)
    if lead is None:
        return None
    facts.holder = accompanied(holder, lead.badges)
    return decide_access(facts, terminal.door)


def _lead_children(session: Session, facts: DoorFacts) -> None:
    """Note that the children of whoever has just been admitted may follow."""
    record, card, holder = facts.record, facts.card, facts.holder
    assert record is not None
    assert card is not None
    assert holder is not None
    terminal, services = session.terminal, session.services
    children = children_of(record, terminal.relationships)
    if children and not holder.accompanied:
        badges = tuple(code for code in holder.badges if code in terminal.door.require_badges)
        lead = Lead(card.number, badges, services.clock.monotonic())
        services.passages.lead(terminal.name, children, lead)


def passage_of(door: str, card: str) -> str:
    """The passage of `card` through an entrance, as a stay names it."""
    return f"{door} {card}"


def _entry_order(session: Session, facts: DoorFacts) -> EntryOrder:
    assert facts.record is not None
    assert facts.card is not None
    assert facts.calendar is not None
    rules = session.terminal.door
    window = timedelta(seconds=session.terminal.door_manner.passage_window_s)
    return EntryOrder(
        branch=session.terminal.branch or "",
        passage=passage_of(session.terminal.name, facts.card.number),
        patron_id=facts.record.id,
        now=facts.now,
        stay_ends=stay_end(facts.now, facts.calendar),
        same_since=facts.now - window,
        same_until=facts.now + window,
        capacity=rules.capacity,
        refuse_inside=rules.refuse_inside,
    )


def _is_read_again(session: Session, facts: DoorFacts) -> bool:
    """Whether the card has just been granted here (B41)."""
    if facts.presence is not None:
        return facts.presence.again
    assert facts.card is not None
    card = facts.card.number
    services, window_s = session.services, session.terminal.door_manner.passage_window_s
    now_s = services.clock.monotonic()
    return services.passages.goes_on(session.terminal.name, card, now_s, window_s)


def mode_of(facts: DoorFacts) -> str:
    """Under which mode a decision on these facts is recorded (C74)."""
    holder = facts.holder
    return "accompanied" if holder is not None and holder.accompanied else "normal"
