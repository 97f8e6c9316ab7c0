"""`badge …` at the command line: many at once, dates, history (B65, C165)."""

from __future__ import annotations

import getpass
import json
import re
import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from .conftest import Result, Run

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(ZoneInfo("Europe/Brussels")).date()
"""Where the library is: near midnight it is another day there."""


@pytest.fixture
def command(sip2gw: Run, library: Path) -> Run:
    """`sip2gw` with the library's configuration."""

    def run(*arguments: object, **options: Any) -> Result:
        return sip2gw(*arguments, "--config", library, **options)

    return run


def records(result: Result) -> list[dict[str, Any]]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_a_badge_for_everybody_in_a_file(command: Run, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("patron,until,branches\nP1,2030-01-31,MAIN\nOLD2,,\n")
    assign = ("badge", "assign", "ONBE", "--file", file, "--reason", "open day")
    before = records(command("badge", "report", "ONBE", "--json"))
    foreseen = command(*assign, "--dry-run")
    assert foreseen.status == 0
    assert "2030-01-31" in foreseen.out
    assert foreseen.err.endswith(". Nothing was changed yet.\n")
    assert records(command("badge", "report", "ONBE", "--json")) == before
    done = command(*assign)
    assert (done.status, done.out) == (0, "")
    assert foreseen.err == done.err.replace("\n", " Nothing was changed yet.\n")
    holders = {one["patron"]: one for one in records(command("badge", "report", "ONBE", "--json"))}
    assert (holders["P1"]["until"], holders["P1"]["branches"]) == ("2030-01-31", ["MAIN"])
    assert (holders["P2"]["until"], holders["P2"]["branches"]) == (None, [])
    assert "0 assigned, 0 changed, 2 unchanged" in command(*assign).err
    (last,) = records(command("badge", "history", "ONBE", "--patron", "P1", "--json"))[-1:]
    assert last.pop("time").startswith(str(TODAY.year))
    assert last | {"action": ""} == {
        "user": getpass.getuser(),
        "action": "",
        "code": "ONBE",
        "patron": "P1",
        "from": None,
        "until": "2030-01-31",
        "branches": ["MAIN"],
        "reason": "open day",
        "source": "staff",
    }


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_a_file_with_an_error_changes_nothing(
    command: Run, tmp_path: Path, dry_run: tuple[str, ...]
) -> None:
    file = tmp_path / "people.txt"
    file.write_text("P1\nP9\nP8\n")
    before = records(command("badge", "history", "--json"))
    result = command("badge", "assign", "ONBE", "--file", file, *dry_run)
    assert (result.status, result.out) == (1, "")
    assert result.err.splitlines() == [
        f"sip2gw: {file}:2: no patron has the id or card P9",
        f"sip2gw: {file}:3: no patron has the id or card P8",
        "sip2gw: Nothing was changed: 2 errors.",
    ]
    file.write_text("patron,until\nP1,soon\nP9,")
    result = command("badge", "assign", "ONBE", "--file", file, *dry_run)
    assert result.status == 1
    assert result.err.splitlines() == [
        f"sip2gw: {file}:2: soon: not a date YYYY-MM-DD",
        f"sip2gw: {file}:3: no patron has the id or card P9",
        "sip2gw: Nothing was changed: 2 errors.",
    ]
    assert records(command("badge", "history", "--json")) == before


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ((), 2, "name a patron, or a file with --file, not both"),
        (("P1", "--file", "f"), 2, "name a patron, or a file with --file, not both"),
        (("--file", "missing.csv"), 1, "missing.csv: No such file"),
        (("P1", "--until", "soon"), 2, "--until soon: not a date YYYY-MM-DD"),
        (("P1", "--branches", "WEST"), 2, "--branches: no branch WEST"),
        (("P1", "--from", "2026-02-02", "--until", "2026-02-01"), 1, "is before from 2026-02-02"),
    ],
)
def test_what_assign_does_not_understand(
    command: Run, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    result = command("badge", "assign", "ONBE", *arguments)
    assert (result.status, sentence in result.err) == (status, True), result.err


def test_the_report_marks_what_is_over(command: Run) -> None:
    def until(patron: str, days: int) -> None:
        last = str(TODAY + timedelta(days=days))
        assert command("badge", "assign", "ONBE", patron, "--until", last).status == 0

    until("P1", -2)
    until("P2", 5)
    told = {one["patron"]: one["expired"] for one in records(command("badge", "report", "--json"))}
    assert told == {"P1": True, "P2": False}
    soon = [
        [one["patron"] for one in records(command("badge", "report", "--expiring", days, "--json"))]
        for days in (4, 6)
    ]
    assert soon == [[], ["P2"]]


def test_a_badges_own_days(command: Run) -> None:
    define = ("badge", "define", "SUMM", "--name", "Summer")
    assert command(*define, "--from", "2030-07-01", "--until", "2030-08-31").status == 0
    assert command("badge", "assign", "SUMM", "P1").status == 0
    days = ("from", "until")
    (holder,) = records(command("badge", "report", "SUMM", "--json"))
    assert [holder[day] for day in days] == ["2030-07-01", "2030-08-31"]
    assert command(*define, "--until", "none").status == 0
    (holder,) = records(command("badge", "report", "SUMM", "--json"))
    assert [holder[day] for day in days] == ["2030-07-01", None]
    assert "2030-07-01" in command("badge", "list").out
    wrong = command(*define, "--until", "2030-06-30")
    assert (wrong.status, "before its first, 2030-07-01" in wrong.err) == (1, True)


def test_a_badge_needs_a_code(command: Run) -> None:
    refused = command("badge", "define", "", "--name", "Nothing")
    assert refused.status == 1
    assert "must be a text without control characters and |" in refused.err


def test_a_taken_badge_says_why(command: Run) -> None:
    command("badge", "unassign", "ONBE", "P1", "--reason", "moved away")
    last = records(command("badge", "history", "--patron", "P1", "--json"))[-1]
    assert (last["action"], last["reason"]) == ("unassigned", "moved away")
    assert "moved away" in command("badge", "history").out


MEMBERS = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0},
    *(
        {
            "kind": "patron",
            "id": f"2000100{number}",
            "name": f"Member {number}",
            "membership": "201",
            "membership_from": "2026-01-01",
            "membership_until": "2099-12-31",
        }
        for number in (1, 2, 3, 4)
    ),
]


def test_the_page_on_badges_works_as_it_says(
    sip2gw: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worked example: 'Onbemande openingsuren' from definition to history."""
    text = (ROOT / "docs" / "how-to" / "badges.md").read_text()
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    parts = {kind: "".join(part for what, part in found if what == kind) for kind, _ in found}
    hashed = sip2gw("hash-password", stdin=b"x\n").out.strip()
    config = '[institution]\nid = "HUB"\n' + parts["toml"].replace('"…"', f'"{hashed}"')
    (tmp_path / "sip2gw.toml").write_text(config)
    (tmp_path / "instructed.csv").write_text(parts["csv"])
    (tmp_path / "members.jsonl").write_text("\n".join(map(json.dumps, MEMBERS)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIP2GW_CONFIG", "sip2gw.toml")
    assert sip2gw("import", "members.jsonl").status == 0
    done = [sip2gw(*shlex.split(line)[1:]) for line in parts["sh"].splitlines()]
    assert [result.err for result in done if result.status] == []
    explained = [result.out for result in done if "badges here" in result.out]
    assert ["refused: no_badge" in out for out in explained] == [False, True, True]
    history = records(sip2gw("badge", "history", "ONBE", "--json"))
    assert [(one["action"], one["patron"], one["reason"]) for one in history] == [
        ("assigned", "20001001", "instruction of 3 March"),
        ("assigned", "20001002", "trial year"),
        ("assigned", "20001003", "instruction of 10 March"),
        ("assigned", "20001004", "instruction of 10 March"),
        ("unassigned", "20001004", "house rules"),
    ]
    report = records(sip2gw("badge", "report", "--json"))
    assert [(one["patron"], one["until"], one["branches"]) for one in report] == [
        ("20001001", None, []),
        ("20001002", "2027-02-28", ["MAIN"]),
        ("20001003", "2027-02-28", ["MAIN"]),
    ]
