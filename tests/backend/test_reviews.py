"""What a person has to look at, on both databases (B57, C165)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sip2gw.backend.base import RefusedError
from sip2gw.backend.library import Connection, Library
from sip2gw.backend.store import migrate as migrate_module
from sip2gw.backend.store.migrate import migrate
from sip2gw.stock import Review, ReviewKind

from .library import NOW, load
from .test_circulation import OFF_LINE, lending, order

LATER = NOW + timedelta(hours=1)


async def noted(library: Library) -> list[Review]:
    """Two entries: a loan that nothing spoke against, and one of an unknown item."""
    assert load(library, {"kind": "item", "id": "N1", "title": "New"}).errors == ()
    for item in ("N1", "nothing"):
        await library.circulate(order(item=item, claim=OFF_LINE, key="K"), lending(no_block=True))
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
    with pytest.raises(RefusedError, match=f"{smooth.id} is closed already: by ann, at 2026-03-10"):
        await library.close_reviews([smooth.id], "again", "bob", LATER)
    assert library.review(smooth.id) == closed


async def test_several_are_closed_all_or_none(library: Library) -> None:
    smooth, impossible = await noted(library)
    with pytest.raises(RefusedError, match="no such entry: X"):
        await library.close_reviews([smooth.id, "X"], "", "ann", LATER)
    assert {entry.state for entry in library.reviews()} == {"open"}
    await library.close_reviews([smooth.id, impossible.id, smooth.id], "", "ann", LATER)
    assert {entry.state for entry in library.reviews()} == {"closed"}


OLD = """INSERT INTO review (id, time, terminal, code, item_id, patron_id, outcome, reasons)
    VALUES ('kiosk-1|11|P3|20260310    0930{n}|NNY', '2026-03-10T09:30:0{n}.000000+00:00',
            'kiosk-1', '11', 'I{n}', 'P3', '{outcome}', '{reasons}')"""


def go_back(connection: Connection) -> None:
    """To the table as schema 6 has it, with rows in it."""
    for statement in (
        "DROP TABLE review",
        "DROP TABLE attempt",
        "ALTER TABLE circulation DROP COLUMN attempt",
        next(s for m in migrate_module.MIGRATIONS[:6] for s in m.statements if " review (" in s),
        "DELETE FROM schema_migration WHERE number > 6",
        OLD.format(n=2, outcome="refused", reasons="unknown_item"),
        OLD.format(n=1, outcome="done", reasons=""),
        OLD.format(n=3, outcome="done", reasons="on_hold fee"),
    ):
        connection.execute(statement)


async def test_entries_of_schema_6_are_carried_over(library: Library) -> None:
    with library.bulk() as connection:
        go_back(connection)
        migrate(connection)
    told = [(e.id, e.kind, e.item, e.patron, e.outcome, e.reasons) for e in library.reviews()]
    assert told == [
        ("R1", ReviewKind.OFFLINE, "I1", "P3", "done", ()),
        ("R2", ReviewKind.CONFLICT, "I2", "P3", "refused", ("unknown_item",)),
        ("R3", ReviewKind.CONFLICT, "I3", "P3", "done", ("on_hold", "fee")),
    ]
    assert {(e.terminal, e.message, e.state) for e in library.reviews()} == {
        ("kiosk-1", "11", "open")
    }
    await library.close_reviews(["R2"], "", "ann", LATER)
