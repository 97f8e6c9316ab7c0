"""Fields that take a date or a time (C34)."""

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from sip2gw.policy.moments import (
    read_day,
    read_end,
    read_since,
    read_start,
    read_until,
    reads_a_day,
)

BRUSSELS = ZoneInfo("Europe/Brussels")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-10", 10),
        ("2026-03-10T23:30", 10),  # of the library, where no zone is named
        ("2026-03-10T23:30:00+01:00", 10),
        ("2026-03-10T23:30:00Z", 11),  # half past midnight in Brussels
    ],
)
def test_a_day_is_the_one_that_the_library_has_then(text, day):
    assert read_day(text, BRUSSELS) == date(2026, 3, day)


def test_a_date_begins_at_midnight_and_ends_with_its_last_second():
    assert read_start("2026-03-10", BRUSSELS) == datetime(2026, 3, 10, tzinfo=BRUSSELS)
    assert read_end("2026-03-10", BRUSSELS) == datetime(2026, 3, 10, 23, 59, 59, tzinfo=BRUSSELS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10/03/2026", "not a date YYYY-MM-DD or a time"),
        ("0001-01-01", "year out of range"),  # an hour west of Greenwich it would be in no year
        ("9999-12-31T23:59", "year out of range"),
    ],
)
def test_what_is_no_date_of_a_library_is_told(text, told):
    with pytest.raises(ValueError, match=told):
        read_start(text, BRUSSELS)


TODAY = date(2026, 3, 30)
"""The day after the clocks went forward in Brussels."""


@pytest.mark.parametrize(
    ("text", "day", "next_day"),
    [("today", 30, 31), ("yesterday", 29, 30), ("2026-03-28", 28, 29)],
)
def test_c34_a_span_has_the_whole_of_its_first_and_last_day(text, day, next_day):
    """Midnight is the library's, however many hours the day has."""
    assert read_since(text, BRUSSELS, TODAY) == datetime(2026, 3, day, tzinfo=BRUSSELS)
    assert read_until(text, BRUSSELS, TODAY) == datetime(2026, 3, next_day, tzinfo=BRUSSELS)


@pytest.mark.parametrize("text", ["2026-03-29T10:30", "2026-03-29T08:30:00Z"])
def test_c34_a_span_may_begin_and_end_at_a_time(text):
    moment = datetime(2026, 3, 29, 10, 30, tzinfo=timezone(timedelta(hours=2)))
    assert read_since(text, BRUSSELS, TODAY) == read_until(text, BRUSSELS, TODAY) == moment


@pytest.mark.parametrize("read", [read_since, read_until])
@pytest.mark.parametrize("text", ["tomorrow", "Today", "", "2026-13-01", "0001-01-01"])
def test_another_word_begins_or_ends_no_span(read, text):
    with pytest.raises(ValueError, match=r"; also allowed: today, yesterday$"):
        read(text, BRUSSELS, TODAY)


@pytest.mark.parametrize(
    ("form", "reads"),
    [
        ("%d/%m/%Y", True),
        ("%Y%m%d", True),
        ("%d/%m", False),  # no year
        ("%Y-%m-%d %Y", False),  # a directive that stands there twice
        ("%Y-%m-%d %!", False),  # none at all
    ],
)
def test_which_formats_read_a_whole_day(form: str, reads: bool) -> None:
    assert reads_a_day(form) is reads
