"""Two records of one person become one: what moves, what is joined, what has no place (B49)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from family import NOON, fee, patron
from msgspec.structs import replace

from sip2gw.model import (
    Block,
    BlockType,
    Card,
    CardState,
    Hold,
    Loan,
    PatronRecord,
    Proposer,
    Relationship,
    RelationshipType,
)
from sip2gw.model.badges import BadgeTerms
from sip2gw.model.merging import MergeResult, OwnMessage, OwnNotice
from sip2gw.model.notices import NoticeState
from sip2gw.model.support import SupportStatus
from sip2gw.policy.members.merging import (
    MergeFacts,
    MergePlan,
    doubles_in_words,
    plan_merge,
)

MOVED, JOINED, DROPPED = MergeResult
NEW: PatronRecord = replace(patron("NEW"), house_rules_accepted=date(2026, 1, 1))
OLD: PatronRecord = PatronRecord(id="OLD", name="Anna Peeters", cards=(Card("OLD"),))


def family(head: str, child: str, confirmed: bool = True) -> Relationship:
    return Relationship(RelationshipType.HEAD_OF_FAMILY, head, child, frozenset(), confirmed)


def authorised(giver: str, receiver: str, *functions: str, confirmed: bool = True) -> Relationship:
    kind = RelationshipType.AUTHORISATION
    return Relationship(kind, giver, receiver, frozenset(functions), confirmed)


def plan(
    old: PatronRecord = OLD,
    new: PatronRecord = NEW,
    relations: tuple[Relationship, ...] = (),
    old_badges: dict[str, BadgeTerms] | None = None,
    new_badges: dict[str, BadgeTerms] | None = None,
) -> MergePlan:
    return plan_merge(MergeFacts(old, new, relations, old_badges or {}, new_badges or {}))


def told(found: MergePlan, what: str) -> list[tuple[str, MergeResult, str]]:
    return [(step.id, step.result, step.note) for step in found.steps if step.what == what]


def test_what_is_owned_moves() -> None:
    old = replace(
        OLD,
        cards=(Card("OLD"), Card("C9", CardState.LOST)),
        loans=(Loan("I1", "Tijl", NOON, NOON),),
        fees=(fee("F1", "OLD", 100),),
        blocks=(Block(BlockType.GENERAL, "ask"),),
    )
    found = plan(old)
    assert told(found, "card") == [("OLD", MOVED, "active"), ("C9", MOVED, "lost")]
    assert told(found, "loan") == [("I1", MOVED, "")]
    assert told(found, "fee") == [("F1", MOVED, "")]
    assert told(found, "block") == [("general", MOVED, "ask")]


def hold(hold_id: str, item: str | None = None, title: str | None = None, **changes: Any) -> Hold:
    return Hold(hold_id, item, title, "Tijl", NOON, **changes)


def test_nobody_waits_twice_or_for_what_they_have() -> None:
    new = replace(
        NEW, holds=(hold("H1", title="T1"),), loans=(Loan("I2", "Ulenspiegel", NOON, NOON),)
    )
    old = replace(
        OLD,
        holds=(
            hold("H2", title="T1"),
            hold("H3", title="T2"),
            hold("H4", item="I2"),
            hold("H5", title="T1", ready=True),
        ),
    )
    found = plan(old, new)
    assert told(found, "hold") == [
        ("H2", DROPPED, "patron NEW waits for the same already: H1"),
        ("H3", MOVED, ""),
        ("H4", DROPPED, "patron NEW has it on loan"),
        ("H5", MOVED, ""),
    ]
    assert found.dropped_holds == ["H2", "H4"]


def notice(kind: str, cause: str, state: NoticeState = NoticeState.WAITING) -> OwnNotice:
    return OwnNotice(f"{kind} {cause}", kind, cause, state)


@pytest.mark.parametrize(
    ("old", "steps"),
    [
        (notice("AGE", "2026-04-01"), [(MOVED, "AGE")]),
        (notice("AGE", "2026-04-02"), [(DROPPED, "AGE: patron NEW has the same")]),
        (notice("LIMIT", "2026-04-02"), [(MOVED, "LIMIT")]),
        (notice("CAO", "2026-04-01"), [(DROPPED, "CAO: patron NEW keeps their own membership")]),
        (notice("END", "2026-04-01"), [(DROPPED, "END: patron NEW keeps their own membership")]),
        (notice("BADGE", "ONBE 2026-04-01"), [(MOVED, "BADGE")]),
        # what was sent is no concern of staff any more
        (notice("AGE", "2026-04-02", NoticeState.SENT), []),
        (notice("END", "2026-04-01", NoticeState.SENT), []),
        (notice("END", "2026-04-01", NoticeState.FAILED),
         [(DROPPED, "END: patron NEW keeps their own membership")]),
    ],
)  # fmt: skip
def test_only_what_is_new_and_true_still_goes_out(
    old: OwnNotice, steps: list[tuple[MergeResult, str]]
) -> None:
    own = (notice("AGE", "2026-04-02"), notice("END", "2026-04-02"))
    facts = MergeFacts(OLD, NEW, (), {}, {}, (), (old,), own)
    found = plan_merge(facts)
    assert told(found, "notice") == [(old.id, *step) for step in steps]
    is_dropped = any(result is DROPPED for result, _ in steps)
    assert found.dropped_notices == ([old] if is_dropped else [])


def test_messages_of_customer_support_move() -> None:
    message = OwnMessage(7, "AU", "CARD", SupportStatus.AT_CUSTOMER)
    found = plan_merge(MergeFacts(OLD, NEW, (), {}, {}, (message,)))
    assert told(found, "message") == [("7", MOVED, "AU CARD, status C")]


NARROW = BadgeTerms(valid_until=date(2026, 5, 1))
WIDE = BadgeTerms()


@pytest.mark.parametrize(
    ("old", "new", "changes", "step"),
    [
        (NARROW, None, [("assigned", NARROW)], (MOVED, "")),
        (NARROW, WIDE, [], (JOINED, "as patron NEW has it")),
        (WIDE, NARROW, [("changed", WIDE)], (JOINED, "as patron OLD has it")),
        (WIDE, WIDE, [], (JOINED, "as patron NEW has it")),
    ],
)
def test_the_wider_of_two_badges_stays(
    old: BadgeTerms, new: BadgeTerms | None, changes: list[Any], step: tuple[MergeResult, str]
) -> None:
    found = plan(old_badges={"ONBE": old}, new_badges={} if new is None else {"ONBE": new})
    first, *others = found.badges
    assert (first.action, first.patron_id, first.terms) == ("unassigned", "OLD", old)
    assert [(one.action, one.terms) for one in others] == changes
    assert {one.patron_id for one in others} <= {"NEW"}
    assert told(found, "badge") == [("ONBE", *step)]


@pytest.mark.parametrize(
    ("relations", "made", "step"),
    [
        # who was head, child, authoriser or authorised is so in the new record
        ([family("OLD", "KID")], [family("NEW", "KID")], (MOVED, "")),
        ([family("DAD", "OLD")], [family("DAD", "NEW")], (MOVED, "")),
        ([family("DAD", "OLD", False)], [family("DAD", "NEW", False)], (MOVED, "unconfirmed")),
        (
            [authorised("OLD", "X", "pay", "renew")],
            [authorised("NEW", "X", "pay", "renew")],
            (MOVED, "renew pay"),
        ),
        # where the rules do not allow it
        (
            [family("OLD", "NEW")],
            [],
            (DROPPED, "a patron cannot have a relationship with themselves"),
        ),
        (
            [family("DAD", "OLD"), family("MUM", "NEW")],
            [],
            (DROPPED, "patron NEW already has a head of family: MUM"),
        ),
        (
            [family("OLD", "KID"), family("MUM", "NEW")],
            [],
            (DROPPED, "patron NEW is a child, so cannot be a head of family"),
        ),
        (
            [family("DAD", "OLD"), family("NEW", "KID")],
            [],
            (DROPPED, "patron NEW is a head of family, so cannot be a child"),
        ),
        (
            [authorised("OLD", "X", "pay"), authorised("NEW", "Y", "pay")],
            [],
            (DROPPED, "patron NEW has already given pay to Y"),
        ),
        # where both have the like
        (
            [authorised("X", "OLD", "pay"), authorised("X", "NEW", "renew")],
            [authorised("X", "NEW", "pay", "renew")],
            (JOINED, "renew pay"),
        ),
        (
            [authorised("X", "OLD", "pay", confirmed=False), authorised("X", "NEW", "renew")],
            [authorised("X", "NEW", "renew")],
            (JOINED, "renew"),
        ),
        (
            [authorised("X", "OLD", "pay"), authorised("X", "NEW", "renew", confirmed=False)],
            [authorised("X", "NEW", "pay")],
            (JOINED, "pay"),
        ),
        ([family("DAD", "OLD"), family("DAD", "NEW")], [family("DAD", "NEW")], (JOINED, "")),
    ],
)
def test_relationships_move_where_the_rules_allow(
    relations: list[Relationship], made: list[Relationship], step: tuple[MergeResult, str]
) -> None:
    found = plan(relations=tuple(relations))
    assert found.relations == made
    assert [one[1:] for one in told(found, "relationship")] == [step]


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        (Proposer.FROM, Proposer.FROM, Proposer.FROM),
        (Proposer.STAFF, Proposer.FROM, Proposer.STAFF),
        (Proposer.FROM, Proposer.TO, Proposer.STAFF),
    ],
)
def test_b50_what_nobody_has_proposed_as_a_whole_staff_confirm(
    old: Proposer, new: Proposer, both: Proposer
) -> None:
    waiting = (
        replace(authorised("X", "OLD", "pay", confirmed=False), proposed_by=old),
        replace(authorised("X", "NEW", "renew", confirmed=False), proposed_by=new),
    )
    whole = authorised("X", "NEW", "pay", "renew", confirmed=False)
    assert plan(relations=waiting).relations == [replace(whole, proposed_by=both)]


def test_b50_who_proposed_it_moves_with_a_relationship() -> None:
    proposed = replace(authorised("OLD", "X", "pay"), proposed_by=Proposer.FROM)
    assert plan(relations=(proposed,)).relations == [replace(proposed, from_id="NEW")]


def test_a_family_with_two_children_moves() -> None:
    found = plan(relations=(family("OLD", "KIM"), family("OLD", "LEO"), family("X", "Y")))
    assert found.relations == [family("NEW", "KIM"), family("NEW", "LEO")]
    assert [name for name, *_ in told(found, "relationship")] == [
        "head_of_family NEW -> KIM",
        "head_of_family NEW -> LEO",
    ]


def test_what_the_other_does_not_know_is_filled_in() -> None:
    old = replace(
        OLD,
        birth_date=NEW.birth_date,
        email="a@example.org",
        phone="1",
        notices=("A book", "A bag"),
        answers=("Thank you",),
        house_rules_accepted=date(2026, 2, 1),
    )
    found = plan(old, replace(NEW, phone="2", notices=("A bag",), answers=("Found it",)))
    assert found.filled_in == {
        "email": "a@example.org",
        "house_rules_accepted": date(2026, 2, 1),
        "notices": ("A bag", "A book"),
        "answers": ("Found it", "Thank you"),
    }
    assert told(found, "email") == [("OLD", MOVED, "")]
    assert told(found, "phone") == [("OLD", DROPPED, "patron NEW has another one")]
    assert not any("example.org" in str(step) for step in found.steps)


@pytest.mark.parametrize("accepted", [None, date(2025, 12, 31), date(2026, 1, 1)])
def test_an_earlier_consent_changes_nothing(accepted: date | None) -> None:
    assert plan(replace(OLD, house_rules_accepted=accepted)).filled_in == {}


def test_pin_membership_status_and_limits_are_the_new_ones() -> None:
    old = replace(OLD, membership=NEW.membership, fee_limit=100, pin_hash="h", status=8)
    found = plan(old)
    assert told(found, "status") == [("OLD", DROPPED, "patron NEW keeps their own: 5")]
    assert told(plan(OLD), "status") == []
    assert told(found, "membership") == [("OLD", DROPPED, "patron NEW keeps their own: 201")]
    assert told(found, "fee_limit") == [("OLD", DROPPED, "patron NEW keeps their own")]
    assert told(found, "pin") == [("OLD", DROPPED, "patron NEW keeps their own")]
    found = plan(old, replace(NEW, membership=None, pin_hash=None))
    assert told(found, "membership") == [("OLD", DROPPED, "patron NEW keeps their own: none")]
    assert told(found, "pin") == [
        ("OLD", DROPPED, "patron NEW has none; set one with `patron set-pin`")
    ]


def test_a_possible_double_is_named_with_what_to_do() -> None:
    assert list(doubles_in_words([("A", "B")], [("P1", "P9")])) == [
        "patron A was merged into patron B",
        "patron P9 has the same name and birth date as patron P1: if they are one person, join"
        " them with `patron merge P9 P1`",
    ]
