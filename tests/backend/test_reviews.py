"""What a person has to look at, on both databases (B57, C165)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from orders import decided_by

from sip2gw.backend.base import RefusedError
from sip2gw.backend.library import Library
from sip2gw.model.items import Review, ReviewKind

from .library import NOW, load
from .test_circulation import OFF_LINE, lending, order

LATER = NOW + timedelta(hours=1)


async def noted(library: Library) -> list[Review]:
    """Two entries: a loan that nothing spoke against, and one of an unknown item."""
    assert load(library, {"kind": "item", "id": "N1", "title": "New"}).errors == ()
    for item in ("N1", "nothing"):
        await library.circulate(
            decided_by(order(item=item, claim=OFF_LINE, key="K"), lending(no_block=True))
        )
    return sorted(library.reviews(), key=lambda entry: entry.item)


async def test_one_request_about_two_items_is_two_entries(library: Library) -> None:
    """A kiosk sends what it kept in one second with one date."""
    smooth, impossible = await noted(library)
    assert smooth == Review(smooth.id, NOW, ReviewKind.OFFLINE, "kiosk-1", "11", "N1", "P3", "done")
    assert (impossible.kind, impossible.outcome) == (ReviewKind.CONFLICT, "refused")
    assert impossible.reasons == ("unknown_item",)
    assert library.review(smooth.id) == smooth


async def test_an_entry_is_closed_once_and_says_by_whom(library: Library) -> None:
    smooth, impossible = await noted(library)
    await library.close_reviews([smooth.id], "seen", "ann", LATER)
    closed = library.review(smooth.id)
    assert closed is not None
    assert (closed.state, closed.note, closed.closed, closed.closed_by) == (
        "closed",
        "seen",
        LATER,
        "ann",
    )
    assert list(library.reviews(state="open")) == [impossible]
    assert list(library.reviews(state="closed")) == [closed]
    with pytest.raises(RefusedError, match=f"{smooth.id} was already closed by ann at 2026-03-10"):
        await library.close_reviews([smooth.id], "again", "bob", LATER)
    assert library.review(smooth.id) == closed


async def test_several_are_closed_all_or_none(library: Library) -> None:
    smooth, impossible = await noted(library)
    with pytest.raises(RefusedError, match="no entry has the id X"):
        await library.close_reviews([smooth.id, "X"], "", "ann", LATER)
    assert {entry.state for entry in library.reviews()} == {"open"}
    await library.close_reviews([smooth.id, impossible.id, smooth.id], "", "ann", LATER)
    assert {entry.state for entry in library.reviews()} == {"closed"}
