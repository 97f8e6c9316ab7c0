"""What a token may do, and from where (B83, C176)."""

from datetime import UTC, datetime, timedelta

import pytest

from sip2gw.model.rights import Role, Token
from sip2gw.policy.rights import includes, is_good

NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("role", "may"),
    [("view", "view"), ("staff", "view staff"), ("admin", "view staff admin"), ("self", "self")],
)
def test_admin_may_what_staff_may_and_self_stands_apart(role, may):
    assert {needed for needed in Role if includes(Role(role), needed)} == set(may.split())


@pytest.mark.parametrize(
    ("later", "good"), [(-SECOND, True), (timedelta(), False), (SECOND, False)]
)
def test_a_token_is_good_until_it_expires(later, good):
    token = Token("t", Role.VIEW, NOW, expires=NOW)
    assert is_good(token, NOW + later, "10.0.0.1") is good


@pytest.mark.parametrize(
    ("networks", "address", "good"),
    [
        ((), "192.0.2.1", True),
        ((), "", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::1", True),
        (("10.0.0.0/8",), "2001:db8::1", False),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.0/8",), "", False),
    ],
)
def test_a_token_is_good_only_where_it_may_come_from(networks, address, good):
    assert is_good(Token("t", Role.VIEW, NOW, networks=networks), NOW, address) is good
