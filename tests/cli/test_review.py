"""What staff sees of transactions that a person has to look at, and how they are closed (C165)."""

from __future__ import annotations

import asyncio
import getpass
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sip2gw.backend.base import CirculationOrder
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.policy.items.cases import RefusedCase
from sip2gw.policy.items.decisions import Refusal
from sip2gw.policy.items.offline import Claim
from sip2gw.policy.reasons import CirculationReason

from .conftest import Result, Run

MARCH = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def command(sip2gw: Run, library: Path) -> Run:
    """`sip2gw` with a library whose kiosk has told, after the line was down, of an unknown item
    and, a minute later, of one that is not lent."""
    asyncio.run(refuse_two(library))

    def run(*arguments: object) -> Result:
        return sip2gw(*arguments, "--config", library)

    return run


def _refuse(reason: CirculationReason, facts: object) -> Refusal:
    return Refusal((reason,))


async def refuse_two(config: Path) -> None:
    """A kiosk of the library has told of a loan of nothing, and of one of what is not lent."""
    store = open_backend(load_config(config), "command").store
    refused = (CirculationReason.UNKNOWN_ITEM, CirculationReason.NOT_FOR_LOAN)
    for minute, reason in enumerate(refused):
        order = CirculationOrder(
            code="11",
            terminal="kiosk-1",
            item_id=f"I{minute}",
            patron_id="P1",
            now=MARCH + timedelta(minutes=minute),
            case=RefusedCase(Refusal((reason,))),
            claim=Claim(believed=True),
        )
        await store.circulate(order)
    await store.close()


def records(result: Result) -> list[dict[str, Any]]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_c165_the_list_has_the_keys_of_the_contract(command: Run) -> None:
    first, second = records(command("review", "list", "--json"))
    assert first == {
        "id": first["id"],
        "time": "2026-03-01T10:30:00+01:00",
        "kind": "conflict",
        "terminal": "kiosk-1",
        "message": "11",
        "item": "I0",
        "patron": "P1",
        "state": "open",
        "note": "",
    }
    assert second["item"] == "I1"


def test_people_get_a_table_with_the_reasons(command: Run) -> None:
    head, first, _ = command("review", "list").out.splitlines()
    assert head.split()[:3] == ["id", "time", "kind"]
    assert first.split()[1:] == [
        *("2026-03-01", "10:30:00", "conflict", "kiosk-1", "11", "I0", "P1", "refused"),
        *("unknown_item", "open"),
    ]


def test_a_closed_entry_says_who_closed_it_and_why(command: Run) -> None:
    first, second = records(command("review", "list", "--json"))
    closed = command("review", "close", first["id"], "--note", "catalogued as I9")
    assert (closed.status, closed.out, closed.err) == (0, "", "sip2gw: closed 1 entry\n")
    (shown,) = records(command("review", "show", first["id"], "--json"))
    assert shown["reasons"] == ["unknown_item"]
    assert (shown["outcome"], shown["state"]) == ("refused", "closed")
    assert (shown["note"], shown["closed_by"]) == ("catalogued as I9", getpass.getuser())
    assert datetime.now(UTC) - datetime.fromisoformat(shown["closed"]) < timedelta(minutes=1)
    assert records(command("review", "list", "--open", "--json")) == [second]
    states = [entry["state"] for entry in records(command("review", "list", "--json"))]
    assert states == ["closed", "open"]
    assert "catalogued as I9" in command("review", "show", first["id"]).out


def test_what_cannot_be_closed_is_said(command: Run) -> None:
    first, second = (entry["id"] for entry in records(command("review", "list", "--json")))
    unknown = command("review", "close", second, "X")
    assert (unknown.status, unknown.err) == (
        1,
        "sip2gw: no entry has the id X; see `review list`\n",
    )
    assert command("review", "close", first).status == 0
    again = command("review", "close", first)
    assert again.status == 1
    assert f"sip2gw: {first} was already closed by {getpass.getuser()} at " in again.err
    missing = command("review", "show", "X")
    assert (missing.status, missing.err) == (
        1,
        "sip2gw: no entry has the id X; see `review list`\n",
    )
    # the second, closed together with an unknown one, is open still
    assert len(records(command("review", "list", "--open", "--json"))) == 1
    assert command("review", "close", second).status == 0
