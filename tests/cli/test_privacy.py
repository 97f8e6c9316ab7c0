"""`patron report`, `patron forget`, `import --complete` at the command line (B91, B92, C146)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .conftest import LIBRARY, Result, Run

ANNA = {
    "kind": "patron",
    "id": "1000234",
    "name": "Anna Verhaegen",
    "pin": "1357",
    "birth_date": "1984-11-02",
    "cards": [{"number": "5550001112"}],
    "notices": [],
}


@pytest.fixture
def command(sip2gw: Run, library: Path) -> Run:
    """`sip2gw` with the library's configuration."""

    def run(*arguments: object, **options: Any) -> Result:
        return sip2gw(*arguments, "--config", library, **options)

    return run


def load(command: Run, *lines: dict[str, Any] | str, options: tuple[str, ...] = ()) -> Result:
    """Import lines from standard input."""
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    return command("import", "-", *options, stdin="\n".join(texts).encode())


def records(result: Result) -> list[dict[str, Any]]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_b91_a_report_in_json_has_a_line_for_each_row(command: Run) -> None:
    fee = {"kind": "fee", "id": "F9", "patron": "1000234", "amount": "12.50"}
    assert load(command, ANNA, fee | {"created": "2026-01-10"}).status == 0
    told = records(command("patron", "report", "5550001112", "--json"))
    assert told[0] == {
        "kind": "patron",
        "id": "1000234",
        "name": "Anna Verhaegen",
        "birth_date": "1984-11-02",
        "status": 5,
    }
    (money,) = [one for one in told if one["kind"] == "fee"]
    assert (money["amount"], money["created"]) == ("12.50", "2026-01-10T00:00:00+01:00")
    assert [one["number"] for one in told if one["kind"] == "card"] == ["1000234", "5550001112"]
    lines = [one for one in told if one["kind"] == "ledger entry"]
    assert {one["debtor"] for one in lines} == {"1000234"}


def test_a_report_for_people_has_a_heading_for_each_kind(command: Run) -> None:
    result = command("patron", "report", "P1")
    assert result.status == 0
    assert "\npatron\n" in result.out
    assert "Anna Claes" in result.out
    assert "\nrelationship\n                from  P1\n" in result.out
    assert "argon2" not in result.out


@pytest.mark.parametrize("what", ["report", "forget"])
def test_an_unknown_patron_is_a_failure(command: Run, what: str) -> None:
    result = command("patron", what, "nobody")
    assert result.status == 1
    assert result.err.startswith("sip2gw: no patron has the id or card nobody; `patron find`")


def test_b91_forgetting_is_refused_and_forced(command: Run, library: Path) -> None:
    refused = command("patron", "forget", "P2")
    assert refused.status == 1
    assert "patron P2 was not forgotten: EUR 12.50 is owed; settle that first" in refused.err
    forced = command("patron", "forget", "OLD2", "--force")
    assert forced.status == 0, forced.err
    assert "The patron has been forgotten: " in forced.err
    assert "P2" not in forced.err
    assert command("patron", "show", "P2").status == 1
    assert "Dirk" not in command("export").out
    assert command("check").status == 0


def test_c146_nothing_is_left_in_the_directory(command: Run, library: Path) -> None:
    """The command leaves neither a log of the store nor a copy."""
    assert load(command, ANNA).status == 0
    notice = ("END", "1000234", "2026", "{}", "", "", "anna@verhaegen.example")
    with closing(sqlite3.connect(library.with_name("library.db"))) as store, store:
        store.execute(
            "INSERT INTO outbox (id, kind, patron_id, cause, details, created, next_try, recipient)"
            " VALUES ('N1', ?, ?, ?, ?, ?, ?, ?)",
            notice,
        )
    said = command("patron", "forget", "1000234")
    assert said.status == 0
    told = said.out + said.err + command("outbox", "list", "--reveal", "--json").out
    told += command("maintain").err
    files = [path for path in library.parent.rglob("*") if path.is_file()]
    assert library.with_name("library.db") in files
    for trace in ("Verhaegen", "1984-11-02", "5550001112", "1000234"):
        assert not [path for path in files if trace.encode() in path.read_bytes()], trace
        assert trace not in told


def test_who_reads_meanwhile_keeps_the_log_and_staff_are_told(
    command: Run, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sip2gw.backend.sqlite import database

    monkeypatch.setattr(database, "_CHECKPOINT_WAIT_MS", 1)
    assert load(command, ANNA).status == 0
    with closing(sqlite3.connect(library.with_name("library.db"))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM patron").fetchone()
        result = command("patron", "forget", "1000234")
    assert result.status == 0
    assert "One thing is left: the file's write-ahead log could not be emptied" in result.err


def test_a_fee_id_with_a_card_number_is_told(command: Run) -> None:
    fee = {"kind": "fee", "id": "F5550001112", "patron": "1000234", "amount": "0.00"}
    assert load(command, ANNA, fee | {"created": "2026-01-10"}).status == 0
    result = command("patron", "forget", "1000234")
    assert "1 fee of theirs kept an id that contains a card number" in result.err


# Complete imports


def test_b92_a_complete_import_says_what_is_missing(command: Run) -> None:
    first = next(line for line in LIBRARY.splitlines() if '"id": "P1"' in line)
    dry = load(command, first, options=("--complete", "patron", "--dry-run"))
    assert "Missing in the files: 1 patron ended." in dry.err
    (before,) = records(command("patron", "show", "P2", "--json"))
    assert before["status"] == 5
    done = load(command, first, options=("--complete", "patron"))
    assert done.status == 0
    assert "Missing in the files: 1 patron ended." in done.err
    (after,) = records(command("patron", "show", "P2", "--json"))
    assert after["status"] == 9
    assert load(command, *LIBRARY.splitlines(), options=("--complete", "patron,fee")).status == 0
    assert records(command("patron", "show", "P2", "--json")) == [before]


def test_c166_an_empty_complete_import_is_refused(command: Run) -> None:
    result = load(command, options=("--complete", "patron"))
    assert result.status == 1
    assert "--complete patron: the files have none, so they cannot be complete" in result.err
    assert "Nothing was changed: 1 error." in result.err
    (patron,) = records(command("patron", "show", "P2", "--json"))
    assert patron["status"] == 5


@pytest.mark.parametrize("kinds", ["patrons", "patron,loans", "card"])
def test_a_kind_that_is_none_is_wrong_usage(command: Run, kinds: str) -> None:
    result = load(command, ANNA, options=("--complete", kinds))
    assert result.status == 2
    assert "no such kind; there are patron, membership," in result.err
