"""The door's decision (B33-B39, C10-C15): one table per check, and properties of all of them."""

from datetime import date, datetime, timedelta

import pytest
from family import ADULT, NOON, ZONE, fee, patron
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sip2gw.model import (
    EVERY_BRANCH,
    BadgeAssignment,
    Block,
    BlockType,
    Card,
    CardState,
    DoorEntry,
    Presence,
)
from sip2gw.policy.access import (
    CHECK_NAMES,
    BarEntry,
    CheckResult,
    DoorFacts,
    DoorRules,
    Holder,
    PassEntry,
    PinState,
    accompanied,
    assess_holder,
    decide_access,
    has_pass,
    has_room,
    is_barred,
    lists_here,
    may_be_accompanied,
)
from sip2gw.policy.hours.calendar import CalendarMoment, OpeningState
from sip2gw.policy.money.debts import money_standing
from sip2gw.policy.reasons import Reason

UNSTAFFED = CalendarMoment(OpeningState.UNSTAFFED, NOON + timedelta(hours=4))
STAFFED = CalendarMoment(OpeningState.STAFFED, NOON + timedelta(hours=4))
CLOSED = CalendarMoment(OpeningState.CLOSED, None)
RULES = DoorRules(require_badges=frozenset({"ONBE"}), minimum_age=16)


def facts(record=None, **changes):
    record = patron("P") if record is None else record
    known = {
        "now": NOON,
        "branch": "MAIN",
        "calendar": UNSTAFFED,
        "record": record,
        "card": record.cards[0],
        "pin": PinState.OK,
        "holder": None,
    }
    return DoorFacts(**{**known, **changes})


def decide(given_facts, rules=RULES):
    """The decision about a holder who is judged under the same rules."""
    record, card, today = given_facts.record, given_facts.card, given_facts.now.date()
    if record is not None and card is not None:
        money = money_standing(record, today, ZONE, 49)
        holder = Holder(record, card, given_facts.branch, today, money)
        given_facts = replace(given_facts, holder=assess_holder(holder, rules))
    return decide_access(given_facts, rules)


def reason(given_facts, rules=RULES):
    return decide(given_facts, rules).reason


def test_a_member_with_pin_and_badge_comes_in_and_every_check_is_told():
    decision = decide(facts(), RULES)
    assert decision.granted
    results = dict(decision.results())
    assert tuple(results) == CHECK_NAMES
    assert results["badge"] is CheckResult.OK
    assert results["home_branch"] is CheckResult.SKIPPED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"calendar": CLOSED}, Reason.CLOSED),
        ({"calendar": STAFFED}, Reason.GRANTED),
        ({"calendar": CalendarMoment(OpeningState.UNSTAFFED, None)}, Reason.GRANTED),
        ({"branch": None}, Reason.SYSTEM),
        ({"branch": None, "calendar": None}, Reason.SYSTEM),
        ({"data_too_old": True}, Reason.SYSTEM),
        ({"data_too_old": True, "has_pass": True}, Reason.SYSTEM),
        ({"record": None, "card": None}, Reason.UNKNOWN_CARD),
        ({"pin": PinState.WRONG}, Reason.WRONG_PIN),
        ({"pin": PinState.ABSENT}, Reason.WRONG_PIN),
        ({"pin": PinState.LOCKED}, Reason.PIN_LOCKED),
        ({"card": Card("P", CardState.BLOCKED)}, Reason.CARD_BLOCKED),
        ({"card": Card("P", CardState.LOST)}, Reason.CARD_BLOCKED),
        ({"card": Card("P", CardState.REPLACED)}, Reason.CARD_REPLACED),
        ({"barred": True}, Reason.BARRED),
        ({"calendar": CLOSED, "has_pass": True}, Reason.GRANTED),
        ({"calendar": CLOSED, "has_pass": True, "barred": True}, Reason.CLOSED),
        ({"has_pass": True, "pin": PinState.WRONG}, Reason.WRONG_PIN),
    ],
)
def test_reasons_of_the_site_the_card_and_the_pin(changes, expected):
    assert reason(facts(**changes)) is expected


@pytest.mark.parametrize(
    ("minutes_before_closing", "margin", "expected"),
    [
        (16, 15, Reason.GRANTED),
        (15, 15, Reason.TOO_LATE),
        (1, 0, Reason.GRANTED),
        (0, 0, Reason.TOO_LATE),
    ],
)
def test_no_entry_within_the_last_minutes(minutes_before_closing, margin, expected):
    closing = NOON + timedelta(minutes=minutes_before_closing)
    rules = replace(RULES, last_entry_margin=timedelta(minutes=margin))
    moment = CalendarMoment(OpeningState.UNSTAFFED, closing)
    assert reason(facts(calendar=moment), rules) is expected


def test_in_staffed_hours_a_door_may_refuse():
    rules = replace(RULES, admit_when_staffed=False)
    assert reason(facts(calendar=STAFFED), rules) is Reason.CLOSED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"badges": ()}, Reason.NO_BADGE),
        ({"badges": (BadgeAssignment("ONBE", active=False),)}, Reason.NO_BADGE),
        ({"badges": (BadgeAssignment("ONBE", badge_branches=("WEST",)),)}, Reason.NO_BADGE),
        ({"badges": (BadgeAssignment("ONBE", assignment_branches=("WEST",)),)}, Reason.NO_BADGE),
        ({"badges": (BadgeAssignment("ONBE", valid_until=date(2026, 3, 9)),)}, Reason.NO_BADGE),
        ({"badges": (BadgeAssignment("ONBE", valid_from=date(2026, 3, 11)),)}, Reason.NO_BADGE),
        ({"membership": None}, Reason.MEMBERSHIP_EXPIRED),
        ({"membership_until": None}, Reason.MEMBERSHIP_EXPIRED),  # missing data fails closed
        ({"membership_until": date(2026, 3, 9)}, Reason.MEMBERSHIP_EXPIRED),
        ({"status": 8}, Reason.STATUS),
        ({"status": 3}, Reason.GRANTED),
        ({"blocks": (Block(BlockType.GENERAL),)}, Reason.BLOCKED),
        ({"blocks": (Block(BlockType.GENERAL, "", date(2026, 3, 9)),)}, Reason.GRANTED),
        ({"birth_date": None}, Reason.UNDER_AGE),  # missing data fails closed
        ({"birth_date": date(2010, 3, 11)}, Reason.UNDER_AGE),
        ({"birth_date": date(2010, 3, 10)}, Reason.GRANTED),
        ({"fees": (fee("F", "P", 1001),)}, Reason.FEE_LIMIT),
        ({"fees": (fee("F", "P", 1000),)}, Reason.GRANTED),
        ({"fees": (fee("F", "P", 1, days_old=50),)}, Reason.FEE_AGE),
    ],
)
def test_reasons_of_the_patron(changes, expected):
    assert reason(facts(patron("P", **changes))) is expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"require_badges": frozenset({"ONBE", "KEYS"})}, Reason.NO_BADGE),
        ({"require_badges": frozenset({"ONBE", "KEYS"}), "every_badge": False}, Reason.GRANTED),
        ({"require_badges": frozenset()}, Reason.GRANTED),
        ({"memberships": frozenset({"202"})}, Reason.MEMBERSHIP_NOT_ALLOWED),
        ({"memberships": frozenset({"201"})}, Reason.GRANTED),
        ({"home_branch_only": True}, Reason.GRANTED),
        ({"house_rules": True}, Reason.NO_CONSENT),
        ({"minimum_age": 99}, Reason.UNDER_AGE),
        ({"minimum_age": 0}, Reason.GRANTED),
    ],
)
def test_each_check_is_switched_by_the_profile(rules, expected):
    assert reason(facts(), replace(RULES, **rules)) is expected


def test_the_home_branch_must_be_this_one():
    rules = replace(RULES, home_branch_only=True)
    assert reason(facts(patron("P", home_branch="WEST")), rules) is Reason.OTHER_BRANCH
    assert reason(facts(patron("P", home_branch=None)), rules) is Reason.OTHER_BRANCH


def test_pin_off_is_an_explicit_setting():
    assert reason(facts(pin=PinState.ABSENT), replace(RULES, require_pin=False)) is Reason.GRANTED


def test_a_door_may_ignore_debts():
    debtor = patron("P", fees=(fee("F", "P", 10**6, days_old=999),))
    assert reason(facts(debtor), replace(RULES, fees=False)) is Reason.GRANTED


@pytest.mark.parametrize(
    ("accepted", "required", "expected"),
    [
        (date(2026, 1, 1), True, Reason.GRANTED),
        (date(2026, 1, 1), date(2026, 1, 1), Reason.GRANTED),
        (date(2025, 12, 31), date(2026, 1, 1), Reason.NO_CONSENT),
    ],
)
def test_house_rules_are_accepted_at_any_time_or_since_their_last_version(
    accepted, required, expected
):
    record = patron("P", house_rules_accepted=accepted)
    assert reason(facts(record), replace(RULES, house_rules=required)) is expected


def test_the_first_failing_check_is_the_reason_and_all_failures_are_told():
    worst = patron("P", badges=(), membership=None, status=8, birth_date=None)
    decision = decide(facts(worst, pin=PinState.WRONG, calendar=CLOSED), RULES)
    refused = [name for name, result in decision.results() if result is CheckResult.REFUSED]
    assert decision.reason is Reason.CLOSED
    assert refused == ["calendar", "pin", "badge", "membership", "status", "age"]


@pytest.mark.parametrize(
    ("capacity", "refuse_inside", "presence", "expected"),
    [
        (0, False, Presence(99, True), Reason.GRANTED),
        (3, False, Presence(2, False), Reason.GRANTED),
        (3, False, Presence(3, False), Reason.FULL),
        (3, False, Presence(2, True), Reason.GRANTED),  # inside already: counted once
        (0, True, Presence(0, False), Reason.GRANTED),
        (0, True, Presence(0, True), Reason.ALREADY_INSIDE),
        (3, True, Presence(3, True), Reason.FULL),
    ],
)
def test_c10_who_is_inside_decides_last(capacity, refuse_inside, presence, expected):
    rules = replace(RULES, capacity=capacity, refuse_inside=refuse_inside)
    assert reason(facts(presence=presence), rules) is expected
    assert has_room(presence, capacity, refuse_inside) is (expected is Reason.GRANTED)
    assert reason(facts(presence=presence, barred=True), rules) is Reason.BARRED


def test_the_lists_of_the_store_hold_at_their_branch_or_at_every_branch():
    """C10, C11."""
    entries = [
        DoorEntry("bar", "MAIN", "P", date(2026, 3, 10)),
        DoorEntry("bar", "EAST", "Q"),
        DoorEntry("pass", EVERY_BRANCH, "R", None, frozenset({0}), 300, 420),
    ]
    bars, passes = lists_here(entries, "MAIN")
    assert bars == (BarEntry("P", date(2026, 3, 10)),)
    assert passes == (PassEntry("R", None, frozenset({0}), 300, 420),)


def test_bar_list_by_card_and_last_day():
    entries = (BarEntry("P", date(2026, 3, 10)), BarEntry("Q"))
    assert is_barred(entries, frozenset({"P"}), date(2026, 3, 10))
    assert not is_barred(entries, frozenset({"P"}), date(2026, 3, 11))
    assert is_barred(entries, frozenset({"Q", "Z"}), date(2030, 1, 1))
    assert not is_barred(entries, frozenset({"X"}), date(2026, 3, 10))


@pytest.mark.parametrize(
    ("entry", "moment", "holds"),
    [
        (PassEntry("P"), datetime(2026, 3, 10, 3, tzinfo=ZONE), True),
        (PassEntry("Q"), datetime(2026, 3, 10, 3, tzinfo=ZONE), False),
        (PassEntry("P", start_minute=360, end_minute=480), datetime(2026, 3, 10, 6), True),
        (PassEntry("P", start_minute=360, end_minute=480), datetime(2026, 3, 10, 8), False),
        (PassEntry("P", start_minute=1320, end_minute=120), datetime(2026, 3, 10, 23), True),
        (PassEntry("P", start_minute=1320, end_minute=120), datetime(2026, 3, 10, 12), False),
        # Monday's night shift reaches into Tuesday, Tuesday's own does not exist.
        (
            PassEntry("P", weekdays=frozenset({0}), start_minute=1320, end_minute=120),
            datetime(2026, 3, 10, 1),
            True,
        ),
        (
            PassEntry("P", weekdays=frozenset({1}), start_minute=1320, end_minute=120),
            datetime(2026, 3, 10, 1),
            False,
        ),
        (PassEntry("P", until=date(2026, 3, 9)), datetime(2026, 3, 10, 1), False),
        (PassEntry("P", until=date(2026, 3, 10)), datetime(2026, 3, 10, 1), True),
    ],
)
def test_a_pass_holds_by_weekday_time_and_last_day(entry, moment, holds):
    assert has_pass((entry,), frozenset({"P"}), moment) is holds


RECORDS = st.builds(
    lambda **changes: patron("P", **changes),
    badges=st.sampled_from([(), (BadgeAssignment("ONBE"),)]),
    membership=st.sampled_from([None, ADULT]),
    membership_until=st.sampled_from([None, date(2026, 3, 9), date(2027, 1, 1)]),
    status=st.integers(0, 9),
    birth_date=st.sampled_from([None, date(1980, 1, 1), date(2015, 1, 1)]),
    fees=st.sampled_from([(), (fee("F", "P", 900),), (fee("F", "P", 1100),)]),
    blocks=st.sampled_from([(), (Block(BlockType.PAYMENT),)]),
)


@given(RECORDS, st.sampled_from(list(PinState)), st.sampled_from([UNSTAFFED, STAFFED, CLOSED]))
def test_one_more_obstacle_never_admits_and_a_higher_limit_never_refuses(record, pin, moment):
    before = decide(facts(record, pin=pin, calendar=moment), RULES)
    blocked = replace(record, blocks=(*record.blocks, Block(BlockType.GENERAL)))
    assert not decide(facts(blocked, pin=pin, calendar=moment), RULES).granted
    richer = replace(record, fee_limit=10**9)
    after = decide(facts(richer, pin=pin, calendar=moment), RULES)
    assert after.granted or not before.granted


# Children who follow their head of family (C142)

CHILD = patron("C", birth_date=date(2016, 6, 1), badges=())


def follow(record, rules=RULES, heads_badges=("ONBE",), **changes):
    """The decision about somebody who comes right after their head of family."""
    given_facts = facts(record, **changes)
    today = given_facts.now.date()
    holder = Holder(record, record.cards[0], "MAIN", today, money_standing(record, today, ZONE, 49))
    given_facts.holder = accompanied(assess_holder(holder, rules), heads_badges)
    return given_facts, decide_access(given_facts, rules)


def test_a_child_with_their_head_needs_neither_age_nor_badge():
    known, decision = follow(CHILD)
    assert decision.granted
    results = dict(decision.results())
    assert {name for name in ("age", "badge", "membership") if results[name] == "skipped"} == {
        "age",
        "badge",
    }
    assert known.holder.badges == ("ONBE",)
    assert known.holder.accompanied
    both, _ = follow(replace(CHILD, badges=(BadgeAssignment("KIDS"), BadgeAssignment("ONBE"))))
    assert both.holder.badges == ("KIDS", "ONBE")


@pytest.mark.parametrize(
    ("record", "changes", "expected"),
    [
        (CHILD, {"pin": PinState.WRONG}, Reason.WRONG_PIN),
        (CHILD, {"calendar": CLOSED}, Reason.CLOSED),
        (CHILD, {"barred": True}, Reason.BARRED),
        (CHILD, {"presence": Presence(2, False)}, Reason.FULL),
        (replace(CHILD, membership=None), {}, Reason.MEMBERSHIP_EXPIRED),
        (replace(CHILD, status=8), {}, Reason.STATUS),
        (replace(CHILD, blocks=(Block(BlockType.GENERAL),)), {}, Reason.BLOCKED),
        (replace(CHILD, fees=(fee("F", "C", 5000),)), {}, Reason.FEE_LIMIT),
        (replace(CHILD, fees=(fee("F", "C", 1, days_old=60),)), {}, Reason.FEE_AGE),
        (replace(CHILD, cards=(Card("C", CardState.LOST),)), {}, Reason.CARD_BLOCKED),
    ],
)
def test_everything_else_must_be_right_for_the_child(record, changes, expected):
    _, decision = follow(record, replace(RULES, capacity=2), **changes)
    assert decision.reason is expected


@pytest.mark.parametrize(
    ("record", "minimum_age", "expected"),
    [
        (CHILD, 16, True),
        (CHILD, 0, False),
        (patron("P", birth_date=date(2010, 3, 10)), 16, False),
        (patron("P", birth_date=date(2010, 3, 11)), 16, True),
        (patron("P", birth_date=None), 16, False),
    ],
)
def test_only_who_is_known_to_be_under_age_is_a_companion(record, minimum_age, expected):
    rules = replace(RULES, minimum_age=minimum_age)
    assert may_be_accompanied(facts(record), rules) is expected


def test_nobody_is_no_companion():
    assert not may_be_accompanied(replace(facts(), record=None), RULES)
