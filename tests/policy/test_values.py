"""Amounts of money, and moments that are made once."""

from datetime import UTC, timedelta, timezone

import pytest

from sip2gw.foundation.clock import Clock
from sip2gw.model import (
    format_amount,
    parse_amount,
    read_currency,
)


def test_one_second_has_one_moment_in_some_days_for_each_zone() -> None:
    epoch = [1_000.0]
    clock, zone = Clock(lambda: epoch[0]), timezone(timedelta(hours=1))
    later = clock.in_days(30, zone)
    assert later == clock.now(zone) + timedelta(days=30)
    epoch[0] += 0.9
    assert clock.in_days(30, zone) is later
    assert clock.in_days(30).tzinfo is UTC
    epoch[0] += 0.2
    assert clock.in_days(30, zone) - later == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("2.50", "EUR", 250),
        (".50", "EUR", 50),
        (".5", "EUR", 50),
        ("5", "EUR", 500),
        ("5.0", "EUR", 500),
        ("5.000", "EUR", 500),
        (" 5 ", "EUR", 500),
        ("-1.00", "EUR", -100),
        ("005", "JPY", 5),
        ("5.0", "JPY", 5),
        (".0", "JPY", 0),
        (".005", "BHD", 5),
        ("999999999999", "JPY", 999_999_999_999),
    ],
)
def test_amounts_that_are_read(text: str, currency: str, minor: int) -> None:
    """C105."""
    assert parse_amount(text, currency) == minor
    assert parse_amount(format_amount(minor, currency), currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *((text, "EUR") for text in ("", " ", ".", "-", "-.", "5.", "+5", "5,00", "1 0", "--5")),
        *((text, "EUR") for text in ("\t5", "5\n", "\xa05", "5\0", "\u0665", "\uff15", "5\u00b2")),
        *((text, "EUR") for text in ("1.001", "9" * 13, "1_0", "1e2", "0x5", "1.0.0", "1'000.00")),
        ("0.5", "JPY"),
        ("10000000000.01", "EUR"),
    ],
)
def test_amounts_that_would_be_guessed_are_not(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"amount|decimals"):
        parse_amount(text, currency)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("EUR", "EUR"),
        ("eur", "EUR"),
        ("   ", "EUR"),
        ("", "EUR"),
        ("usd", "USD"),
        ("EU ", "EU"),
        ("\u00dfp ", "\u00dfp"),  # in capitals it would be SSP, the pound of South Sudan
    ],
)
def test_currencies_that_are_read(text: str, code: str) -> None:
    """C105; what is not the library's own is refused elsewhere."""
    assert read_currency(text, "EUR") == code
