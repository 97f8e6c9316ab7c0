"""Who is believed to have been off line, and which dates are used (B57, C106)."""

from datetime import UTC, datetime, timedelta

import pytest

from sip2gw.policy.items.offline import Claim, Doubt, judge_claim, usable_due

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HOUR_AGO = NOON - timedelta(hours=1)
UNREADABLE = None


def claim(*dates, due=(), accepted=True):
    return judge_claim(NOON, accepted=accepted, dates=dates, due=due)


@pytest.mark.parametrize(
    ("ago", "believed"),
    [
        (timedelta(seconds=-1), False),
        (timedelta(0), False),
        (timedelta(minutes=2), False),
        (timedelta(minutes=2, seconds=1), True),
        (timedelta(days=399), True),
    ],
)
def test_only_what_is_dated_more_than_two_minutes_ago_is_believed(ago, believed):
    moment = NOON - ago
    assert claim(moment) == Claim(believed, moment if believed else None)


def test_nothing_is_believed_of_a_profile_that_does_not_accept_it():
    assert claim(HOUR_AGO, accepted=False) == Claim(False)


def test_without_a_date_nothing_is_believed():
    assert claim() == Claim(False)


@pytest.mark.parametrize(
    ("date", "believed", "moment", "doubts"),
    [
        (NOON - timedelta(days=400), True, NOON - timedelta(days=400), ()),
        (NOON - timedelta(days=400, seconds=1), True, None, (Doubt.DATE,)),
        (NOON + timedelta(days=1), False, None, ()),
        (NOON + timedelta(days=1, seconds=1), False, None, (Doubt.DATE,)),
        (UNREADABLE, False, None, (Doubt.DATE,)),
    ],
)
def test_a_date_that_cannot_be_right_is_not_used(date, believed, moment, doubts):
    assert claim(date) == Claim(believed, moment, None, doubts)


def test_a_return_has_a_date_of_its_own_beside_that_of_the_transaction():
    assert claim(HOUR_AGO, NOON) == Claim(True, HOUR_AGO)
    assert claim(NOON, HOUR_AGO) == Claim(True, NOON)
    assert claim(UNREADABLE, HOUR_AGO) == Claim(True, HOUR_AGO, None, (Doubt.DATE,))


@pytest.mark.parametrize(
    ("due", "used"),
    [
        (NOON - timedelta(seconds=1), False),
        (NOON, True),
        (NOON + timedelta(days=3_653), True),
        (NOON + timedelta(days=3_653, seconds=1), False),
        (UNREADABLE, False),
    ],
)
def test_a_due_date_is_used_from_now_to_ten_years_ahead(due, used):
    doubts = () if used else (Doubt.DUE_DATE,)
    assert claim(HOUR_AGO, due=(due,)) == Claim(True, HOUR_AGO, due if used else None, doubts)


def test_doubts_are_told_of_what_is_not_believed_too():
    assert claim(NOON, due=(UNREADABLE,)) == Claim(False, doubts=(Doubt.DUE_DATE,))


@pytest.mark.parametrize(
    ("said", "usable"),
    [
        (NOON + timedelta(days=21), True),
        (NOON + timedelta(days=3_653), True),
        (NOON + timedelta(days=3_654), False),
        (NOON, False),
        (HOUR_AGO, False),
        (UNREADABLE, False),
    ],
)
def test_a_due_date_lies_ahead_and_not_too_far(said, usable):
    """C125: many terminals fill the field with the moment of the request."""
    assert usable_due(NOON, said) == (said if usable else None)
