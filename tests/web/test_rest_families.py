"""`/relationships`: the same as the commands, for programs (B49, B50, B84, C57)."""

from typing import Any

import pytest
from programs import Site

PERSON: dict[str, Any] = {
    "kind": "patron",
    "birth_date": "1980-01-01",
    "membership": "201",
    "membership_until": "2099-12-31",
}
MADE = {"confirmed": True, "proposed_by": "staff"}
FAMILY = {"type": "head_of_family", "from": "P1", "to": "P2", "functions": [], **MADE}
TRUST = {"type": "authorisation", "from": "P3", "to": "P1", "functions": ["pay"], **MADE}
LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0},
    {**PERSON, "id": "P1", "name": "Ann", "cards": [{"number": "C1"}]},
    {**PERSON, "id": "P2", "name": "Bob", "birth_date": "2020-01-01"},
    {**PERSON, "id": "P3", "name": "Cleo"},
    {"kind": "relationship", **TRUST},
]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


def related(site, **query):
    return site.ask("GET", "/relationships", role="staff", **query).json["items"]


def test_a_family_is_proposed_confirmed_and_ended(site):
    wanted = {"type": "head_of_family", "from": "C1", "to": "P2", "confirmed": False}
    made = site.ask("POST", "/relationships", wanted, role="staff")
    assert (made.status, made.json) == (201, {**FAMILY, "confirmed": False})
    path = "/relationships/head_of_family/C1/P2"
    assert site.ask("POST", f"{path}/confirm", role="staff").json == FAMILY
    assert related(site) == [FAMILY, TRUST] == site.listed("relationship", "list")
    assert related(site, patron="P2") == [FAMILY]
    assert (site.ask("DELETE", path).status, related(site)) == (204, [TRUST])
    gone = (404, "there is no head_of_family from patron P1 to patron P2")
    assert site.ask("DELETE", path).refusal == gone
    assert site.ask("POST", f"{path}/confirm").refusal == gone
    changes = [row for row in site.audit() if row[1] != "relationship list"]
    assert [row for row in changes if row[1] == "relationship add"] == [
        ("staff", "relationship add", "", "P1", "done"),
        ("staff", "relationship add", "", "P2", "done"),
    ]
    assert [row[-1] for row in changes][4:] == ["done", "done", "refused", "refused"]


def test_relationships_come_in_pages_families_first(site):
    site.ask("POST", "/relationships", {"type": "head_of_family", "from": "P1", "to": "P2"})
    first = site.ask("GET", "/relationships", limit=1).json
    assert first["items"] == [FAMILY]
    second = site.ask("GET", "/relationships", limit=1, cursor=first["next"]).json
    assert second == {"items": [TRUST], "next": None}


@pytest.mark.parametrize(
    ("wanted", "status", "sentence"),
    [
        ({"to": "P1"}, 409, "cannot"),
        ({"from": "9"}, 404, "no patron has the id or card 9"),
        ({"functions": ["pay"]}, 409, "functions"),
        ({"type": "authorisation"}, 409, "pay"),
        ({"type": "friend"}, 422, "description"),
        ({"functions": ["lend"]}, 422, "description"),
        ({"from": ""}, 422, "description"),
        ({"from_card": "P1"}, 422, "description"),
    ],
)
def test_a_rule_that_forbids_one_is_told(site, wanted, status, sentence):
    told = site.ask(
        "POST", "/relationships", {"type": "head_of_family", "from": "P1", "to": "P2"} | wanted
    )
    assert (told.refusal[0], sentence in told.refusal[1]) == (status, True), told.text
    assert related(site) == [TRUST]


@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_paths_name_known_kinds_and_patrons(site, method):
    tail = "/confirm" if method == "POST" else ""
    assert site.ask(method, f"/relationships/friend/P1/P2{tail}").status == 422
    assert site.ask(method, f"/relationships/authorisation/P1/9{tail}").status == 404
    assert site.ask("GET", "/relationships", patron="9").status == 404
