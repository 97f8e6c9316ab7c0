"""What the proof `rest` judges, shown answers that must not be; it runs with schemathesis only."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from proofs.canary import PIN
from proofs.report import Report
from proofs.rest import CALLERS, KNOWN, _Manners, secrets_of, without_streams, words_of
from proofs.rest_judge import Heard, Judge, Places

from sip2gw.model.rights import Role
from sip2gw.web.api.app import application, description

UNREADABLE = b'{"detail": "the body is no JSON in UTF-8, or nests too deeply"}'
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
    judge.sum_up()
    return bool(report.failures)


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
    words = words_of(described, ["P1"])
    assert words["parameters"]["path.patron_id"]["dictionary"] == "patron"
    assert words["parameters"]["path.payment_id"]["dictionary"] == "payment"
    assert set(KNOWN["card"]) <= set(words["dictionaries"]["any"]["values"])


def test_streams_are_left_to_others():
    stream: dict[str, Any] = {"responses": {"200": {"content": {"text/event-stream": {}}}}}
    document: dict[str, Any] = {"responses": {"200": {"content": {"application/json": {}}}}}
    left = without_streams({"paths": {"/a": {"get": stream, "post": document}}})
    assert left == {"paths": {"/a": {"post": document}}}
