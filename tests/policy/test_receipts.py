"""A receipt number that comes again: a retry, another payment, or nobody knows (C105)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sip2gw.policy.money.receipts import (
    Receipt,
    ReceiptRules,
    ReceiptUse,
    receipt_use,
)

ZONE = ZoneInfo("Europe/Brussels")
KEPT = ReceiptRules(ZONE)
STARTS_ANEW = ReceiptRules(ZONE, starts_anew=True)

RETRY, REUSED = ReceiptUse.RETRY, ReceiptUse.REUSED
DOUBTFUL, NEW = ReceiptUse.DOUBTFUL, ReceiptUse.NEW


def local(text: str) -> datetime:
    """A moment of March 2026 or so in the branch's zone."""
    return datetime.fromisoformat(f"{text}:00").replace(tzinfo=ZONE)


def receipt(transacted: str | None, content: str = "1004|250", booked: str = "2026-03-10 12:00"):
    return Receipt(content, None if transacted is None else local(transacted), local(booked))


FIRST = receipt("2026-03-10 12:00")


@pytest.mark.parametrize(
    ("again", "use"),
    [
        ("1001|300|EUR|00||1002", DOUBTFUL),
        ("1001|300|EUR|00||", REUSED),
        ("1001|200|EUR|00||1002", REUSED),
    ],
    ids=["perhaps theirs", "nobody named", "another amount"],
)
def test_whose_debt_was_paid_nobody_knows_once_they_are_forgotten(again, use):
    first = receipt("2026-03-10 12:00", content="1001|300|EUR|00||~5f0c")
    assert receipt_use(first, receipt("2026-03-10 12:00", content=again), KEPT) is use


@pytest.mark.parametrize(
    ("first", "again", "together"),
    [
        ("2026-03-10 12:00", "2026-03-10 12:00", True),  # the same message
        ("2026-03-10 00:00", "2026-03-10 23:59", True),  # the same day
        ("2026-03-10 23:59", "2026-03-10 00:00", True),  # and a clock that was set back
        ("2026-03-10 23:30", "2026-03-11 00:30", True),  # one hour, over midnight
        ("2026-03-11 00:30", "2026-03-10 23:30", True),
        ("2026-03-10 23:30", "2026-03-11 00:31", False),
        ("2026-03-11 00:31", "2026-03-10 23:30", False),
        ("2026-03-10 12:00", "2026-03-11 12:00", False),
        ("2026-03-10 12:00", "2026-04-10 12:00", False),  # the same day of another month
        ("2026-03-10 12:00", "2025-03-10 12:00", False),
        ("2026-03-28 23:30", "2026-03-29 00:30", True),
        ("2026-10-24 23:30", "2026-10-25 00:31", False),
    ],
)
def test_day_and_hour_tell_whether_it_is_the_same_payment(first, again, together):
    one, other = receipt(first), receipt(again)
    assert receipt_use(one, other, KEPT) is (RETRY if together else DOUBTFUL)
    assert receipt_use(one, other, STARTS_ANEW) is (RETRY if together else NEW)
    another = receipt(again, content="1004|300")
    assert receipt_use(one, another, KEPT) is (REUSED if together else NEW)
    assert receipt_use(one, another, STARTS_ANEW) is (REUSED if together else NEW)


def test_an_hour_is_an_hour_when_the_clocks_change():
    """On 25 October 2026 three o'clock comes twice: the first 02:30 and the second are one hour
    apart, and midnight in a zone that changes at midnight does not hide what lies between."""
    havana = ZoneInfo("America/Havana")  # 1 November 2026, 01:00 is followed by 00:00
    before = datetime(2026, 10, 31, 23, 50, tzinfo=havana)
    second_midnight = datetime(2026, 11, 1, 0, 10, fold=1, tzinfo=havana)  # 1 h 20 min later
    one = Receipt("x", before, before)
    other = Receipt("x", second_midnight, second_midnight)
    assert receipt_use(one, other, ReceiptRules(havana)) is DOUBTFUL


def test_the_day_is_that_of_the_branch():
    """23:30 and 00:31 in Brussels are the same day in UTC, and in New York."""
    one, other = receipt("2026-03-10 23:30"), receipt("2026-03-11 00:31")
    assert receipt_use(one, other, KEPT) is DOUBTFUL
    assert receipt_use(one, other, ReceiptRules(UTC)) is RETRY
    assert receipt_use(one, other, ReceiptRules(ZoneInfo("America/New_York"))) is RETRY


@pytest.mark.parametrize("days", [0, 1, 29])
def test_a_terminal_is_measured_by_its_own_clock(days):
    """Ours says that days have passed; the same date in the message is the same message."""
    stuck = receipt("2020-01-01 00:00", booked="2026-03-10 12:00")
    again = receipt("2020-01-01 00:00", booked="2026-03-10 12:00")
    again.time += timedelta(days=days)
    assert receipt_use(stuck, again, KEPT) is RETRY
    assert receipt_use(stuck, again, STARTS_ANEW) is RETRY


@pytest.mark.parametrize(
    ("first", "again"), [(None, None), ("2026-03-10 12:00", None), (None, "2020-01-01 00:00")]
)
@pytest.mark.parametrize(
    ("received", "use"),
    [("2026-03-10 23:59", RETRY), ("2026-03-11 12:00", DOUBTFUL)],
)
def test_without_a_date_on_either_side_our_clock_measures_both(first, again, received, use):
    assert receipt_use(receipt(first), receipt(again, booked=received), KEPT) is use
