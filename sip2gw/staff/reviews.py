"""Loans and returns that need a person's attention (B57, C106, C165)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from sip2gw.staff.documents import Person

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.model.items import Review


class ListedReviewJson(TypedDict):
    """An entry in a list (C165)."""

    id: str
    time: str
    kind: str
    terminal: str
    message: str
    item: str
    patron: Person
    state: str
    note: str


class ReviewJson(ListedReviewJson):
    """An entry, what became of it, and who closed it."""

    outcome: str
    reasons: list[str]
    closed: str | None
    closed_by: str


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


def listed_review_json(entry: Review, zone: tzinfo) -> ListedReviewJson:
    """An entry as it is listed, with the keys of C165."""
    return {
        "id": entry.id,
        "time": entry.time.astimezone(zone).isoformat(),
        "kind": entry.kind.value,
        "terminal": entry.terminal,
        "message": entry.message,
        "item": entry.item,
        "patron": entry.patron,
        "state": entry.state,
        "note": entry.note,
    }


def review_json(entry: Review, zone: tzinfo) -> ReviewJson:
    """An entry with the keys of C165, and the further keys shown for a single entry."""
    return {
        **listed_review_json(entry, zone),
        "outcome": entry.outcome,
        "reasons": list(entry.reasons),
        "closed": entry.closed.astimezone(zone).isoformat() if entry.closed else None,
        "closed_by": entry.closed_by,
    }
