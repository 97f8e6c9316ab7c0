"""What is owed, payable, blocking; how a payment is spread (B23-B25, B32, B43-B45, C6, C7)."""

from dataclasses import replace
from datetime import date

import pytest
from family import ADULT, ANNA, BERT, TODAY, TOM, ZONE, fee, patron
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.model import FeeStatus, RelationshipType
from sip2gw.policy.money import (
    PaymentRequest,
    PaymentRules,
    decide_allocation,
    fee_limit,
    money_standing,
    owed_total,
    payable_total,
)
from sip2gw.policy.relationships import PayableAccount

ANYTHING = PaymentRules(partial_payment=True, invoiced_payable=False)
WHOLE_FEES = PaymentRules(partial_payment=False, invoiced_payable=False)
NOT_ONE_BY_ONE = replace(ANYTHING, single_fee=False)
ALL_AT_ONCE = replace(ANYTHING, subtotal=False)
ARRANGED = {"status": FeeStatus.ARRANGEMENT, "arrangement_date": date(2026, 9, 1)}


@pytest.mark.parametrize(
    ("changes", "owed", "payable", "payable_with_invoiced"),
    [
        ({}, 500, 500, 500),
        ({"status": FeeStatus.INVOICE}, 500, 0, 0),
        ({"status": FeeStatus.INVOICE_DEBIT}, 500, 0, 500),
        ({"status": FeeStatus.DEBT_COLLECTION}, 500, 0, 500),
        ({"status": FeeStatus.ARRANGEMENT}, 500, 500, 500),
        (ARRANGED, 0, 0, 0),
    ],
)
def test_what_counts_as_owed_and_what_may_be_paid(changes, owed, payable, payable_with_invoiced):
    fees = (fee("F", "P", 500, **changes),)
    assert owed_total(fees) == owed
    assert payable_total(fees, invoiced_payable=False) == payable
    assert payable_total(fees, invoiced_payable=True) == payable_with_invoiced


def standing(record, max_age=None):
    return money_standing(record, TODAY, ZONE, max_age)


@pytest.mark.parametrize(
    ("owed", "limit", "over"),
    [(1000, 1000, False), (1001, 1000, True), (1, 0, True), (10**9, None, False)],
)
def test_more_than_the_limit_blocks_and_equality_does_not(owed, limit, over):
    membership = replace(ADULT, max_fees_self_service=limit)
    record = patron("P", membership=membership, fees=(fee("F", "P", owed),))
    assert standing(record).over_limit is over


def test_a_limit_of_the_patrons_own_overrides_the_memberships():
    assert fee_limit(patron("P", fee_limit=0)) == 0
    assert fee_limit(patron("P")) == 1000
    assert fee_limit(patron("P", membership=None)) is None


@pytest.mark.parametrize(("days", "over"), [(49, False), (50, True)])
def test_a_fee_older_than_the_branch_allows_blocks_whatever_the_amount(days, over):
    record = patron("P", membership=None, fees=(fee("F", "P", 1, days_old=days),))
    assert standing(record, 49).over_age is over
    assert standing(record, 49).blocked is over
    assert not standing(record, None).over_age


@pytest.mark.parametrize(("owed", "left"), [(799, None), (800, 200), (1000, 0), (1001, None)])
def test_between_alert_and_limit_the_patron_is_warned(owed, left):
    assert standing(patron("P", fees=(fee("F", "P", owed),))).alert_left == left


def test_nothing_owed_is_no_standing_at_all():
    nothing = standing(patron("P", fees=(fee("F", "P", 500, **ARRANGED),)), 1)
    assert (nothing.owed, nothing.blocked, nothing.has_fines, nothing.has_fees) == (
        0,
        False,
        False,
        False,
    )


def test_overdue_fees_are_fines_and_others_are_fees():
    fines = standing(patron("P", fees=(fee("F", "P", 1, type="04"),)))
    fees = standing(patron("P", fees=(fee("F", "P", 1, type="06"),)))
    assert (fines.has_fines, fines.has_fees) == (True, False)
    assert (fees.has_fines, fees.has_fees) == (False, True)


TWO_FEES = patron("P", fees=(fee("NEW", "P", 200, days_old=1), fee("OLD", "P", 500, days_old=9)))


def spread(payer, amount, *, fee_id=None, accounts=(), rules=ANYTHING):
    lines = decide_allocation(payer, accounts, PaymentRequest(amount, fee_id), rules)
    if isinstance(lines, str):
        return lines
    return [(line.fee_id, line.debtor_id, line.relation, line.amount) for line in lines]


@pytest.mark.parametrize(
    ("amount", "fee_id", "rules", "expected"),
    [
        (600, None, ANYTHING, [("OLD", "P", "own", 500), ("NEW", "P", "own", 100)]),
        (700, None, WHOLE_FEES, [("OLD", "P", "own", 500), ("NEW", "P", "own", 200)]),
        (500, None, WHOLE_FEES, [("OLD", "P", "own", 500)]),
        (200, None, WHOLE_FEES, "partial"),  # the oldest comes first (C6)
        (701, None, ANYTHING, "overpayment"),
        (0, None, ANYTHING, "amount"),
        (-5, None, ANYTHING, "amount"),
        (100, "NEW", ANYTHING, [("NEW", "P", "own", 100)]),
        (200, "NEW", WHOLE_FEES, [("NEW", "P", "own", 200)]),
        (100, "NEW", WHOLE_FEES, "partial"),
        (201, "NEW", ANYTHING, "overpayment"),
        (1, "T1", ANYTHING, "unknown_fee"),
        (200, "NEW", NOT_ONE_BY_ONE, "single_fee"),
        (600, None, NOT_ONE_BY_ONE, [("OLD", "P", "own", 500), ("NEW", "P", "own", 100)]),
        (500, None, ALL_AT_ONCE, "subtotal"),
        (200, "NEW", ALL_AT_ONCE, [("NEW", "P", "own", 200)]),
        (700, None, ALL_AT_ONCE, [("OLD", "P", "own", 500), ("NEW", "P", "own", 200)]),
        (701, None, ALL_AT_ONCE, "overpayment"),
    ],
)
def test_own_fees_oldest_first_or_exactly_the_one_named(amount, fee_id, rules, expected):
    assert spread(TWO_FEES, amount, fee_id=fee_id, rules=rules) == expected


def test_fees_of_the_same_moment_are_paid_in_the_order_of_their_ids():
    payer = patron("P", fees=(fee("B", "P", 1), fee("A", "P", 1)))
    assert [line[0] for line in spread(payer, 2)] == ["A", "B"]


def test_invoiced_fees_are_neither_spread_over_nor_paid_by_name():
    payer = patron("P", fees=(fee("I", "P", 500, status=FeeStatus.INVOICE),))
    assert spread(payer, 500) == "nothing_to_pay"
    assert spread(payer, 500, fee_id="I") == "not_payable"


TOMS = PayableAccount(TOM, RelationshipType.HEAD_OF_FAMILY)
BERTS = PayableAccount(BERT, RelationshipType.AUTHORISATION)


def test_own_fees_come_first_then_all_others_oldest_first():
    payer = replace(ANNA, fees=(fee("A1", "ANNA", 100),))
    assert spread(payer, 700, accounts=(BERTS, TOMS)) == [
        ("A1", "ANNA", "own", 100),
        ("T1", "TOM", "head_of_family", 300),
        ("B1", "BERT", "authorisation", 300),
    ]
    assert spread(payer, 300, fee_id="T1", accounts=(TOMS,)) == [
        ("T1", "TOM", "head_of_family", 300)
    ]


@given(
    st.lists(st.integers(1, 500), max_size=6),
    st.lists(st.integers(1, 500), max_size=6),
    st.integers(-10, 4000),
    st.booleans(),
)
def test_a_payment_is_used_up_exactly_or_refused(own, theirs, amount, partial):
    payer = patron("P", fees=tuple(fee(f"O{n}", "P", owed) for n, owed in enumerate(own)))
    other = patron("Q", fees=tuple(fee(f"T{n}", "Q", owed) for n, owed in enumerate(theirs)))
    accounts = (PayableAccount(other, RelationshipType.HEAD_OF_FAMILY),)
    rules = PaymentRules(partial, invoiced_payable=False)
    lines = decide_allocation(payer, accounts, PaymentRequest(amount, None), rules)
    if isinstance(lines, str):
        impossible = amount <= 0 or amount > sum(own) + sum(theirs)
        assert impossible or not partial
        return
    owed = {one.id: one.owed for one in (*payer.fees, *other.fees)}
    assert sum(line.amount for line in lines) == amount
    assert len({line.fee_id for line in lines}) == len(lines)
    assert all(0 < line.amount <= owed[line.fee_id] for line in lines)
    assert partial or all(line.amount == owed[line.fee_id] for line in lines)
