"""Two records of one person become one: what moves, what is joined, what has no place.  (B49, B65)

Pure, so that a dry run says exactly what would be done. Nothing is dropped without a step that says
so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from sip2gw.model import PatronRecord, Proposer, Relationship
from sip2gw.model.badges import BadgeAction, BadgeChange, BadgeTerms
from sip2gw.model.merging import (
    MergeResult,
    MergeStep,
    OwnMessage,
    OwnNotice,
)
from sip2gw.model.notices import SAYS, NoticeState
from sip2gw.policy.members.badges import wider
from sip2gw.policy.relationships import FUNCTIONS, structure_problems

FILLED_IN = ("birth_date", "home_branch", "language", "email", "phone", "address")
"""What the former record may know of the person and the other does not."""
APPENDED = ("notices", "answers")
"""What of the former record comes after what the other has."""
ABOUT_MEMBERSHIP = frozenset(kind for kind, says in SAYS.items() if "membership" in says)
"""Kinds of notices that are about the former membership, which nobody has any more."""


class MergeFacts(Struct, frozen=True):
    """Both records, and what stands around them."""

    former: PatronRecord
    """The record that ends."""
    lasting: PatronRecord
    """The one that goes on, with its membership, limits and PIN."""
    relations: tuple[Relationship, ...]
    """At least all relationships of either, and of those who are related to the former."""
    former_badges: Mapping[str, BadgeTerms]
    lasting_badges: Mapping[str, BadgeTerms]
    """As assigned, by code."""
    messages: tuple[OwnMessage, ...] = ()
    """Of customer support, about the former."""
    former_notices: tuple[OwnNotice, ...] = ()
    lasting_notices: tuple[OwnNotice, ...] = ()
    """In the outbox, in any state."""


class MergePlan(Struct):
    """What a merge does besides moving all cards, loans, fees and blocks."""

    former_id: str
    lasting_id: str
    relations: list[Relationship] = field(default_factory=list)
    """To be made, instead of all those of the former and those with the same key."""
    badges: list[BadgeChange] = field(default_factory=list)
    dropped_holds: list[str] = field(default_factory=list)
    dropped_notices: list[OwnNotice] = field(default_factory=list)
    filled_in: dict[str, object] = field(default_factory=dict)
    """Keys of the lasting patron, and what they become."""
    steps: list[MergeStep] = field(default_factory=list)
    """All of it in words."""

    def tell(self, what: str, name: str, result: MergeResult, note: str = "") -> None:
        """Add a step."""
        self.steps.append(MergeStep(what, name, result, note))


def plan_merge(facts: MergeFacts) -> MergePlan:
    """What merging `former` into `lasting` does."""
    plan = MergePlan(facts.former.id, facts.lasting.id)
    former = facts.former
    for card in former.cards:
        plan.tell("card", card.number, MergeResult.MOVED, str(card.state))
    for loan in former.loans:
        plan.tell("loan", loan.item_id, MergeResult.MOVED)
    _holds(plan, facts)
    for fee in former.fees:
        plan.tell("fee", fee.id, MergeResult.MOVED)
    _badges(plan, facts)
    for block in former.blocks:
        plan.tell("block", str(block.type), MergeResult.MOVED, block.note)
    _relations(plan, facts)
    for message in facts.messages:
        note = f"{message.type} {message.category}, status {message.status}"
        plan.tell("message", str(message.id), MergeResult.MOVED, note)
    _notices(plan, facts)
    _person(plan, facts)
    return plan


def _holds(plan: MergePlan, facts: MergeFacts) -> None:
    own = {(hold.item_id, hold.title_id): hold.id for hold in facts.lasting.holds}
    lent = {loan.item_id for loan in facts.lasting.loans}
    for hold in facts.former.holds:
        same = own.get((hold.item_id, hold.title_id))
        if hold.ready or (same is None and hold.item_id not in lent):
            plan.tell("hold", hold.id, MergeResult.MOVED)
            continue
        plan.dropped_holds.append(hold.id)
        why = "has it on loan" if same is None else f"waits for the same already: {same}"
        plan.tell("hold", hold.id, MergeResult.DROPPED, f"patron {facts.lasting.id} {why}")


def _notices(plan: MergePlan, facts: MergeFacts) -> None:
    """Those that were sent are kept with the others; nobody is told anything twice."""
    own = {(notice.kind, notice.cause) for notice in facts.lasting_notices}
    for notice in facts.former_notices:
        if notice.state is NoticeState.SENT:
            continue
        is_void = notice.kind in ABOUT_MEMBERSHIP
        if not is_void and (notice.kind, notice.cause) not in own:
            plan.tell("notice", notice.id, MergeResult.MOVED, notice.kind)
            continue
        plan.dropped_notices.append(notice)
        why = "keeps their own membership" if is_void else "has the same"
        note = f"{notice.kind}: patron {facts.lasting.id} {why}"
        plan.tell("notice", notice.id, MergeResult.DROPPED, note)


def _badges(plan: MergePlan, facts: MergeFacts) -> None:
    for code, terms in sorted(facts.former_badges.items()):
        plan.badges.append(BadgeChange(BadgeAction.UNASSIGNED, code, facts.former.id, terms))
        own = facts.lasting_badges.get(code)
        if own is None:
            plan.badges.append(BadgeChange(BadgeAction.ASSIGNED, code, facts.lasting.id, terms))
            plan.tell("badge", code, MergeResult.MOVED)
            continue
        chosen = wider(own, terms)
        if chosen != own:
            plan.badges.append(BadgeChange(BadgeAction.CHANGED, code, facts.lasting.id, chosen))
        whose = facts.lasting if chosen == own else facts.former
        plan.tell("badge", code, MergeResult.JOINED, f"as patron {whose.id} has it")


def _relations(plan: MergePlan, facts: MergeFacts) -> None:
    former, lasting = facts.former.id, facts.lasting.id
    concerned = [one for one in facts.relations if former in (one.from_id, one.to_id)]
    stored = {one.key: one for one in facts.relations if one not in concerned}
    for relation in sorted(concerned, key=lambda one: one.key):
        wanted = replace(
            relation,
            from_id=lasting if relation.from_id == former else relation.from_id,
            to_id=lasting if relation.to_id == former else relation.to_id,
        )
        name = f"{wanted.type} {wanted.from_id} -> {wanted.to_id}"
        known = stored.get(wanted.key)
        joined = wanted if known is None else _joined(known, wanted)
        problem = _problem(joined, list(stored.values()))
        if problem is not None:
            plan.tell("relationship", name, MergeResult.DROPPED, problem)
            continue
        stored[joined.key] = joined
        plan.relations = [one for one in plan.relations if one.key != joined.key] + [joined]
        result = MergeResult.MOVED if known is None else MergeResult.JOINED
        plan.tell("relationship", name, result, _in_words(joined))


def _joined(one: Relationship, other: Relationship) -> Relationship:
    """Two of the same type between the same two; one that is confirmed beats one that is not.

    If each was proposed by somebody else, nobody has proposed the whole: staff confirm it (B50).
    """
    if one.confirmed is not other.confirmed:
        return one if one.confirmed else other
    proposer = one.proposed_by if one.proposed_by is other.proposed_by else Proposer.STAFF
    return replace(one, functions=one.functions | other.functions, proposed_by=proposer)


def _problem(relation: Relationship, stored: Sequence[Relationship]) -> str | None:
    if relation.from_id == relation.to_id:
        return "a patron cannot have a relationship with themselves"
    return next((problem for _, problem in structure_problems(stored, [relation])), None)


def _in_words(relation: Relationship) -> str:
    functions = [name for name in FUNCTIONS if name in relation.functions]
    return " ".join(functions + ([] if relation.confirmed else ["unconfirmed"]))


def _person(plan: MergePlan, facts: MergeFacts) -> None:
    former, lasting = facts.former, facts.lasting
    for name in FILLED_IN:
        theirs, own = getattr(former, name), getattr(lasting, name)
        if theirs is None or theirs == own:
            continue
        if own is None:
            plan.filled_in[name] = theirs
            plan.tell(name, former.id, MergeResult.MOVED)
        else:
            plan.tell(name, former.id, MergeResult.DROPPED, f"patron {lasting.id} has another one")
    accepted = [day for day in (former.house_rules_accepted, lasting.house_rules_accepted) if day]
    if accepted and max(accepted) != lasting.house_rules_accepted:
        plan.filled_in["house_rules_accepted"] = max(accepted)
        plan.tell("house_rules_accepted", former.id, MergeResult.MOVED)
    for name in APPENDED:
        theirs, own = getattr(former, name), getattr(lasting, name)
        more = tuple(text for text in theirs if text not in own)
        if more:
            plan.filled_in[name] = own + more
            plan.tell(name, former.id, MergeResult.MOVED)
    for what, why in _stays(former, lasting):
        plan.tell(what, former.id, MergeResult.DROPPED, why)


def _stays(former: PatronRecord, lasting: PatronRecord) -> Iterator[tuple[str, str]]:
    """What is always that of the lasting patron."""
    if former.membership is not None:
        code = lasting.membership.code if lasting.membership is not None else "none"
        yield "membership", f"patron {lasting.id} keeps their own: {code}"
    if former.status != lasting.status:
        yield "status", f"patron {lasting.id} keeps their own: {lasting.status}"
    if former.fee_limit is not None:
        yield "fee_limit", f"patron {lasting.id} keeps their own"
    if former.pin_hash is not None:
        yield (
            "pin",
            (
                f"patron {lasting.id} keeps their own"
                if lasting.pin_hash is not None
                else f"patron {lasting.id} has none; set one with `patron set-pin`"
            ),
        )


def doubles_in_words(
    merged: Iterable[tuple[str, str]], doubles: Iterable[tuple[str, str]]
) -> Iterator[str]:
    """What may be behind a refused relationship: somebody is, or was, in the library twice (B49).

    Args:
        merged: former patrons, and those into whom they were merged.
        doubles: pairs of a patron and another with the same name and birth date.
    """
    for former, lasting in merged:
        yield f"patron {former} was merged into patron {lasting}"
    yield from (
        f"patron {other} has the same name and birth date as patron {patron}: if they are one"
        f" person, join them with `patron merge {other} {patron}`"
        for patron, other in doubles
    )
