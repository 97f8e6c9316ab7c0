"""Opening hours by the wall clock of the branch (B37, C13, C91).

With `SIP2GW_FULL=1` a whole year is compared with the oracle minute by minute, not by quarters.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from full import FULL
from hypothesis import given, settings
from hypothesis import strategies as st

from sip2gw.policy.hours.calendar import (
    DAY_MIN,
    BranchCalendar,
    CalendarException,
    OpeningState,
    Slot,
    find_exception_overlap,
    find_slot_overlap,
    span_end,
)

BRUSSELS = ZoneInfo("Europe/Brussels")
STAFFED, UNSTAFFED, CLOSED = OpeningState.STAFFED, OpeningState.UNSTAFFED, OpeningState.CLOSED
EVERY_DAY = frozenset(range(7))
MONDAY = date(2026, 6, 1)


def minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def slot(start: str, end: str, state: OpeningState, days: frozenset[int] = EVERY_DAY) -> Slot:
    return Slot(days, minute(start), minute(end), state)


def special(
    day: date, state: OpeningState, start: str | None = None, end: str | None = None
) -> CalendarException:
    if start is None or end is None:
        return CalendarException(day, state)
    return CalendarException(day, state, minute(start), minute(end))


def at(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BRUSSELS, fold=fold)


def state(calendar: BranchCalendar, text: str, fold: int = 0) -> OpeningState:
    return calendar.state_at(at(text, fold)).state


def open_until(calendar: BranchCalendar, text: str, fold: int = 0) -> datetime | None:
    return calendar.state_at(at(text, fold)).open_until


WEEK = (slot("10:00", "18:00", STAFFED), slot("18:00", "22:00", UNSTAFFED))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-06-01T09:59:59", CLOSED),
        ("2026-06-01T10:00:00", STAFFED),
        ("2026-06-01T17:59:59", STAFFED),
        ("2026-06-01T18:00:00", UNSTAFFED),
        ("2026-06-01T22:00:00", CLOSED),
    ],
)
def test_intervals_are_half_open_b37(moment: str, expected: OpeningState) -> None:
    assert state(BranchCalendar(WEEK, zone=BRUSSELS), moment) is expected


def test_no_hours_means_closed_c13() -> None:
    answer = BranchCalendar().state_at(datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert (answer.state, answer.open_until) == (CLOSED, None)


def test_adjoining_slots_are_one_open_time_c13() -> None:
    calendar = BranchCalendar(WEEK, zone=BRUSSELS)
    assert open_until(calendar, "2026-06-01T10:00") == at("2026-06-01T22:00")
    assert open_until(calendar, "2026-06-01T21:59") == at("2026-06-01T22:00")
    assert open_until(calendar, "2026-06-01T23:00") is None


def test_a_slot_over_midnight_belongs_to_the_day_it_starts_c13() -> None:
    calendar = BranchCalendar([slot("22:00", "02:00", UNSTAFFED, frozenset({6}))], zone=BRUSSELS)
    assert state(calendar, "2026-05-31T23:00") is UNSTAFFED
    assert state(calendar, "2026-06-01T01:59") is UNSTAFFED
    assert state(calendar, "2026-06-01T02:00") is CLOSED
    assert state(calendar, "2026-06-01T22:30") is CLOSED
    assert open_until(calendar, "2026-05-31T22:00") == at("2026-06-01T02:00")


@pytest.mark.parametrize("midnight", ["00:00", "24:00"])
def test_both_spellings_of_midnight_end_the_day_c13(midnight: str) -> None:
    calendar = BranchCalendar([slot("20:00", midnight, STAFFED, frozenset({0}))], zone=BRUSSELS)
    assert state(calendar, "2026-06-01T23:59") is STAFFED
    assert state(calendar, "2026-06-02T00:00") is CLOSED


def test_open_day_and_night_has_no_end() -> None:
    assert (
        open_until(BranchCalendar([slot("00:00", "24:00", UNSTAFFED)]), "2026-06-01T12:00") is None
    )
    assert (
        open_until(BranchCalendar([slot("10:00", "10:00", UNSTAFFED)]), "2026-06-01T12:00") is None
    )


NIGHTS = (slot("18:00", "02:00", UNSTAFFED),)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-05-31T23:59", UNSTAFFED),
        ("2026-06-01T00:00", CLOSED),
        ("2026-06-01T18:30", CLOSED),
        ("2026-06-01T23:59", CLOSED),
        ("2026-06-02T00:00", UNSTAFFED),
    ],
)
def test_an_exception_covers_its_date_and_beats_the_evening_before_c13(
    moment: str, expected: OpeningState
) -> None:
    """The slot that starts on the exception's own date still shows after its midnight."""
    calendar = BranchCalendar(NIGHTS, [special(MONDAY, CLOSED)], BRUSSELS)
    assert state(calendar, moment) is expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-06-01T11:59", STAFFED),
        ("2026-06-01T12:00", CLOSED),
        ("2026-06-01T14:00", STAFFED),
        ("2026-06-02T12:00", STAFFED),
    ],
)
def test_an_exception_with_hours_replaces_only_its_own_span_c91(
    moment: str, expected: OpeningState
) -> None:
    calendar = BranchCalendar(WEEK, [special(MONDAY, CLOSED, "12:00", "14:00")], BRUSSELS)
    assert state(calendar, moment) is expected


def test_an_exception_with_hours_may_reach_over_midnight_c91() -> None:
    calendar = BranchCalendar([], [special(MONDAY, UNSTAFFED, "22:00", "03:00")], BRUSSELS)
    assert open_until(calendar, "2026-06-01T22:00") == at("2026-06-02T03:00")
    assert state(calendar, "2026-06-02T02:59") is UNSTAFFED
    assert state(calendar, "2026-06-01T02:59") is CLOSED


def test_on_one_date_hours_beat_the_whole_date() -> None:
    exceptions = [special(MONDAY, CLOSED), special(MONDAY, STAFFED, "10:00", "12:00")]
    for order in (exceptions, exceptions[::-1]):
        calendar = BranchCalendar(WEEK, order, BRUSSELS)
        assert state(calendar, "2026-06-01T11:00") is STAFFED
        assert state(calendar, "2026-06-01T12:00") is CLOSED


def test_a_whole_date_beats_hours_from_the_evening_before() -> None:
    exceptions = [special(date(2026, 5, 31), STAFFED, "22:00", "03:00"), special(MONDAY, CLOSED)]
    calendar = BranchCalendar(WEEK, exceptions, BRUSSELS)
    assert open_until(calendar, "2026-05-31T22:00") == at("2026-06-01T00:00")


def test_hours_end_when_the_clock_shows_their_end_for_the_first_time_c111() -> None:
    """25 October 2026, 3:00 back to 2:00: open until 2:30, and not again."""
    calendar = BranchCalendar([slot("22:00", "02:30", UNSTAFFED)], zone=BRUSSELS)
    assert state(calendar, "2026-10-25T02:15", fold=0) is UNSTAFFED
    assert state(calendar, "2026-10-25T02:45", fold=0) is CLOSED
    assert state(calendar, "2026-10-25T02:15", fold=1) is CLOSED
    assert open_until(calendar, "2026-10-24T23:00") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "opens", "closes"),
    [
        ("01:00", "02:00", "23:00", "00:00"),
        ("01:00", "02:01", "23:00", "00:01"),
        ("01:00", "02:59", "23:00", "00:59"),
        ("01:00", "03:00", "23:00", "02:00"),  # contains the hour, so it is an hour longer
        ("02:30", "04:00", "00:30", "03:00"),  # open from the first 2:30 on, without a gap
        ("02:15", "02:45", "00:15", "00:45"),
        ("03:00", "04:00", "02:00", "03:00"),
    ],
)
def test_hours_around_the_hour_that_happens_twice_c111(
    start: str, end: str, opens: str, closes: str
) -> None:
    """Times of opening and closing in UTC: the clock shows 2:00 at 0:00 and again at 1:00."""
    calendar = BranchCalendar([slot(start, end, UNSTAFFED)], zone=BRUSSELS)
    midnight = datetime(2026, 10, 24, 22, tzinfo=UTC)
    day = [midnight + timedelta(minutes=n) for n in range(25 * 60)]
    open_minutes = [moment for moment in day if calendar.state_at(moment).state is UNSTAFFED]
    closing = open_minutes[-1] + timedelta(minutes=1)
    assert (f"{open_minutes[0]:%H:%M}", f"{closing:%H:%M}") == (opens, closes)
    assert len(open_minutes) == (closing - open_minutes[0]) // timedelta(minutes=1)


def test_a_skipped_hour_ends_what_would_end_in_it_b37() -> None:
    """29 March 2026, 2:00 forward to 3:00."""
    calendar = BranchCalendar([slot("22:00", "02:30", UNSTAFFED)], zone=BRUSSELS)
    assert open_until(calendar, "2026-03-28T23:00") == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_the_kept_answer_is_given_again_and_dropped_at_the_next_edge() -> None:
    calendar = BranchCalendar(WEEK, zone=BRUSSELS)
    first = calendar.state_at(at("2026-06-01T10:00"))
    assert calendar.state_at(at("2026-06-01T17:59:59.999999")) is first
    assert calendar.state_at(at("2026-06-01T18:00")).state is UNSTAFFED
    moment = at("2026-06-01T12:00")
    again = calendar.state_at(moment)
    assert again == first
    assert calendar.state_at(moment) is again


def test_equal_calendars_are_equal() -> None:
    one, same, other = (BranchCalendar(slots, zone=BRUSSELS) for slots in (WEEK, WEEK, NIGHTS))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "calendar"
    assert repr(one) == "<BranchCalendar Europe/Brussels: 2 slots, 0 exceptions>"


# A second, slow statement of the rules: minute by minute, straight from their words.


@cache
def first_shown(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first minute, in UTC, at which the clock shows `wall` or has jumped over it."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC) - timedelta(hours=3)
    while moment.astimezone(zone).replace(tzinfo=None, fold=0) < wall:
        moment += timedelta(minutes=1)
    return moment


def covers(day: date, start_minute: int, end_minute: int, moment: datetime, zone: ZoneInfo) -> bool:
    midnight = datetime.combine(day, time())
    start = midnight + timedelta(minutes=start_minute)
    end = midnight + timedelta(minutes=end_minute)
    if end <= start:
        end += timedelta(days=1)
    return first_shown(start, zone) <= moment < first_shown(end, zone)


def covers_slot(one: Slot, moment: datetime, zone: ZoneInfo) -> bool:
    today = moment.astimezone(zone).date()
    return any(
        day.weekday() in one.days and covers(day, one.start_minute, one.end_minute, moment, zone)
        for day in (today, today - timedelta(days=1))
    )


def covers_exception(one: CalendarException, moment: datetime, zone: ZoneInfo) -> bool:
    if one.start_minute is None or one.end_minute is None:
        return moment.astimezone(zone).date() == one.date
    return covers(one.date, one.start_minute, one.end_minute, moment, zone)


def oracle_state(calendar: BranchCalendar, moment: datetime) -> OpeningState:
    zone = calendar.zone
    special_ones = [one for one in calendar.exceptions if covers_exception(one, moment, zone)]
    if special_ones:
        return max(special_ones, key=lambda one: (one.date, one.start_minute is not None)).state
    return next((one.state for one in calendar.slots if covers_slot(one, moment, zone)), CLOSED)


def check_every_minute(
    calendar: BranchCalendar, start: datetime, days: int, step_min: int = 1
) -> None:
    """Compare states and ends of open time over a span, against the oracle."""
    moments = [start + timedelta(minutes=n) for n in range(0, days * DAY_MIN, step_min)]
    states = [oracle_state(calendar, moment) for moment in moments]
    ends: list[datetime | None] = []
    end: datetime | None = None
    for moment, expected in zip(reversed(moments), reversed(states), strict=True):
        end = moment if expected is CLOSED else end
        ends.append(end)
    ends.reverse()
    known_until = moments[-1] - timedelta(days=9)
    for moment, expected, closing in zip(moments, states, ends, strict=True):
        answer = calendar.state_at(moment)
        assert answer.state is expected, moment
        if expected is CLOSED:
            assert answer.open_until is None
        elif closing is not None and closing - moment < timedelta(days=8):
            assert answer.open_until == closing, moment
        elif moment < known_until and (closing is None or closing - moment > timedelta(days=9)):
            assert answer.open_until is None, moment


BUSY = BranchCalendar(
    [
        slot("09:00", "17:00", STAFFED, frozenset({0, 1, 2, 3, 4})),
        slot("17:00", "02:30", UNSTAFFED, frozenset({0, 2, 4, 5})),
        slot("02:30", "03:30", CLOSED),
        slot("12:00", "24:00", UNSTAFFED, frozenset({6})),
    ],
    [
        special(date(2026, 3, 29), STAFFED, "01:30", "03:15"),
        special(date(2026, 4, 1), CLOSED),
        special(date(2026, 10, 24), UNSTAFFED, "20:00", "02:15"),
        special(date(2026, 10, 28), STAFFED),
        special(date(2026, 12, 24), UNSTAFFED, "22:00", "06:00"),
        special(date(2026, 12, 25), CLOSED),
    ],
    BRUSSELS,
)


@pytest.mark.parametrize("start", ["2026-03-27T12:00", "2026-10-23T12:00"])
def test_every_minute_around_both_clock_changes_is_as_the_oracle_says(start: str) -> None:
    check_every_minute(BUSY, at(start).astimezone(UTC), days=7)


def test_a_whole_year_is_as_the_oracle_says() -> None:
    """Both clock changes, slots over midnight, exceptions with and without hours."""
    step_min = 1 if FULL else 15
    check_every_minute(BUSY, at("2026-01-01T00:00").astimezone(UTC), days=365, step_min=step_min)


STATES = st.sampled_from([STAFFED, UNSTAFFED, CLOSED])
QUARTERS = st.integers(0, 95).map(lambda quarter: quarter * 15)
SLOTS = st.builds(Slot, st.frozensets(st.integers(0, 6), min_size=1), QUARTERS, QUARTERS, STATES)
DATES = st.integers(0, 13).map(lambda day: date(2026, 10, 20) + timedelta(days=day))
EXCEPTIONS = st.one_of(
    st.builds(CalendarException, DATES, STATES),
    st.builds(CalendarException, DATES, STATES, QUARTERS, QUARTERS),
)


def accepted_slots(slots: list[Slot]) -> list[Slot]:
    chosen: list[Slot] = []
    for one in slots:
        if find_slot_overlap([*chosen, one]) is None:
            chosen.append(one)
    return chosen


def accepted_exceptions(exceptions: list[CalendarException]) -> list[CalendarException]:
    chosen: list[CalendarException] = []
    for one in exceptions:
        if find_exception_overlap([*chosen, one]) is None:
            chosen.append(one)
    return chosen


@settings(max_examples=25)
@given(
    slots=st.lists(SLOTS, max_size=6).map(accepted_slots),
    exceptions=st.lists(EXCEPTIONS, max_size=4).map(accepted_exceptions),
    zone=st.sampled_from(
        [
            "Europe/Brussels",
            "UTC",
            "Australia/Lord_Howe",  # half an hour happens twice
            "Asia/Kathmandu",
            "America/Havana",  # the hour after midnight happens twice
            "Atlantic/Azores",  # so does the one after midnight in UTC
        ]
    ),
)
def test_any_calendar_is_as_the_oracle_says(
    slots: list[Slot], exceptions: list[CalendarException], zone: str
) -> None:
    calendar = BranchCalendar(slots, exceptions, ZoneInfo(zone))
    check_every_minute(calendar, datetime(2026, 10, 19, 12, tzinfo=UTC), days=12, step_min=15)


@settings(max_examples=50)
@given(slots=st.lists(SLOTS, max_size=4))
def test_overlap_is_found_exactly_when_two_slots_share_a_minute_c13(slots: list[Slot]) -> None:
    claimed: list[tuple[int, int]] = []
    for number, one in enumerate(slots):
        for day in one.days:
            first = day * DAY_MIN + one.start_minute
            for at_minute in range(
                first, day * DAY_MIN + span_end(one.start_minute, one.end_minute)
            ):
                claimed.append((at_minute % (7 * DAY_MIN), number))
    minutes = [at_minute for at_minute, _ in claimed]
    assert (find_slot_overlap(slots) is not None) == (len(minutes) != len(set(minutes)))


def test_overlap_names_the_slots_and_the_minute_c13() -> None:
    sunday_night = slot("20:00", "02:00", UNSTAFFED, frozenset({6}))
    monday_early = slot("01:00", "03:00", STAFFED, frozenset({0}))
    assert find_slot_overlap([monday_early, sunday_night]) == (0, 1, 60)
    assert find_slot_overlap([*WEEK]) is None


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (special(MONDAY, CLOSED), special(MONDAY, STAFFED), True),
        (special(MONDAY, CLOSED), special(date(2026, 6, 2), CLOSED), False),
        (special(MONDAY, CLOSED), special(MONDAY, STAFFED, "10:00", "12:00"), False),
        (
            special(MONDAY, CLOSED, "10:00", "12:00"),
            special(MONDAY, STAFFED, "11:59", "13:00"),
            True,
        ),
        (
            special(MONDAY, CLOSED, "10:00", "12:00"),
            special(MONDAY, STAFFED, "12:00", "13:00"),
            False,
        ),
        (
            special(MONDAY, CLOSED, "22:00", "02:00"),
            special(date(2026, 6, 2), STAFFED, "01:00", "04:00"),
            True,
        ),
        (
            special(MONDAY, CLOSED, "22:00", "02:00"),
            special(date(2026, 6, 3), STAFFED, "01:00", "04:00"),
            False,
        ),
    ],
)
def test_exceptions_of_equal_strength_may_not_overlap(
    one: CalendarException, other: CalendarException, clash: bool
) -> None:
    assert (find_exception_overlap([one, other]) is not None) == clash
    assert (find_exception_overlap([other, one]) is not None) == clash


# Opening days (C163)


@pytest.mark.parametrize(
    ("calendar", "opens"),
    [
        (BranchCalendar(), False),
        (BranchCalendar([slot("10:00", "18:00", STAFFED)]), True),
        (BranchCalendar([slot("18:00", "22:00", UNSTAFFED)]), True),
        (BranchCalendar([slot("10:00", "18:00", CLOSED)]), False),
        # what began on Sunday evening is Sunday's
        (BranchCalendar([slot("22:00", "02:00", STAFFED, frozenset({6}))]), False),
        (BranchCalendar([slot("22:00", "02:00", STAFFED, frozenset({0}))]), True),
        # the exception takes all of the hours, or leaves a minute before or after them
        (BranchCalendar([slot("10:00", "18:00", STAFFED)], [special(MONDAY, CLOSED)]), False),
        (
            BranchCalendar(
                [slot("10:00", "18:00", STAFFED)], [special(MONDAY, CLOSED, "10:00", "18:00")]
            ),
            False,
        ),
        (
            BranchCalendar(
                [slot("10:00", "18:00", STAFFED)], [special(MONDAY, CLOSED, "10:01", "18:00")]
            ),
            True,
        ),
        (
            BranchCalendar(
                [slot("10:00", "18:00", STAFFED)], [special(MONDAY, CLOSED, "10:00", "17:59")]
            ),
            True,
        ),
        (
            BranchCalendar(
                [slot("10:00", "18:00", STAFFED)],
                [
                    special(MONDAY, CLOSED, "13:00", "18:00"),
                    special(MONDAY, CLOSED, "09:00", "13:00"),
                ],
            ),
            False,
        ),
        # closed until midnight, though the hours go on behind it
        (
            BranchCalendar(
                [slot("20:00", "02:00", STAFFED)], [special(MONDAY, CLOSED, "20:00", "24:00")]
            ),
            False,
        ),
        (BranchCalendar((), [special(MONDAY, STAFFED, "10:00", "12:00")]), True),
    ],
)
def test_a_branch_opens_on_the_day_its_hours_begin(calendar: BranchCalendar, opens: bool) -> None:
    assert calendar.opens_on(MONDAY) is opens


def test_a_branch_without_open_weekly_hours_has_no_next_opening_day() -> None:
    assert not BranchCalendar((), [special(MONDAY, STAFFED)]).opens_weekly
    assert not BranchCalendar([slot("10:00", "18:00", CLOSED)]).opens_weekly
    assert BranchCalendar([slot("18:00", "22:00", UNSTAFFED)]).opens_weekly
