"""Loans and returns that a person has to look at (B57, C106, C165)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.model.items import Review

LISTED_KEYS = ("id", "time", "kind", "terminal", "message", "item", "patron", "state", "note")
"""Of an entry in a list (C165)."""


def find_review(store: Library, review_id: str) -> Review:
    """The entry of this id.

    Raises:
        RefusedError: there is none.
    """
    from sip2gw.backend.base import RefusedError

    found = store.review(review_id)
    if found is None:
        raise RefusedError(f"no such entry: {review_id}")
    return found


def review_json(entry: Review, zone: tzinfo) -> dict[str, Any]:
    """An entry with the keys of C165, and what is told of a single one besides."""
    return {
        "id": entry.id,
        "time": entry.time.astimezone(zone).isoformat(),
        "kind": entry.kind.value,
        "terminal": entry.terminal,
        "message": entry.message,
        "item": entry.item,
        "patron": entry.patron,
        "outcome": entry.outcome,
        "reasons": list(entry.reasons),
        "state": entry.state,
        "note": entry.note,
        "closed": entry.closed.astimezone(zone).isoformat() if entry.closed else None,
        "closed_by": entry.closed_by,
    }
