"""What staff change of today's hours, in both stores (C139)."""

from datetime import timedelta

import pytest

from sip2gw.backend.base import RefusedError
from sip2gw.backend.library import Library
from sip2gw.model import AS_CONFIGURED, CalendarChange
from sip2gw.staff.entrance.calendar import change_hours, end_change

from .library import NOW

HOUR = timedelta(hours=1)


def change(branch: str, state: str, hours: int, *, since: int = 0) -> CalendarChange:
    """From `since` on, for so many hours."""
    begins = NOW + since * HOUR
    return CalendarChange(branch, state, begins, begins + hours * HOUR, "water", "eva")


async def test_the_last_change_of_each_branch_is_told(library: Library) -> None:
    assert await library.calendar_changes() == ()
    first = change("MAIN", "closed", 9)
    second = change("MAIN", "unstaffed", 1, since=1)
    other = change("EAST", "closed", 2)
    for one in (first, other, second):
        await change_hours(library, one)
    assert await library.calendar_changes() == (other, second)
    assert library.calendar_history("MAIN") == (first, second)
    assert library.calendar_history("WEST") == ()


async def test_what_was_changed_later_can_be_left_out(library: Library) -> None:
    """So an explanation of yesterday says what held then."""
    first, second = change("MAIN", "closed", 9), change("MAIN", "unstaffed", 1, since=1)
    for one in (first, second):
        await change_hours(library, one)
    assert await library.calendar_changes(until=NOW - HOUR) == ()
    assert await library.calendar_changes(until=NOW) == (first,)
    assert await library.calendar_changes(until=NOW + HOUR) == (second,)


async def test_a_change_is_taken_back_once(library: Library) -> None:
    with pytest.raises(RefusedError, match="has its configured hours already"):
        await end_change(library, "MAIN", "eva", NOW)
    await change_hours(library, change("MAIN", "closed", 9))
    await end_change(library, "MAIN", "bob", NOW + HOUR)
    (last,) = await library.calendar_changes()
    assert (last.state, last.since, last.user) == (AS_CONFIGURED, NOW + HOUR, "bob")
    with pytest.raises(RefusedError):
        await end_change(library, "MAIN", "bob", NOW + HOUR)


async def test_a_change_that_has_ended_cannot_be_taken_back(library: Library) -> None:
    await change_hours(library, change("MAIN", "closed", 1))
    with pytest.raises(RefusedError):
        await end_change(library, "MAIN", "eva", NOW + HOUR)


async def test_a_change_without_a_future_is_refused(library: Library) -> None:
    with pytest.raises(RefusedError, match="give a later one"):
        await change_hours(library, change("MAIN", "closed", 0))
    assert await library.calendar_changes() == ()


async def test_who_changed_what_is_never_changed_afterwards(library: Library) -> None:
    await change_hours(library, change("MAIN", "closed", 1))
    with library.own_connection() as connection, pytest.raises(Exception, match="append-only"):
        connection.execute("UPDATE calendar_change SET user_name = 'somebody else'")
