"""`upstream journal` at the command line (B77, C157)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.model.journal import EntryState, JournalEntry

from .conftest import Result, Run

MARCH = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def entry(entry_id: str, message: str, item: str, patron: str) -> JournalEntry:
    return JournalEntry(
        id=entry_id,
        time=MARCH,
        happened=MARCH,
        account="default",
        terminal="kiosk-1",
        message=message,
        item=item,
        patron=patron,
        key="",
        request={},
    )


@pytest.fixture
def command(sip2gw: Run, library: Path) -> Run:
    """`sip2gw` with a library whose kiosk has lent one item and taken back another; the loan has
    gone up since."""

    async def take() -> None:
        store = open_backend(load_config(library), "command").store
        loan = entry("J1", "11", "I1", "4711")
        await store.add_to_journal(loan)
        await store.add_to_journal(entry("J2", "09", "I2", ""))
        await store.end_journalled(loan, EntryState.DONE, (), MARCH)
        await store.close()

    asyncio.run(take())

    def run(*arguments: object) -> Result:
        return sip2gw(*arguments, "--config", library)

    return run


def test_c157_each_entry_has_its_keys(command: Run) -> None:
    result = command("upstream", "journal", "--json")
    assert result.status == 0
    loan, given_back = map(json.loads, result.out.splitlines())
    assert loan == {
        "id": "J1",
        "time": "2026-03-01T10:30:00+01:00",
        "account": "default",
        "terminal": "kiosk-1",
        "message": "11",
        "item": "I1",
        "patron": "4711",
        "state": "done",
    }
    assert (given_back["message"], given_back["state"]) == ("09", "open")


def test_only_what_waits(command: Run) -> None:
    result = command("upstream", "journal", "--open", "--json")
    assert [json.loads(line)["id"] for line in result.out.splitlines()] == ["J2"]


def test_people_get_a_table(command: Run) -> None:
    result = command("upstream", "journal")
    assert result.out.split()[:3] == ["id", "time", "account"]
    assert "J1" in result.out
    assert "J2" in result.out


def test_a_spreadsheet_gets_the_same_keys(command: Run) -> None:
    head, *rows = command("upstream", "journal", "--csv").out.splitlines()
    assert head == "id,time,account,terminal,message,item,patron,state"
    assert [row.split(",")[0] for row in rows] == ["J1", "J2"]
