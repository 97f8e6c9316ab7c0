"""`/door/bars`, `/door/passes`: the same as the commands, for programs (B84, C10, C11)."""

from __future__ import annotations

from typing import Any

import pytest
from programs import Site

LIBRARY: list[dict[str, Any]] = [
    {"kind": "patron", "id": "P1", "name": "Ann Maes", "cards": [{"number": "C1"}]},
    {"kind": "patron", "id": "P2", "name": "Bob Maes", "cards": [{"number": "C2"}]},
]
LISTS = """\
[branches.MAIN]
bar = [{ card = "C2", until = 2099-01-31 }, { card = "A9" }]
pass = [
    { card = "C2", days = ["sun"] },
    { card = "C2", days = ["mon"], from = "05:00", to = "07:00" },
]
"""
BOTH = pytest.mark.parametrize(("path", "kind"), [("/door/bars", "bar"), ("/door/passes", "pass")])


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


@pytest.fixture
def listing(site):
    """With lists in the file, too."""
    site.config.write_text(site.config.read_text().replace("[branches.MAIN]\n", LISTS))
    site.reload()
    return site


def cards(site, kind):
    """Where in the store's list which card is, as the command says."""
    listed = site.listed("door", kind, "list")
    return [(one["branch"], one["card"]) for one in listed if one["source"] == "store"]


# Bars -------------------------------------------------------------------------------------------


def test_a_card_is_barred_and_let_in_again(site):
    wanted = {"card": "C1", "branch": "MAIN", "until": "2099-12-31", "note": "shouted"}
    added = site.ask("POST", "/door/bars", wanted, role="staff")
    assert (added.status, added.json) == (201, {**wanted, "source": "store"})
    assert site.listed("door", "bar", "list") == [added.json]
    removed = site.ask("DELETE", "/door/bars/C1", role="staff", branch="MAIN")
    assert (removed.status, removed.text) == (204, "")
    assert site.listed("door", "bar", "list") == []
    assert site.audit() == [
        ("staff", "door bar add", "MAIN", "P1", "done"),
        ("staff", "door bar remove", "MAIN", "P1", "done"),
    ]


@BOTH
def test_without_a_branch_it_is_every_branch(site, path, kind):
    """`*` says the same."""
    site.ask("POST", path, {"card": "C1", "branch": "EAST"})
    for new, query in (({}, {}), ({"branch": None}, {}), ({"branch": "*"}, {"branch": "*"})):
        assert site.ask("POST", path, {"card": "C1", **new}).json["branch"] == "*"
        assert cards(site, kind) == [("*", "C1"), ("EAST", "C1")]
        assert site.ask("DELETE", f"{path}/C1", **query).status == 204
        assert cards(site, kind) == [("EAST", "C1")]


@BOTH
def test_adding_a_card_again_replaces_its_entry(site, path, kind):
    site.ask("POST", path, {"card": "C1", "note": "old"})
    told = site.ask("POST", path, {"card": "C1", "note": "new", "until": "2099-12-31"}).json
    assert site.listed("door", kind, "list") == [told]
    assert (told["note"], told["until"]) == ("new", "2099-12-31")


# Passes -----------------------------------------------------------------------------------------


def test_a_pass_has_its_days_and_hours(site):
    hours = {"days": ["mon", "tue"], "from": "05:00", "to": "07:00"}
    told = site.ask("POST", "/door/passes", {"card": "C1", **hours}, role="staff").json
    rest = {"branch": "*", "card": "C1", "until": None, "note": "", "source": "store"}
    assert told == {**rest, **hours}
    assert site.listed("door", "pass", "list") == [told]
    always = site.ask("POST", "/door/passes", {"card": "C1"}).json
    assert always["days"] == ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    assert (always["from"], always["to"]) == ("00:00", "24:00")
    assert site.ask("DELETE", "/door/passes/C1", role="staff").status == 204
    assert cards(site, "pass") == []
    assert [row[1:] for row in site.audit()] == [
        ("door pass add", "", "P1", "done"),
        ("door pass add", "", "P1", "done"),
        ("door pass remove", "", "P1", "done"),
    ]


@pytest.mark.parametrize(
    "hours",
    [
        {"days": []},
        {"days": ["mon", "mon"]},
        {"days": ["someday"]},
        {"from": "24:00"},
        {"from": "5"},
        {"to": "24:01"},
    ],
)
def test_hours_that_are_none_are_refused(site, hours):
    told = site.ask("POST", "/door/passes", {"card": "C1", **hours})
    assert told.refusal == (422, "the request is not what the description says")
    assert told.json["problems"][0]["where"].startswith(f"body.{next(iter(hours))}")
    assert cards(site, "pass") == []


# Lists ------------------------------------------------------------------------------------------


@BOTH
def test_a_list_is_that_of_the_command(listing, path, kind):
    """First the store's, then the file's; cards of the file may stand there several times."""
    for card in ("C2", "C1"):
        listing.ask("POST", path, {"card": card, "branch": "MAIN"})
    whole = listing.ask("GET", path, role="staff").json
    said = listing.listed("door", kind, "list")
    assert whole["items"][:2] == said[:2]
    assert sorted(whole["items"], key=str) == sorted(said, key=str)
    assert [one["source"] for one in whole["items"]] == ["store"] * 2 + ["file"] * 2
    assert ("staff", f"door {kind} list", "", "", "done") in listing.audit()


@BOTH
def test_a_list_comes_in_pages(listing, path, kind):
    for card in ("C1", "C2"):
        listing.ask("POST", path, {"card": card, "branch": "MAIN"})
    whole = listing.ask("GET", path).json["items"]
    found, query = list[Any](), dict[str, Any]()
    for _ in whole:
        page = listing.ask("GET", path, limit=1, **query).json
        found += page["items"]
        query = {"cursor": page["next"]}
    assert found == whole
    assert (len(found), page["next"]) == (4, None)
    assert listing.ask("GET", path, cursor="x").status == 422


def test_the_longest_card_has_a_cursor_too(site):
    """Of letters that take four bytes each."""
    for letter in ("\U0001d4d0", "\U0001d4d1"):
        new = {"card": letter * 100, "force": True}
        assert site.ask("POST", "/door/bars", new).status == 201
    first = site.ask("GET", "/door/bars", limit=1).json
    second = site.ask("GET", "/door/bars", limit=1, cursor=first["next"]).json
    assert [one["card"][0] for one in first["items"] + second["items"]] == [
        "\U0001d4d0",
        "\U0001d4d1",
    ]


@BOTH
def test_a_list_may_be_of_one_branch(listing, path, kind):
    listing.ask("POST", path, {"card": "C1"})
    listing.ask("POST", path, {"card": "C2", "branch": "EAST"})
    for branch, count in (("EAST", 1), ("MAIN", 2), ("*", 1)):
        items = listing.ask("GET", path, branch=branch).json["items"]
        assert {one["branch"] for one in items} == {branch}
        assert len(items) == count
    assert ("admin", f"door {kind} list", "EAST", "", "done") in listing.audit()


@BOTH
def test_a_slip_of_the_pen_does_not_look_like_an_empty_list(site, path, kind):
    """But an entry of a branch that is no more can be seen and removed."""
    for branch in ("EAST", "*"):
        assert site.ask("GET", path, branch=branch).json["items"] == []
    no_branch = (404, "no branch has this code; see /api/v1/branches")
    assert site.ask("GET", path, branch="EATS").refusal == no_branch
    site.ask("POST", path, {"card": "C1", "branch": "EAST"})
    site.config.write_text(site.config.read_text().replace("[branches.EAST]\n", ""))
    site.reload()
    (left,) = site.ask("GET", path, branch="EAST").json["items"]
    assert left["card"] == "C1"
    assert site.ask("DELETE", f"{path}/C1", branch="EAST").status == 204


# What is refused --------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"card": "C9"}, "nobody in the store has card C9"),
        ({"card": "C1", "until": "2020-01-31"}, "the last day 2020-01-31 is past"),
    ],
)
def test_an_entry_without_effect_is_refused_unless_forced(site, path, kind, entry, why):
    refused = site.ask("POST", path, entry)
    assert refused.status == 409
    assert why in refused.refusal[1]
    assert cards(site, kind) == []
    assert site.ask("POST", path, {**entry, "force": True}).status == 201
    assert cards(site, kind) == [("*", entry["card"])]
    assert [(row[1], row[-1]) for row in site.audit()] == [
        (f"door {kind} add", "refused"),
        (f"door {kind} add", "done"),
    ]


@BOTH
def test_in_front_of_a_library_system_a_number_is_enough(tmp_path, path, kind):
    """B72: our store need not know whose it is; nor does the audit log."""
    site = Site(tmp_path, *LIBRARY, behind=True)
    try:
        assert site.ask("POST", path, {"card": "C9"}).status == 201
        assert cards(site, kind) == [("*", "C9")]
        assert site.ask("DELETE", f"{path}/C9").status == 204
        assert [row[1:] for row in site.audit()] == [
            (f"door {kind} add", "", "", "done"),
            (f"door {kind} remove", "", "", "done"),
        ]
    finally:
        site.close()


@BOTH
@pytest.mark.parametrize(
    ("entry", "status"),
    [
        ({"card": "C1", "branch": "NORTH"}, 404),
        ({}, 422),
        ({"card": ""}, 422),
        ({"card": " "}, 422),
        ({"card": "C" * 101}, 422),
        ({"card": "C1", "until": "soon"}, 422),
        ({"card": "C1", "until": 20991231}, 422),
        ({"card": "C1", "note": "x" * 2_001}, 422),
        ({"card": "C1", "colour": "red"}, 422),
    ],
)
def test_what_can_be_no_entry_is_refused(site, path, kind, entry, status):
    assert site.ask("POST", path, entry).refusal[0] == status
    assert cards(site, kind) == []


@BOTH
def test_a_card_that_is_not_on_the_list_is_not_found(site, path, kind):
    """Also if it is on the list of another branch; removing it twice changes nothing more."""
    site.ask("POST", path, {"card": "C1", "branch": "EAST"})
    assert site.ask("DELETE", f"{path}/C1", branch="MAIN").refusal == (
        404,
        f"the store's {kind} list for branch MAIN does not have card C1;"
        f" `door {kind} list` shows where it is",
    )
    assert cards(site, kind) == [("EAST", "C1")]
    assert site.audit()[-1] == ("admin", f"door {kind} remove", "MAIN", "P1", "refused")


@BOTH
def test_each_has_its_role(site, path, kind):
    for method, where in (("GET", path), ("POST", path), ("DELETE", f"{path}/C1")):
        for role in ("view", "self"):
            told = site.ask(method, where, {"card": "C1"}, role=role)
            assert told.refusal == (
                403,
                f"this needs a token with the role staff; yours has {role}",
            )
    assert site.audit() == []
    assert site.ask("POST", path, {"card": "C1"}, role="staff").status == 201
    assert site.ask("GET", path, role="staff").status == 200
    assert site.ask("DELETE", f"{path}/C1", role="staff").status == 204
