"""When a terminal has been silent for a day that counts (B64, C145)."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sip2gw.policy.desk.silence import is_silent
from sip2gw.policy.hours.calendar import (
    BranchCalendar,
    CalendarException,
    OpeningState,
    Slot,
)

ZONE = ZoneInfo("Europe/Brussels")
WEEKDAYS = Slot(frozenset(range(5)), 10 * 60, 18 * 60, OpeningState.STAFFED)
HOLIDAY = CalendarException(date(2026, 3, 11), OpeningState.CLOSED)
SHUT = Slot(frozenset(range(7)), 0, 24 * 60, OpeningState.CLOSED)


def at(day, hour, minute=0):
    """In March 2026, of which the 6th is a Friday."""
    return datetime(2026, 3, day, hour, minute, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("heard", "now", "calendar", "silent"),
    [
        # Nobody said when the branch is open: every day counts.
        (at(7, 12), at(8, 11, 59), None, False),
        (at(7, 12), at(8, 12), None, True),
        (at(7, 12), at(8, 12), BranchCalendar(zone=ZONE), True),
        (at(7, 12), at(8, 12), BranchCalendar([SHUT], zone=ZONE), True),
        # Open from Monday to Friday.
        (at(9, 12), at(10, 11, 59), BranchCalendar([WEEKDAYS], zone=ZONE), False),
        (at(9, 12), at(10, 12), BranchCalendar([WEEKDAYS], zone=ZONE), True),
        # Switched off on Friday evening: six hours of Friday and 18 of Monday.
        (at(6, 18), at(9, 17, 59), BranchCalendar([WEEKDAYS], zone=ZONE), False),
        (at(6, 18), at(9, 18), BranchCalendar([WEEKDAYS], zone=ZONE), True),
        # Heard while it was closed: Monday alone counts.
        (at(7, 12), at(9, 23, 59), BranchCalendar([WEEKDAYS], zone=ZONE), False),
        (at(7, 12), at(10, 0), BranchCalendar([WEEKDAYS], zone=ZONE), True),
        # Wednesday is a holiday.
        (at(10, 18), at(12, 17, 59), BranchCalendar([WEEKDAYS], [HOLIDAY], ZONE), False),
        (at(10, 18), at(12, 18), BranchCalendar([WEEKDAYS], [HOLIDAY], ZONE), True),
        # A clock that was wrong: heard in the future.
        (at(12, 18), at(12, 17), BranchCalendar([WEEKDAYS], zone=ZONE), False),
    ],
)
def test_a_day_on_which_the_branch_does_not_open_does_not_count(heard, now, calendar, silent):
    assert is_silent(heard, now, calendar) is silent
    assert is_silent(heard.astimezone(UTC), now.astimezone(UTC), calendar) is silent


def test_the_hour_that_summer_time_takes_is_no_silence():
    """Clocks go from 02:00 to 03:00 on Sunday, March 29th 2026."""
    daily = BranchCalendar([Slot(frozenset(range(7)), 600, 720, OpeningState.UNSTAFFED)], zone=ZONE)
    heard = datetime(2026, 3, 28, 20, tzinfo=ZONE).astimezone(UTC)
    assert not is_silent(heard, heard + timedelta(hours=23, minutes=59), daily)
    assert is_silent(heard, heard + timedelta(hours=24), daily)


def test_a_dead_terminal_of_years_ago_costs_no_more_than_a_few_days():
    heard = datetime(2001, 3, 5, 12, tzinfo=UTC)
    asked = []

    class Counting(BranchCalendar):
        def opens_on(self, day):
            asked.append(day)
            return super().opens_on(day)

    assert is_silent(heard, at(10, 12), Counting([WEEKDAYS], zone=ZONE))
    assert len(asked) == 2
