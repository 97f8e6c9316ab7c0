"""What becomes of assignments of badges (B65, C165)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from sip2gw.model import BadgeHolder
from sip2gw.model.badges import BadgeAction, BadgeTerms, BadgeWish
from sip2gw.model.notices import Notice
from sip2gw.policy.members.badges import (
    PROBLEMS_MAX,
    ends_before_it_begins,
    expiring,
    expiry_steps,
    has_expired,
    plan_assignment,
    wider,
)

HOLDERS = {"P1": "P1", "C1": "P1", "P2": "P2"}
MAY = BadgeTerms(valid_until=date(2026, 5, 31))
TODAY = date(2026, 3, 10)


def test_a_plan_says_what_is_new_changed_and_there_already() -> None:
    wishes = [BadgeWish("P1"), BadgeWish("P2")]
    plan = plan_assignment("ONBE", wishes, HOLDERS, {"P1": MAY})
    assert [(one.action, one.patron_id) for one in plan.changes] == [
        (BadgeAction.CHANGED, "P1"),
        (BadgeAction.ASSIGNED, "P2"),
    ]
    plan = plan_assignment("ONBE", [BadgeWish("P1", MAY)], HOLDERS, {"P1": MAY})
    assert (plan.changes, plan.unchanged) == ([], 1)


def test_the_same_patron_twice_counts_once() -> None:
    plan = plan_assignment("ONBE", [BadgeWish("P1"), BadgeWish("C1")], HOLDERS, {})
    assert (len(plan.changes), plan.unchanged, plan.problems) == (1, 0, [])


def test_problems_name_their_lines() -> None:
    backwards = BadgeTerms(date(2026, 5, 2), date(2026, 5, 1))
    wishes = [
        BadgeWish("P1", MAY, "f:2"),
        BadgeWish("C1", place="f:3"),
        BadgeWish("P9", place="f:4"),
        BadgeWish("P2", backwards, "f:5"),
        BadgeWish("P2", place="f:6", problem="x: not a date"),
    ]
    assert plan_assignment("ONBE", wishes, HOLDERS, {}).problems == [
        "f:3: patron P1 has other dates or branches in f:2",
        "f:4: no patron has the id or card P9",
        "f:5: until 2026-05-01 is before from 2026-05-02",
        "f:6: x: not a date",
    ]
    nobody = [BadgeWish("P9")] * (PROBLEMS_MAX + 1)
    problems = plan_assignment("ONBE", nobody, HOLDERS, {}).problems
    assert problems == ["no patron has the id or card P9"] * PROBLEMS_MAX


@pytest.mark.parametrize(
    ("first", "last", "empty"),
    [
        (None, None, False),
        (TODAY, None, False),
        (None, TODAY, False),
        (TODAY, TODAY, False),
        (TODAY, date(2026, 3, 9), True),
    ],
)
def test_a_span_without_a_day(first: date | None, last: date | None, empty: bool) -> None:
    assert ends_before_it_begins(first, last) is empty


def day(number: int) -> date:
    return date(2026, 1, number)


ALWAYS = BadgeTerms()
HERE = BadgeTerms(branches=("MAIN",))
BOTH = BadgeTerms(branches=("MAIN", "EAST"))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (BadgeTerms(day(3), day(5)), ALWAYS),
        (BadgeTerms(day(3), day(5)), BadgeTerms(day(2), day(6))),
        (BadgeTerms(day(3)), BadgeTerms(day(2))),
        (BadgeTerms(None, day(3)), BadgeTerms(None, day(4))),
        (BadgeTerms(day(3), day(5)), BadgeTerms(day(2), day(5))),
        (BadgeTerms(day(2), day(5), ("MAIN",)), BadgeTerms(day(2), day(5))),
        (HERE, ALWAYS),
        (HERE, BOTH),
        # neither covers the other: the one that ends later, and no mixture
        (BadgeTerms(None, day(3)), BadgeTerms(day(1), day(4))),
        (BadgeTerms(None, day(9)), HERE),
        (BadgeTerms(day(1), day(5)), BadgeTerms(day(6), day(9))),
        (BadgeTerms(day(1), day(5), ("MAIN", "EAST")), BadgeTerms(day(1), day(9), ("MAIN",))),
    ],
)
def test_the_wider_of_two_stays(narrow: BadgeTerms, wide: BadgeTerms) -> None:
    assert wider(narrow, wide) == wider(wide, narrow) == wide


def test_of_two_that_end_alike_the_first_stays() -> None:
    east = replace(HERE, branches=("EAST",))
    assert (wider(HERE, east), wider(east, HERE)) == (HERE, east)


def holder(until: date | None) -> BadgeHolder:
    return BadgeHolder("ONBE", "P1", "Ann", True, None, until, (), "staff")


def test_what_is_over_and_what_soon_will_be() -> None:
    assert not has_expired(holder(None), TODAY)
    assert not has_expired(holder(TODAY), TODAY)
    assert has_expired(holder(date(2026, 3, 9)), TODAY)
    ends = [None, date(2026, 3, 9), TODAY, date(2026, 3, 12), date(2026, 3, 13)]
    soon = expiring(map(holder, ends), TODAY, 2)
    assert [one.valid_until for one in soon] == [TODAY, date(2026, 3, 12)]


def test_holders_are_told_once_that_a_badge_ends() -> None:
    """C162: a badge that is given for longer, and then ends, is told of again."""
    ends = replace(holder(MAY.valid_until), badge="Open library")
    (step,) = expiry_steps([ends], {}, date(2026, 5, 30), 1)
    assert (step.rule, step.until, step.notice) == ("badge_expires", MAY.valid_until, "BADGE")
    assert Notice("BADGE", "P1", step.cause, step.values).values == {
        "badge": "Open library",
        "until": "2026-05-31",
    }
    given = {"P1": {("BADGE", "ONBE 2026-05-31")}, "P2": {("BADGE", "ONBE 2026-06-01")}}
    assert list(expiry_steps([ends], given, date(2026, 5, 30), 1)) == []
    longer = replace(ends, valid_until=date(2026, 6, 1))
    (step,) = expiry_steps([longer], given, date(2026, 5, 31), 1)
    assert step.cause == "ONBE 2026-06-01"


@pytest.mark.parametrize(
    ("day", "changes", "told"),
    [
        (date(2026, 5, 28), {}, []),
        (date(2026, 5, 29), {}, ["Open library"]),
        (date(2026, 5, 31), {}, ["Open library"]),
        (date(2026, 6, 1), {}, []),
        (date.max, {"valid_until": date.max}, ["Open library"]),
        (date(2026, 5, 29), {"valid_until": None}, []),
        (date(2026, 5, 29), {"active": False}, []),
        (date(2026, 5, 29), {"badge": ""}, ["ONBE"]),
    ],
)
def test_which_badges_holders_are_told_of(
    day: date, changes: dict[str, Any], told: list[str]
) -> None:
    ends = replace(holder(MAY.valid_until), **{"badge": "Open library", **changes})
    assert [step.values["badge"] for step in expiry_steps([ends], {}, day, 2)] == told
