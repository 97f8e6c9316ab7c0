"""Loans and returns that need a person's attention (B57, C106, C165)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.model.items import Review

LISTED_KEYS = ("id", "time", "kind", "terminal", "message", "item", "patron", "state", "note")
"""The keys of an entry in a list (C165)."""


def find_review(store: Library, review_id: str) -> Review:
    """The entry with this id.

    Raises:
        NotFoundError: there is no such entry.
    """
    from sip2gw.backend.base import NotFoundError

    found = store.review(review_id)
    if found is None:
        raise NotFoundError(f"no entry has the id {review_id}; see `review list`")
    return found


def review_json(entry: Review, zone: tzinfo) -> dict[str, Any]:
    """An entry with the keys of C165, and the further keys shown for a single entry."""
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
