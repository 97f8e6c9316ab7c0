"""What people may write for a time (C34)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sip2gw.cli.common import read_since, read_until
from sip2gw.cli.failures import UsageError

FAR_EAST = timezone(timedelta(hours=14))


@pytest.mark.parametrize("zone", [UTC, FAR_EAST])
@pytest.mark.parametrize(("word", "ago"), [("today", 0), ("yesterday", 1)])
def test_a_day_by_its_name_is_the_librarys(word: str, ago: int, zone: timezone) -> None:
    today = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = read_since(word, zone), read_until(word, zone)
    assert start == today - timedelta(days=ago)
    assert end == start + timedelta(days=1)


def test_a_time_is_not_a_day() -> None:
    assert read_until("2026-03-01T10:00:00", UTC) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert read_until("2026-03-01", UTC) == datetime(2026, 3, 2, tzinfo=UTC)
    assert read_since(None, UTC) is read_until(None, UTC) is None


@pytest.mark.parametrize("word", ["tomorrow", "Today ", "2026-13-01", "0001-01-01", "\x1b[2J"])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=r"--from .*: .*; also allowed: today, yesterday") as no:
        read_since(word, UTC, "--from")
    assert str(no.value).isprintable()
