"""`/support` and its tables: the same as the commands, for programs (B64, B84, C145, C164)."""

from typing import Any

import pytest
from programs import Site

LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0},
    {"kind": "patron", "id": "P1", "name": "Ann", "cards": [{"number": "C1"}]},
]
TABLES = (
    ("type", {"code": "QU", "description": "Question"}),
    ("category", {"code": "LOAN", "description": "Loans"}),
    ("department", {"code": "FRONT", "description": "Front office"}),
    ("unit", {"code": "CASH", "description": "Money", "department": "FRONT"}),
    ("default_message", {"code": "BACK", "description": "Back", "text": "You get it back."}),
    (
        "processing",
        {"type": "QU", "category": "LOAN", "group": "FRONT", "unit": "CASH", "response_days": 1},
    ),
)
QUESTION = {"type": "QU", "category": "LOAN", "text": "Where is my book?", "patron": "C1"}
RESOURCES = [
    ("GET", "/support", "staff"),
    ("POST", "/support", "staff"),
    ("GET", "/support/1", "staff"),
    ("POST", "/support/1/answer", "staff"),
    ("POST", "/support/1/status", "staff"),
    ("POST", "/support/close", "staff"),
    ("GET", "/support/tables/type", "view"),
    ("POST", "/support/tables/type", "admin"),
    ("PATCH", "/support/tables/type/AU", "admin"),
    ("GET", "/support/tables/processing", "view"),
    ("POST", "/support/tables/processing", "admin"),
    ("PATCH", "/support/tables/processing/QU/LOAN", "admin"),
]
LESSER = {"view": ["self"], "staff": ["view", "self"], "admin": ["view", "self", "staff"]}


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    for table, row in TABLES:
        told = made.ask("POST", f"/support/tables/{table}", row)
        assert told.status == 201, told.text
        assert told.json.items() >= row.items()
    yield made
    made.close()


def asked(site, **changes):
    return site.ask("POST", "/support", {**QUESTION, **changes}, role="staff")


def test_a_question_is_opened_answered_and_closed(site):
    opened = asked(site)
    assert opened.status == 201
    assert (
        opened.json.items()
        >= {
            "id": "1",
            "status": "A",
            "type": "QU",
            "category": "LOAN",
            "patron": "P1",
            "department": "FRONT",
            "unit": "CASH",
            "text": "Where is my book?",
        }.items()
    )
    answered = site.ask("POST", "/support/1/answer", {"default": "BACK"}, role="staff").json
    assert answered["status"] == "C"
    moved = site.ask("POST", "/support/1/status", {"to": "D", "note": "Looks"}, role="staff").json
    closed = site.ask("POST", "/support/close", {"messages": ["1", "1"], "note": "Found"}).json
    assert [one["status"] for one in closed] == ["X"]
    shown = site.ask("GET", "/support/1", role="staff").json
    steps = [(one["user"], one["from"], one["to"], one["note"]) for one in shown["history"]]
    assert steps == [
        ("staff", None, "A", ""),
        ("staff", "A", "C", "You get it back."),
        ("staff", "C", "D", "Looks"),
        ("admin", "D", "X", "Found"),
    ]
    assert moved["history"] == shown["history"][:3]
    assert [shown] == site.listed("support", "show", "1") == closed
    assert [row[1:] for row in site.audit() if "table" not in row[1]] == [
        ("support open", "", "P1", "done"),
        ("support answer", "1", "", "done"),
        ("support answer", "1", "P1", "done"),
        ("support status", "1", "", "done"),
        ("support close", "", "", "done"),
        ("support show", "1", "", "done"),
    ]


def test_lists_are_those_of_the_command_and_come_in_pages(site):
    for number in range(11):
        asked(site, text=f"{number}", patron=None if number else "C1")
    site.ask("POST", "/support/close", {"messages": ["2"]})
    whole = site.ask("GET", "/support").json["items"]
    assert whole == site.listed("support", "list")
    assert [one["id"] for one in whole] == [str(number) for number in range(1, 12)]
    first = site.ask("GET", "/support", limit=9).json
    second = site.ask("GET", "/support", limit=9, cursor=first["next"]).json
    assert (first["items"] + second["items"], second["next"]) == (whole, None)
    for query, ids in (
        ({"open": True}, [str(number) for number in range(1, 12) if number != 2]),
        ({"patron": "C1"}, ["1"]),
        ({"patron": "C9"}, []),
        ({"overdue": True}, []),
        ({"type": "AU"}, []),
        ({"unit": "CASH", "limit": 1}, ["1"]),
    ):
        assert [one["id"] for one in site.ask("GET", "/support", **query).json["items"]] == ids


@pytest.mark.parametrize("table", [table for table, _ in TABLES])
def test_tables_are_those_of_the_command(site, table):
    told = site.ask("GET", f"/support/tables/{table}", role="view").json
    assert told == {"items": site.listed("support", "table", "list", table), "next": None}


def test_a_row_of_a_table_changes_where_it_is_said(site):
    path = "/support/tables"
    assert site.ask("PATCH", f"{path}/default_message/BACK", {"text": "Soon."}).json == {
        "code": "BACK",
        "description": "Back",
        "text": "Soon.",
    }
    rule = site.ask("PATCH", f"{path}/processing/QU/LOAN", {"response_days": None}).json
    assert (rule["response_days"], rule["unit"]) == (None, "CASH")
    assert site.ask("PATCH", f"{path}/processing/QU/LOAN", {}).status == 422
    assert site.ask("PATCH", f"{path}/type/QU", {"text": "x"}).refusal == (
        *(422, "a row of type has code, description"),
    )
    gone = "there is no category NONE; see `support table list category`"
    assert site.ask("PATCH", f"{path}/category/NONE", {"description": "x"}).refusal == (404, gone)
    assert site.ask("POST", f"{path}/type", {"code": "QU"}).status == 409
    assert site.ask("POST", f"{path}/type", {"code": "QUE"}).status == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("GET", "/support/7", None, 404, "no message has the id 7"),
        ("GET", "/support/x", None, 404, "no message has the id x"),
        ("POST", "/support", {**QUESTION, "patron": "9"}, 404, "no patron"),
        ("POST", "/support", {**QUESTION, "type": "XX"}, 404, "no type XX"),
        ("POST", "/support", {**QUESTION, "text": " "}, 409, "must not be empty"),
        ("POST", "/support", {**QUESTION, "branch": "WEST"}, 422, "no branch WEST"),
        ("POST", "/support/1/answer", {}, 422, "description"),
        ("POST", "/support/1/answer", {"text": "a", "default": "BACK"}, 422, "description"),
        ("POST", "/support/1/answer", {"default": "NONE"}, 404, "default message NONE"),
        ("POST", "/support/1/status", {"to": "Q"}, 422, "description"),
        ("POST", "/support/1/status", {"to": "Y"}, 409, "allowed: B C D X Z"),
        ("POST", "/support/close", {"messages": ["1", "7"]}, 404, "id 7"),
        ("POST", "/support/close", {"messages": []}, 422, "description"),
    ],
)
def test_what_cannot_be_done_is_told(site, method, path, body, status, word):
    asked(site)
    told = site.ask(method, path, body)
    assert (told.refusal[0], word in told.refusal[1]) == (status, True), told.text
    assert site.ask("GET", "/support/1").json["status"] == "A"


def test_two_who_answer_do_not_answer_twice(site):
    seen = asked(site).headers["etag"]
    answer = {"text": "It is here."}
    said = [
        site.ask("POST", "/support/1/answer", answer, headers={"if-match": seen}).status
        for _ in range(2)
    ]
    assert said == [200, 412]
    again = [
        site.ask("POST", "/support", QUESTION, headers={"idempotency-key": "K"}).json["id"]
        for _ in range(2)
    ]
    assert again == ["2", "2"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


@pytest.mark.parametrize(("method", "path", "needed"), RESOURCES)
def test_who_has_another_role_is_told_nothing(empty, method, path, needed):
    for role in LESSER[needed]:
        told = empty.ask(method, path, {}, role=role)
        assert told.refusal == (403, f"this needs a token with the role {needed}; yours has {role}")
    assert empty.ask(method, path, {}, role=needed).status in (200, 404, 422)
