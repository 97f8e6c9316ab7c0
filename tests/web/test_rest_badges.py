"""`/badges` and who has them: the same as the commands, for programs (B22, B65, B84, C165)."""

from typing import Any

import pytest
from programs import Site

from sip2gw.web.api.resources.members import badges

LIBRARY: list[dict[str, Any]] = [
    {"kind": "badge", "code": "ONBE", "name": "Open library", "branches": ["MAIN", "EAST"]},
    {"kind": "badge", "code": "STUD", "name": "Study room", "active": False},
    {"kind": "patron", "id": "P1", "name": "Ann Maes", "cards": [{"number": "C1"}]},
    {"kind": "patron", "id": "P2", "name": "Bob Maes", "badges": ["ONBE", "STUD"]},
    {"kind": "patron", "id": "P3", "name": "Cleo Peeters"},
]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


def held(site, patron_id):
    return site.ask("GET", f"/patrons/{patron_id}/badges").json["items"]


def test_badges_are_listed_with_the_keys_of_c21(site):
    listed = site.ask("GET", "/badges", role="view").json["items"]
    assert listed == site.listed("badge", "list")
    assert listed[0] == {"code": "ONBE", "name": "Open library", "active": True}
    assert site.audit() == []


# Definitions ------------------------------------------------------------------------------------


def test_a_badge_is_defined_and_changed(site):
    new = {"name": "Maker space", "description": "3-D printers", "from": "2026-01-01"}
    made = site.ask("PUT", "/badges/MAKE", new)
    shown = site.ask("GET", "/badges/MAKE", role="view")
    whole = {"code": "MAKE", "active": True, "until": None, **new}
    assert (made.status, made.json, shown.json) == (200, whole, whole)
    assert made.headers["etag"] == shown.headers["etag"]
    changed = site.ask("PUT", "/badges/MAKE", {"name": "Lab", "until": "2026-12-31"}).json
    assert (changed["name"], changed["description"]) == ("Lab", "")
    assert (changed["from"], changed["until"]) == ("2026-01-01", "2026-12-31")
    assert site.ask("PUT", "/badges/MAKE", {"name": "Lab", "from": None}).json["from"] is None
    assert site.audit() == [("admin", "badge define", "MAKE", "", "done")] * 3


def test_who_saw_another_badge_is_told_so(site):
    seen = site.ask("GET", "/badges/ONBE").headers["etag"]
    mine = {"if-match": seen}
    assert site.ask("PUT", "/badges/ONBE", {"name": "A"}, headers=mine).status == 200
    refused = site.ask("PUT", "/badges/ONBE", {"name": "B"}, headers=mine)
    assert refused.refusal == (412, "somebody has changed it in the meantime; read it again")
    assert site.ask("GET", "/badges/ONBE").json["name"] == "A"
    assert site.ask("PUT", "/badges/NEW", {"name": "N"}, headers=mine).status == 404
    assert [row[-1] for row in site.audit()] == ["done", "done", "refused", "refused"]


def test_not_even_between_a_look_and_a_change_is_anything_lost(site, monkeypatch):
    def somebody_is_faster(*_):
        assert site.command("badge", "define", "ONBE", "--name", "A").exit_code == 0

    seen = site.ask("GET", "/badges/ONBE").headers["etag"]
    monkeypatch.setattr(badges, "insist_on", somebody_is_faster)
    told = site.ask("PUT", "/badges/ONBE", {"name": "B"}, headers={"if-match": seen})
    assert told.refusal == (412, "somebody has changed it in the meantime; look at it again")
    assert site.ask("GET", "/badges/ONBE").json["name"] == "A"


@pytest.mark.parametrize(
    ("code", "values", "status"),
    [
        ("MAKE", {}, 422),
        ("MAKE", {"name": "x" * 2_001}, 422),
        ("MAKE", {"name": "x", "from": "1 May"}, 422),
        ("MAKE", {"name": "x", "colour": "red"}, 422),
        ("MAKE", {"name": "x", "from": "2026-05-02", "until": "2026-05-01"}, 409),
        ("A|B", {"name": "x"}, 409),
        ("12345678901", {"name": "x"}, 422),
    ],
)
def test_what_can_be_no_badge_is_refused(site, code, values, status):
    assert site.ask("PUT", f"/badges/{code}", values).status == status
    assert len(site.listed("badge", "list")) == 2


def test_a_badge_is_shown_to_terminals_and_hidden(site):
    assert site.ask("POST", "/badges/STUD/activate").json["active"] is True
    assert site.ask("POST", "/badges/STUD/deactivate").json["active"] is False
    for what in ("activate", "deactivate"):
        assert site.ask("POST", f"/badges/NONE/{what}").refusal == (
            404,
            "there is no badge NONE; see `badge list`",
        )
    assert site.ask("GET", "/badges/NONE").status == 404


# Assignments ------------------------------------------------------------------------------------


def test_a_patron_gets_a_badge_and_loses_it(site):
    terms = {"from": "2026-01-01", "until": "2099-12-31", "branches": ["EAST"]}
    given = site.ask(
        "PUT", "/patrons/C1/badges/ONBE", {**terms, "reason": "course"}, role="staff"
    ).json
    change = {"action": "assigned", "code": "ONBE", "patron": "P1", **terms}
    assert given == {
        "assigned": 1,
        "changed": 0,
        "unchanged": 0,
        "changes": [change],
        "dry_run": False,
    }
    assert held(site, "P1") == [{"code": "ONBE", "active": True, **terms}]
    again = site.ask("PUT", "/patrons/P1/badges/ONBE", terms).json
    assert (again["unchanged"], again["changes"]) == (1, [])
    assert site.ask("DELETE", "/patrons/C1/badges/ONBE", reason="lost").status == 204
    assert held(site, "P1") == []
    assert site.ask("DELETE", "/patrons/C1/badges/ONBE").refusal == (
        404,
        "patron P1 does not have badge ONBE",
    )
    history = site.ask("GET", "/badge-history", patron="C1", role="staff").json["items"]
    assert history == site.listed("badge", "history", "--patron", "P1")
    assert [(one["user"], one["action"], one["reason"]) for one in history] == [
        ("staff", "assigned", "course"),
        ("admin", "unassigned", "lost"),
    ]
    assert [row for row in site.audit() if row[1].endswith("assign")] == [
        ("staff", "badge assign", "ONBE", "P1", "done"),
        ("admin", "badge assign", "ONBE", "P1", "done"),
        ("admin", "badge unassign", "ONBE", "P1", "done"),
        ("admin", "badge unassign", "ONBE", "P1", "refused"),
    ]


@pytest.mark.parametrize(
    ("path", "terms", "refusal", "problem"),
    [
        ("/patrons/9/badges/ONBE", {}, 404, ""),
        ("/patrons/P1/badges/NONE", {}, 404, ""),
        (
            "/patrons/P1/badges/ONBE",
            {"branches": ["NORTH"]},
            409,
            "no branch NORTH; configured: MAIN, EAST",
        ),
        (
            "/patrons/P1/badges/ONBE",
            {"from": "2026-05-02", "until": "2026-05-01"},
            409,
            "until 2026-05-01 is before from 2026-05-02",
        ),
        ("/patrons/P1/badges/ONBE", {"from": 20260502}, 422, ""),
    ],
)
def test_a_badge_that_cannot_be_given_is_not(site, path, terms, refusal, problem):
    told = site.ask("PUT", path, terms)
    assert told.status == refusal
    if problem:
        assert told.json["problems"] == [{"where": "body", "problem": problem}]
    assert held(site, "P1") == []


def test_everybody_in_a_list_gets_a_badge(site):
    """C165: and doing it again changes nothing."""
    patrons = [{"patron": "C1"}, {"patron": "P2", "until": "2099-01-01"}, {"patron": "P1"}]
    wanted = {"patrons": patrons, "reason": "class 3b"}
    tried = site.ask("POST", "/badges/ONBE/assign", {**wanted, "dry_run": True}).json
    assert held(site, "P1") == []
    done = site.ask("POST", "/badges/ONBE/assign", wanted).json
    assert (done["assigned"], done["changed"], done["unchanged"]) == (1, 1, 0)
    assert {**done, "dry_run": True} == tried
    again = site.ask("POST", "/badges/ONBE/assign", wanted).json
    assert (again["unchanged"], again["changes"]) == (2, [])
    assert [row[3:] for row in site.audit() if row[1] == "badge assign"] == [
        ("", "rehearsed"),
        ("", "done"),
        ("P1", "done"),
        ("P2", "done"),
        ("", "done"),
    ]


def test_or_nobody_does(site):
    patrons = [
        {"patron": "P1"},
        {"patron": "9"},
        {"patron": "P3", "branches": ["NORTH"]},
        {"patron": "C1", "from": "2026-01-01"},
    ]
    told = site.ask("POST", "/badges/ONBE/assign", {"patrons": patrons})
    assert told.refusal == (409, "nothing was changed; see the problems")
    assert told.json["problems"] == [
        {"where": "body.patrons.1", "problem": "no patron has the id or card 9"},
        {"where": "body.patrons.2", "problem": "no branch NORTH; configured: MAIN, EAST"},
        {
            "where": "body.patrons.3",
            "problem": "patron P1 has other dates or branches in body.patrons.0",
        },
    ]
    assert held(site, "P1") == held(site, "P3") == []
    assert site.ask("POST", "/badges/ONBE/assign", {"patrons": []}).status == 422
    assert site.ask("POST", "/badges/NONE/assign", {"patrons": [{"patron": "P1"}]}).status == 404
    assert ("admin", "badge assign", "ONBE", "", "refused") in site.audit()


# Reports ----------------------------------------------------------------------------------------


def test_holders_are_reported_as_by_the_command(site):
    site.ask("PUT", "/patrons/P1/badges/ONBE", {"until": "2020-01-01"})
    whole = site.ask("GET", "/badge-holders", role="staff").json["items"]
    assert whole == site.listed("badge", "report")
    assert [(one["code"], one["patron"], one["expired"]) for one in whole] == [
        ("ONBE", "P1", True),
        ("ONBE", "P2", False),
        ("STUD", "P2", False),
    ]
    one = site.ask("GET", "/badge-holders", code="STUD").json["items"]
    assert one == site.listed("badge", "report", "STUD")
    assert site.ask("GET", "/badge-holders", expiring=9).json["items"] == []
    assert site.ask("GET", "/badge-holders", code="NONE").status == 404
    assert site.ask("GET", "/badge-holders", expiring=-1).status == 422


def test_holders_and_history_come_in_pages(site):
    """Also when an import has changed several assignments in one moment."""
    for path, key in (("/badge-holders", "patron"), ("/badge-history", "action")):
        whole = site.ask("GET", path).json["items"]
        first = site.ask("GET", path, limit=1).json
        second = site.ask("GET", path, limit=1, cursor=first["next"]).json
        assert first["items"] + second["items"] == whole
        assert (len(whole), second["next"]) == (2, None)
        assert all(key in one for one in whole)


@pytest.mark.parametrize("query", [{"code": "NONE"}, {"patron": "9"}])
def test_a_history_of_nothing_is_not_found(site, query):
    assert site.ask("GET", "/badge-history", **query).status == 404
