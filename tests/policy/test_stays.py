"""When a stay ends, and who was inside when (B42, C10, C57)."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sip2gw.model import CalendarChange, Passage
from sip2gw.policy.hours.calendar import (
    BranchCalendar,
    CalendarMoment,
    OpeningState,
    Slot,
)
from sip2gw.policy.hours.stays import (
    Stay,
    between,
    stay_end,
    stay_end_under,
    stays_of,
)

ZONE = ZoneInfo("Europe/Brussels")
CLOSING = datetime(2026, 3, 10, 22, tzinfo=ZONE)


def at(hour, minute=0):
    return datetime(2026, 3, 10, hour, minute, tzinfo=ZONE)


def passage(moment, patron="ANNA", direction="in"):
    return Passage(moment, patron, direction)


def out(moment, patron="ANNA"):
    return passage(moment, patron, "out")


def until_ten(entered):
    return entered.replace(hour=22, minute=0)


@pytest.mark.parametrize(
    ("open_until", "ends"),
    [
        (CLOSING, CLOSING),
        (at(12) + timedelta(hours=24), at(12) + timedelta(hours=24)),
        (at(12) + timedelta(hours=25), at(0) + timedelta(days=1)),
        (None, at(0) + timedelta(days=1)),
    ],
)
def test_a_stay_ends_at_closing_time_or_else_at_midnight(open_until, ends):
    state = OpeningState.CLOSED if open_until is None else OpeningState.UNSTAFFED
    assert stay_end(at(12), CalendarMoment(state, open_until)) == ends


def test_midnight_is_that_of_the_branch_when_the_clocks_change():
    saturday = datetime(2026, 3, 28, 12, tzinfo=ZONE)
    ends = stay_end(saturday, CalendarMoment(OpeningState.CLOSED, None))
    assert ends == datetime(2026, 3, 29, 0, tzinfo=ZONE)


UNTIL_TEN = BranchCalendar(
    [Slot(frozenset(range(7)), 9 * 60, 22 * 60, OpeningState.UNSTAFFED)], zone=ZONE
)


@pytest.mark.parametrize(
    ("changed", "state", "until", "ends"),
    [
        (at(21), "unstaffed", at(23), at(23)),
        (at(21), "unstaffed", at(21, 30), at(22)),  # the configured hours go on from there
        (at(21), "closed", at(23), at(22)),
        (at(22), "unstaffed", at(23), at(22)),  # gone by then
        (at(11), "unstaffed", at(23), at(23)),  # had begun before
    ],
)
def test_c139_who_is_inside_when_staff_change_the_hours(changed, state, until, ends):
    change = CalendarChange("MAIN", state, changed, until, "", "eva")
    assert stay_end_under(UNTIL_TEN, [change], at(12)) == ends


def test_a_stay_goes_from_the_way_in_to_the_way_out():
    passages = [passage(at(9)), passage(at(10), "BERT"), out(at(11)), out(at(12), "CARLA")]
    assert stays_of(passages, until_ten) == [
        Stay("ANNA", at(9), at(11), True),
        Stay("BERT", at(10), at(22), False),
    ]


def test_a_second_way_in_without_a_way_out_is_the_same_stay():
    passages = [passage(at(9)), passage(at(10)), out(at(11)), passage(at(12))]
    assert stays_of(passages, until_ten) == [
        Stay("ANNA", at(9), at(11), True),
        Stay("ANNA", at(12), at(22), False),
    ]


def test_after_the_end_of_a_stay_a_passage_begins_or_ends_nothing_of_it():
    def one_hour(entered):
        return entered + timedelta(hours=1)

    passages = [passage(at(9)), passage(at(11)), out(at(13))]
    assert stays_of(passages, one_hour) == [
        Stay("ANNA", at(9), at(10), False),
        Stay("ANNA", at(11), at(12), False),
    ]


def test_a_passage_at_the_very_end_of_a_stay_is_behind_it():
    def one_hour(entered):
        return entered + timedelta(hours=1)

    assert stays_of([passage(at(9)), passage(at(10))], one_hour) == [
        Stay("ANNA", at(9), at(10), False),
        Stay("ANNA", at(10), at(11), False),
    ]
    assert stays_of([passage(at(9)), out(at(10))], one_hour) == [Stay("ANNA", at(9), at(10), False)]


def test_c57_who_was_inside_between_two_moments():
    stays = [Stay("ANNA", at(9), at(11), True), Stay("BERT", at(10), at(22), False)]
    assert between(stays, at(8), at(9)) == []
    assert between(stays, at(9), at(10)) == stays[:1]
    assert between(stays, at(10), at(11)) == stays
    assert between(stays, at(11), at(23)) == stays[1:]
