"""Checkin: taken back or not, what is owed, and where the item goes (B57, B59, C44)."""

from datetime import datetime, timedelta

import pytest
from family import NOON, ZONE
from msgspec.structs import replace
from stock import RULES, facts, hold, item, loan, record, request

from sip2gw.model import AMOUNT_MAX_MINOR, ItemStatus
from sip2gw.model.items import ItemRecord, ItemState
from sip2gw.policy.items.decisions import (
    Effect,
    Materials,
    NewFee,
    Refusal,
)
from sip2gw.policy.items.returns import REFUSABLE, days_late, decide_checkin
from sip2gw.policy.reasons import CirculationReason as R

AT_EAST = replace(RULES, branch="EAST")
NOWHERE = replace(RULES, branch=None)
TOLERANT = replace(RULES, takes_what_is_not_on_loan=True)
LENT = record(loan=loan("ANNA"))


def check_in(known, rules=RULES, **asked):
    return decide_checkin(facts(known), request("09", **asked), rules)


def effect(decision):
    assert isinstance(decision, Effect)
    return decision


def test_a_return_in_time_at_home() -> None:
    done = effect(check_in(LENT))
    assert done.after == ItemState(current_branch="MAIN")
    assert done.fee is None
    assert (done.outcome.patron_id, done.outcome.destination, done.outcome.alert) == (
        "ANNA",
        None,
        None,
    )
    assert done.outcome.branch == "MAIN"


def test_an_unknown_item_is_refused_even_off_line() -> None:
    for off_line in (False, True):
        assert check_in(None, no_block=off_line) == Refusal((R.UNKNOWN_ITEM,))


def test_what_is_not_on_loan_is_refused_or_taken_by_profile() -> None:
    assert check_in(record()) == Refusal((R.NOT_CHARGED,))
    assert effect(check_in(record(), TOLERANT)).overridden == ()
    assert effect(check_in(record(), no_block=True)).overridden == (R.NOT_CHARGED,)


@pytest.mark.parametrize("status", [ItemStatus.IN_TRANSIT, ItemStatus.LOST, ItemStatus.MISSING])
def test_what_arrives_or_turns_up_is_taken(status) -> None:
    done = effect(check_in(record(state=ItemState(status, "EAST"))))
    assert done.after == ItemState(ItemStatus.AVAILABLE, "MAIN")


def test_elsewhere_it_travels_home() -> None:
    done = effect(check_in(LENT, AT_EAST))
    assert done.outcome.destination == "MAIN"
    assert done.outcome.alert is None
    assert done.after == ItemState(ItemStatus.IN_TRANSIT, "EAST")


def test_without_a_branch_nothing_travels() -> None:
    done = effect(check_in(LENT, NOWHERE))
    assert done.after == ItemState(ItemStatus.AVAILABLE, "MAIN")
    homeless = ItemRecord(replace(item(), owner_branch=None), LENT.state)
    assert effect(check_in(homeless)).outcome.destination is None


@pytest.mark.parametrize("pickup", ["MAIN", None])
def test_a_hold_is_set_aside_here(pickup) -> None:
    waiting = hold("BERT", pickup_branch=pickup)
    done = effect(check_in(replace(LENT, next_hold=waiting)))
    assert done.set_hold == replace(waiting, item_id="I1", ready=True)
    assert done.after.status is ItemStatus.AVAILABLE
    outcome = done.outcome
    assert (outcome.alert, outcome.destination) == ("01", None)
    assert outcome.hold == done.set_hold


def test_a_hold_for_another_branch_travels_there() -> None:
    waiting = hold("BERT", pickup_branch="EAST")
    done = effect(check_in(replace(LENT, next_hold=waiting)))
    assert done.set_hold == replace(waiting, item_id="I1", ready=False)
    assert done.after.status is ItemStatus.IN_TRANSIT
    assert (done.outcome.alert, done.outcome.destination) == ("02", "EAST")
    arrived = replace(LENT, state=done.after, next_hold=done.set_hold)
    there = effect(check_in(arrived, AT_EAST))
    assert there.set_hold.ready
    assert there.outcome.alert == "01"


def test_without_a_branch_a_hold_is_set_aside_where_it_is() -> None:
    waiting = hold("BERT", pickup_branch="EAST")
    assert effect(check_in(replace(LENT, next_hold=waiting), NOWHERE)).set_hold.ready


def test_days_late_are_calendar_days_in_the_zone_of_the_branch_c44() -> None:
    due = loan("ANNA", due=datetime(2026, 3, 10, 23, 59, 59, tzinfo=ZONE))
    just_after = datetime(2026, 3, 11, 0, 0, 1, tzinfo=ZONE)
    assert days_late(due, just_after, ZONE) == 1
    assert days_late(due, just_after - timedelta(seconds=5), ZONE) == 0
    assert days_late(due, NOON - timedelta(days=3), ZONE) == 0


def test_a_late_return_costs_days_times_rate() -> None:
    late = record(loan=loan("ANNA", due=NOON - timedelta(days=3)), overdue_fee_per_day=20)
    done = effect(check_in(late))
    assert done.fee == NewFee("ANNA", 60, "04", "Late by 3")
    assert done.outcome.fee == 60
    with_hold = effect(check_in(replace(late, next_hold=hold("BERT"))))
    assert with_hold.fee == done.fee


def test_no_fee_is_larger_than_an_amount_can_be() -> None:
    """C106: a due date out of another age, and a rate to match."""
    long_ago = loan("ANNA", due=datetime(1800, 1, 1, tzinfo=ZONE))
    late = record(loan=long_ago, overdue_fee_per_day=AMOUNT_MAX_MINOR)
    assert effect(check_in(late)).fee.amount == AMOUNT_MAX_MINOR


def test_off_line_the_day_of_the_return_is_the_terminals_b57() -> None:
    late = record(loan=loan("ANNA", due=NOON - timedelta(days=3)), overdue_fee_per_day=20)
    done = effect(check_in(late, no_block=True, moment=NOON - timedelta(days=2)))
    assert done.fee.amount == 20


def test_off_line_a_return_in_the_second_of_the_loan_ends_it() -> None:
    done = effect(check_in(LENT, no_block=True, moment=LENT.state.loan.checked_out))
    assert done.after.loan is None


def test_off_line_a_return_from_before_the_loan_does_not_end_it() -> None:
    before = LENT.state.loan.checked_out - timedelta(hours=1)
    done = effect(check_in(LENT, no_block=True, moment=before))
    assert done.after == LENT.state
    assert done.overridden == (R.CHARGED_TO_OTHER,)


# Options of a profile ---------------------------------------------------------------------------

REFUSALS = [
    (R.IN_TRANSIT, record(state=ItemState(ItemStatus.IN_TRANSIT, "EAST"))),
    (R.NOTE, record(loan=loan("ANNA"), note="look inside")),
    (R.NOT_CHARGED, record(state=ItemState(ItemStatus.LOST))),
    (R.REFERENCE, record(loan=loan("ANNA"), for_loan=False)),
    (R.RESERVED, record(loan=loan("ANNA"), hold=hold("BERT"))),
]


@pytest.mark.parametrize(("reason", "known"), REFUSALS)
def test_a_profile_may_refuse_a_return(reason, known) -> None:
    rules = replace(RULES, not_taken_back=frozenset({reason}))
    others = replace(RULES, not_taken_back=frozenset(REFUSABLE) - {reason, R.NOT_CHARGED})
    assert check_in(known, rules) == Refusal((reason,))
    assert effect(check_in(known, rules, no_block=True)).overridden == (reason,)
    assert effect(check_in(known, others)).overridden == ()
    assert effect(check_in(known)).overridden == ()


def test_all_of_them_leave_an_ordinary_return_alone() -> None:
    rules = replace(RULES, not_taken_back=frozenset(REFUSABLE))
    assert effect(check_in(LENT, rules)).overridden == ()
    assert {reason for reason, _ in REFUSALS} == set(REFUSABLE)


def test_what_is_on_loan_is_not_on_its_way() -> None:
    rules = replace(RULES, not_taken_back=frozenset({R.IN_TRANSIT}))
    lent = record(loan=loan("ANNA"), state=ItemState(ItemStatus.IN_TRANSIT))
    assert effect(check_in(lent, rules)).overridden == ()


def test_material_is_not_taken_back_by_pattern_b59() -> None:
    rules = replace(RULES, not_taken_back_materials=Materials.of(["C*"]))
    cd = record(loan=loan("ANNA"), material="CD")
    assert check_in(cd, rules) == Refusal((R.MATERIAL,))
    assert effect(check_in(LENT, rules)).overridden == ()


def test_all_reasons_against_a_return_are_kept_in_their_order() -> None:
    rules = replace(
        RULES,
        not_taken_back=frozenset(REFUSABLE),
        not_taken_back_materials=Materials.of(["*"]),
    )
    known = record(
        state=ItemState(ItemStatus.IN_TRANSIT), hold=hold("BERT"), note="x", for_loan=False
    )
    refused = check_in(known, rules)
    assert refused == Refusal(
        (R.MATERIAL, R.NOT_CHARGED, *(r for r in REFUSABLE if r != R.NOT_CHARGED))
    )
    assert list(refused.reasons) == sorted(refused.reasons, key=list(R).index)


@pytest.mark.parametrize(("pickup", "alert"), [("MAIN", "01"), (None, "01"), ("EAST", "02")])
def test_a_hold_that_is_not_captured_is_told_and_left_in_the_queue(pickup, alert) -> None:
    waiting = hold("BERT", pickup_branch=pickup)
    rules = replace(RULES, captures_holds=False)
    done = effect(check_in(replace(LENT, next_hold=waiting), rules))
    assert (done.set_hold, done.outcome.destination) == (None, None)
    assert (done.outcome.alert, done.outcome.hold) == (alert, waiting)
    assert done.after == ItemState(ItemStatus.AVAILABLE, "MAIN")


@pytest.mark.parametrize("pickup", ["MAIN", None])
def test_a_hold_as_transit_is_ready_only_after_a_return_at_the_shelf(pickup) -> None:
    waiting = hold("BERT", pickup_branch=pickup)
    sorter = replace(RULES, holds_travel=True)
    first = effect(check_in(replace(LENT, next_hold=waiting), sorter))
    assert first.set_hold == replace(waiting, item_id="I1", ready=False)
    assert first.after.status is ItemStatus.IN_TRANSIT
    assert (first.outcome.alert, first.outcome.destination) == ("01", "MAIN")
    on_its_way = replace(LENT, state=first.after, next_hold=first.set_hold)
    at_the_shelf = effect(check_in(on_its_way))
    assert at_the_shelf.set_hold.ready
    assert at_the_shelf.after.status is ItemStatus.AVAILABLE
