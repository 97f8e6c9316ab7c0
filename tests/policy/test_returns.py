"""Checkin: taken back or not, what is owed, and where the item goes (B57, B59, C44)."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from family import NOON, ZONE
from stock import RULES, facts, hold, item, loan, record, wish

from sip2gw.model import ItemStatus
from sip2gw.policy.circulation import Effect, NewFee, Refusal
from sip2gw.policy.reasons import CirculationReason as R
from sip2gw.policy.returns import days_late, decide_checkin
from sip2gw.stock import ItemRecord, ItemState

AT_EAST = replace(RULES, branch="EAST")
NOWHERE = replace(RULES, branch=None)
TOLERANT = replace(RULES, takes_what_is_not_on_loan=True)
LENT = record(loan=loan("ANNA"))


def check_in(known, rules=RULES, **asked):
    return decide_checkin(facts(known), wish("09", **asked), rules)


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


def test_off_line_the_day_of_the_return_is_the_terminals_b57() -> None:
    late = record(loan=loan("ANNA", due=NOON - timedelta(days=3)), overdue_fee_per_day=20)
    done = effect(check_in(late, no_block=True, moment=NOON - timedelta(days=2)))
    assert done.fee.amount == 20


def test_off_line_a_return_from_before_the_loan_does_not_end_it() -> None:
    before = LENT.state.loan.checked_out - timedelta(hours=1)
    done = effect(check_in(LENT, no_block=True, moment=before))
    assert done.after == LENT.state
    assert done.overridden == (R.CHARGED_TO_OTHER,)
