"""Whatever is sent to patrons, badges, relationships and memberships, nothing of ours fails (B83).

An answer is always one that the description has.
"""

import base64
import json
from typing import Any

import pytest
from programs import Site

MEMBER = {"membership": "201", "membership_until": "2099-12-31"}
LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0},
    {"kind": "badge", "code": "ONBE", "name": "Open library"},
    {"kind": "patron", "id": "P1", "name": "Ann", "badges": ["ONBE"], **MEMBER},
    {"kind": "patron", "id": "P2", "name": "Bob", **MEMBER},
]
FROM_P1_TO_P2 = {"from": "P1", "to": "P2"}
BODIES: dict[str, dict[str, Any]] = {
    "PUT /patrons/P1/pin": {"pin": "1"},
    "POST /patrons/P1/blocks": {"type": "general", "note": "n", "until": "2099-01-01"},
    "POST /patrons/P1/merge": {"former": "P2", "dry_run": True},
    "PUT /patrons/P1/badges/ONBE": {"from": "2026-01-01", "until": None, "branches": ["MAIN"]},
    "PUT /badges/ONBE": {"name": "n", "description": "d", "active": True, "from": "2026-01-01"},
    "POST /badges/ONBE/assign": {"patrons": [{"patron": "P1"}], "reason": "r", "dry_run": True},
    "POST /relationships": {
        "type": "authorisation",
        "from": "P1",
        "to": "P2",
        "functions": ["pay"],
    },
    "POST /support": {"type": "AU", "category": "CARD", "text": "t", "patron": "P1"},
    "POST /support/1/status": {"to": "D", "note": "n"},
    "POST /support/1/answer": {"text": "t"},
    "POST /support/tables/department": {"code": "D1", "description": "d"},
    "PATCH /support/tables/category/CARD": {"description": "d"},
    "PATCH /memberships/201": {"description": "d", "max_items": 1, "hold_limit": "1.00"},
}
VALUES: list[Any] = [
    *("", " ", "x" * 100_000, "\U0001f600", "2026-02-30", "0000-00-00", "9999-12-31", "-0.00"),
    *(-1, 10**30, 1.5, True, None, [], {}, [[]], [{}], ["x"], {"x": {}}, [None], ["P1"] * 1_001),
]
NO_TEXTS = [
    b"{",
    b"nothing",
    b"[" * 100_000,
    b'{"pin": "\\ud800"}',
    b'{"pin": "\xff"}',
    b'{"pin": "1\\u0000"}',
    b'{"pin": NaN}',
    b'{"pin": 1e999}',
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("site"), *LIBRARY)
    assert made.ask("POST", "/support", BODIES["POST /support"]).json["id"] == "1"
    yield made
    made.close()


@pytest.mark.parametrize("operation", BODIES)
def test_no_value_of_a_key_makes_anything_fail(site, operation):
    method, path = operation.split()
    good = BODIES[operation]
    assert site.ask(method, path, good).status < 400
    for key in good:
        for value in VALUES:
            told = site.ask(method, path, {**good, key: value})
            assert told.status in (200, 201, 204, 404, 409, 422), (key, value, told.text)


@pytest.mark.parametrize("body", NO_TEXTS)
def test_what_is_no_text_in_json_comes_not_so_far(site, body):
    for operation in BODIES:
        assert site.ask(*operation.split(), body).status == 422, operation
    assert site.ask("POST", "/memberships", body).status == 422


def test_a_nul_comes_not_so_far(site):
    """PostgreSQL would not take it."""
    assert site.ask("GET", "/patrons/P\0").refusal == (422, "a path and a query have no NUL")
    assert site.ask("GET", "/patrons", find="a\0").refusal == (
        422,
        "a path and a query have no NUL",
    )


@pytest.mark.parametrize("number", ["%", "x" * 101, "..", "'; --", "é", "|"])
def test_no_name_of_a_patron_or_badge_makes_anything_fail(site, number):
    for path in (f"/patrons/{number}", f"/badges/{number}", f"/memberships/{number}"):
        assert site.ask("GET", path).status in (404, 422), path
    assert site.ask("GET", "/patrons", find=number).status == 200
    assert site.ask("GET", "/badge-history", patron=number).status in (404, 422)


@pytest.mark.parametrize("key", [[], [""], ["x"], ["1"] * 40, ["0001-01-01"], ["9999-12-31"]])
def test_a_cursor_of_somebody_elses_making_is_harmless(site, key):
    cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).decode()
    lists = ("/badges", "/badge-holders", "/badge-history", "/relationships", "/memberships")
    for path in (*lists, "/patrons/P1/badges", "/payments", "/audit", "/tokens"):
        assert site.ask("GET", path, cursor=cursor).status in (200, 422), path
    assert site.ask("GET", "/patrons", find="a", cursor=cursor).status == 200
