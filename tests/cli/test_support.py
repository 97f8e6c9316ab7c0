"""Customer support by command: from cause to closed, tables, and what is refused (B64, C164)."""

from __future__ import annotations

import getpass
import json
import re
import shlex
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from once import Once

from .conftest import Result, Run
from .test_administration import refusal, refuse
from .test_review import refuse_two

_desks = Once()


@pytest.fixture
def command(sip2gw: Run, library: Path) -> Run:
    """`sip2gw` with a library."""

    def run(*arguments: object) -> Result:
        return sip2gw(*arguments, "--config", library)

    return run


@pytest.fixture
async def entries(library: Path) -> None:
    """Two transactions of a kiosk that a person must look at."""
    await refuse_two(library)


def records(result: Result) -> list[dict[str, Any]]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def add(command: Run, *arguments: object) -> None:
    result = command("support", "table", "add", *arguments)
    assert (result.status, result.out) == (0, ""), result.err


@pytest.fixture
def desk(command: Run, library: Path) -> None:
    """Questions about loans go to the front office, which has three days, and one to respond."""
    if not _desks.give("desk", library.parent):
        _set_up(command)
        _desks.keep("desk", library.with_name("library.db"))


def _set_up(command: Run) -> None:
    add(command, "type", "VR", "--description", "Question")
    add(command, "category", "LOAN", "--description", "Loans")
    add(command, "department", "FRONT", "--description", "Front office")
    add(command, "unit", "DESK", "--description", "Desk", "--set", "department=FRONT")
    add(
        *(command, "default_message", "SEEN", "--description", "We have seen it"),
        *("--set", "text=We have looked at it: all is well."),
    )
    rule = "type=VR category=LOAN response_days=1 processing_days=3 group=FRONT unit=DESK"
    settings = (word for it in rule.split() for word in ("--set", it))
    add(command, "processing", *settings, "--set", "processor=ann", "--set", "reporter=bob")


def ask(command: Run, *options: object) -> None:
    result = command(
        *("support", "open", "--type", "VR", "--category", "LOAN", "May I renew?"), *options
    )
    assert (result.status, result.out) == (0, ""), result.err


def test_a_question_goes_from_open_to_closed(command: Run, desk: None) -> None:
    ask(command, "--patron", "P1")
    (message,) = records(command("support", "list", "--json"))
    today = datetime.fromisoformat(message["created"])
    assert datetime.now(UTC) - today < timedelta(minutes=1)
    assert message == {
        "id": "1",
        "type": "VR",
        "status": "A",
        "text": "May I renew?",
        "created": message["created"],
        "category": "LOAN",
        "department": "FRONT",
        "unit": "DESK",
        "due": message["due"],
        "count": 1,
        "patron": "P1",
    }
    assert message["due"] > today.date().isoformat()
    answered = command("support", "answer", "1", "Yes, until Friday.")
    assert (answered.status, answered.err) == (
        0,
        "Message 1 has been answered and is in status C.\n",
    )
    noted = command("support", "status", "1", "d", "--note", "Came by.")
    assert (noted.status, noted.err) == (0, "Message 1 is now in status D.\n")
    closed = command("support", "close", "1", "--note", "Renewed.")
    assert (closed.status, closed.err) == (0, "Message 1 is now in status X.\n")
    (shown,) = records(command("support", "show", "1", "--json"))
    assert (shown["processor"], shown["reporter"]) == ("ann", "bob")
    assert shown["closed"] is not None
    me = getpass.getuser()
    assert [
        (it["user"], it["kind"], it["from"], it["to"], it["note"]) for it in shown["history"]
    ] == [
        (me, "opened", None, "A", ""),
        (me, "answered", "A", "C", "Yes, until Friday."),
        (me, "changed", "C", "D", "Came by."),
        (me, "changed", "D", "X", "Renewed."),
    ]
    assert records(command("support", "list", "--open", "--json")) == []
    assert "Yes, until Friday." in command("support", "show", "1").out


def test_several_messages_are_closed_at_once_or_none(command: Run, desk: None) -> None:
    for _ in range(3):
        ask(command)
    command("support", "close", "2")
    refused = command("support", "close", "1", "2", "3")
    assert refused.status == 1
    assert refused.err == "sip2gw: message 2 is already closed by the library (X)\n"
    still_open = records(command("support", "list", "--open", "--json"))
    assert [it["id"] for it in still_open] == ["1", "3"]
    closed = command("support", "close", "1", "3", "1", "--note", "A test of the machine.")
    assert closed.err == "Message 1 is now in status X.\nMessage 3 is now in status X.\n"
    (shown,) = records(command("support", "show", "3", "--json"))
    assert shown["history"][-1]["note"] == "A test of the machine."


def test_a_question_may_be_answered_from_a_default_message(command: Run, desk: None) -> None:
    ask(command)
    assert command("support", "answer", "1", "--default", "SEEN").status == 0
    (shown,) = records(command("support", "show", "1", "--json"))
    assert (shown["status"], shown["patron"]) == ("A", None)
    assert shown["history"][1]["note"] == "We have looked at it: all is well."
    for wrong in ((), ("Yes.", "--default", "SEEN")):
        result = command("support", "answer", "1", *wrong)
        assert (result.status, result.err) == (2, "sip2gw: give either TEXT or --default CODE\n")


def test_messages_are_filtered(command: Run, desk: None, library: Path) -> None:
    ask(command, "--patron", "OLD2")  # a replaced card of P2
    ask(command)
    with closing(sqlite3.connect(library.parent / "library.db")) as store, store:
        store.execute("UPDATE support_message SET response_due = '2020-01-01' WHERE id = 2")

    def found(*options: object) -> list[str]:
        return [it["id"] for it in records(command("support", "list", "--json", *options))]

    assert found() == ["1", "2"]
    assert found("--patron", "P2") == found("--patron", "OLD2") == ["1"]
    assert found("--overdue") == ["2"]
    same = ("--type", "VR", "--category", "LOAN", "--department", "FRONT", "--unit", "DESK")
    assert found(*same) == ["1", "2"]
    assert found("--type", "AU") == []
    slip = command("support", "list", "--unit", "DSK")
    assert (slip.status, "--unit DSK: not known" in slip.err) == (2, True)
    head, *rows = command("support", "list").out.splitlines()
    assert head.split()[:3] == ["id", "status", "type"]
    assert [row.split()[0] for row in rows] == ["1", "2"]


def test_each_entry_for_review_has_its_message_and_one_closes_the_other(
    command: Run, entries: None
) -> None:
    maintained(command)
    first, second = records(command("support", "list", "--category", "OFFL", "--json"))
    assert (first["type"], first["status"], first["patron"]) == ("AU", "A", "P1")
    assert "A loan of item I0 at kiosk-1 was refused (unknown_item)." in first["text"]
    in_review = [it["id"] for it in records(command("review", "list", "--open", "--json"))]
    assert command("support", "close", first["id"], "--note", "catalogued").status == 0
    (shown,) = records(command("review", "show", in_review[0], "--json"))
    assert (shown["state"], shown["note"]) == ("closed", "catalogued")
    assert command("review", "close", in_review[1], "--note", "seen").status == 0
    (shown,) = records(command("support", "show", second["id"], "--json"))
    assert (shown["status"], shown["history"][-1]["note"]) == ("X", "seen")
    assert records(command("support", "list", "--open", "--json")) == []


def maintained(command: Run) -> None:
    """Who lists only reads, and no gateway is running that would open the messages."""
    result = command("support", "list")
    assert result.err == (
        "sip2gw: some new messages are missing here: a gateway opens them within a minute,"
        " `sip2gw maintain` at once\n"
    )
    assert command("maintain").status == 0
    assert command("support", "list").err == "Times are those of Europe/Brussels.\n"


def test_an_entry_closed_at_once_has_its_message_too(command: Run, entries: None) -> None:
    first, second = (it["id"] for it in records(command("review", "list", "--json")))
    assert command("review", "close", first, second, "--note", "seen").status == 0
    assert [it["status"] for it in records(command("support", "list", "--json"))] == ["X", "X"]


def test_nothing_is_opened_where_that_is_switched_off(
    command: Run, entries: None, library: Path
) -> None:
    library.write_text(f"{library.read_text()}\n[support]\nenabled = false\n")
    assert records(command("support", "list", "--json")) == []


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("show", "7"), 1, "no message has the id 7; see `support list`"),
        (("show", "abc"), 1, "no message has the id abc; see `support list`"),
        (("close", "9" * 30), 1, f"no message has the id {'9' * 30}; see `support list`"),
        (("status", "1", "B", "--note", " "), 1, "the note must not be empty"),
        (("status", "1", "Y"), 1, "message 1 is open (A) and cannot become closed by the reporter"),
        (("answer", "1", ""), 1, "the answer must not be empty"),
        (("answer", "1", "--default", "NONE"), 1, "there is no default message NONE"),
        (("open", "--type", "ZZ", "--category", "LOAN", "x"), 1, "there is no type ZZ"),
        (
            ("open", "--type", "VR", "--category", "LOAN", "--patron", "4711", "x"),
            1,
            "no patron has the id or card 4711",
        ),
        (
            ("open", "--type", "VR", "--category", "LOAN", "--branch", "MOON", "x"),
            2,
            "--branch MOON: no such branch",
        ),
        (("table", "add", "type", "ABC"), 1, "the code of a type is exactly 2 letters"),
        (("table", "add", "type", "VR"), 1, "there is a type VR already"),
        (("table", "change", "type", "ZZ", "--description", "x"), 1, "there is no type ZZ"),
        (("table", "change", "type", "VR"), 2, "say what to change"),
        (("table", "add", "type"), 2, "name the CODE of the row"),
        (("table", "add", "type", "ZZ", "--set", "text=x"), 2, "known: none; use --description"),
        (("table", "add", "unit", "NEW", "--set", "department"), 2, "known: department"),
        (
            ("table", "add", "unit", "NEW", "--set", "department=A", "--set", "department=B"),
            2,
            "--set department is given twice",
        ),
        (("table", "add", "unit", "NEW"), 1, "a unit belongs to a department"),
        (("table", "add", "processing", "X"), 2, "a processing rule has no code"),
        (("table", "add", "processing", "--set", "type=VR"), 2, "name the rule with --set type="),
        (
            *(("table", "add", "processing", "--set", "response_days=two"), 2),
            "--set response_days=two: not a whole number of days",
        ),
        (
            ("table", "change", "processing", "--set", "type=VR", "--set", "category=CARD"),
            1,
            "there is no processing rule for VR CARD",
        ),
    ],
)
def test_what_is_refused_is_said(
    command: Run, desk: None, arguments: tuple[str, ...], status: int, said: str
) -> None:
    ask(command)
    before = records(command("support", "show", "1", "--json"))
    result = command("support", *arguments)
    assert (result.status, result.out) == (status, "")
    assert result.err.startswith("sip2gw: ")
    assert said in result.err
    assert records(command("support", "show", "1", "--json")) == before


def test_an_unknown_status_or_table_is_wrong_usage(command: Run) -> None:
    assert command("support", "status", "1", "Q").status == 2
    assert command("support", "table", "list", "status").status == 2


def test_the_tables_are_listed(command: Run, desk: None) -> None:
    def rows(table: str) -> list[dict[str, Any]]:
        return records(command("support", "table", "list", table, "--json"))

    assert rows("type") == [
        {"code": "AU", "description": "Opened by the gateway"},
        {"code": "VR", "description": "Question"},
    ]
    assert {"code": "PAYU", "description": "Payment of unknown outcome"} in rows("category")
    assert rows("unit") == [{"code": "DESK", "description": "Desk", "department": "FRONT"}]
    assert rows("default_message") == [
        {
            "code": "SEEN",
            "description": "We have seen it",
            "text": "We have looked at it: all is well.",
        }
    ]
    rule = {
        "type": "VR",
        "category": "LOAN",
        "response_days": 1,
        "processing_days": 3,
        "group": "FRONT",
        "unit": "DESK",
        "processor": "ann",
        "reporter": "bob",
    }
    assert rows("processing") == [rule]
    change = ("support", "table", "change", "processing", "--set", "type=VR", "--set")
    changed = command(*change, "category=LOAN", "--set", "response_days=", "--set", "processor=eve")
    assert (changed.status, changed.err) == (0, "The rule for VR LOAN has been changed.\n")
    assert rows("processing") == [rule | {"response_days": None, "processor": "eve"}]
    named = command("support", "table", "change", "category", "CARD", "--description", "Kaart")
    assert (named.status, named.err) == (0, "Category CARD has been changed.\n")
    assert {"code": "CARD", "description": "Kaart"} in rows("category")
    head, row = command("support", "table", "list", "department").out.splitlines()
    assert (head.split(), row.split()) == (["code", "description"], ["FRONT", "Front", "office"])


def test_the_how_to_works_as_it_says(command: Run, library: Path) -> None:
    """Two refusals of one receipt happen between its first and its second block."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "support.md"
    tables, *rest = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    _run_lines(command, tables)
    refuse(library, refusal(0), refusal(0))
    maintained(command)
    for block in rest:
        _run_lines(command, block.replace("20001001", "P1"))
    messages = records(command("support", "list", "--json"))
    assert [(it["category"], it["status"], it["count"], it["unit"]) for it in messages] == [
        ("PAYR", "X", 2, "CASH"),
        ("LOAN", "A", 1, None),
    ]


def _run_lines(command: Run, block: str) -> None:
    for line in block.replace("\\\n", "").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "sip2gw"
        result = command(*arguments)
        assert result.status == 0, (line, result.err)
