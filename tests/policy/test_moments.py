"""Fields that take a date or a time (C34)."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from sip2gw.policy.moments import read_day, read_end, read_start, reads_a_day

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
