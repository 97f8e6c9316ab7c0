"""What the proof `rest` judges, shown answers that must not be; it runs with schemathesis only."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from proofs.canary import PIN
from proofs.report import Report
from proofs.rest import CALLERS, OF_STAFF, _Manners, secrets_of, without_streams
from proofs.rest_judge import Heard, Judge, Places
from proofs.rest_scene import KNOWN, words_of
from proofs.rest_tour import STOPS, STOPS_IN_FRONT, Stop, tour_of

from sip2gw.model.rights import Role
from sip2gw.web.api.app import application, description

UNREADABLE = b'{"detail": "the body is no JSON in UTF-8, or nests too deeply"}'
IDS = dict.fromkeys(("payment", "unsure", "export", "review", "message"), "17")
GUESSED = b'{"detail":"too many wrong cards or birth dates; try again in 900 s"}'
INVALID = b'{"detail": "...", "problems": [{"where": "body.pin", "problem": "..."}]}'


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return description(application())


def found(described: dict[str, Any], role: Role | None, said: tuple[str, str, int, bytes]) -> bool:
    """Whether the judge finds fault with an answer."""
    report = Report("test")
    judge = Judge(report, Places(described))
    method, path, status, body = said
    judge.hear(Heard("somebody", role, method, f"http://h/api/v1{path}?q=1", status, body))
    return bool(judge.faults)


@pytest.mark.parametrize(
    ("role", "method", "path", "status", "body"),
    [
        # No token, or none that is good.
        (None, "GET", "/badges", 200, b"{}"),
        (None, "GET", "/badges", 403, b"{}"),
        (None, "GET", "/nothing", 404, b"{}"),
        # Another role: not let in, and told nothing of what it asked for.
        (Role.VIEW, "PUT", "/patrons/1001/pin", 204, b""),
        (Role.VIEW, "PUT", "/patrons/1001/pin", 404, b"{}"),
        (Role.VIEW, "PUT", "/patrons/1001/pin", 422, INVALID),
        (Role.SELF, "GET", "/badges", 200, b"{}"),
        (Role.STAFF, "POST", "/reload", 200, b"{}"),
        (Role.VIEW, "GET", "/nothing", 200, b"{}"),
        # The right one.
        (Role.STAFF, "GET", "/patrons/1001", 500, b"{}"),
        (Role.STAFF, "GET", "/patrons/1001", 503, b"{}"),
        (Role.STAFF, "GET", "/patrons/1001", 401, b"{}"),
        (Role.STAFF, "GET", "/patrons/1001", 429, b"{}"),
        (Role.STAFF, "GET", "/patrons/1001", 200, json.dumps({"pin": PIN}).encode()),
    ],
)
def test_what_must_not_be_answered_is_a_fault(described, role, method, path, status, body):
    assert found(described, role, (method, path, status, body))


@pytest.mark.parametrize(
    ("role", "method", "path", "status", "body"),
    [
        (None, "GET", "/badges", 401, b"{}"),
        (None, "GET", "/badges", 429, b"{}"),
        (Role.VIEW, "PUT", "/patrons/1001/pin", 403, b"{}"),
        (Role.VIEW, "PUT", "/patrons/1001/pin", 422, UNREADABLE),
        (Role.VIEW, "GET", "/nothing", 404, b"{}"),
        (Role.VIEW, "GET", "/badges", 200, b"{}"),
        (Role.ADMIN, "GET", "/patrons/1001", 200, b"{}"),
        (Role.STAFF, "PUT", "/patrons/1001/pin", 422, INVALID),
        (Role.SELF, "POST", "/self/1001/authorisations", 429, GUESSED),
    ],
)
def test_what_may_be_answered_is_none(described, role, method, path, status, body):
    assert not found(described, role, (method, path, status, body))


def test_every_secret_of_a_body_is_the_canary(described):
    assert "pin" in secrets_of(described)
    case = SimpleNamespace(
        headers={"if-match": "made up", "Authorization": "made up"},
        body={"pin": "1234", "more": [{"pin": 5}], "note": "n"},
        query={"seconds": 5},
        operation=SimpleNamespace(query=[SimpleNamespace(name="seconds")]),
    )
    manners = _Manners(iter(["good"]), frozenset({"pin"}))
    manners.change(case)
    assert case.body == {"pin": PIN, "more": [{"pin": [PIN]}], "note": "n"}
    assert case.headers == {"if-match": "*", "Authorization": "Bearer good"}
    assert case.query["seconds"] < 1


def test_every_role_and_nobody_ask_about_what_there_is(described):
    assert {caller.role for caller in CALLERS} == {*Role, None}
    words = words_of(described, IDS)
    assert words["parameters"]["path.patron_id"]["dictionary"] == "patron"
    assert words["parameters"]["path.payment_id"]["dictionary"] == "payment"
    assert words["parameters"]["path.review_id"]["dictionary"] == "review"
    assert words["dictionaries"]["review"] == {"values": ["17"]}
    assert set(KNOWN["card"]) <= set(words["dictionaries"]["any"]["values"])


def test_an_enumeration_has_its_own_values(described):
    """Schemathesis cannot read a list of words for what is described elsewhere."""
    assert not {"path.type", "query.message"} & words_of(described, IDS)["parameters"].keys()


# The tour ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_each_operation_has_a_good_request_by_each_role_that_may_use_it(described, role):
    judge = Judge(Report("test"), Places(described))
    stops = (*STOPS, *STOPS_IN_FRONT) if role in OF_STAFF else STOPS
    toured = {str(place) for _, place in tour_of(role, stops, IDS, judge)}
    assert toured == set(map(str, judge.places.open_to(role)))
    assert judge.report.failures == []


def test_a_stop_names_what_was_made_beforehand(described):
    judge = Judge(Report("test"), Places(described))
    stop = Stop("POST", "/support/{message}/status", {"to": ["{message}"], "seen": True})
    ((told, place),) = tour_of(Role.STAFF, [stop], IDS, judge)
    assert told == Stop("POST", "/support/17/status", {"to": ["17"], "seen": True})
    assert place.path == "/api/v1/support/{message_id}/status"
    assert tour_of(Role.VIEW, [stop], IDS, judge) == []


def test_a_stop_at_nothing_is_a_failure(described):
    judge = Judge(Report("test"), Places(described))
    assert tour_of(Role.STAFF, [Stop("GET", "/nothing")], IDS, judge) == []
    assert judge.report.failures == ["the tour: there is no GET /nothing"]


def heard(judge: Judge, role: Role | None, method: str, path: str, status: int) -> None:
    judge.hear(Heard("somebody", role, method, f"http://h/api/v1{path}", status, b"{}"))


def test_what_a_role_was_only_refused_is_named(described):
    judge = Judge(Report("test"), Places(described))
    heard(judge, Role.SELF, "PUT", "/self/1001/house-rules", 200)
    heard(judge, Role.SELF, "GET", "/self/1001/messages", 404)
    left = {operation for _, operation in judge.only_refused()}
    assert "GET /api/v1/self/{patron}/messages" in left
    assert "PUT /api/v1/self/{patron}/house-rules" not in left
    assert {role for role, _ in judge.only_refused()} == {Role.SELF}, "nobody else has asked"
    judge.sum_up()
    assert (
        "nobody saw GET /api/v1/self/{patron}/messages carried out for self"
        in judge.report.failures
    )


def test_the_first_operation_that_fits_a_path_was_carried_out(described):
    """`/payments/totals` is no payment."""
    judge = Judge(Report("test"), Places(described))
    heard(judge, Role.VIEW, "GET", "/payments/totals", 200)
    assert judge.done == {(Role.VIEW, "GET /api/v1/payments/totals")}


def test_an_operation_is_known_by_its_path(described):
    places = Places(described)
    told = places.first("PUT", "/api/v1/patrons/1001/badges/ONBE")
    assert told is not None
    assert str(told) == "PUT /api/v1/patrons/{patron_id}/badges/{code}"
    found = told.pattern.fullmatch("/api/v1/patrons/1001/badges/ONBE")
    assert found is not None
    assert found.groupdict() == {"patron_id": "1001", "code": "ONBE"}
    assert places.first("DELETE", "/api/v1/badges") is None
    assert {one.path for one in places.all if one.is_stream} == {
        f"/api/v1/{what}/stream" for what in ("payments", "door", "terminals")
    }


def test_what_several_have_heard_counts_together(described):
    both, other = (Judge(Report(name), Places(described)) for name in ("both", "other"))
    heard(other, Role.VIEW, "GET", "/badges", 200)
    heard(other, Role.VIEW, "GET", "/badges", 500)
    other.expect(False, "it said something")
    both.add(other)
    both.add(other)
    assert both.done == {(Role.VIEW, "GET /api/v1/badges")}
    assert (both.requests, both.statuses["view 500"], both.roles) == (4, 2, {Role.VIEW})
    assert set(both.counted.values()) == {2}
    both.sum_up()
    assert "other: it said something" in both.report.failures
    assert any(one.startswith("2 times, as somebody: GET") for one in both.report.failures)


# Streams ----------------------------------------------------------------------------------------


def test_streams_are_left_to_others():
    stream: dict[str, Any] = {"responses": {"200": {"content": {"text/event-stream": {}}}}}
    document: dict[str, Any] = {"responses": {"200": {"content": {"application/json": {}}}}}
    left = without_streams({"paths": {"/a": {"get": stream, "post": document}}})
    assert left == {"paths": {"/a": {"post": document}}}
