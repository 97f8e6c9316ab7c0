"""Amounts and fee lines as library systems write them (C150)."""

from datetime import date

import pytest
from answers_of_systems import DECODE, information, status
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.model import UNDATED
from sip2gw.policy.money.debts import owed_total
from sip2gw.policy.upstream.fees import (
    OPEN_AMOUNT,
    FeeLine,
    open_fees,
    read_lines,
    read_money,
)
from sip2gw.policy.upstream.fields import Fields


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("20.00", "EUR", 2000),
        (" 12.00", "EUR", 1200),  # Symphony
        ("$5.25", "USD", 525),
        ("16.8", "EUR", 1680),  # Horizon
        ("10.", "EUR", 1000),
        ("0", "EUR", 0),
        ("1,234.50", "EUR", 123450),
        ("-3.00", "EUR", -300),
        ("2.005", "EUR", 201),
        ("-2.005", "EUR", -201),
        ("2.0049", "EUR", 200),
        ("150", "JPY", 150),
        ("1.234", "BHD", 1234),
        ("9999999999.99", "EUR", 999999999999),
        ("10000000000.01", "EUR", None),  # no library is owed that much
        ("9" * 5000, "EUR", None),
        ("1.234,50", "EUR", None),
        ("1,23", "EUR", None),
        ("5 EUR", "EUR", None),
        ("$", "EUR", None),
        (".5", "EUR", None),
        ("", "EUR", None),
        ("٣", "EUR", None),
        (None, "EUR", None),
    ],
)
def test_an_amount_is_read_or_unknown(text, currency, minor):
    assert read_money(text, currency) == minor


def lines(form, fields, answer=information):
    return read_lines(Fields(answer(fields), DECODE), form, "EUR")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b"Overdue fee 1.50", FeeLine("Overdue fee", 150)),
        (b"#417 Lost: The Hobbit 12.00", FeeLine("Lost: The Hobbit", 1200, "417")),
        (b"#417 12.00 ", FeeLine("", 1200, "417")),
        (b"3.20", FeeLine("", 320)),
        (b"Credit -5.00", FeeLine("Credit", -500)),
        (b"Room 3-5.00", FeeLine("Room 3-5.00")),
        (b"Fee 1,005.00", FeeLine("Fee 1,005.00")),
        (b"Fee 5", FeeLine("Fee 5")),
        (b"#12.00", FeeLine("#", 1200)),
        (b"", FeeLine("")),
        (b"x" * 1001 + b" 1.00", FeeLine("x" * 1001 + " 1.00")),
        (b"Fee 99999999999999.00", FeeLine("Fee 99999999999999.00")),
    ],
)
def test_koha_ends_a_line_with_the_amount(value, line):
    assert lines("av_koha", b"AV" + value + b"|") == (line,)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (
            b"Charge-Number: 17, Amount-Due: 2.5, Fine-Type: FINE, Title: Emma",
            FeeLine("Emma", 250, "17", "04"),
        ),
        (b'17 $12 "LOST" Emma', FeeLine("Emma", 1200, "17", "07")),
        (b' 17 $0.50 "FEE" ', FeeLine("", 50, "17")),
        (b"2.00 Overdue materials Emma / Austen", FeeLine("Overdue materials Emma / Austen", 200)),
        (b"-2.00 Credit", FeeLine("Credit", -200)),
        (b"Emma 2.00", FeeLine("Emma 2.00")),
    ],
)
def test_evergreen_writes_a_line_in_one_of_three_forms(value, line):
    assert lines("av_evergreen", b"AV" + value + b"|") == (line,)


GROUPS = (
    b"CGa1-f|FA1,234.50|FB3100|FC05.02.2026|FD1984|FEx|FFOverdue|"
    b"CGa2|FA1.234,50|FC5/2|FD|"  # an amount of another locale
    b"CG|FA2.00|"
    b"CGa3|FA1.234|"  # a thousand, or one and a bit
)


@pytest.mark.parametrize("answer", [information, status])
def test_gossip_begins_a_group_with_what_is_paid(answer):
    first, second, third, fourth = lines("gossip", b"FAnot in a group|" + GROUPS, answer)
    assert first == FeeLine("Overdue 1984", 123450, "a1-f", "01", "3100", date(2026, 2, 5))
    assert second == fourth == FeeLine("")
    assert third == FeeLine("", 200)


def test_gossips_items_in_av_are_no_lines():
    assert lines("gossip", b"AV3100|") == ()


@pytest.mark.parametrize("form", ["none", "standard"])
def test_without_a_form_nothing_is_read_out_of_lines(form):
    assert lines(form, b"AVOverdue 1.50|" + GROUPS) == ()


def test_an_id_that_stands_twice_names_nothing():
    assert [line.id for line in lines("av_koha", b"AV#1 A 1.00|AV#1 B 2.00|AV#2 C 3.00|")] == [
        "",
        "",
        "2",
    ]


def test_an_id_that_cannot_be_printed_is_none():
    assert [line.id for line in lines("gossip", b"CGa\0b|FA1.00|")] == [""]


def owed(fee_lines, balance=None):
    return [(fee.id, fee.owed, fee.description) for fee in open_fees(fee_lines, balance, "P")]


def test_without_lines_the_total_is_one_open_amount():
    (fee,) = open_fees((), 250, "P")
    assert (fee.id, fee.patron_id, fee.owed, fee.amount) == (OPEN_AMOUNT, "P", 250, 250)
    assert fee.created == UNDATED
    assert open_fees((), 0, "P") == open_fees((), None, "P") == ()


def test_what_the_total_says_beyond_the_lines_is_one_amount_without_id():
    known = FeeLine("A", 100, "7")
    assert owed([known], 100) == [("7", 100, "A")]
    assert owed([known, FeeLine("B", 50)], 150) == [("", 50, "B"), ("7", 100, "A")]
    assert owed([known, FeeLine("B"), FeeLine("C", 20)], 200) == [("", 100, ""), ("7", 100, "A")]
    assert owed([known], 40) == [("", -60, ""), ("7", 100, "A")]
    assert owed([FeeLine("free", 0, "8")], 0) == []


def test_without_a_total_the_lines_that_can_be_read_are_owed():
    assert owed([FeeLine("A", 100, "7"), FeeLine("B", 50), FeeLine("C")]) == [
        ("", 50, ""),
        ("7", 100, "A"),
    ]


def test_the_oldest_fee_comes_first():
    young = FeeLine("young", 1, "1", created=date(2026, 2, 2))
    old = FeeLine("old", 1, "2", created=date(2026, 1, 1))
    assert [fee.description for fee in open_fees([young, old], None, "P")] == ["old", "young"]


LINES = st.lists(
    st.builds(FeeLine, st.just("t"), st.none() | st.integers(-500, 500), st.sampled_from("ab")),
    max_size=4,
    unique_by=lambda line: line.id,
)


@given(LINES, st.integers(-1000, 1000))
def test_what_is_owed_is_always_the_total_that_was_said(fee_lines, balance):
    assert owed_total(open_fees(fee_lines, balance, "P")) == max(balance, 0)
