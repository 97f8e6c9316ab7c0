"""Checkout and renewal: each rule in its order, off line, and what is the same afterwards (B56)."""

from datetime import datetime, timedelta

import pytest
from family import ADULT, NOON, ZONE, patron
from msgspec.structs import replace
from stock import (
    BANNED,
    DUE,
    OTHER,
    READER,
    RULES,
    facts,
    hold,
    loan,
    record,
    request,
    standing_of,
)

from sip2gw.model import COUNT_MAX, ItemStatus, Loan
from sip2gw.model.items import ItemLoan, ItemState
from sip2gw.policy.items.decisions import (
    Effect,
    Materials,
    NewFee,
    Refusal,
)
from sip2gw.policy.items.lending import decide_checkout, decide_renewal, is_in_house
from sip2gw.policy.reasons import CirculationReason as R

IN_THREE_WEEKS = datetime(2026, 3, 31, 23, 59, 59, tzinfo=ZONE)
MAX_2 = replace(ADULT, max_items=2)
TWO_LOANS = tuple(Loan(f"X{n}", "X", DUE, NOON) for n in range(2))
FULL_HANDS = patron("ANNA", membership=MAX_2, loans=TWO_LOANS)


def check_out(known, who=READER, asked=None, rules=RULES):
    standing = standing_of(who) if who is not None else None
    return decide_checkout(facts(known, who), standing, asked or request(), rules)


def renew(known, who=READER, asked=None, *others, may_act=False):
    standings = tuple(map(standing_of, (who, *others))) if who is not None else ()
    asked = asked or request("29")
    return decide_renewal(facts(known, who), standings, asked, RULES, may_act=may_act)


def reasons(decision):
    assert isinstance(decision, Refusal)
    assert decision.reason is decision.reasons[0]
    return list(decision.reasons)


def effect(decision):
    assert isinstance(decision, Effect)
    return decision


def test_an_item_is_lent_until_the_end_of_its_last_day() -> None:
    done = effect(check_out(record()))
    assert done.after == ItemState(
        current_branch="MAIN", loan=ItemLoan("ANNA", NOON, IN_THREE_WEEKS)
    )
    assert (done.outcome.due, done.outcome.patron_id, done.outcome.renewed) == (
        IN_THREE_WEEKS,
        "ANNA",
        False,
    )
    assert done.fee is None
    assert done.overridden == ()


def test_the_due_day_is_one_of_the_calendar_over_the_change_of_the_clock() -> None:
    """The last Sunday of March has 23 hours."""
    due = effect(check_out(record(loan_days=19))).outcome.due
    assert due.isoformat() == "2026-03-29T23:59:59+02:00"


def test_nothing_is_lent_to_nobody_and_no_unknown_item() -> None:
    assert reasons(check_out(record(), None)) == [R.UNKNOWN_CARD]
    assert reasons(check_out(None)) == [R.UNKNOWN_ITEM]
    assert reasons(check_out(None, READER, request(no_block=True))) == [R.UNKNOWN_ITEM]
    assert reasons(check_out(record(), None, request(no_block=True))) == [R.UNKNOWN_CARD]


ALONE = [
    (record(for_loan=False), READER, R.NOT_FOR_LOAN),
    (record(state=ItemState(ItemStatus.LOST)), READER, R.NOT_FOR_LOAN),
    (record(state=ItemState(ItemStatus.MISSING)), READER, R.NOT_FOR_LOAN),
    (record(state=ItemState(ItemStatus.IN_PROCESS)), READER, R.NOT_FOR_LOAN),
    (record(hold=hold("BERT")), READER, R.ON_HOLD),
    (record(hold=hold("BERT", item_id="I1", ready=True)), READER, R.ON_HOLD),
    (record(loan=loan("BERT")), READER, R.CHARGED_TO_OTHER),
    (record(), BANNED, R.BLOCKED),
    (record(), FULL_HANDS, R.ITEM_LIMIT),
    (record(checkout_fee=150), READER, R.FEE),
]


@pytest.mark.parametrize(("known", "who", "reason"), ALONE)
def test_each_rule_alone_refuses(known, who, reason) -> None:
    assert reasons(check_out(known, who)) == [reason]


@pytest.mark.parametrize(("known", "who", "reason"), ALONE)
def test_what_happened_off_line_is_accepted_and_says_what_it_overrode(known, who, reason) -> None:
    done = effect(check_out(known, who, request(no_block=True)))
    assert done.overridden == (reason,)
    assert done.after.loan == ItemLoan(who.id, NOON, IN_THREE_WEEKS)


def test_all_reasons_are_kept_in_their_order_and_the_first_speaks() -> None:
    who = patron("FRED", status=8, membership=MAX_2, loans=TWO_LOANS)
    known = record(loan=loan("BERT"), hold=hold("CARLA"), for_loan=False, checkout_fee=150)
    refused = check_out(known, who, request(card_reason=R.WRONG_PIN))
    assert reasons(refused) == [
        R.WRONG_PIN,
        R.NOT_FOR_LOAN,
        R.ON_HOLD,
        R.CHARGED_TO_OTHER,
        R.BLOCKED,
        R.ITEM_LIMIT,
        R.FEE,
    ]
    assert refused.obstacle.text_key == "status_8"
    assert refused.fee == 150
    assert list(R).index(R.ON_HOLD) < list(R).index(R.CHARGED_TO_OTHER)


def test_the_limit_counts_from_reaching_it_and_0_is_none_c42() -> None:
    one_left = replace(FULL_HANDS, loans=TWO_LOANS[:1])
    no_limit = replace(FULL_HANDS, membership=ADULT)
    assert isinstance(check_out(record(), one_left), Effect)
    assert isinstance(check_out(record(), no_limit), Effect)


def test_an_own_hold_is_served_and_gone() -> None:
    mine = hold("ANNA", item_id="I1", ready=True)
    done = effect(check_out(record(hold=mine)))
    assert (done.drop_hold, done.set_hold) == (mine, None)


def test_off_line_somebody_elses_hold_loses_its_copy_and_waits_again() -> None:
    theirs = hold("BERT", item_id="I1", ready=True)
    done = effect(check_out(record(hold=theirs), READER, request(no_block=True)))
    assert done.set_hold == replace(theirs, item_id=None, ready=False)
    of_this_copy = replace(theirs, title_id=None)
    done = effect(check_out(record(hold=of_this_copy), READER, request(no_block=True)))
    assert done.set_hold == replace(of_this_copy, ready=False)
    waiting = effect(check_out(record(hold=hold("BERT")), READER, request(no_block=True)))
    assert waiting.set_hold is None


def test_an_acknowledged_fee_becomes_a_debt_c42() -> None:
    done = effect(check_out(record(checkout_fee=150), asked=request(fee_acknowledged=True)))
    assert done.fee == NewFee("ANNA", 150, "06", "Loan charge")
    assert done.outcome.fee == 150


def test_off_line_nobody_agreed_to_a_fee() -> None:
    done = effect(check_out(record(checkout_fee=150), asked=request(no_block=True)))
    assert (done.fee, done.outcome.fee) == (None, 0)


def test_a_copy_on_its_way_may_be_lent_and_is_on_its_way_no_more() -> None:
    done = effect(check_out(record(state=ItemState(ItemStatus.IN_TRANSIT))))
    assert done.after.status is ItemStatus.AVAILABLE


def test_off_line_the_terminals_own_dates_count_b57() -> None:
    yesterday, end = NOON - timedelta(days=1), NOON + timedelta(days=2)
    asked = request(no_block=True, moment=yesterday, due=end)
    assert effect(check_out(record(), asked=asked)).after.loan == ItemLoan("ANNA", yesterday, end)
    asked = request(no_block=True, moment=yesterday)
    due = effect(check_out(record(), asked=asked)).after.loan.due
    assert due == IN_THREE_WEEKS - timedelta(days=1) - timedelta(0)


def test_a_second_checkout_is_a_renewal_or_refused_b56() -> None:
    mine = record(loan=loan("ANNA"))
    done = effect(check_out(mine))
    assert done.outcome.renewed
    assert done.after.loan == replace(loan("ANNA"), due=IN_THREE_WEEKS, renewals=1)
    strict = replace(RULES, renews_own_loan=False)
    assert reasons(check_out(mine, rules=strict)) == [R.ALREADY_CHARGED]
    assert effect(check_out(mine, asked=request(no_block=True), rules=strict)).outcome.renewed


def test_a_renewal_never_shortens_a_loan() -> None:
    long = loan("ANNA", due=NOON + timedelta(days=90))
    assert effect(renew(record(loan=long))).outcome.due == long.due


def test_a_renewal_costs_what_a_loan_costs() -> None:
    known = record(loan=loan("ANNA"), checkout_fee=150)
    refused = renew(known)
    assert reasons(refused) == [R.FEE]
    assert refused.fee == 150
    done = effect(renew(known, asked=request("29", fee_acknowledged=True)))
    assert done.fee == NewFee("ANNA", 150, "06", "Loan charge")


@pytest.mark.parametrize(
    ("known", "who", "reason"),
    [
        (None, READER, R.UNKNOWN_ITEM),
        (record(), None, R.UNKNOWN_CARD),
        (record(), READER, R.NOT_CHARGED),
        (record(loan=loan("BERT")), READER, R.CHARGED_TO_OTHER),
        (record(loan=loan("ANNA"), hold=hold("BERT")), READER, R.ON_HOLD),
        (record(loan=loan("FRED")), BANNED, R.BLOCKED),
        (record(loan=loan("ANNA", renewals=2)), READER, R.RENEWAL_LIMIT),
        (record(loan=loan("ANNA"), max_renewals=0), READER, R.RENEWAL_LIMIT),
    ],
)
def test_each_rule_of_a_renewal_alone_refuses(known, who, reason) -> None:
    assert reasons(renew(known, who)) == [reason]


def test_ones_own_hold_and_a_full_hand_do_not_stand_against_a_renewal() -> None:
    assert effect(renew(record(loan=loan("ANNA"), hold=hold("ANNA")))).drop_hold is None
    assert isinstance(renew(record(loan=loan("ANNA")), FULL_HANDS), Effect)


def test_off_line_a_renewal_is_accepted_whoever_has_the_item_b57() -> None:
    asked = request("29", no_block=True, card_reason=R.WRONG_PIN)
    mine = effect(renew(record(loan=loan("ANNA", renewals=2)), asked=asked))
    assert mine.overridden == (R.WRONG_PIN, R.RENEWAL_LIMIT)
    for known, reason in (
        (record(), R.NOT_CHARGED),
        (record(loan=loan("BERT")), R.CHARGED_TO_OTHER),
    ):
        done = effect(renew(known, asked=asked))
        assert done.overridden == (reason,)
        assert done.after.loan.patron_id == "ANNA"


def test_somebody_authorised_renews_for_the_borrower_b54() -> None:
    theirs = record(loan=loan("BERT"), checkout_fee=150)
    asked = request("29", fee_acknowledged=True)
    done = effect(renew(theirs, READER, asked, OTHER, may_act=True))
    assert done.after.loan.patron_id == "BERT"
    assert done.fee.patron_id == "BERT"
    refused = renew(record(loan=loan("FRED")), READER, None, BANNED, may_act=True)
    assert reasons(refused) == [R.BLOCKED]


# Options of a profile ---------------------------------------------------------------------------

LATE = patron("ANNA", loans=(Loan("X1", "X", NOON - timedelta(seconds=1), NOON),))
ON_TIME = patron("ANNA", loans=(Loan("X1", "X", NOON, NOON),))
LOST_TWO = patron("ANNA", loans=tuple(Loan(f"X{n}", "X", DUE, NOON, lost=n > 0) for n in range(3)))

OPTIONS = [
    (record(material="DVD"), READER, {"not_lent": Materials.of(["D*"])}, R.MATERIAL),
    (record(attachment="map"), READER, {"lends_with_attachment": False}, R.ATTACHMENT),
    (record(), LATE, {"overdue_blocks": True}, R.OVERDUE),
    (record(), LOST_TWO, {"lost_blocks": 2}, R.LOST_ITEMS),
]


@pytest.mark.parametrize(("known", "who", "option", "reason"), OPTIONS)
def test_an_option_refuses_what_is_lent_without_it(known, who, option, reason) -> None:
    rules = replace(RULES, **option)
    assert effect(check_out(known, who)).overridden == ()
    assert reasons(check_out(known, who, rules=rules)) == [reason]
    assert effect(check_out(known, who, request(no_block=True), rules)).overridden == (reason,)


@pytest.mark.parametrize(
    ("known", "who", "option"),
    [
        (record(material="BOOK"), READER, {"not_lent": Materials.of(["D*"])}),
        (record(attachment=""), READER, {"lends_with_attachment": False}),
        (record(), ON_TIME, {"overdue_blocks": True}),
        (record(), LOST_TWO, {"lost_blocks": 3}),
    ],
)
def test_an_option_refuses_nothing_else(known, who, option) -> None:
    assert effect(check_out(known, who, rules=replace(RULES, **option))).overridden == ()


def test_options_speak_in_their_order_too() -> None:
    strict = replace(
        RULES,
        not_lent=Materials.of(["*"]),
        lends_with_attachment=False,
        overdue_blocks=True,
        lost_blocks=1,
    )
    who = patron("ANNA", loans=(Loan("X1", "X", NOON - timedelta(days=1), NOON, lost=True),))
    known = record(for_loan=False, attachment="map", hold=hold("BERT"))
    assert reasons(check_out(known, who, rules=strict)) == [
        R.NOT_FOR_LOAN,
        R.MATERIAL,
        R.ATTACHMENT,
        R.ON_HOLD,
        R.OVERDUE,
        R.LOST_ITEMS,
    ]


def test_what_stays_in_the_house_is_known_by_material_or_membership() -> None:
    rules = replace(
        RULES,
        in_house=Materials.of(["NEWS"]),
        in_house_memberships=frozenset({ADULT.code}),
    )
    nobody = patron("ANNA", membership=None)
    assert is_in_house(record(material="NEWS").item, nobody, rules)
    assert is_in_house(record().item, patron("ANNA", membership=ADULT), rules)
    assert not is_in_house(record().item, nobody, rules)
    assert not is_in_house(record().item, None, rules)
    assert not is_in_house(record().item, READER, RULES)


def test_what_was_borrowed_before_is_asked_about_behind_all_else_but_the_fee() -> None:
    """And as long as nobody looked it up, nothing is known of it."""
    known = record(checkout_fee=150)
    again = replace(facts(known, READER), borrowed_before=True)
    refused = decide_checkout(again, standing_of(READER), request(), RULES)
    assert reasons(refused) == [R.PREVIOUSLY_BORROWED, R.FEE]
    refused = decide_checkout(again, standing_of(BANNED), request(fee_acknowledged=True), RULES)
    assert reasons(refused) == [R.BLOCKED, R.PREVIOUSLY_BORROWED]
    assert reasons(check_out(known, READER)) == [R.FEE]


def test_a_renewal_is_not_asked_about() -> None:
    again = replace(facts(record(loan=loan("ANNA")), READER), borrowed_before=True)
    done = effect(decide_checkout(again, standing_of(READER), request(), RULES))
    assert done.outcome.renewed


def test_renewals_off_line_are_counted_as_far_as_an_import_takes_them() -> None:
    """C106."""
    often = record(loan=loan("ANNA", renewals=COUNT_MAX))
    done = effect(renew(often, asked=request("29", no_block=True)))
    assert done.after.loan.renewals == COUNT_MAX
