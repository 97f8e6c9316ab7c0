"""The doors' lists, what the door log tells staff, and its anonymisation (B42, C10, C76, C96)."""

import asyncio
import dataclasses
from datetime import date, timedelta

import pytest
from msgspec.structs import replace

from sip2gw.backend.base import RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.staff import doors
from sip2gw.model import (
    OBSERVED,
    AccessRow,
    DoorCount,
    DoorEntry,
    ObservedCount,
    Passage,
    Reveal,
)
from sip2gw.staff.entrance.door_lists import put_door_entry

from .library import NOW

BAR = DoorEntry("bar", "MAIN", "C1", date(2026, 12, 31), note="shouted at staff")
PASS = DoorEntry("pass", "*", "C1", None, frozenset({0, 6}), 300, 420)


async def logged(library: Library, *rows: AccessRow) -> None:
    """Write `rows` now."""
    for row in rows:
        library.log_access(row)
    if isinstance(library, PostgresStore):
        await library._door_log._write()
    else:
        await library.ping()


def row(seconds: int = 0, reason: str = "granted", patron: str | None = "P1", **more: str):
    decision = "granted" if reason == "granted" else "refused"
    branch, direction = more.get("branch", "MAIN"), more.get("direction", "in")
    time = NOW + timedelta(seconds=seconds)
    return AccessRow(time, branch, "door-1", decision, reason, "normal", "", patron, direction)


async def test_a_card_on_a_list_is_known_with_its_holder(library: Library) -> None:
    """C10, C62: known at the next request, by any card of the holder."""
    before = await library.find_by_card("P1")
    assert before is not None
    assert before.door_entries == ()
    await library.put_door_entry(BAR)
    await library.put_door_entry(PASS)
    record = await library.find_by_card("P1")
    assert record is not None
    assert [(e.kind, e.branch, e.weekdays, e.start_minute) for e in record.door_entries] == [
        ("bar", "MAIN", frozenset(range(7)), 0),
        ("pass", "*", frozenset({0, 6}), 300),
    ]
    assert [entry.note for entry in record.door_entries] == ["", ""]


async def test_an_entry_replaces_that_of_its_card_and_branch(library: Library) -> None:
    await library.put_door_entry(BAR)
    await library.put_door_entry(DoorEntry("bar", "MAIN", "C1"))
    await library.put_door_entry(DoorEntry("bar", "EAST", "unknown-card"))
    assert library.door_entries("bar") == [
        DoorEntry("bar", "EAST", "unknown-card"),
        DoorEntry("bar", "MAIN", "C1"),
    ]
    assert library.door_entries("bar", "MAIN") == [DoorEntry("bar", "MAIN", "C1")]
    assert library.door_entries("pass") == []


async def test_an_entry_that_has_no_effect_is_refused_unless_forced(library: Library) -> None:
    """Its last day still counts; a replaced card is still somebody's."""
    last_day, after = date(2026, 12, 31), date(2027, 1, 1)
    await put_door_entry(library, BAR, last_day, force=False, alone=False)
    await put_door_entry(library, replace(BAR, card="OLD1"), last_day, force=False, alone=False)
    nobodys = replace(BAR, card="C9")
    with pytest.raises(RefusedError, match="2026-12-31 is past"):
        await put_door_entry(library, replace(BAR, branch="EAST"), after, force=False, alone=False)
    with pytest.raises(RefusedError, match="nobody in the store has card C9"):
        await put_door_entry(library, nobodys, last_day, force=False, alone=False)
    assert [entry.card for entry in library.door_entries("bar")] == ["C1", "OLD1"]
    await put_door_entry(library, nobodys, after, force=True, alone=False)
    assert library.unknown_cards(("C1", "C9", "OLD1")) == {"C9"}
    with pytest.raises(RefusedError, match="2026-12-31 is past"):
        await put_door_entry(library, nobodys, after, force=False, alone=True)
    await put_door_entry(library, replace(BAR, card="C8"), last_day, force=False, alone=True)
    assert [entry.card for entry in library.door_entries("bar")] == ["C1", "C8", "C9", "OLD1"]


async def test_a_card_is_taken_from_its_list_once(library: Library) -> None:
    await library.put_door_entry(BAR)
    assert library.door_entries("bar") == [BAR]
    assert await library.remove_door_entry("bar", "MAIN", "C1")
    assert not await library.remove_door_entry("bar", "MAIN", "C1")
    record = await library.find_by_card("C1")
    assert record is not None
    assert record.door_entries == ()


async def test_decisions_are_counted_by_minute_branch_and_reason(library: Library) -> None:
    """C96."""
    await logged(library, row(0), row(1), row(2, "closed"), row(60), row(3, branch="EAST"))
    minute, next_minute = NOW, NOW + timedelta(minutes=1)
    assert library.door_counts() == [
        DoorCount(minute, "EAST", "granted", 1),
        DoorCount(minute, "MAIN", "closed", 1),
        DoorCount(minute, "MAIN", "granted", 2),
        DoorCount(next_minute, "MAIN", "granted", 1),
    ]
    late = library.door_counts(since=next_minute, branch="MAIN", direction="in")
    assert late == [DoorCount(next_minute, "MAIN", "granted", 1)]
    assert library.door_counts(direction="out") == []


async def test_passages_are_the_granted_ones_of_somebody_known(library: Library) -> None:
    await logged(
        library,
        row(0),
        row(1, "closed"),
        row(2, patron=None),
        row(3, direction="out"),
        row(4, branch="EAST"),
        row(60),
    )
    assert library.passages("MAIN", NOW, NOW + timedelta(seconds=60)) == [
        Passage(NOW, "P1", "in"),
        Passage(NOW + timedelta(seconds=3), "P1", "out"),
    ]


async def test_b78_what_was_only_observed_is_counted_for_itself(library: Library) -> None:
    """By terminal, their decision, ours and our reason; nobody passed by it."""

    def seen(seconds: int, theirs: str, reason: str = "granted", door: str = "door-1"):
        one = row(seconds, reason)
        return dataclasses.replace(one, mode=OBSERVED, theirs=theirs, terminal=door)

    await logged(
        library,
        seen(0, "granted"),
        seen(1, "granted", "no_badge"),
        seen(2, "granted", "no_badge"),
        seen(3, "refused", door="door-2"),
        row(4, "closed"),
    )
    assert library.observed_counts() == [
        ObservedCount("door-1", "granted", "granted", "granted", 1),
        ObservedCount("door-1", "granted", "refused", "no_badge", 2),
        ObservedCount("door-2", "refused", "granted", "granted", 1),
    ]
    span = (NOW + timedelta(seconds=2), NOW + timedelta(seconds=3))
    assert library.observed_counts(since=span[0], until=span[1]) == [
        ObservedCount("door-1", "granted", "refused", "no_badge", 1)
    ]
    assert [one.count for one in library.observed_counts(terminal="door-2")] == [1]
    assert [(one.mode, one.theirs) for one in library.access_rows(limit=2)] == [
        (OBSERVED, "refused"),
        ("normal", ""),
    ]
    assert library.door_counts() == [DoorCount(NOW, "MAIN", "closed", 1)]
    assert library.passages("MAIN", NOW, NOW + timedelta(seconds=60)) == []


async def test_who_asked_for_names_is_kept(library: Library) -> None:
    """C76."""
    reveal = Reveal(NOW, "staff", "MAIN", NOW - timedelta(hours=2), NOW, 3)
    await library.add_reveal(reveal)
    assert await asyncio.to_thread(library.reveals) == [reveal]


async def test_identities_are_erased_in_steps_and_only_once(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B42."""
    monkeypatch.setattr(doors, "ROWS_PER_STEP", 2)
    await logged(library, *(row(seconds) for seconds in range(5)))
    limit = NOW + timedelta(seconds=3)
    assert library.count_access_identities(limit) == 3
    assert await library.erase_access_identities(limit) == 3
    assert await library.erase_access_identities(limit) == 0
    assert [entry.patron_id for entry in library.access_rows()] == [None, None, None, "P1", "P1"]
