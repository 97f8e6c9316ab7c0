"""What is owed, payable, blocking; how a payment is spread (B23-B25, B32, B43-B45, C6, C7)."""

from datetime import date

import pytest
from family import ADULT, ANNA, BERT, TODAY, TOM, ZONE, fee, patron
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sip2gw.model import FeeStatus, PaidFee, RelationshipType
from sip2gw.policy.money.debts import (
    PaymentRequest,
    PaymentRules,
    decide_allocation,
    fee_limit,
    money_standing,
    open_fees,
    owed_fees,
    owed_total,
    paid_in_money,
    payable_fees,
    payable_total,
    surplus_of,
)
from sip2gw.policy.relationships import PayableAccount

ANYTHING = PaymentRules(partial_payment=True, invoiced_payable=False)
WHOLE_FEES = PaymentRules(partial_payment=False, invoiced_payable=False)
NOT_ONE_BY_ONE = replace(ANYTHING, single_fee_payment=False)
ALL_AT_ONCE = replace(ANYTHING, subtotal_payment=False)
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
    assert not standing(record, 49).over_limit
    assert not standing(record, None).over_age


@pytest.mark.parametrize(("owed", "left"), [(799, None), (800, 200), (1000, 0), (1001, None)])
def test_between_alert_and_limit_the_patron_is_warned(owed, left):
    assert standing(patron("P", fees=(fee("F", "P", owed),))).alert_left == left


def test_nothing_owed_is_no_standing_at_all():
    nothing = standing(patron("P", fees=(fee("F", "P", 500, **ARRANGED),)), 1)
    assert (
        nothing.owed,
        nothing.over_limit or nothing.over_age,
        nothing.has_fines,
        nothing.has_fees,
    ) == (
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
    plan = decide_allocation(payer, accounts, PaymentRequest(amount, fee_id), rules)
    if isinstance(plan, str):
        return plan
    return [(line.fee_id, line.debtor_id, line.relation, line.amount) for line in plan.lines]


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
    plan = decide_allocation(payer, accounts, PaymentRequest(amount, None), rules)
    if isinstance(plan, str):
        impossible = amount <= 0 or amount > sum(own) + sum(theirs)
        assert impossible or not partial
        return
    lines = plan.lines
    assert plan.left == sum(own) + sum(theirs) - amount
    owed = {one.id: one.owed for one in (*payer.fees, *other.fees)}
    assert sum(line.amount for line in lines) == amount
    assert len({line.fee_id for line in lines}) == len(lines)
    assert all(0 < line.amount <= owed[line.fee_id] for line in lines)
    assert partial or all(line.amount == owed[line.fee_id] for line in lines)


# Credits (B98)

INVOICED, J, D, R = list(FeeStatus)[1:]


def left(fees, invoiced=None):
    """What credits leave of the fees that are owed, or may be paid: id and amount."""
    found = owed_fees(fees) if invoiced is None else payable_fees(fees, invoiced)
    return [(one.id, one.owed) for one in found]


def test_a_credit_settles_the_oldest_fees_of_its_debtor_and_is_no_fee_itself():
    fees = (
        fee("NEW", "P", 200, days_old=1),
        fee("CREDIT", "P", -350, days_old=99),
        fee("OLD", "P", 300, days_old=9),
        fee("TOMS", "TOM", 100, days_old=99),
    )
    assert left(fees) == left(fees, invoiced=False) == [("NEW", 150), ("TOMS", 100)]
    assert owed_total(fees) == payable_total(fees, invoiced_payable=False) == 250
    assert [one.owed for one in fees] == [200, -350, 300, 100]


def test_a_settled_fee_takes_nothing_of_a_credit():
    fees = (fee("SETTLED", "P", 0, days_old=9), fee("CREDIT", "P", -200), fee("OPEN", "P", 300))
    assert left(fees) == left(fees, invoiced=False) == [("OPEN", 100)]


@pytest.mark.parametrize("credit", [-500, -501, -9999])
def test_with_credits_enough_nothing_is_owed_and_nothing_is_below_zero(credit):
    fees = (fee("F", "P", 500, days_old=99), fee("C", "P", credit))
    assert (owed_total(fees), payable_total(fees, invoiced_payable=True)) == (0, 0)
    record = patron("P", fees=fees, membership=replace(ADULT, max_fees_self_service=0))
    nothing = standing(record, 1)
    assert (
        nothing.owed,
        nothing.over_limit or nothing.over_age,
        nothing.has_fees,
        nothing.has_fines,
    ) == (
        0,
        False,
        False,
        False,
    )


def test_limit_age_and_flags_are_about_what_credits_leave():
    """B23, B24, B32, C39: the old fine is settled, the new charge is over the alert amount."""
    fees = (
        fee("OLD", "P", 300, days_old=99, type="04"),
        fee("NEW", "P", 900, days_old=5, type="01"),
        fee("C", "P", -300, days_old=200),
    )
    found = standing(patron("P", fees=fees), 50)
    assert (found.owed, found.over_limit, found.over_age, found.oldest_days) == (
        900,
        False,
        False,
        5,
    )
    assert (found.has_fines, found.has_fees, found.alert_left) == (False, True, 100)


@pytest.mark.parametrize(
    ("status", "owed", "payable", "with_invoiced"),
    [
        (FeeStatus.OPEN, 3300, 700, 1700),
        (R, 3300, 700, 1700),
        (J, 3300, 1000, 1700),
        (D, 3300, 1000, 1700),
        (INVOICED, 3300, 1000, 2000),
    ],
)
def test_a_credit_counts_where_a_fee_of_its_status_would(status, owed, payable, with_invoiced):
    """C7: 10.00 each that is open, claimed and invoiced, 6.00 in an arrangement; 3.00 credit."""
    fees = (
        fee("O", "P", 1000, days_old=1),
        fee("J", "P", 1000, days_old=2, status=J),
        fee("I", "P", 1600, days_old=3, status=INVOICED),
        fee("R", "P", 600, days_old=4, **ARRANGED),
        fee("C", "P", -300, status=status),
    )
    assert owed_total(fees) == owed
    assert payable_total(fees, invoiced_payable=False) == payable
    assert payable_total(fees, invoiced_payable=True) == with_invoiced


def test_an_arranged_credit_waits_like_an_arranged_fee():
    fees = (fee("F", "P", 500), fee("C", "P", -300, **ARRANGED))
    assert left(fees) == left(fees, invoiced=True) == [("F", 500)]
    assert [one.id for one in open_fees(fees)] == ["F"]


def test_open_fees_are_what_is_owed_and_what_is_arranged_in_their_order():
    fees = (
        fee("A", "P", 100, **ARRANGED),
        fee("F", "P", 500),
        fee("C", "P", -600),
        fee("G", "P", 300),
    )
    assert [(one.id, one.owed) for one in open_fees(fees)] == [("A", 100), ("G", 200)]


WITH_CREDIT = patron(
    "P",
    fees=(
        fee("NEW", "P", 200, days_old=1),
        fee("OLD", "P", 500, days_old=9),
        fee("CREDIT", "P", -150, days_old=5),
    ),
)
USED = ("CREDIT", "P", "own", -150)


@pytest.mark.parametrize(
    ("amount", "fee_id", "rules", "expected"),
    [
        (550, None, ANYTHING, [("OLD", "P", "own", 500), USED, ("NEW", "P", "own", 200)]),
        (100, None, ANYTHING, [("OLD", "P", "own", 250), USED]),
        (350, None, WHOLE_FEES, [("OLD", "P", "own", 500), USED]),
        (500, None, WHOLE_FEES, "partial"),
        (551, None, ANYTHING, "overpayment"),
        (549, None, ALL_AT_ONCE, "subtotal"),
        (550, None, ALL_AT_ONCE, [("OLD", "P", "own", 500), USED, ("NEW", "P", "own", 200)]),
        (350, "OLD", WHOLE_FEES, [("OLD", "P", "own", 500), USED]),
        (351, "OLD", ANYTHING, "overpayment"),
        (349, "OLD", WHOLE_FEES, "partial"),
        (100, "OLD", ANYTHING, [("OLD", "P", "own", 250), USED]),
        # The credit has gone to the older fee, and is used up whatever is paid.
        (200, "NEW", WHOLE_FEES, [("OLD", "P", "own", 150), USED, ("NEW", "P", "own", 200)]),
        (201, "NEW", ANYTHING, "overpayment"),
        (150, "CREDIT", ANYTHING, "not_payable"),
        (1, "CREDIT", ANYTHING, "not_payable"),
    ],
)
def test_the_next_payment_uses_the_credits_up(amount, fee_id, rules, expected):
    assert spread(WITH_CREDIT, amount, fee_id=fee_id, rules=rules) == expected


def test_credits_settle_several_fees_and_those_first_that_may_always_be_paid():
    fees = (
        fee("A", "P", 100, days_old=9),
        fee("B", "P", 100, days_old=8),
        fee("C", "P", 200, days_old=7),
        fee("X", "P", -250, days_old=1),
        fee("Y", "P", -50, days_old=2),
    )
    assert spread(patron("P", fees=fees), 100) == [
        ("A", "P", "own", 100),
        ("B", "P", "own", 100),
        ("C", "P", "own", 200),
        ("Y", "P", "own", -50),
        ("X", "P", "own", -250),
    ]
    # What may be paid only where `invoiced_payable` is set comes after what always may.
    claimed = fee("J", "P", 300, days_old=99, status=J)
    used = spread(
        patron("P", fees=(*fees[:2], claimed, fee("Z", "P", -150))),
        350,
        rules=PaymentRules(partial_payment=False, invoiced_payable=True),
    )
    assert used == [
        ("J", "P", "own", 300),
        ("A", "P", "own", 100),
        ("B", "P", "own", 100),
        ("Z", "P", "own", -150),
    ]


def test_who_owes_nothing_after_credits_has_nothing_to_pay():
    payer = patron("P", fees=(fee("F", "P", 500), fee("C", "P", -500)))
    assert spread(payer, 1) == "nothing_to_pay"
    assert spread(payer, 500, fee_id="F") == "nothing_to_pay"
    assert spread(payer, 500, fee_id="C") == "not_payable"


def test_a_credit_counts_for_its_debtor_only_whoever_pays():
    """Anna has 9.00 to spare; Tom owes 3.00, of which 1.00 is made good."""
    anna = replace(ANNA, fees=(fee("A", "ANNA", -900), fee("A1", "ANNA", 100)))
    tom = replace(TOM, fees=(fee("T1", "TOM", 300), fee("T2", "TOM", -100)))
    toms = PayableAccount(tom, RelationshipType.HEAD_OF_FAMILY)
    assert spread(anna, 201, accounts=(toms,)) == "overpayment"
    assert spread(anna, 200, accounts=(toms,)) == [
        ("T1", "TOM", "head_of_family", 300),
        ("T2", "TOM", "head_of_family", -100),
    ]


def test_an_invoiced_fee_is_not_settled_with_a_credit_at_a_terminal():
    payer = patron(
        "P", fees=(fee("I", "P", 500, status=INVOICED), fee("F", "P", 100), fee("C", "P", -300))
    )
    assert spread(payer, 100) == "nothing_to_pay"
    assert owed_total(payer.fees) == 300


def test_what_was_paid_in_money_is_told_without_what_credits_settled():
    old, new, credit = (
        fee(name, "P", 0, days_old=days) for name, days in (("OLD", 9), ("NEW", 1), ("C", 5))
    )
    settled = [PaidFee(old, 100), PaidFee(credit, -150), PaidFee(new, 200)]
    assert [(one.fee.id, one.paid) for one in paid_in_money(settled)] == [("NEW", 150)]
    assert paid_in_money([PaidFee(new, 200)]) == (PaidFee(new, 200),)


@pytest.mark.parametrize(
    ("amount", "paid", "surplus"),
    [
        (400, 0, 0),
        (400, 399, 0),
        (400, 400, 0),
        (400, 401, 1),
        (0, 5, 5),
        (-300, 0, 0),
        (-300, -300, 0),
        (-100, -300, 0),  # more of the credit was used than there is now: 2.00 are owed
        (-300, 500, 800),  # a fee that was paid and became a credit
        (500, -200, 0),  # a credit that was used and became a fee
    ],
)
def test_a_surplus_is_what_was_paid_beyond_the_amount(amount, paid, surplus):
    assert surplus_of(amount, paid) == surplus
    assert amount - paid + surplus >= min(amount, 0)


accounts_of = st.lists(
    st.tuples(
        st.integers(-300, 500).filter(bool),
        st.sampled_from(FeeStatus),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=6,
)


def fees_of(patron_id, drawn):
    return tuple(
        fee(
            f"{patron_id}{number}",
            patron_id,
            owed,
            days_old=days,
            status=status,
            arrangement_date=date(2026, 9, 1) if arranged else None,
        )
        for number, (owed, status, days, arranged) in enumerate(drawn)
    )


@given(accounts_of, accounts_of, st.booleans())
def test_what_credits_leave_adds_up_for_each_debtor_and_may_be_paid(own, theirs, invoiced):
    """Never below zero, nobody's credit for another, and what a terminal shows can be paid."""
    every = fees_of("P", own), fees_of("Q", theirs)
    for fees in every:
        counted = [one for one in fees if one.status is not R or one.arrangement_date is None]
        assert owed_total(fees) == max(0, sum(one.owed for one in counted))
        taken = {FeeStatus.OPEN, R} | ({J, D} if invoiced else set())
        payable = [one for one in counted if one.status in taken]
        assert payable_total(fees, invoiced) == max(0, sum(one.owed for one in payable))
    both = every[0] + every[1]
    assert owed_total(both) == sum(map(owed_total, every))
    before = {one.id: one.owed for one in both}
    assert all(0 < one.owed <= before[one.id] for one in owed_fees(both))
    shown = {one.id: one.owed for one in owed_fees(both)}
    assert all(one.owed >= shown.get(one.id, 0) for one in payable_fees(both, invoiced))
    assert [one for one in open_fees(both) if one.id in shown] == list(owed_fees(both))


@given(
    accounts_of,
    accounts_of,
    st.integers(1, 3000),
    st.none() | st.sampled_from([f"{who}{number}" for who in "PQ" for number in range(4)]),
    st.builds(PaymentRules, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_a_payment_with_credits_is_used_up_exactly_and_takes_no_more_than_there_is(
    own, theirs, amount, fee_id, rules
):
    payer, other = patron("P", fees=fees_of("P", own)), patron("Q", fees=fees_of("Q", theirs))
    accounts = (PayableAccount(other, RelationshipType.HEAD_OF_FAMILY),)
    every = {one.id: one for one in (*payer.fees, *other.fees)}
    payable = payable_total(every.values(), rules.invoiced_payable)
    plan = decide_allocation(payer, accounts, PaymentRequest(amount, fee_id), rules)
    if isinstance(plan, str):
        simple = fee_id is None and rules.partial_payment and rules.subtotal_payment
        assert not simple or amount > payable
        return
    lines = plan.lines
    assert plan.left == payable - amount >= 0
    assert sum(line.amount for line in lines) == amount
    assert len({line.fee_id for line in lines}) == len(lines)
    for line in lines:
        owed = every[line.fee_id].owed
        assert 0 < line.amount <= owed or owed <= line.amount < 0
    debtors = {line.debtor_id for line in lines}
    assert all(sum(one.amount for one in lines if one.debtor_id == who) > 0 for who in debtors)
    # Afterwards what may be paid is less by just the amount, and no credit of theirs is left
    # beside a fee that it could settle.
    paid = {line.fee_id: line.amount for line in lines}
    after = [replace(one, owed=one.owed - paid.get(one.id, 0)) for one in every.values()]
    assert payable_total(after, rules.invoiced_payable) == payable - amount
    theirs_after = [one for one in after if one.patron_id in debtors]
    raw = [one for one in theirs_after if one.owed > 0]
    invoiced = rules.invoiced_payable
    assert payable_fees(theirs_after, invoiced) == payable_fees(raw, invoiced)
