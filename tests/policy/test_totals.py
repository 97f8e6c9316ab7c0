"""Day totals per terminal and payment type (B47): what a till should hold."""

from datetime import UTC, date, datetime

from family import ZONE

from sip2gw.model import Payment
from sip2gw.policy.money.till_totals import DayTotal, day_totals


def paid(amount, moment, *, terminal="cash-1", kind="00", status="booked"):
    time = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return Payment("X", time, terminal, "P1", amount, "EUR", kind, "", status, ())


def test_a_total_for_each_day_terminal_and_type():
    payments = [
        paid(100, "2026-03-10T10:00"),
        paid(50, "2026-03-10T11:00"),
        paid(25, "2026-03-10T12:00", kind="01"),
        paid(10, "2026-03-09T12:00", terminal="cash-2"),
    ]
    assert day_totals(payments, ZONE) == [
        DayTotal(date(2026, 3, 9), "cash-2", "00", "EUR", 1, 10),
        DayTotal(date(2026, 3, 10), "cash-1", "00", "EUR", 2, 150),
        DayTotal(date(2026, 3, 10), "cash-1", "01", "EUR", 1, 25),
    ]


def test_days_are_local():
    """22:30 UTC is half past eleven at night in winter, and past midnight in summer."""
    payments = [paid(1, "2026-03-10T22:30"), paid(1, "2026-07-10T22:30")]
    assert [total.date.day for total in day_totals(payments, ZONE)] == [10, 11]


def test_what_was_undone_or_is_not_known_does_not_count():
    payments = [
        paid(100, "2026-03-10T10:00", status="undone"),
        paid(100, "2026-03-10T10:00", status="unknown"),
    ]
    assert day_totals(payments, ZONE) == []
