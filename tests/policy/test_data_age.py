"""Data that is too old for a door.  (C138)"""

from datetime import UTC, datetime, timedelta

import pytest

from sip2gw.policy.data_age import is_too_old

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "too_old"),
    [
        (timedelta(0), False),
        (timedelta(hours=36), False),
        (timedelta(hours=36, seconds=1), True),
        (-timedelta(seconds=5), False),  # another gateway's clock is ahead
        (None, True),  # nobody knows: the door stays shut (B36)
    ],
)
def test_data_serves_for_its_time_and_what_is_not_known_serves_nobody(
    age: timedelta | None, too_old: bool
) -> None:
    since = NOW - age if age is not None else None
    assert is_too_old(since, NOW, timedelta(hours=36)) is too_old
