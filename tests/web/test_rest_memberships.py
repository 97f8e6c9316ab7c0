"""`/memberships`: the same as the commands, for programs (B62, B84, C82, C176)."""

from typing import Any

import pytest
from programs import Site

from sip2gw.web.api.resources.members import memberships

LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0, "max_items": 20},
    {"kind": "membership", "code": "101", "description": "Child", "type": 0, "sorting_position": 1},
]
NEW = {"code": "301", "description": "Visitor", "type": 5, "fee": "5.00"}
RULE = {"material": "DVD*", "allowed": True, "max_items": 2, "loan_days": 7, "minimum_age": None}


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


def show(site, code):
    return site.ask("GET", f"/memberships/{code}", role="view").json


def test_definitions_are_listed_and_shown_as_by_the_commands(site):
    listed = site.ask("GET", "/memberships", role="view").json
    assert listed == {"items": site.listed("membership", "list"), "next": None}
    assert [one["code"] for one in listed["items"]] == ["201", "101"]
    assert [show(site, "201")] == site.listed("membership", "show", "201")
    assert site.ask("GET", "/memberships/999").refusal == (
        404,
        "there is no membership 999; see `membership list`",
    )
    assert site.audit() == []


def test_they_come_in_pages(site):
    first = site.ask("GET", "/memberships", limit=1).json
    second = site.ask("GET", "/memberships", limit=1, cursor=first["next"]).json
    assert [one["code"] for one in (*first["items"], *second["items"])] == ["201", "101"]


def test_new_ones_are_added_all_or_none(site):
    follows = NEW | {"code": "302", "subsequent_membership": "301", "materials": [RULE]}
    added = site.ask("POST", "/memberships", [NEW, follows])
    assert (added.status, added.json) == (201, [show(site, "301"), show(site, "302")])
    assert (added.json[0]["fee"], added.json[1]["materials"]) == ("5.00", [RULE])
    again = site.ask("POST", "/memberships", [NEW | {"code": "303"}, NEW])
    assert again.refusal == (409, "nothing was changed; see the problems")
    assert again.json["problems"] == [
        {"where": "body", "problem": "item:2: membership 301 exists; see `membership change`"}
    ]
    assert site.ask("GET", "/memberships/303").status == 404
    assert site.audit() == [
        ("admin", "membership add", "", "", "done"),
        ("admin", "membership add", "", "", "refused"),
    ]


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ([NEW, NEW], "item:2: membership 301 is already in item:1"),
        ([NEW | {"fee": "5.001"}], "item:1: `fee`: EUR has 2 decimals"),
        ([NEW | {"fee": 5}], "item:1: `fee` must be a text in quotes, not a whole number"),
        ([NEW | {"kind": "badge"}], "item:1: "),
        ([NEW | {"colour": "red"}], "item:1: unknown key `colour`; allowed: "),
        ([{"code": "301"}], "item:1: `description` is required"),
        ([NEW | {"materials": [{}]}], "item:1: `materials.1` `material` is required"),
    ],
)
def test_what_an_import_would_refuse_is_refused_here_too(site, new, problem):
    told = site.ask("POST", "/memberships", new)
    assert told.status == 422
    assert told.json["problems"][0]["problem"].startswith(problem), told.text
    assert len(site.listed("membership", "list")) == 2


@pytest.mark.parametrize("body", [[], {}, [1], "x", None])
def test_a_body_that_is_no_list_of_definitions_is_refused(site, body):
    assert site.ask("POST", "/memberships", body).status == 422


def test_keys_are_changed_and_cleared(site):
    changes = {"max_items": 10, "hold_limit": "2.50", "materials": [RULE], "info": "new"}
    changed = site.ask("PATCH", "/memberships/201", changes)
    assert (changed.status, changed.json) == (200, show(site, "201"))
    assert {key: changed.json[key] for key in changes} == changes
    cleared = site.ask("PATCH", "/memberships/201", dict.fromkeys(changes)).json
    assert [cleared[key] for key in changes] == [0, None, [], None]
    assert cleared["description"] == "Adult"


@pytest.mark.parametrize(
    ("changes", "status", "problem"),
    [
        ({"code": "202"}, 422, "code: a membership keeps its code; add another membership"),
        ({"max_item": 1}, 422, "max_item: no such key; did you mean max_items?; allowed: "),
        ({"max_items": "10"}, 422, "max_items=10: must be a whole number without quotes"),
        ({"max_items": -1}, 422, "max_items: must be"),
        ({"hold_limit": "2.505"}, 422, "hold_limit=2.505: `hold_limit`: EUR has 2 decimals"),
        ({"description": None}, 422, "description: must be a text in quotes"),
        ({"materials": "x"}, 422, "materials=x: must be a list"),
        ({}, 422, ""),
        ({"punch_card": True}, 409, ""),
        ({"subsequent_membership": "999"}, 409, ""),
    ],
)
def test_a_change_that_does_not_fit_changes_nothing(site, changes, status, problem):
    before = show(site, "201")
    told = site.ask("PATCH", "/memberships/201", changes)
    assert told.status == status
    if problem:
        assert told.json["problems"][0]["problem"].startswith(problem), told.text
    assert show(site, "201") == before
    assert site.ask("PATCH", "/memberships/999", {"max_items": 1}).status == 404


def test_of_two_who_edit_the_same_the_second_is_told(site):
    seen = site.ask("GET", "/memberships/201").headers["etag"]
    first = site.ask("PATCH", "/memberships/201", {"max_items": 10}, headers={"if-match": seen})
    assert first.status == 200
    second = site.ask("PATCH", "/memberships/201", {"max_items": 12}, headers={"if-match": seen})
    assert second.refusal == (412, "somebody has changed it in the meantime; read it again")
    assert show(site, "201")["max_items"] == 10
    mine = {"if-match": first.headers["etag"]}
    assert site.ask("PATCH", "/memberships/201", {"max_items": 12}, headers=mine).status == 200
    assert site.ask("PATCH", "/memberships/201", {"max_items": 9}).status == 200
    assert [row[2:] for row in site.audit()] == [
        ("201", "", "done"),
        ("201", "", "refused"),
        ("201", "", "done"),
        ("201", "", "done"),
    ]


def test_not_even_between_a_look_and_a_change_is_anything_lost(site, monkeypatch):
    def somebody_is_faster(*_):
        assert site.command("membership", "change", "201", "max_items=7").exit_code == 0

    seen = site.ask("GET", "/memberships/201").headers["etag"]
    monkeypatch.setattr(memberships, "insist_on", somebody_is_faster)
    told = site.ask("PATCH", "/memberships/201", {"max_items": 9}, headers={"if-match": seen})
    assert told.refusal == (412, "somebody has changed it in the meantime; look at it again")
    assert show(site, "201")["max_items"] == 7


def test_one_is_hidden_and_offered_again(site):
    assert site.ask("POST", "/memberships/201/hide").json["hidden"] is True
    assert site.ask("POST", "/memberships/201/hide").status == 200
    assert site.ask("PATCH", "/memberships/201", {"hidden": False}).json["hidden"] is False
    assert site.ask("POST", "/memberships/999/hide").status == 404
