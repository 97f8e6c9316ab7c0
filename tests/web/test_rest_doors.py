"""`/door`, `/branches`, `/review`, `/explain`: the same as the commands, for programs (B84)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from programs import Site

from sip2gw.backend.base import CirculationOrder
from sip2gw.control.client import NoGatewayError, RefusedError
from sip2gw.control.messages import Decide, Decided
from sip2gw.model import AccessRow
from sip2gw.policy.items.cases import RefusedCase
from sip2gw.policy.items.decisions import Refusal
from sip2gw.policy.items.offline import Claim
from sip2gw.policy.reasons import CirculationReason
from sip2gw.web.api import desk

LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 4},
    {
        "kind": "patron",
        "id": "P1",
        "name": "Ann Maes",
        "membership": "201",
        "cards": [{"number": "C1"}],
    },
    {"kind": "patron", "id": "P2", "name": "Bob Maes", "membership": "201"},
]
MORNING = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
"""Ten o'clock in Brussels."""


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


def store_of(site):
    """The store, and what does its work."""
    opened = site._api._opened
    return opened.desk.store, opened.desk.run


def passage(minutes: int, patron: str, direction: str = "in", reason: str = "granted") -> AccessRow:
    decision = "granted" if reason == "granted" else "refused"
    time = MORNING + timedelta(minutes=minutes)
    checks = "card=ok pin=ok"
    return AccessRow(time, "MAIN", "door-1", decision, reason, "normal", checks, patron, direction)


@pytest.fixture
def visited(site):
    """Ann is inside from 10:00 to 10:30, Bob from 10:20 on; then somebody comes too late."""
    store, run = store_of(site)

    async def pass_by() -> None:
        store.log_access(passage(0, "P1"))
        store.log_access(passage(20, "P2"))
        store.log_access(passage(30, "P1", "out"))
        store.log_access(passage(30, "P2", reason="full"))
        store.log_access(passage(70, "P1", reason="closed"))
        await store.ping()

    run(pass_by())
    return site


# The door log -----------------------------------------------------------------------------------


def test_decisions_have_the_keys_of_c21(visited):
    listed = visited.ask("GET", "/door/log", role="staff").json["items"]
    assert listed == visited.listed("door", "log")
    assert [one["reason"] for one in listed] == ["granted"] * 3 + ["full", "closed"]
    assert listed[0]["checks"] == {"card": "ok", "pin": "ok"}
    assert visited.audit() == [("staff", "door log", "", "", "done")]


def test_who_may_not_see_persons_sees_nobody(visited):
    """C176: and asks about nobody."""
    listed = visited.ask("GET", "/door/log", role="view").json["items"]
    assert [(one["reason"], one["patron"]) for one in listed[-2:]] == [
        ("full", None),
        ("closed", None),
    ]
    refused = visited.ask("GET", "/door/log", role="view", patron="C1")
    assert refused.refusal == (403, "patron needs a token with the role staff")
    assert visited.audit() == []


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ({"patron": "C1"}, ("--card", "C1")),
        ({"patron": "P2"}, ("--patron", "P2")),
        ({"reason": "full"}, ("--reason", "full")),
        ({"branch": "MAIN"}, ("--branch", "MAIN")),
        ({"since": "2026-03-04T10:20+01:00"}, ("--since", "2026-03-04T10:20+01:00")),
        ({"until": "2026-03-03"}, ("--until", "2026-03-03")),
        ({"limit": 2}, ("--limit", "2")),
    ],
)
def test_the_door_log_is_searched_as_by_command(visited, query, options):
    listed = visited.ask("GET", "/door/log", role="staff", **query).json["items"]
    assert listed == visited.listed("door", "log", *options)


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_pages_of_the_door_log_lead_back(visited, limit):
    """Those of one moment, too, are listed once."""
    whole = visited.ask("GET", "/door/log").json["items"]
    found, query = list[Any](), dict[str, Any]()
    while True:
        page = visited.ask("GET", "/door/log", limit=limit, **query).json
        found = page["items"] + found
        if page["next"] is None:
            break
        query = {"cursor": page["next"]}
    assert found == whole


@pytest.mark.parametrize(
    "key",
    [
        ["soon", "1"],
        ["2026"],
        [],
        ["0001-01-01T00:00:00+23:00", "1"],
        ["2026-03-04", "\0"],
        [1, 2],
        "x",
    ],
)
def test_a_cursor_that_is_none_of_ours_is_refused(visited, key):
    cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).decode()
    for path in ("/door/log", "/payments", "/audit"):
        assert visited.ask("GET", path, cursor=cursor).status == 422, path


def test_decisions_are_counted_for_everybody(visited):
    counted = visited.ask("GET", "/door/stats", role="view").json["items"]
    assert counted == visited.listed("door", "stats")
    assert [(one["reason"], one["count"]) for one in counted] == [
        ("full", 1),
        ("granted", 3),
        ("closed", 1),
    ]
    outwards = visited.ask("GET", "/door/stats", role="view", direction="out").json["items"]
    assert [one["count"] for one in outwards] == [1]


# Who was inside ---------------------------------------------------------------------------------

SPAN = {"branch": "MAIN", "from": "2026-03-04T10:25", "to": "2026-03-04"}


def test_who_was_inside_appears_under_a_pseudonym(visited):
    inside = visited.ask("GET", "/door/inside", role="staff", **SPAN).json["items"]
    assert inside == visited.listed(
        "door", "inside", "--branch", "MAIN", "--from", SPAN["from"], "--to", SPAN["to"]
    )
    assert len(inside) == 2
    assert "P1" not in str(inside)
    first = visited.ask("GET", "/door/inside", role="staff", limit=1, **SPAN).json
    rest = visited.ask("GET", "/door/inside", role="staff", cursor=first["next"], **SPAN).json
    assert first["items"] + rest["items"] == inside
    assert visited.audit() == [("staff", "door inside", "MAIN", "", "done")] * 3


def test_those_who_came_in_together_are_listed_each_once(site):
    store, run = store_of(site)

    async def come_in() -> None:
        store.log_access(passage(20, "P1"))
        store.log_access(passage(20, "P2"))
        await store.ping()

    run(come_in())
    whole = site.ask("GET", "/door/inside", **SPAN).json["items"]
    first = site.ask("GET", "/door/inside", limit=1, **SPAN).json
    second = site.ask("GET", "/door/inside", limit=1, cursor=first["next"], **SPAN).json
    assert first["items"] + second["items"] == whole
    assert (len(whole), second["next"]) == (2, None)


def test_who_asks_for_names_is_written_down_for_good(visited):
    inside = visited.ask("GET", "/door/inside", role="staff", reveal="true", **SPAN).json["items"]
    assert [(one["patron"], one["name"]) for one in inside] == [
        ("P1", "Ann Maes"),
        ("P2", "Bob Maes"),
    ]
    (reveal,) = visited.listed("door", "reveals")
    assert (reveal["user"], reveal["branch"], reveal["people"]) == ("staff", "MAIN", 2)


def test_who_asked_for_names_is_listed_for_admins(visited):
    """C76: oldest first; the list itself is about nobody who was inside."""
    for branch in ("MAIN", "EAST", "MAIN"):
        visited.ask(
            "GET", "/door/inside", role="staff", reveal="true", **{**SPAN, "branch": branch}
        )
    before = visited.audit()
    whole = visited.ask("GET", "/door/reveals").json["items"]
    assert whole == visited.listed("door", "reveals")
    assert [(one["branch"], one["people"]) for one in whole] == [
        ("MAIN", 2),
        ("EAST", 0),
        ("MAIN", 2),
    ]
    first = visited.ask("GET", "/door/reveals", limit=2).json
    rest = visited.ask("GET", "/door/reveals", limit=2, cursor=first["next"]).json
    assert (first["items"] + rest["items"], rest["next"]) == (whole, None)
    assert visited.audit() == before


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"branch": "NONE"}, 404),
        ({"from": "soon"}, 422),
        ({"to": "2026-03-03"}, 422),
    ],
)
def test_nobody_was_inside_of_what_does_not_exist(visited, changes, status):
    assert visited.ask("GET", "/door/inside", **{**SPAN, **changes}).status == status


# A decision by HTTP -----------------------------------------------------------------------------


class Gateway:
    """A control socket on which one answer comes."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, list[Any]()

    def __call__(self, path: Any) -> Gateway:
        return self

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, request: Any, within_s: float) -> Any:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def gateway(monkeypatch):
    def answering(answer: Any) -> Gateway:
        played = Gateway(answer)
        monkeypatch.setattr(desk, "Control", played)
        return played

    return answering


ANN = {"terminal": "door-1", "card": "C1", "pin": "4711"}


def test_the_gateway_decides(site, gateway):
    """C140; the door log has it, and so the audit log does not."""
    played = gateway(Decided("refused", "no_badge", "No access."))
    told = site.ask("POST", "/door/decide", {**ANN, "direction": "in"}, role="staff")
    assert told.json == {"decision": "refused", "reason": "no_badge", "text": "No access."}
    assert played.asked == [Decide("door-1", "C1", "4711", "in")]
    site.ask("POST", "/door/decide", {"terminal": "door-1", "card": ""}, role="staff")
    assert played.asked[1] == Decide("door-1", "", None, None)
    assert site.audit() == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (RefusedError("no terminal of that name is configured"), 404),
        (RefusedError("the door leads in; name the one that leads out"), 409),
        (NoGatewayError("no answer"), 503),
    ],
)
def test_without_a_decision_the_door_stays_shut(site, gateway, answer, status):
    gateway(answer)
    told = site.ask("POST", "/door/decide", ANN, role="staff")
    assert told.refusal[0] == status
    assert "4711" not in told.text


@pytest.mark.parametrize(
    "body",
    [
        {"terminal": "door-1"},
        {**ANN, "pin": 4711},
        {**ANN, "direction": "up4711"},
        {**ANN, "pin": "4711" * 300},
        {**ANN, "card": "4711" * 300},
        {**ANN, "extra": "4711"},
        b'{"terminal": "door-1", "card": "\\ud800", "pin": "4711"}',
        b'{"terminal": "door-1", "pin": "4711"',
    ],
)
def test_what_is_no_question_is_not_put_and_not_repeated(site, gateway, body):
    played = gateway(Decided("granted", "granted", ""))
    told = site.ask("POST", "/door/decide", body, role="staff")
    assert (told.refusal[0], played.asked) == (422, [])
    assert "4711" not in told.text


def test_decisions_do_not_wait_for_what_takes_a_while(site, gateway, monkeypatch):
    """Traces and reloads have their own places; too many decisions at once are told so."""
    gateway(Decided("granted", "granted", "Welcome."))
    monkeypatch.setattr(desk, "ANSWER_WITHIN_S", 0.01)
    rooms = site._api._opened.desk
    for _ in range(desk.ASKING_MAX):
        assert rooms._asking.acquire(timeout=0)
    assert site.ask("POST", "/door/decide", ANN).status == 200
    for _ in range(desk.DECIDING_MAX):
        assert rooms._deciding.acquire(timeout=0)
    assert site.ask("POST", "/door/decide", ANN).status == 503


# Branches ---------------------------------------------------------------------------------------


def now_at(site, branch="MAIN"):
    told = site.ask("GET", f"/branches/{branch}", role="view").json
    return told["state"], told["changed"], told["reason"], told["user"]


def test_a_branch_is_closed_opened_and_as_configured_again(site):
    closed = site.ask(
        "POST", "/branches/MAIN/close", {"until": "2099-01-01", "reason": " storm "}, role="staff"
    )
    assert closed.status == 200
    assert now_at(site) == ("closed", True, "storm", "staff")
    assert closed.json["until"] == "2099-01-02T00:00:00+01:00"
    opened = site.ask("POST", "/branches/MAIN/open", {}, role="staff").json
    since, until = (datetime.fromisoformat(opened[name]) for name in ("since", "until"))
    assert until.isoformat() == f"{since.date() + timedelta(days=1)}T00:00:00{opened['until'][-6:]}"
    assert now_at(site) == ("unstaffed", True, "", "staff")
    listed = site.ask("GET", "/branches", role="view").json["items"]
    assert sorted(site.listed("branch", "list"), key=lambda one: one["branch"]) == listed
    assert site.ask("POST", "/branches/MAIN/reset", role="staff").json["changed"] is False
    again = site.ask("POST", "/branches/MAIN/reset", role="staff")
    assert again.refusal == (409, "branch MAIN has its configured hours already")
    changes = site.ask("GET", "/branches/MAIN/changes", role="view").json["items"]
    assert changes == site.listed("branch", "list", "--history", "MAIN")
    assert [one["state"] for one in changes][:2] == ["closed", "unstaffed"]
    assert [row[1:3] + row[-1:] for row in site.audit()] == [
        ("branch close", "MAIN", "done"),
        ("branch open", "MAIN", "done"),
        ("branch reset", "MAIN", "done"),
        ("branch reset", "MAIN", "refused"),
    ]


def test_who_saw_other_hours_is_told_so(site):
    seen = {"if-match": site.ask("GET", "/branches/MAIN").headers["etag"]}
    assert site.ask("POST", "/branches/MAIN/close", {}, headers=seen).status == 200
    for action in ("close", "open"):
        assert site.ask("POST", f"/branches/MAIN/{action}", {}, headers=seen).status == 412
    assert site.ask("POST", "/branches/MAIN/reset", headers=seen).status == 412
    assert now_at(site)[0] == "closed"


@pytest.mark.parametrize(
    ("until", "status"), [("25:00", 422), ("later", 422), ("00:00", 409), ("2020-01-01", 409)]
)
def test_hours_that_end_never_or_already_are_refused(site, until, status):
    assert site.ask("POST", "/branches/MAIN/close", {"until": until}).status == status
    assert now_at(site)[1] is False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/branches/NONE"),
        ("GET", "/branches/NONE/changes"),
        ("POST", "/branches/NONE/close"),
        ("POST", "/branches/NONE/open"),
        ("POST", "/branches/NONE/reset"),
    ],
)
def test_a_branch_that_is_not_configured_is_not_found(site, method, path):
    assert site.ask(method, path, {}).refusal[0] == 404


# Reviews ----------------------------------------------------------------------------------------


@pytest.fixture
def refused(site):
    """A kiosk has told of two loans of nothing."""
    store, run = store_of(site)
    for minute in range(2):
        order = CirculationOrder(
            code="11",
            terminal="kiosk-1",
            item_id=f"I{minute}",
            patron_id="P1",
            now=MORNING + timedelta(minutes=minute),
            case=RefusedCase(Refusal((CirculationReason.UNKNOWN_ITEM,))),
            claim=Claim(believed=True),
        )
        run(store.circulate(order))
    return site


def test_entries_are_listed_shown_and_closed(refused):
    first, second = refused.ask("GET", "/review", role="staff").json["items"]
    assert [first, second] == refused.listed("review", "list")
    path = f"/review/{first['id']}"
    shown = refused.ask("GET", path, role="staff")
    assert [shown.json] == refused.listed("review", "show", first["id"])
    note = {"note": "stands on the shelf"}
    closed = refused.ask("POST", f"{path}/close", note, role="staff").json
    assert (closed["state"], closed["note"], closed["closed_by"]) == (
        "closed",
        *note.values(),
        "staff",
    )
    assert refused.ask("POST", f"{path}/close", {}, role="staff").status == 409
    left = refused.ask("GET", "/review", role="staff", open="true").json["items"]
    assert left == [second]
    assert refused.audit()[2:4] == [
        ("staff", "review close", first["id"], "", "done"),
        ("staff", "review close", first["id"], "", "refused"),
    ]


def test_the_message_about_an_entry_is_closed_with_it(refused):
    """Also one that nobody had opened yet (C165)."""
    (first, _) = refused.ask("GET", "/review").json["items"]
    refused.ask("POST", f"/review/{first['id']}/close", {"note": "seen"})
    by_library, opened = "X", "A"
    statuses = [one["status"] for one in refused.listed("support", "list")]
    assert statuses == [by_library, opened]


def test_who_saw_another_entry_is_told_so(refused):
    (first, _) = refused.ask("GET", "/review").json["items"]
    path = f"/review/{first['id']}"
    seen = {"if-match": refused.ask("GET", path).headers["etag"]}
    refused.command("review", "close", first["id"])
    assert refused.ask("POST", f"{path}/close", {}, headers=seen).status == 412


def test_an_entry_that_does_not_exist_is_not_found(site):
    assert site.ask("GET", "/review/X").refusal[0] == 404
    assert site.ask("POST", "/review/X/close", {}).refusal[0] == 404


# Explanations -----------------------------------------------------------------------------------


def test_an_explanation_is_that_of_the_command(site):
    told = site.ask("GET", "/explain", role="staff", terminal="kiosk-1", card="C1").json
    checks = told.pop("checks")
    said = site.listed("explain", "--terminal", "kiosk-1", "--card", "C1")
    for outcome in (told, said[-1]):  # a second may have passed
        outcome["answer"] = outcome["answer"][:2]
    assert [*checks, told] == said
    assert told["decision"] == "granted"
    assert site.audit() == [("staff", "explain", "", "P1", "done")]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"terminal": "none", "card": "C1"}, 404),
        ({"terminal": "kiosk-1"}, 422),
        ({"terminal": "kiosk-1", "card": "C1", "message": "11"}, 422),
        ({"terminal": "kiosk-1", "card": "C1", "message": "63", "item": "I"}, 422),
        ({"terminal": "kiosk-1", "card": "C1", "message": "37"}, 422),
        ({"terminal": "kiosk-1", "card": "C1", "at": "soon"}, 422),
        ({"terminal": "kiosk-1", "card": "C1", "address": "here"}, 422),
        ({"card": "C1"}, 422),
    ],
)
def test_what_makes_no_sense_is_not_explained(site, query, status):
    assert site.ask("GET", "/explain", **query).refusal[0] == status


def test_a_library_system_that_is_away_explains_nothing(tmp_path):
    site = Site(tmp_path, *LIBRARY, behind=True)
    site.config.write_text(site.config.read_text().replace("ils.example:6001", "127.0.0.1:9"))
    site.reload()
    told = site.ask("GET", "/explain", terminal="kiosk-1", card="C1")
    site.close()
    assert told.refusal == (503, "the library system does not answer")


# Who may ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/door/log", "view"),
        ("GET", "/door/stats", "view"),
        ("GET", "/door/inside", "staff"),
        ("GET", "/door/reveals", "admin"),
        ("POST", "/door/decide", "staff"),
        ("GET", "/branches", "view"),
        ("GET", "/branches/MAIN", "view"),
        ("GET", "/branches/MAIN/changes", "view"),
        ("POST", "/branches/MAIN/close", "staff"),
        ("POST", "/branches/MAIN/open", "staff"),
        ("POST", "/branches/MAIN/reset", "staff"),
        ("GET", "/review", "staff"),
        ("GET", "/review/X", "staff"),
        ("POST", "/review/X/close", "staff"),
        ("GET", "/explain", "staff"),
        ("GET", "/upstream/journal", "staff"),
        ("GET", "/upstream/status", "view"),
        ("GET", "/payments/totals", "view"),
        ("GET", "/payments/refused", "staff"),
        ("GET", "/payments/reconcile", "staff"),
        ("GET", "/payments/surpluses", "staff"),
        ("POST", "/payments/surpluses/X/refund", "staff"),
        ("GET", "/payments/errors", "staff"),
        ("GET", "/payments/export", "staff"),
        ("POST", "/payments/export/X/done", "staff"),
        ("POST", "/payments/X/settle", "staff"),
    ],
)
def test_each_has_its_role(site, method, path, needed):
    for role in {"view": ["self"], "staff": ["view", "self"], "admin": ["staff"]}[needed]:
        told = site.ask(method, path, {}, role=role)
        assert told.refusal == (403, f"this needs a token with the role {needed}; yours has {role}")
    assert site.audit() == []
    if path != "/upstream/status":  # the gateway that is played knows none
        assert site.ask(method, path, {}, role=needed).status in (200, 404, 409, 422)
