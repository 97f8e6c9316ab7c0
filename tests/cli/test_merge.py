"""`patron find` and `patron merge` at the command line (B49)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.model import AccessRow
from sip2gw.monitoring.telemetry import Redactor

from .conftest import Result, Run

DOUBLE = (
    '{"kind": "patron", "id": "P3", "name": "Anna Claes", "birth_date": "1980-01-01",'
    ' "cards": [{"number": "C3"}], "membership": "201"}'
)


@pytest.fixture
def command(sip2gw: Run, library: Path, tmp_path: Path) -> Run:
    """`sip2gw` with the library's configuration and Anna in it twice."""

    def run(*arguments: object, **options: Any) -> Result:
        return sip2gw(*arguments, "--config", library, **options)

    (tmp_path / "double.jsonl").write_text(DOUBLE)
    assert run("import", tmp_path / "double.jsonl").status == 0
    return run


def records(result: Result) -> list[dict[str, Any]]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_find(command: Run) -> None:
    found = records(command("patron", "find", "CLAES anna", "--json"))
    assert [one["id"] for one in found] == ["P1", "P3"]
    assert found[1] == {
        "id": "P3",
        "name": "Anna Claes",
        "birth_date": "1980-01-01",
        "home_branch": None,
        "cards": ["C3", "P3"],
    }
    assert "1980-01-01" in command("patron", "find", "C3").out
    nobody = command("patron", "find", "Nemo", "--json")
    assert (nobody.status, nobody.out) == (0, "")
    assert nobody.err.startswith("Nobody has the card, id or pseudonym Nemo")


def test_find_by_the_pseudonym_of_a_log(command: Run, library: Path) -> None:
    store = open_backend(load_config(library), "command").store
    pseudonym = Redactor(store.pin_secret).pseudonym("C3")
    asyncio.run(store.close())
    assert [one["id"] for one in records(command("patron", "find", pseudonym, "--json"))] == ["P3"]


def test_c76_the_door_log_of_a_merged_patron_has_both(command: Run, library: Path) -> None:
    async def passes(*patrons: str) -> None:
        store = open_backend(load_config(library), "command").store
        for patron in patrons:
            now = datetime.now(UTC)
            row = AccessRow(now, "MAIN", "door-1", "granted", "granted", "normal", "", patron)
            store.log_access(row)
        await store.close()

    asyncio.run(passes("P3", "P1", "P2"))
    assert command("patron", "merge", "P3", "P1").status == 0
    assert len(records(command("door", "log", "--card", "C3", "--json"))) == 2


def test_merge(command: Run, library: Path, tmp_path: Path) -> None:
    before = command("export").out
    foreseen = command("patron", "merge", "P3", "P1", "--dry-run")
    assert foreseen.err == ("Patron P3 would be merged into patron P1. Nothing was changed yet.\n")
    assert command("export").out == before
    done = command("patron", "merge", "P3", "P1")
    assert (done.status, done.out) == (0, foreseen.out)
    assert done.err == "Patron P3 has been merged into patron P1.\n"
    lines = [line.split(None, 3) for line in done.out.splitlines()]
    assert ["card", "C3", "moved", "active"] in lines
    assert ["membership", "P3", "dropped", "patron P1 keeps their own: 201"] in lines
    for name in ("P3", "C3", "P1"):
        (shown,) = records(command("patron", "show", name, "--json"))
        assert shown["id"] == "P1"
    store = open_backend(load_config(library), "command").store
    former = Redactor(store.pin_secret).pseudonym("P3")
    asyncio.run(store.close())
    assert [one["id"] for one in records(command("patron", "find", former, "--json"))] == ["P1"]
    again = command("import", tmp_path / "double.jsonl")
    assert (again.status, "patron P3 was merged into patron P1" in again.err) == (1, True)


def test_merge_refuses(command: Run) -> None:
    same = command("patron", "merge", "P1", "P1")
    assert (same.status, same.err) == (
        1,
        "sip2gw: P1 and P1 are one patron already: P1; nothing to merge\n",
    )
    unknown = command("patron", "merge", "P9", "P1", "--dry-run")
    assert unknown.status == 1
    assert unknown.err.startswith("sip2gw: no patron has the id or card P9; `patron find`")
