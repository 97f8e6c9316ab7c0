"""`observe report` (B78, C126)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.model import AccessRow

from .conftest import Run

MORNING = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
"""Ten o'clock in Brussels."""


def seen(minutes: int, theirs: str, reason: str = "granted", terminal: str = "door-1") -> AccessRow:
    ours = "granted" if reason == "granted" else "refused"
    time = MORNING + timedelta(minutes=minutes)
    return AccessRow(time, "MAIN", terminal, ours, reason, "observed", "", "P1", "in", theirs)


async def _log(config: Path, rows: list[AccessRow]) -> None:
    store = open_backend(load_config(config), "command").store
    for row in rows:
        store.log_access(row)
    await store.close()


def in_front(library: Path) -> Path:
    """The same gateway, in front of a library system from now on."""
    backend = '[backend]\nkind = "sip2"\n[backend.sip2]\naddress = "127.0.0.1:1"\nlogin = "x"\n'
    library.write_text(f'{library.read_text()}\n{backend}password = "x"\n')
    return library


@pytest.fixture
def watched(library: Path) -> Path:
    """Three patrons without a badge, one who owes, two who are let in by both."""
    rows = [
        *(seen(minute, "granted") for minute in range(2)),
        seen(5, "refused", "blocked"),
        *(seen(minute, "granted", "no_badge") for minute in (20, 30, 60)),
        seen(70, "refused", terminal="kiosk-1"),
    ]
    asyncio.run(_log(library, rows))
    return library


def line(terminal: str, theirs: str, ours: str, reason: str, count: int) -> dict[str, object]:
    return {
        "terminal": terminal,
        "theirs": theirs,
        "ours": ours,
        "reason": reason,
        "count": count,
    }


def report(sip2gw: Run, config: Path, *options: str) -> list[dict[str, object]]:
    out = sip2gw("observe", "report", "--json", *options, "--config", config).out
    return [json.loads(text) for text in out.splitlines()]


def test_b78_where_the_two_differ_comes_first_and_the_most_frequent_before(
    sip2gw: Run, watched: Path
) -> None:
    assert report(sip2gw, watched) == [
        line("door-1", "granted", "refused", "no_badge", 3),
        line("kiosk-1", "refused", "granted", "granted", 1),
        line("door-1", "granted", "granted", "granted", 2),
        line("door-1", "refused", "refused", "blocked", 1),
    ]


def test_b78_one_terminal_and_a_span(sip2gw: Run, watched: Path) -> None:
    at_kiosk = [line("kiosk-1", "refused", "granted", "granted", 1)]
    assert report(sip2gw, watched, "--terminal", "kiosk-1") == at_kiosk
    span = ("--since", "2026-03-04T10:30", "--until", "2026-03-04T11:00")
    assert report(sip2gw, watched, *span) == [line("door-1", "granted", "refused", "no_badge", 1)]


def test_b78_people_are_told_what_to_do_next(sip2gw: Run, watched: Path) -> None:
    told = sip2gw("observe", "report", "--config", watched)
    first = told.out.splitlines()[1].split()
    assert first == ["door-1", "granted", "refused", "no_badge", "3"]
    assert "4 of 7 answers differ. Begin with no_badge at door-1" in told.err
    assert "sip2gw door log --reason no_badge" in told.err


def test_b78_when_all_agree_and_when_nobody_came(sip2gw: Run, watched: Path) -> None:
    agreed = sip2gw("observe", "report", "--until", "2026-03-04T10:10", "--config", watched)
    assert "All 3 answers agree." in agreed.err
    nobody = sip2gw("observe", "report", "--since", "2026-03-05", "--config", in_front(watched))
    assert "Nothing was observed. Set `observe = true` in a profile" in nobody.err


def test_one_answer_is_told_of_in_the_singular(sip2gw: Run, watched: Path) -> None:
    def told(*span: str) -> str:
        return sip2gw("observe", "report", *span, "--config", watched).err

    one = ("--since", "2026-03-04T10:20", "--until", "2026-03-04T10:21")
    assert told(*one).startswith("1 of 1 answer differs. Begin with no_badge")
    assert "1 of 4 answers differs." in told("--until", "2026-03-04T10:21")
    assert told("--until", "2026-03-04T10:01").startswith("The only answer agrees. When")


def test_a_gateway_whose_own_store_decides_has_nothing_to_observe(
    sip2gw: Run, library: Path
) -> None:
    """`check` would refuse `observe = true` there."""
    told = sip2gw("observe", "report", "--config", library).err
    assert told.startswith("Nothing was observed, because there is no library system behind")
    assert "observe = true" not in told
