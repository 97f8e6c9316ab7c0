"""`door stats/inside/reveals/bar/pass` and `maintain` (B42, C10, C57, C76, C96)."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.model import AccessRow, CalendarChange

from .conftest import Run

MORNING = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
"""Ten o'clock in Brussels."""


def passage(minutes: int, patron: str, direction: str = "in", reason: str = "granted") -> AccessRow:
    decision = "granted" if reason == "granted" else "refused"
    time = MORNING + timedelta(minutes=minutes)
    return AccessRow(time, "MAIN", "door-1", decision, reason, "normal", "", patron, direction)


async def _log(config: Path, rows: list[AccessRow]) -> None:
    store = open_backend(load_config(config), "command").store
    for row in rows:
        store.log_access(row)
    await store.close()


@pytest.fixture
def visited(library: Path) -> Path:
    """Anna is inside from 10:00 to 10:30, Dirk from 10:20 on; then somebody comes too late."""
    rows = [
        passage(0, "P1"),
        passage(20, "P2"),
        passage(30, "P1", "out"),
        passage(70, "P1", reason="closed"),
    ]
    asyncio.run(_log(library, rows))
    return library


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_c96_decisions_by_branch_hour_and_reason(sip2gw: Run, visited: Path) -> None:
    counted = [
        {"branch": "MAIN", "hour": "2026-03-04T10:00:00+01:00", "reason": "granted", "count": 3},
        {"branch": "MAIN", "hour": "2026-03-04T11:00:00+01:00", "reason": "closed", "count": 1},
    ]
    assert records(sip2gw("door", "stats", "--json", "--config", visited).out) == counted
    table = sip2gw("door", "stats", "--config", visited).out.splitlines()
    assert table[1].split() == ["MAIN", "2026-03-04", "10:00:00", "granted", "3"]
    lines = csv.DictReader(io.StringIO(sip2gw("door", "stats", "--csv", "--config", visited).out))
    assert [dict(line) for line in lines] == [
        {name: str(value) for name, value in row.items()} for row in counted
    ]


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        (("--patron", "P1"), ["granted", "granted", "closed"]),
        (("--card", "P1"), ["granted", "granted", "closed"]),
        (("--card", "OLD2"), ["granted"]),
        (("--card", "OLD2", "--reason", "closed"), []),
        (("--card", "nobody"), []),
        # Whom only a library system knows, under the number that it said.
        (("--card", "L9"), ["no_badge"]),
        (("--patron", "L9"), ["no_badge"]),
        (("--patron", "OLD2"), []),
    ],
)
def test_decisions_about_one_person(
    sip2gw: Run, visited: Path, options: tuple[str, ...], reasons: list[str]
) -> None:
    asyncio.run(_log(visited, [passage(80, "L9", reason="no_badge")]))
    rows = records(sip2gw("door", "log", *options, "--json", "--config", visited).out)
    assert [row["reason"] for row in rows] == reasons


def test_a_person_is_named_once(sip2gw: Run, visited: Path) -> None:
    result = sip2gw("door", "log", "--card", "P1", "--patron", "P1", "--config", visited)
    assert (result.status, "choose one of --card and --patron" in result.err) == (2, True)


def test_c76_a_pseudonym_of_the_door_log_finds_its_patron(sip2gw: Run, visited: Path) -> None:
    """Also one of whom the store has no more than a passage."""
    asyncio.run(_log(visited, [passage(80, "L9", reason="no_badge")]))
    rows = records(sip2gw("door", "log", "--json", "--config", visited).out)
    found = [
        records(sip2gw("patron", "find", row["patron"], "--json", "--config", visited).out)
        for row in rows
    ]
    assert [[one["id"] for one in few] for few in found] == [["P1"], ["P2"], ["P1"], ["P1"], ["L9"]]
    assert found[-1][0]["name"] == ""


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        (("--direction", "out"), [1]),
        (("--since", "2026-03-04T11:00"), [1]),
        (("--branch", "ANNEX"), []),
    ],
)
def test_stats_are_filtered(
    sip2gw: Run, visited: Path, options: tuple[str, ...], counts: list[int]
) -> None:
    told = records(sip2gw("door", "stats", "--json", *options, "--config", visited).out)
    assert [row["count"] for row in told] == counts


def inside(sip2gw: Run, config: Path, start: str, end: str, *options: str) -> Any:
    span = ("--branch", "MAIN", "--from", f"2026-03-04T{start}", "--to", f"2026-03-04T{end}")
    return sip2gw("door", "inside", *span, *options, "--config", config)


def test_c57_c76_who_was_inside_has_pseudonyms(sip2gw: Run, visited: Path) -> None:
    told = records(inside(sip2gw, visited, "10:25", "10:40", "--json").out)
    assert [set(stay) for stay in told] == [
        {"patron", "branch", "entered", "left", "seen_leaving"}
    ] * 2
    assert [stay["seen_leaving"] for stay in told] == [True, False]
    assert told[0]["left"] == "2026-03-04T10:30:00+01:00"
    assert all(len(stay["patron"]) == 12 for stay in told)
    assert len(records(inside(sip2gw, visited, "10:30", "10:40", "--json").out)) == 1
    table = inside(sip2gw, visited, "10:25", "10:40").out
    assert "2026-03-04 10:30:00  yes" in table


def test_c76_names_are_told_and_that_is_written_down(sip2gw: Run, visited: Path) -> None:
    result = inside(sip2gw, visited, "10:25", "10:40", "--reveal", "--json")
    assert [(stay["patron"], stay["name"]) for stay in records(result.out)] == [
        ("P1", "Anna Claes"),
        ("P2", "Dirk Wouters"),
    ]
    assert "asked for the names of 2 people" in result.err
    (reveal,) = records(sip2gw("door", "reveals", "--json", "--config", visited).out)
    assert (reveal["branch"], reveal["people"]) == ("MAIN", 2)
    assert reveal["from"] == "2026-03-04T10:25:00+01:00"
    assert "MAIN" in sip2gw("door", "reveals", "--config", visited).out


@pytest.mark.parametrize(
    "options",
    [
        ("--branch", "NOWHERE", "--from", "2026-03-04", "--to", "2026-03-04"),
        ("--branch", "MAIN", "--from", "2026-03-05", "--to", "2026-03-04"),
        ("--branch", "MAIN", "--from", "noon", "--to", "2026-03-04"),
        ("--branch", "MAIN", "--from", "2026-03-04", "--to", "noon"),
    ],
)
def test_a_span_or_branch_that_cannot_be(
    sip2gw: Run, library: Path, options: tuple[str, ...]
) -> None:
    assert sip2gw("door", "inside", *options, "--config", library).status == 2


def test_a_stay_in_a_branch_that_staff_opened_ends_when_it_closed(
    sip2gw: Run, library: Path
) -> None:
    """C139: ANNEX has no hours. It was open from ten to one, and closed for the rest of the day."""

    async def happened() -> None:
        store = open_backend(load_config(library), "command").store
        for state, since, until in (("unstaffed", 0, 3), ("closed", 3, 12)):
            span = (MORNING + timedelta(hours=since), MORNING + timedelta(hours=until))
            await store.change_calendar(CalendarChange("ANNEX", state, *span, "", "eva"))
        store.log_access(replace(passage(30, "P1"), branch="ANNEX"))
        await store.close()

    asyncio.run(happened())
    options = ("--branch", "ANNEX", "--from", "2026-03-04", "--to", "2026-03-05")
    (stay,) = records(sip2gw("door", "inside", *options, "--json", "--config", library).out)
    assert stay["left"] == "2026-03-04T13:00:00+01:00"


def test_a_bar_keeps_out_and_is_listed_until_it_is_removed(sip2gw: Run, library: Path) -> None:
    """C10; `explain` sees it at once."""
    options = ("--until", "2099-12-31", "--note", "shouted", "--branch", "MAIN")
    added = sip2gw("door", "bar", "add", "P1", *options, "--config", library)
    assert added.status == 0
    assert added.err == "card P1 is on the bar list for branch MAIN until 2099-12-31\n"
    listed = records(sip2gw("door", "bar", "list", "--json", "--config", library).out)
    assert listed[0] == {
        "branch": "MAIN",
        "card": "P1",
        "until": "2099-12-31",
        "note": "shouted",
        "source": "store",
    }
    asked = ("explain", "--terminal", "door-1", "--card", "P1", "--at", "2026-03-04T19:30")
    assert "refused: barred" in sip2gw(*asked, "--config", library).out
    remove = ("door", "bar", "remove", "P1", "--branch", "MAIN", "--config", library)
    removed = sip2gw(*remove)
    assert removed.status == 0
    assert "card P1 is no longer on the bar list for branch MAIN" in removed.err
    assert "granted" in sip2gw(*asked, "--config", library).out
    again = sip2gw(*remove)
    assert again.status == 1
    assert "bar list for branch MAIN does not have card P1; `door bar list` shows" in again.err


def test_the_log_of_somebody_of_whom_it_has_nothing_says_so(sip2gw: Run, library: Path) -> None:
    told = sip2gw("door", "log", "--card", "4711", "--config", library)
    assert told.status == 0
    assert "no such decision about 4711. `patron find` finds a person" in told.err


def test_a_pass_holds_on_its_days_and_hours(sip2gw: Run, library: Path) -> None:
    """C10, C11; a pass of the file is listed beside that of the store."""
    hours = ("--days", "mon,tue", "--from", "05:00", "--to", "07:00")
    assert sip2gw("door", "pass", "add", "P1", *hours, "--config", library).status == 0
    text = library.read_text().replace("[branches.MAIN]", "[branches.MAIN]\n" + PASS, 1)
    library.write_text(text)
    listed = records(sip2gw("door", "pass", "list", "--json", "--config", library).out)
    first, second = (
        next(entry for entry in listed if entry["card"] == card) for card in ("P1", "CLEANER")
    )
    assert (first["branch"], first["days"], first["from"], first["to"], first["source"]) == (
        "*",
        ["mon", "tue"],
        "05:00",
        "07:00",
        "store",
    )
    assert (second["branch"], second["card"], second["source"]) == ("MAIN", "CLEANER", "file")
    assert "CLEANER" in sip2gw("door", "pass", "list", "--branch", "MAIN", "--config", library).out
    assert sip2gw("door", "pass", "remove", "P1", "--config", library).status == 0
    assert sip2gw("door", "pass", "remove", "P1", "--config", library).status == 1


@pytest.mark.parametrize("kind", ["bar", "pass"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("P9",), "nobody in the store has card P9, so the entry would have no effect"),
        (("P1", "--until", "2020-01-31"), "the last day 2020-01-31 is past; give a later --until"),
    ],
)
def test_an_entry_without_effect_is_refused_unless_forced(
    sip2gw: Run, library: Path, kind: str, arguments: tuple[str, ...], said: str
) -> None:
    """A number that is mistyped, or a day of another year, would keep out or let in nobody."""
    add = ("door", kind, "add", *arguments, "--config", library)

    def in_store() -> list[str]:
        listed = records(sip2gw("door", kind, "list", "--json", "--config", library).out)
        return [entry["card"] for entry in listed if entry["source"] == "store"]

    refused = sip2gw(*add)
    assert (refused.status, said in refused.err, "--force" in refused.err) == (1, True, True)
    assert in_store() == []
    forced = sip2gw(*add, "--force")
    assert (forced.status, forced.err.count("\n")) == (0, 1)
    assert in_store() == [arguments[0]]


@pytest.mark.parametrize("kind", ["bar", "pass"])
def test_in_front_of_a_library_system_an_entry_counts_for_a_number(
    sip2gw: Run, library: Path, kind: str
) -> None:
    """B72: our store need not know whose it is, so nothing is asked back."""
    library.write_text(library.read_text() + BEHIND)
    add = ("door", kind, "add", "--config", library)
    assert sip2gw(*add, "P9").err == (
        f"card P9 is on the {kind} list for every branch\n"
        "nobody in the store has card P9, so this counts for the number as doors read it, and for"
        " no other card of its holder\n"
    )
    assert sip2gw(*add, "P1").err == f"card P1 is on the {kind} list for every branch\n"
    past = sip2gw(*add, "P9", "--until", "2020-01-31")
    assert (past.status, "is past" in past.err) == (1, True)


BEHIND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "ils.example:6001"
login = "gateway"
password = "Wk3sPd6"
"""
PASS = 'pass = [ { card = "CLEANER", from = "05:00", to = "07:00" } ]'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bar", "add", "P1", "--branch", "NOWHERE"), "no such branch"),
        (("bar", "add", "P1", "--until", "soon"), "not a date"),
        (("bar", "add", " "), "CARD is empty"),
        (("pass", "add", "P1", "--days", "mon,someday"), "--days"),
        (("pass", "add", "P1", "--from", "25:00"), "--from 25:00"),
        (("pass", "add", "P1", "--from", "24:00"), "--from 24:00"),
        (("stats", "--direction", "up"), "--direction"),
        (("stats", "--json", "--csv"), "not both"),
    ],
)
def test_wrong_usage_says_what(
    sip2gw: Run, library: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = sip2gw("door", *arguments, "--config", library)
    assert result.status == 2
    assert said in result.err


def test_b42_maintain_forgets_who_it_was_and_only_once(sip2gw: Run, visited: Path) -> None:
    dry = sip2gw("maintain", "--dry-run", "--config", visited)
    assert "4 rows of the door log" in dry.err
    assert "patron would be erased" in dry.err
    assert "4 rows" in sip2gw("maintain", "--config", visited).err
    assert "0 rows" in sip2gw("maintain", "--config", visited).err
    rows = records(sip2gw("door", "log", "--json", "--config", visited).out)
    assert [row["patron"] for row in rows] == [""] * 4
