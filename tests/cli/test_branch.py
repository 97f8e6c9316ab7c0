"""`branch close/open/reset/list` (C139)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sip2gw.staff.entrance.calendar import today_at

from .conftest import Run

ZONE = ZoneInfo("Europe/Brussels")


def listed(sip2gw: Run, config: Path, *options: object) -> list[dict[str, Any]]:
    result = sip2gw("branch", "list", *options, "--json", "--config", config)
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def main_branch(sip2gw: Run, config: Path) -> dict[str, Any]:
    (found,) = [one for one in listed(sip2gw, config) if one["branch"] == "MAIN"]
    return found


def test_a_branch_is_closed_until_the_end_of_the_day(sip2gw: Run, library: Path) -> None:
    before = main_branch(sip2gw, library)
    assert (before["changed"], before["since"], before["user"]) == (False, None, "")
    today = datetime.now(ZONE).date()
    result = sip2gw("branch", "close", "MAIN", "--reason", "water", "--config", library)
    assert result.status == 0
    told = main_branch(sip2gw, library)
    assert (told["state"], told["open_until"], told["changed"]) == ("closed", None, True)
    assert told["reason"] == "water"
    assert told["user"]
    # If the test runs at midnight, it may be the end of the next day.
    ends = datetime.fromisoformat(told["until"]).astimezone(ZONE)
    assert ends.time().isoformat() == "00:00:00"
    assert ends.date() - today in (timedelta(days=1), timedelta(days=2))
    assert f"branch MAIN is closed until {ends.date()} 00:00:00" in result.err


def test_the_last_command_counts_and_all_are_listed(sip2gw: Run, library: Path) -> None:
    sip2gw("branch", "close", "MAIN", "--config", library)
    opened = sip2gw("branch", "open", "MAIN", "--until", "2999-12-31", "--config", library)
    assert "branch MAIN is open without staff until 3000-01-01 00:00:00" in opened.err
    told = main_branch(sip2gw, library)
    assert (told["state"], told["until"]) == ("unstaffed", "3000-01-01T00:00:00+01:00")
    assert sip2gw("branch", "reset", "MAIN", "--config", library).status == 0
    assert not main_branch(sip2gw, library)["changed"]
    again = sip2gw("branch", "reset", "MAIN", "--config", library)
    assert (again.status, "configured hours already" in again.err) == (1, True)
    states = [one["state"] for one in listed(sip2gw, library, "--history", "MAIN")]
    assert states == ["closed", "unstaffed", "as_configured"]


def test_a_spreadsheet_has_what_the_table_has(sip2gw: Run, library: Path) -> None:
    sip2gw("branch", "close", "MAIN", "--until", "2999-12-31", "--config", library)
    head, *rows = sip2gw("branch", "list", "--csv", "--config", library).out.splitlines()
    assert head == "branch,state,open_until,changed,since,until,reason,user"
    assert [row for row in rows if row.startswith("MAIN,closed,,yes,")]
    reset = sip2gw("branch", "reset", "MAIN", "--config", library)
    assert "branch MAIN has its configured hours again" in reset.err
    history = sip2gw("branch", "list", "--history", "MAIN", "--csv", "--config", library)
    assert [row.split(",")[1] for row in history.out.splitlines()] == [
        "state",
        "closed",
        "as_configured",
    ]
    assert (
        "Times are those of Europe/Brussels."
        in sip2gw("branch", "list", "--history", "MAIN", "--config", library).err
    )


def test_an_explanation_knows_it(sip2gw: Run, library: Path) -> None:
    sip2gw("branch", "close", "MAIN", "--reason", "water", "--config", library)
    asked = ("--terminal", "door-1", "--card", "P1", "--config", library)
    result = sip2gw("explain", *asked)
    assert "refused: closed" in result.out
    assert "because staff changed it until" in result.out
    assert "water" in result.out


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("NORTH",), 2, "sip2gw: NORTH: no such branch; configured: MAIN"),
        (("MAINN",), 2, "sip2gw: MAINN: no such branch; did you mean MAIN?; configured: MAIN"),
        (("MAIN", "--until", "00:00"), 1, "give a later one"),
        (("MAIN", "--until", "25:00"), 2, "--until 25:00: "),
        (("MAIN", "--until", "noon"), 2, "--until noon: not a date"),
        (("MAIN", "--until", "yesterday"), 1, "give a later one"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    sip2gw: Run, library: Path, arguments: tuple[str, ...], status: int, told: str
) -> None:
    result = sip2gw("branch", "close", *arguments, "--config", library)
    assert (result.status, told in result.err) == (status, True), result.err
    assert not main_branch(sip2gw, library)["changed"]


def test_a_clock_time_is_of_today(sip2gw: Run, library: Path) -> None:
    """24:00 is never past."""
    assert sip2gw("branch", "open", "MAIN", "--until", "24:00", "--config", library).status == 0
    assert main_branch(sip2gw, library)["until"].partition("T")[2].startswith("00:00:00")


@pytest.mark.parametrize(
    ("now", "until", "ends"),
    [
        ("2026-10-25T00:10+00:00", "02:40", "2026-10-25T00:40+00:00"),  # summer time: 02:10
        ("2026-10-25T00:50+00:00", "02:40", "2026-10-25T01:40+00:00"),  # 02:50, then 02:40 again
        ("2026-10-25T01:10+00:00", "02:40", "2026-10-25T01:40+00:00"),  # winter time: 02:10
        ("2026-10-25T00:50+00:00", "03:00", "2026-10-25T02:00+00:00"),
        ("2026-10-25T01:50+00:00", "02:40", "2026-10-25T01:40+00:00"),  # past
    ],
)
def test_an_hour_that_comes_twice(now: str, until: str, ends: str) -> None:
    """Clocks in Brussels go back from 03:00 to 02:00 that night (C139)."""
    local = datetime.fromisoformat(now).astimezone(ZONE)
    end = today_at(until, local)
    assert end is not None
    assert end.astimezone(UTC) == datetime.fromisoformat(ends)
