"""When a notice is tried again, and where it can go (B63, C162)."""

from datetime import UTC, datetime, timedelta

import pytest

from sip2gw.policy.members.deliveries import (
    gap,
    is_address,
    masked,
    next_try,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempts", "minutes"),
    [(1, 1), (2, 2), (3, 4), (8, 128), (9, 240), (10, 240), (10_000, 240)],
)
def test_gaps_grow_up_to_four_hours(attempts: int, minutes: int) -> None:
    assert gap(attempts) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("attempts", "minutes_since_first", "minutes_until_next"),
    [(1, 0, 1), (2, 1, 2), (9, 100, 20), (9, 119, 1), (9, 120, None), (9, 500, None)],
)
def test_the_last_attempt_is_at_the_end_of_the_time_for_it(
    attempts: int, minutes_since_first: int, minutes_until_next: int | None
) -> None:
    now = START + timedelta(minutes=minutes_since_first)
    expected = minutes_until_next and now + timedelta(minutes=minutes_until_next)
    assert next_try(attempts, START, now, timedelta(hours=2)) == expected


@pytest.mark.parametrize(
    "text", ["ann@example.org", "a.b+c@x-y.example", "x@localhost", "o'neil@example.org"]
)
def test_plain_addresses_can_be_sent_to(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@",
        "@example.org",
        "ann@@example.org",
        "ann@example.org\r\nBcc: all@example.org",
        "ann@example.org\n",
        "ann@example.org>, <bob@example.org",
        "ann maes@example.org",
        '"ann maes"@example.org',
        "ann@-example.org",
        "ann@example..org",
        "ann@example.org.",
        "änn@example.org",
        "a" * 65 + "@example.org",
        "a@" + ".".join(["b" * 60] * 5),
    ],
)
def test_all_else_cannot(text: str) -> None:
    assert not is_address(text)


def test_a_masked_address_says_little() -> None:
    assert masked("ann.maes@example.org") == "a***@e***"
