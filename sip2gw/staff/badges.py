"""Badges and who has them (B22, B65, C57)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sip2gw.model import Badge, BadgeHolder


def badge_json(badge: Badge) -> dict[str, Any]:
    """A badge with the keys of C21."""
    return {"code": badge.code, "name": badge.name, "active": badge.active}


def holder_json(holder: BadgeHolder) -> dict[str, Any]:
    """A holder of a badge: since when, until when and where it counts."""
    return {
        "code": holder.code,
        "patron": holder.patron_id,
        "name": holder.name,
        "active": holder.active,
        "from": None if holder.valid_from is None else holder.valid_from.isoformat(),
        "until": None if holder.valid_until is None else holder.valid_until.isoformat(),
        "branches": list(holder.branches),
        "source": holder.source,
    }
