"""Memberships and ages by the calendar (B36, B38, C14, C15, C34)."""

from datetime import date

import pytest
from family import TODAY, patron

from sip2gw.policy.membership import MembershipState, age_on, membership_state


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, MembershipState.VALID),
        ({"membership": None}, MembershipState.MISSING),
        ({"membership_from": date(2026, 3, 11)}, MembershipState.NOT_YET),
        ({"membership_from": TODAY}, MembershipState.VALID),
        ({"membership_until": TODAY}, MembershipState.VALID),
        ({"membership_until": date(2026, 3, 9)}, MembershipState.EXPIRED),
        ({"membership_from": None, "membership_until": None}, MembershipState.VALID),
    ],
)
def test_a_membership_is_valid_from_its_first_to_its_last_day(changes, state):
    assert membership_state(patron("P", **changes), TODAY) is state


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        (date(2010, 3, 10), date(2026, 3, 9), 15),
        (date(2010, 3, 10), date(2026, 3, 10), 16),  # the birthday counts
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),  # turns on 1 March in common years
        (date(2008, 2, 29), date(2028, 2, 29), 20),
    ],
)
def test_age_by_calendar_date(born, today, age):
    assert age_on(born, today) == age
