"""Badges, who has them, and who gave them (B22, B65, C57)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from sip2gw.model.badges import BadgeAction
from sip2gw.policy.members.badges import has_expired

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.model import Badge, BadgeHolder
    from sip2gw.model.badges import BadgeChange, BadgeEvent, BadgeTerms, BadgeWish, Deed
    from sip2gw.policy.members.badges import AssignmentPlan


class ListedBadgeJson(TypedDict):
    """A badge as it is listed (C21)."""

    code: str
    name: str
    active: bool


_Days = TypedDict("_Days", {"from": str | None, "until": str | None})
"""The first and the last day on which it counts; null: there is no such limit."""


class BadgeJson(ListedBadgeJson, _Days):
    """A badge, its purpose, and the days on which it counts."""

    description: str


class _TermsJson(_Days):
    """When and where it counts; no branches: wherever the badge does."""

    branches: list[str]


class HolderJson(_TermsJson):
    """Who has a badge, since when, until when, where it counts, whether it is over."""

    code: str
    patron: str
    name: str
    active: bool
    source: str
    expired: bool


class BadgeChangeJson(_TermsJson):
    """What becomes of one assignment."""

    action: str
    code: str
    patron: str


class BadgeEventJson(BadgeChangeJson):
    """One line of the history: who changed what when and why."""

    time: str
    user: str
    reason: str
    source: str


def listed_badge_json(badge: Badge) -> ListedBadgeJson:
    """A badge with the keys of C21."""
    return {"code": badge.code, "name": badge.name, "active": badge.active}


def badge_json(badge: Badge) -> BadgeJson:
    """A badge with all that it was given."""
    return {
        **listed_badge_json(badge),
        "description": badge.description,
        "from": _day(badge.valid_from),
        "until": _day(badge.valid_until),
    }


class AssignedJson(TypedDict):
    """What giving a badge to some patrons has changed, or would change."""

    assigned: int
    changed: int
    """They had it already, with other days or branches."""
    unchanged: int
    changes: list[BadgeChangeJson]
    dry_run: bool


def assigned_json(plan: AssignmentPlan, dry_run: bool) -> AssignedJson:
    """What it has changed, or would change."""
    actions = [change.action for change in plan.changes]
    return {
        "assigned": actions.count(BadgeAction.ASSIGNED),
        "changed": actions.count(BadgeAction.CHANGED),
        "unchanged": plan.unchanged,
        "changes": list(map(change_json, plan.changes)),
        "dry_run": dry_run,
    }


async def assign_badge(
    store: Library, code: str, wishes: Sequence[BadgeWish], deed: Deed, *, dry_run: bool
) -> AssignmentPlan:
    """Give a badge to all patrons of `wishes`, or only tell what that would change.

    Nothing was changed if the plan has problems.

    Raises:
        NotFoundError: there is no such badge.
    """
    if dry_run:
        return store.plan_badge(code, wishes)
    return await store.assign_badge(code, wishes, deed)


def find_badge(store: Library, code: str) -> Badge:
    """The badge with this code.

    Raises:
        NotFoundError: there is no such badge.
    """
    from sip2gw.backend.staff.badges import unknown_badge

    found = next((badge for badge in store.badges() if badge.code == code), None)
    if found is None:
        raise unknown_badge(code)
    return found


def holder_json(holder: BadgeHolder, today: date) -> HolderJson:
    """A holder of a badge as it is reported today."""
    return {
        "code": holder.code,
        "patron": holder.patron_id,
        "name": holder.name,
        "active": holder.active,
        "from": _day(holder.valid_from),
        "until": _day(holder.valid_until),
        "branches": list(holder.branches),
        "source": holder.source,
        "expired": has_expired(holder, today),
    }


def change_json(change: BadgeChange) -> BadgeChangeJson:
    """What becomes of one assignment."""
    return {
        "action": str(change.action),
        "code": change.code,
        "patron": change.patron_id,
        **_terms(change.terms),
    }


def event_json(event: BadgeEvent, zone: tzinfo) -> BadgeEventJson:
    """One line of the history; the time is local with its offset."""
    return {
        "time": event.time.astimezone(zone).isoformat(),
        "user": event.user,
        **change_json(event.change),
        "reason": event.reason,
        "source": event.source,
    }


def _terms(terms: BadgeTerms) -> _TermsJson:
    return {
        "from": _day(terms.valid_from),
        "until": _day(terms.valid_until),
        "branches": list(terms.branches),
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
