"""`membership …` on a store of its own (B62, C47, C82, C144, C167)."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "memberships.md").read_text()
NEW = {"kind": "membership", "code": "301", "description": "Visitor", "type": 5, "fee": "5.00"}
DVD = {"material": "DVD*", "max_items": 2, "loan_days": 7}


@pytest.fixture
def command(sip2gw: Run, library: Path) -> Run:
    def run(*arguments: object, stdin: bytes = b"") -> Any:
        return sip2gw("membership", *arguments, "--config", library, stdin=stdin)

    return run


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def listed(command: Run) -> dict[str, dict[str, Any]]:
    told = [json.loads(line) for line in command("list", "--json").out.splitlines()]
    return {record["code"]: record for record in told}


def test_new_ones_come_from_a_file_or_from_standard_input(command: Run, library: Path) -> None:
    file = library.with_name("new.jsonl")
    file.write_bytes(lines(NEW, NEW | {"code": "302", "subsequent_membership": "301"}))
    result = command("add", file)
    assert (result.status, result.out, result.err) == (0, "", "Added 2 memberships: 301, 302.\n")
    assert command("add", "-", stdin=lines(NEW | {"code": "303"})).status == 0
    known = listed(command)
    assert known["302"]["subsequent_membership"] == "301"
    assert known["303"]["fee"] == "5.00"


@pytest.mark.parametrize(
    ("records", "errors"),
    [
        (lines(NEW | {"code": "201"}), ["-:1: membership 201 exists; see `membership change`"]),
        (lines(NEW, NEW), ["-:2: membership 301 is already in -:1"]),
        (
            lines(NEW, {"kind": "badge", "code": "A", "name": "A"}),
            ["-:2: a badge is no membership; load it with `import`"],
        ),
        (lines(NEW | {"subsequent_membership": "999"}), ["-:1: unknown membership 999"]),
        (
            lines(NEW) + b"\n" + lines(NEW | {"code": "302", "punch_card": True, "type": 0}),
            [
                "-:3: a membership of type 0 cannot have a fee: leave out fee, or use type 3",
                "-:3: punch_card is allowed only with type 6: leave it out, or use type 6",
            ],
        ),
        (lines(NEW | {"fee": "5.001"}), ["-:1: `fee`: EUR has 2 decimals"]),
        (
            lines(NEW) + b"{",
            ["-:2: the line ends too early; write one JSON object on each line, as `export` does"],
        ),
    ],
)
def test_all_of_a_file_or_nothing(command: Run, records: bytes, errors: list[str]) -> None:
    before = listed(command)
    result = command("add", "-", stdin=records)
    count = f"{len(errors)} error{'s' * (len(errors) > 1)}"
    assert (result.status, result.out) == (1, "")
    assert result.err.splitlines() == [*errors, f"Nothing was changed: {count}."]
    assert listed(command) == before


def test_a_file_full_of_errors_tells_a_hundred(command: Run) -> None:
    result = command("add", "-", stdin=b"{\n" * 150)
    assert (result.status, len(result.err.splitlines())) == (1, 101)


def test_a_file_that_is_not_there(command: Run) -> None:
    result = command("add", "nowhere.jsonl")
    assert result.status == 1
    assert result.err == "sip2gw: nowhere.jsonl: No such file or directory; correct the name\n"


def test_an_empty_file_adds_nothing_and_says_so(command: Run) -> None:
    result = command("add", "-", stdin=b"\n")
    assert (result.status, result.err) == (0, "The file has no memberships; nothing was changed.\n")


def test_values_are_written_as_in_the_library_data(command: Run) -> None:
    values = {
        "description": "Grown up",
        "max_items": 12,
        "holds_permitted": False,
        "hold_limit": "2.50",
        "materials": [DVD],
        "info_url": "https://library.example/?a=b",
        "term_months": 12,
    }
    pairs = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in values.items()
    ]
    result = command("change", "201", *pairs)
    assert result.status == 0, result.err
    assert result.err == f"Membership 201 has been changed: {', '.join(values)}.\n"
    known = listed(command)["201"]
    assert known["materials"] == [{**DVD, "allowed": True, "minimum_age": None}]
    assert known | {"materials": [DVD]} == known | values | {"materials": [DVD]}


def test_lists_are_shown_to_people_line_by_line(command: Run) -> None:
    rules = [DVD, {"material": "GAME", "allowed": False}]
    result = command("change", "201", f"materials={json.dumps(rules)}")
    assert result.status == 0, result.err
    shown = [line.strip() for line in command("show", "201").out.splitlines()]
    assert "materials  material DVD*, allowed yes, max_items 2, loan_days 7" in shown
    assert "materials  material GAME, allowed no, max_items 0" in shown
    assert not any("linked_memberships" in line for line in shown)


def test_an_empty_value_clears_a_key(command: Run) -> None:
    pairs = ("max_items=5", "hold_limit=2.50", "materials=" + json.dumps([DVD]))
    assert command("change", "201", *pairs).status == 0
    keys = ("max_items", "hold_limit", "materials", "max_fees_self_service", "holds_permitted")
    assert command("change", "201", *(f"{key}=" for key in keys)).status == 0
    known = listed(command)["201"]
    assert [known[key] for key in keys] == [0, None, [], None, True]
    again = command("change", "201", "max_items=")
    assert (again.status, again.err) == (0, "Membership 201 was like that already.\n")


@pytest.mark.parametrize(
    ("pairs", "status", "message"),
    [
        (["max_items"], 2, "max_items: write KEY=VALUE, such as max_items=10"),
        (["colour=red"], 2, "colour: no such key; allowed: code, description, type"),
        (["kind=patron"], 2, "kind: no such key; allowed: code, description, type"),
        (["code=202"], 2, "code: a membership keeps its code; add another membership"),
        (["hidden=true", "hidden=false"], 2, "hidden: is given twice"),
        (["max_items=many"], 1, "max_items=many: must be a whole number without quotes"),
        (["max_items=-1"], 1, "max_items=-1: must be a whole number without quotes >= 0"),
        (["hold_limit=1,50"], 1, "hold_limit=1,50: `hold_limit`: not an amount like 2.50"),
        (["hold_limit=-1"], 1, "hold_limit=-1: `hold_limit`: must not be negative"),
        (["materials=DVD"], 1, "materials=DVD: JSON is malformed"),
        (["materials=[1]"], 1, "materials=[1]: `1` must be an object"),
        (["type="], 1, "type=: must be a whole number"),
        (["fee=1.00"], 1, "a membership of type 0 cannot have a fee"),
        (['linked_memberships=["999"]'], 1, "linked_memberships is allowed only with type 2"),
    ],
)
def test_what_a_change_refuses(command: Run, pairs: list[str], status: int, message: str) -> None:
    before = listed(command)
    result = command("change", "201", "max_holds=7", *pairs)
    assert (result.status, result.err.startswith(f"sip2gw: {message}")) == (status, True), result
    assert listed(command) == before


def test_a_hidden_one_stays_with_its_members_and_in_the_list(command: Run) -> None:
    assert command("hide", "201").err == "Membership 201 is hidden now.\n"
    assert command("hide", "201").err == "Membership 201 was hidden already.\n"
    assert listed(command)["201"]["hidden"] is True
    row = command("list").out.splitlines()[1].split()
    assert (row[0], row[-1]) == ("201", "yes")
    assert command("change", "201", "hidden=").status == 0
    assert listed(command)["201"]["hidden"] is False


def test_people_read_lists_and_rules_line_by_line(command: Run) -> None:
    linked = [NEW | {"type": 3}, NEW | {"code": "302", "type": 3, "linked_memberships": ["301"]}]
    assert command("add", "-", stdin=lines(*linked)).status == 0
    assert command("change", "302", f"materials={json.dumps([DVD])}").status == 0
    told = dict(line.split(maxsplit=1) for line in command("show", "302").out.splitlines())
    assert told["linked_memberships"] == "301"
    assert told["materials"] == "material DVD*, allowed yes, max_items 2, loan_days 7"
    told = dict(line.split(maxsplit=1) for line in command("show", "301").out.splitlines())
    assert "materials" not in told
    assert "linked_memberships" not in told


@pytest.mark.parametrize("arguments", [("hide",), ("change", "max_items=1"), ("show",)])
def test_a_code_that_nobody_knows(command: Run, arguments: tuple[str, ...]) -> None:
    name, *rest = arguments
    result = command(name, "999", *rest)
    sentence = "sip2gw: there is no membership 999; see `membership list`\n"
    assert (result.status, result.err) == (1, sentence)


def test_the_page_on_memberships_works_as_it_says(
    sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, commands = PAGE.split("```json\n")[1], PAGE.split("```sh\n")[1:]
    (config.parent / "memberships.jsonl").write_text(records.split("```")[0])
    monkeypatch.chdir(config.parent)
    monkeypatch.setenv("SIP2GW_CONFIG", config.name)
    lines = [line for block in commands for line in block.split("```")[0].splitlines()]
    assert sip2gw("import", "-").status == 0  # the store of a library that is at work
    for line in lines:
        _, *arguments = shlex.split(line, comments=True)
        result = sip2gw(*arguments)
        assert result.status == 0, (line, result.err)
    assert len(lines) == 7
