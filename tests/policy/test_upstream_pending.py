"""A library system's answer as if it knew of what was paid here (C123, C124, C150)."""

import re

import answers_of_systems
import pytest
from answers_of_systems import DECODE
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.model import format_amount
from sip2gw.model.shares import PendingFee
from sip2gw.policy.upstream.fees import read_lines, read_money
from sip2gw.policy.upstream.fields import Fields
from sip2gw.policy.upstream.pending import (
    listed_fees,
    lists_fees,
    may_owe,
    not_entered,
    without_paid,
)
from sip2gw.policy.upstream.rules import FactRules, MoneyDenials
from sip2gw.protocol.fields import PatronFlag, Summary
from sip2gw.protocol.messages import PatronInformation, PatronStatusRequest

KOHA, EVERGREEN = FactRules(fees="av_koha"), FactRules(fees="av_evergreen")
GOSSIP, STANDARD = FactRules(fees="gossip"), FactRules()


def information(fields):
    return answers_of_systems.information(fields.encode())


def status(fields):
    return answers_of_systems.status(fields.encode())


def paid(*fees):
    """What is pending: pairs of fee and cents; no fee lowers the sum only."""
    return [PendingFee(f"P-{number}", fee, cents) for number, (fee, cents) in enumerate(fees)]


def without(answer, pending, rules=KOHA):
    return without_paid(answer, pending, rules, "EUR", DECODE)


@pytest.mark.parametrize(
    ("answer", "owes"),
    [
        (information("BV0.00|"), False),
        (information("BV$0|"), False),
        (information("BV0.50|"), True),
        (information("BV-1.00|"), True),
        (information(""), True),  # it does not say
        (status("BV0.00|"), False),
    ],
)
def test_who_owes_nothing_is_not_looked_up(answer, owes):
    assert may_owe(answer) is owes


def test_who_is_denied_something_may_owe():
    answer = information("BV0.00|")
    answer.patron_status = frozenset({PatronFlag.CHARGE_DENIED})
    assert may_owe(answer)


@pytest.mark.parametrize(
    ("request_", "rules", "lists"),
    [
        (PatronInformation(summary=frozenset({Summary.FINES})), KOHA, True),
        (PatronInformation(summary=frozenset({Summary.FINES})), GOSSIP, False),
        (PatronInformation(summary=frozenset({Summary.FEE_DETAILS})), GOSSIP, True),
        (PatronInformation(summary=frozenset({Summary.FINES}), start_item="1"), KOHA, False),
        (PatronInformation(summary=frozenset({Summary.FINES}), end_item="5"), KOHA, False),
        (PatronInformation(), KOHA, False),
        (PatronStatusRequest(), KOHA, False),
    ],
)
def test_which_request_asks_for_the_whole_list(request_, rules, lists):
    assert lists_fees(request_, rules) is lists


@pytest.mark.parametrize(
    ("fields", "count", "listed"),
    [
        ("AV#1 Fine 2.00|AV#2 Lost 3.00|", 2, {"1": 200, "2": 300}),
        ("", 0, {}),
        ("AV#1 Fine 2.00|", 2, None),  # one is missing
        ("AV#1 Fine 2.00|AVLost 3.00|", 2, None),  # it may be the one that was paid
        ("AV#1 Fine 2.00|AV#1 Lost 3.00|", 2, None),
        ("BV2.00|AV#1 Fine 2.00|", 0, {"1": 200}),  # many never count
        ("BV5.00|AV#1 Fine 2.00|", 0, None),  # one is missing
        ("BV5.00|", 0, None),  # all are
    ],
)
def test_a_list_tells_what_is_gone_if_it_is_whole(fields, count, listed):
    answer = information(fields)
    answer.fine_items_count = count
    assert listed_fees(answer, KOHA, "EUR", DECODE) == listed


@pytest.mark.parametrize(
    ("listed", "left"),
    [({"1": 200}, ["1", ""]), ({}, [""]), (None, ["1", "2", ""])],
)
def test_what_is_gone_from_their_list_is_in_their_books(listed, left):
    pending = paid(("1", 200), ("2", 100), ("", 50))
    assert [fee.fee_id for fee in not_entered(pending, listed)] == left


def test_of_a_fee_no_more_is_missing_there_than_they_list():
    """They have lowered it: what was paid beyond that is no payment of the patron's other fees."""
    pending = paid(("1", 200), ("1", 200), ("2", 100))
    left = not_entered(pending, {"1": 250, "2": 300})
    assert [(fee.fee_id, fee.amount) for fee in left] == [("1", 200), ("1", 50), ("2", 100)]


def test_nothing_changes_where_nothing_is_pending():
    answer = information("BV5.00|")
    assert without(answer, []) is answer


@pytest.mark.parametrize(
    ("rules", "lines", "pending", "left"),
    [
        pytest.param(KOHA, ("#1 Fine 2.00", "#2 Lost 3.00"), paid(("1", 200)),
                     ("#2 Lost 3.00",), id="a whole fee"),
        pytest.param(KOHA, ("#1 Fine 2.00", "#2 Lost 3.00"), paid(("2", 100), ("2", 75)),
                     ("#1 Fine 2.00", "#2 Lost 1.25"), id="part of a fee, twice"),
        pytest.param(KOHA, ("#1 Fine 2.00", "Lost 3.00"), paid(("", 300)),
                     ("#1 Fine 2.00", "Lost 3.00"), id="without an id"),
        pytest.param(EVERGREEN, ('7 $2.00 "FINE" Book', "3.00 Other"), paid(("7", 50)),
                     ('7 $1.50 "FINE" Book', "3.00 Other"), id="Evergreen"),
        pytest.param(
            EVERGREEN,
            ("Charge-Number: 7, Amount-Due: 2.00, Fine-Type: FINE, Title: It 7.00", "3.00 Other"),
            paid(("7", 50)),
            ("Charge-Number: 7, Amount-Due: 1.50, Fine-Type: FINE, Title: It 7.00", "3.00 Other"),
            id="Evergreen, long",
        ),
        pytest.param(STANDARD, ("#1 Fine 2.00", "#2 Lost 3.00"), paid(("1", 200)),
                     ("#1 Fine 2.00", "#2 Lost 3.00"), id="not read"),
    ],
)  # fmt: skip
def test_a_line_sinks_by_what_was_paid_of_it(rules, lines, pending, left):
    answer = information("BV5.00|" + "".join(f"AV{line}|" for line in lines))
    answer.fine_items_count = 2
    told = without(answer, pending, rules)
    total = 500 - sum(fee.amount for fee in pending)
    assert read_money(told.fee_amount, "EUR") == total
    assert told.fine_items == left
    assert told.fine_items_count == len(left)
    assert answer.fine_items == lines  # others may have the same answer


def test_gossips_groups_sink_as_well():
    answer = information(
        "BV5.00|CG1|FA2.00|FB|FC|FDOne|FE01|FF|CG2|FA3.00|FB|FC|FDTwo|FE01|FF|CG3|FAx|FB|FC|FD|FE|FF|"
    )
    answer.fine_items_count = 3
    told = without(answer, paid(("1", 200), ("2", 100)), GOSSIP)
    assert [(fee.id, fee.owed, fee.title) for fee in told.fee_details] == [
        ("2", "2.00", "Two"),
        ("3", "x", ""),
    ]
    assert (told.fee_amount, told.fine_items_count) == ("2.00", 2)


@pytest.mark.parametrize(
    ("said", "cents", "told"),
    [
        ("BV5.00|", 200, "3.00"),
        ("BV1.00|", 200, "0.00"),  # some of it is in their books, without our being told
        ("BV-1.00|", 200, "-1.00"),
        ("BVfive|", 200, "five"),
        ("", 200, None),
    ],
)
@pytest.mark.parametrize("kind", [information, status])
def test_bv_sinks_to_zero_at_most(said, cents, told, kind):
    assert without(kind(said), paid(("", cents))).fee_amount == told


def test_where_nothing_is_left_no_line_is():
    answer = information("BV5.00|AVFine 2.00|AVLost 3.00|")
    answer.fine_items_count = 2
    told = without(answer, paid(("", 500)))
    assert (told.fine_items, told.fine_items_count) == ((), 0)


DENIED = frozenset({PatronFlag.CHARGE_DENIED, PatronFlag.HOLD_DENIED})


@pytest.mark.parametrize(
    ("said", "cents", "af_not", "flags", "texts"),
    [
        ("BV5.00|", 500, None, {PatronFlag.HOLD_DENIED}, ("Hello.",)),
        ("BV5.00|", 499, None, DENIED, ("You owe 5.00.", "Hello.")),
        ("BV5.00|", 500, "Hello", DENIED, ("You owe 5.00.", "Hello.")),
        ("", 500, None, DENIED, ("You owe 5.00.", "Hello.")),  # how much, nobody says
    ],
)
def test_a_denial_about_money_ends_when_nothing_is_left(said, cents, af_not, flags, texts):
    denials = MoneyDenials(
        frozenset({PatronFlag.CHARGE_DENIED}),
        re.compile("owe"),
        None if af_not is None else re.compile(af_not),
    )
    answer = information(f"{said}AFYou owe 5.00.|AFHello.|")
    answer.patron_status = DENIED
    told = without(answer, paid(("", cents)), FactRules(denials_by_money=denials))
    assert (told.patron_status, told.screen_message) == (frozenset(flags), texts)


@given(
    fees=st.dictionaries(st.sampled_from("123456"), st.integers(1, 900), max_size=5),
    shares=st.lists(st.tuples(st.sampled_from(["", *"123456"]), st.integers(1, 900)), max_size=4),
)
def test_nobody_is_asked_for_what_was_paid(fees, shares):
    """What is shown and what was paid here never come to more than they say, or more than that."""
    total = sum(fees.values())
    lines = "".join(f"AV#{fee} Fine {cents / 100:.2f}|" for fee, cents in fees.items())
    answer = information(f"BV{total / 100:.2f}|{lines}")
    pending = not_entered(paid(*shares), fees)
    told = without(answer, pending)
    left = max(total - sum(fee.amount for fee in pending), 0)
    assert told.fee_amount == format_amount(left, "EUR")
    for line in read_lines(Fields(told, DECODE), "av_koha", "EUR"):
        there = sum(one.amount for one in pending if one.fee_id == line.id)
        assert line.amount == fees[line.id] - there > 0
