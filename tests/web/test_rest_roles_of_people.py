"""Which role patrons, badges, relationships and memberships need over REST (B83, C176)."""

import pytest
from programs import Site

LESSER = {"view": ["self"], "staff": ["view", "self"], "admin": ["view", "self", "staff"]}
RESOURCES = [
    ("GET", "/patrons", "staff"),
    ("GET", "/patrons/P1", "staff"),
    ("DELETE", "/patrons/P1", "admin"),
    ("GET", "/patrons/P1/report", "staff"),
    ("PUT", "/patrons/P1/pin", "staff"),
    ("POST", "/patrons/P1/blocks", "staff"),
    ("DELETE", "/patrons/P1/blocks", "staff"),
    ("POST", "/patrons/P1/merge", "admin"),
    ("GET", "/patrons/P1/badges", "staff"),
    ("PUT", "/patrons/P1/badges/ONBE", "staff"),
    ("DELETE", "/patrons/P1/badges/ONBE", "staff"),
    ("GET", "/badges", "view"),
    ("GET", "/badges/ONBE", "view"),
    ("PUT", "/badges/ONBE", "admin"),
    ("POST", "/badges/ONBE/activate", "admin"),
    ("POST", "/badges/ONBE/deactivate", "admin"),
    ("POST", "/badges/ONBE/assign", "staff"),
    ("GET", "/badge-holders", "staff"),
    ("GET", "/badge-history", "staff"),
    ("GET", "/relationships", "staff"),
    ("POST", "/relationships", "staff"),
    ("POST", "/relationships/authorisation/P1/P2/confirm", "staff"),
    ("DELETE", "/relationships/authorisation/P1/P2", "staff"),
    ("GET", "/memberships", "view"),
    ("GET", "/memberships/201", "view"),
    ("POST", "/memberships", "admin"),
    ("PATCH", "/memberships/201", "admin"),
    ("POST", "/memberships/201/hide", "admin"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


@pytest.mark.parametrize(("method", "path", "needed"), RESOURCES)
def test_who_has_another_role_is_told_nothing(site, method, path, needed):
    """Whatever else is wrong with the request, and the log has no line of it."""
    for role in LESSER[needed]:
        told = site.ask(method, path, {}, role=role)
        assert told.refusal == (403, f"this needs a token with the role {needed}; yours has {role}")
    assert site.ask(method, path, {}, role="nobody").status == 401
    assert site.audit() == []


@pytest.mark.parametrize(("method", "path", "needed"), RESOURCES)
def test_who_has_the_role_is_heard(site, method, path, needed):
    """There is nothing in the store, so most is not found; but nobody is sent away."""
    assert site.ask(method, path, {}, role=needed).status in (200, 404, 422)
