"""What becomes of assignments of badges: by command, by file, when two patrons are merged.  (B65)

Pure, for both databases and for a dry run alike.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import date

from msgspec import Struct, field

from sip2gw.model import BadgeHolder
from sip2gw.model.badges import (
    BadgeAction,
    BadgeChange,
    BadgeTerms,
    BadgeWish,
)
from sip2gw.model.maintenance import Rule, Step

NOTICE = "BADGE"
"""The kind of the notice that a badge ends."""
PROBLEMS_MAX = 100
"""So many problems of a file are told (C52)."""


class AssignmentPlan(Struct):
    """What assigning a badge to many would change; nothing may be changed if there are problems."""

    changes: list[BadgeChange] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Sentences, each with its file and line if a file says so; `PROBLEMS_MAX` at most."""
    unchanged: int = 0
    """Patrons who have the badge already, with the same terms."""


def plan_assignment(
    code: str,
    wishes: Iterable[BadgeWish],
    holders: Mapping[str, str],
    held: Mapping[str, BadgeTerms],
) -> AssignmentPlan:
    """What giving the badge `code` as `wishes` say would change (C165).

    Args:
        code: of the badge.
        wishes: who is to have it; the same wish twice counts once.
        holders: the patron of each card.
        held: the terms of those who have the badge now, by patron.
    """
    plan, granted = AssignmentPlan(), dict[str, BadgeWish]()
    for wish in wishes:
        patron_id = holders.get(wish.card)
        problem = _problem(wish, patron_id, granted)
        if problem is not None:
            plan.problems.append(f"{wish.place}: {problem}" if wish.place else problem)
            if len(plan.problems) >= PROBLEMS_MAX:
                break
        elif patron_id is not None and patron_id not in granted:
            granted[patron_id] = wish
            _add(plan, code, patron_id, wish.terms, held.get(patron_id))
    return plan


def _problem(
    wish: BadgeWish, patron_id: str | None, granted: Mapping[str, BadgeWish]
) -> str | None:
    if wish.problem:
        return wish.problem
    if patron_id is None:
        return f"no patron has the id or card {wish.card}"
    if ends_before_it_begins(wish.terms.valid_from, wish.terms.valid_until):
        return f"until {wish.terms.valid_until} is before from {wish.terms.valid_from}"
    other = granted.get(patron_id)
    if other is not None and other.terms != wish.terms:
        return f"patron {patron_id} has other dates or branches in {other.place}"
    return None


def _add(
    plan: AssignmentPlan, code: str, patron_id: str, terms: BadgeTerms, held: BadgeTerms | None
) -> None:
    if held == terms:
        plan.unchanged += 1
    else:
        action = BadgeAction.ASSIGNED if held is None else BadgeAction.CHANGED
        plan.changes.append(BadgeChange(action, code, patron_id, terms))


def ends_before_it_begins(valid_from: date | None, valid_until: date | None) -> bool:
    """Whether no day is in the span."""
    return valid_from is not None and valid_until is not None and valid_until < valid_from


def wider(one: BadgeTerms, other: BadgeTerms) -> BadgeTerms:
    """Which of two assignments of a badge to one person stays (B65).

    The one that covers the other; if neither does, the one that ends later. Never a mixture, which
    could admit somebody where or when neither of them did.
    """
    if _covers(one, other):
        return one
    if _covers(other, one):
        return other
    return max(one, other, key=lambda terms: terms.valid_until or date.max)


def _covers(one: BadgeTerms, other: BadgeTerms) -> bool:
    begins = one.valid_from is None or (
        other.valid_from is not None and one.valid_from <= other.valid_from
    )
    ends = one.valid_until is None or (
        other.valid_until is not None and other.valid_until <= one.valid_until
    )
    everywhere = not one.branches
    return (
        begins
        and ends
        and (everywhere or (bool(other.branches) and set(other.branches) <= set(one.branches)))
    )


def has_expired(holder: BadgeHolder, today: date) -> bool:
    """Whether the last day of the assignment, or of the badge itself, is over."""
    return holder.valid_until is not None and holder.valid_until < today


def expiring(holders: Iterable[BadgeHolder], today: date, days: int) -> Iterator[BadgeHolder]:
    """Those of `holders` whose badge ends today or within so many days after."""
    for holder in holders:
        if holder.valid_until is not None and 0 <= (holder.valid_until - today).days <= days:
            yield holder


def expiry_steps(
    holders: Iterable[BadgeHolder],
    given: Mapping[str, Container[tuple[str, str]]],
    today: date,
    days: int,
) -> Iterator[Step]:
    """A step for each of `holders` who is to be told that a badge ends within so many days.

    Once for each badge and last day: whoever gets the badge for longer is told of the new end. A
    badge that is not active is of no use already.

    Args:
        holders: each assignment.
        given: the notices that each patron has got, by kind and cause.
        today: the day of the library.
        days: 0 for the last day only.
    """
    for holder in expiring(holders, today, days):
        cause = f"{holder.code} {holder.valid_until}"
        if holder.active and (NOTICE, cause) not in given.get(holder.patron_id, ()):
            yield Step(
                holder.patron_id,
                today,
                Rule.BADGE_EXPIRES,
                from_code=None,
                until=holder.valid_until,
                notice=NOTICE,
                cause=cause,
                values={"badge": holder.badge or holder.code, "until": str(holder.valid_until)},
            )
