"""The hours of a branch that staff closed, or opened by hand (C139)."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sip2gw.model import AS_CONFIGURED, CalendarChange
from sip2gw.policy.hours.calendar import BranchCalendar, OpeningState, Slot
from sip2gw.policy.hours.today import ChangedHours, state_then

ZONE = ZoneInfo("Europe/Brussels")
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=ZONE)
HOURS = BranchCalendar(
    (
        Slot(frozenset(range(7)), 10 * 60, 14 * 60, OpeningState.STAFFED),
        Slot(frozenset(range(7)), 14 * 60, 18 * 60, OpeningState.UNSTAFFED),
    ),
    zone=ZONE,
)


def at(hour, minute=0):
    return NOON.replace(hour=hour, minute=minute)


def changed(state, until, since=NOON):
    return CalendarChange("MAIN", state, since, until, "", "eva")


@pytest.mark.parametrize(
    ("change", "moment", "state", "open_until"),
    [
        # Closed until three: nobody until then, and what is configured afterwards.
        (changed("closed", at(15)), at(12), "closed", None),
        (changed("closed", at(15)), at(14, 59), "closed", None),
        (changed("closed", at(15)), at(15), "unstaffed", at(18)),
        # Opened without staff: it closes when the configured hours do, or at its own end.
        (changed("unstaffed", at(13)), at(12), "unstaffed", at(18)),
        (changed("unstaffed", at(13)), at(13), "staffed", at(18)),
        (changed("unstaffed", at(20)), at(19), "unstaffed", at(20)),
        (changed("unstaffed", at(20)), at(20), "closed", None),
        # Taken back.
        (changed(AS_CONFIGURED, NOON), at(12), "staffed", at(18)),
    ],
)
def test_what_a_branch_is_under_a_change(change, moment, state, open_until):
    told = ChangedHours(HOURS, change).state_at(moment)
    assert (told.state, told.open_until) == (state, open_until)
    assert told.change == (change if moment < change.until else None)


def test_an_open_branch_that_never_closes_stays_open():
    always = BranchCalendar((Slot(frozenset(range(7)), 0, 24 * 60, OpeningState.UNSTAFFED),))
    told = ChangedHours(always, changed("unstaffed", at(13))).state_at(NOON)
    assert (told.state, told.open_until) == ("unstaffed", None)


def test_only_the_last_change_counts_even_when_it_has_ended_before_the_others():
    changes = (
        changed("closed", at(18), since=at(10)),
        changed("unstaffed", at(12), since=at(11)),
    )
    hours = [at(9, 59), at(10), at(11), at(12)]
    states = [state_then(HOURS, changes, moment).state for moment in hours]
    assert states == ["closed", "closed", "unstaffed", "staffed"]
    assert state_then(HOURS, changes, at(9, 59)).change is None
    assert state_then(HOURS, (), at(12) + timedelta(hours=2)).state == "unstaffed"
