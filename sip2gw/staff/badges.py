"""Badges, who has them, and who gave them (B22, B65, C57)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sip2gw.policy.members.badges import has_expired

if TYPE_CHECKING:
    from datetime import date, tzinfo

    from sip2gw.model import Badge, BadgeHolder
    from sip2gw.model.badges import BadgeChange, BadgeEvent, BadgeTerms

LISTED_KEYS = ("code", "name", "active")
"""Those of C21."""


def badge_json(badge: Badge) -> dict[str, Any]:
    """A badge with the keys of C21, and the days on which it counts."""
    return {
        "code": badge.code,
        "name": badge.name,
        "active": badge.active,
        "from": _day(badge.valid_from),
        "until": _day(badge.valid_until),
    }


def holder_json(holder: BadgeHolder, today: date) -> dict[str, Any]:
    """A holder of a badge: since when, until when, where it counts, whether it is over."""
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


def change_json(change: BadgeChange) -> dict[str, Any]:
    """What becomes of one assignment."""
    return {
        "action": str(change.action),
        "code": change.code,
        "patron": change.patron_id,
        **_terms(change.terms),
    }


def event_json(event: BadgeEvent, zone: tzinfo) -> dict[str, Any]:
    """One line of the history: who changed what when and why."""
    return {
        "time": event.time.astimezone(zone).isoformat(),
        "user": event.user,
        **change_json(event.change),
        "reason": event.reason,
        "source": event.source,
    }


def _terms(terms: BadgeTerms) -> dict[str, Any]:
    return {
        "from": _day(terms.valid_from),
        "until": _day(terms.valid_until),
        "branches": list(terms.branches),
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
