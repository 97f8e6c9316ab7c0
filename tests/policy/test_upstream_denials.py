"""What a library system denies, in answers and at doors (C121, C123, C150, B26, B36)."""

import re
from datetime import date

import pytest
from family import ADULT, NOON, TODAY, ZONE, fee, patron
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sip2gw.model import (
    UNDATED,
    Block,
    BlockType,
    Card,
    CardState,
    Fee,
    LibraryWord,
    Membership,
    Until,
)
from sip2gw.policy.access import (
    CheckResult,
    DoorFacts,
    DoorRules,
    Holder,
    PinState,
    assess_holder,
    decide_access,
)
from sip2gw.policy.hours.calendar import CalendarMoment, OpeningState
from sip2gw.policy.money.debts import money_standing
from sip2gw.policy.obstacles import decide_standing
from sip2gw.policy.reasons import Reason
from sip2gw.policy.upstream.denials import about_money, without_money
from sip2gw.policy.upstream.rules import MoneyDenials
from sip2gw.protocol.fields import PatronFlag

TOO_MANY = (5, 6, 7, 8, 9, 12, 13)
ONE_BLOCK = set(PatronFlag)
"""FOLIO's block for borrowing sets all flags."""
EXPIRED = date(2026, 3, 9)
REPLACED = Card("P", CardState.REPLACED)
KNOWN = LibraryWord(frozenset(), until=Until.KNOWN, membership_known=True, fee_amount=0)


def flags(*numbers):
    return frozenset(PatronFlag(number) for number in numbers)


def theirs(*numbers, word=KNOWN, **changes):
    """A patron of a library system that sets these flags."""
    return patron("P", word=replace(word, flags=flags(*numbers)), **changes)


# Outside doors --------------------------------------------------------------------------------


def told(set_flags, texts, denials):
    """A word of theirs, and which part of it is about money."""
    return LibraryWord(
        set_flags, texts, Until.UNMAPPED, False, None, *about_money(set_flags, texts, denials)
    )


def standing(record, **changes):
    return decide_standing(record, record.cards[0], TODAY, ZONE, 49, **changes)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (theirs(), Reason.GRANTED),
        (theirs(0), Reason.BLOCKED),
        (theirs(1), Reason.BLOCKED),
        (theirs(3), Reason.BLOCKED),
        (theirs(2), Reason.GRANTED),  # recalls are denied to everybody by some
        (theirs(6, 12, 13), Reason.GRANTED),  # nothing is denied for it
        (theirs(0, 6), Reason.BLOCKED),
        (theirs(4), Reason.CARD_BLOCKED),
        (theirs(0, 1, 2, 3, 4, 10), Reason.CARD_BLOCKED),
        (theirs(0, 1, 3, 10), Reason.FEE_LIMIT),
        (theirs(0, 11), Reason.FEE_LIMIT),
        (theirs(10), Reason.GRANTED),
        (theirs(*ONE_BLOCK), Reason.BLOCKED),  # neither a lost card nor a debt
        *((theirs(*ONE_BLOCK - {one}), Reason.CARD_BLOCKED) for one in TOO_MANY),
        (theirs(0, 1, 2, 3, membership_until=EXPIRED), Reason.MEMBERSHIP_EXPIRED),
    ],
)
def test_their_flags_stay_as_they_are_and_have_a_reason(record, reason):
    found = standing(record)
    assert (found.reason, found.flags) == (reason, record.word.flags)
    assert all(obstacle.theirs for obstacle in found.obstacles)
    assert len(found.obstacles) <= 1


def test_our_obstacles_are_added_and_speak_in_the_usual_order():
    record = theirs(
        0, 10, cards=(Card("P", CardState.BLOCKED),), blocks=(Block(BlockType.GENERAL),), status=8
    )
    found = standing(record)
    assert [(obstacle.reason, obstacle.theirs) for obstacle in found.obstacles] == [
        (Reason.CARD_BLOCKED, False),
        (Reason.STATUS, False),
        (Reason.BLOCKED, False),
        (Reason.FEE_LIMIT, True),
    ]
    assert found.flags == {0, 1, 2, 3, 10}


def test_an_end_that_has_passed_is_our_word_where_they_deny_nothing():
    (obstacle,) = standing(theirs(membership_until=EXPIRED)).obstacles
    assert (obstacle.text_key, obstacle.theirs) == ("membership_expired", False)


def test_an_end_that_has_passed_explains_no_debt_and_no_lost_card():
    reasons = [o.reason for o in standing(theirs(0, 10, membership_until=EXPIRED)).obstacles]
    assert reasons == [Reason.MEMBERSHIP_EXPIRED, Reason.FEE_LIMIT]
    reasons = [o.reason for o in standing(theirs(0, 4, membership_until=EXPIRED)).obstacles]
    assert reasons == [Reason.CARD_BLOCKED, Reason.MEMBERSHIP_EXPIRED]


def test_an_unknown_membership_is_not_a_missing_one_and_limits_nothing():
    unknown = replace(KNOWN, membership_known=False)
    debtor = theirs(word=unknown, membership=None, membership_until=None, fees=(fee("F", "P", 99),))
    assert standing(debtor).reason is Reason.GRANTED
    none = replace(debtor, word=KNOWN)
    assert standing(none).reason is Reason.MEMBERSHIP_EXPIRED


def test_an_end_that_cannot_be_read_still_lends():
    unreadable = replace(KNOWN, until=Until.UNREADABLE)
    assert standing(theirs(word=unreadable, membership_until=None)).reason is Reason.GRANTED


def test_our_limit_holds_for_the_amount_they_say():
    debtor = theirs(word=replace(KNOWN, fee_amount=1001), fees=(Fee("", "P", 1001, 1001, UNDATED),))
    assert standing(debtor).reason is Reason.FEE_LIMIT
    unsaid = replace(debtor, word=replace(KNOWN, fee_amount=None))
    assert standing(unsaid).reason is Reason.GRANTED
    assert standing(unsaid).money.alert_left is None


def test_a_fee_without_a_date_is_not_too_old():
    debtor = theirs(fees=(Fee("", "P", 1, 1, UNDATED), fee("F", "P", 1, days_old=49)))
    assert standing(debtor).reason is Reason.GRANTED
    older = replace(debtor, fees=(*debtor.fees, fee("G", "P", 1, days_old=50)))
    assert standing(older).reason is Reason.FEE_AGE


# FW=B -----------------------------------------------------------------------------------------

KOHA = MoneyDenials(
    flags(0, 1, 2, 3, 10, 11),
    re.compile("Patron blocked by fines"),
    re.compile("PATRON EXPIRED|Patron has overdues"),
)
FINES = "Greetings from Koha. -- Patron blocked by fines"


@pytest.mark.parametrize(
    ("set_flags", "texts", "left", "texts_left"),
    [
        ({0, 1, 2, 3, 10, 11}, (FINES,), set(), ()),
        ({0, 1, 3, 10}, (FINES, "Hello"), set(), ("Hello",)),
        ({0, 4, 10}, (FINES,), {4}, ()),
        ({0, 1, 3, 10}, ("Hello",), {0, 1, 3, 10}, ("Hello",)),
        ({0, 1, 3, 10}, (), {0, 1, 3, 10}, ()),
        ({0, 10}, (FINES, "PATRON EXPIRED"), {0, 10}, (FINES, "PATRON EXPIRED")),
        ({0, 10}, (f"{FINES} -- Patron has overdues",), {0, 10}, None),
        (ONE_BLOCK, (FINES,), ONE_BLOCK, (FINES,)),
    ],
)
def test_who_comes_in_order_to_pay_is_kept_from_it_by_nothing_that_is_about_money(
    set_flags, texts, left, texts_left
):
    word = told(flags(*set_flags), texts, KOHA)
    paying = without_money(word)
    assert (paying.flags, paying.texts) == (left, texts if texts_left is None else texts_left)
    assert (word.flags, word.texts) == (set_flags, texts)  # outside FW=B all of it is said
    assert without_money(paying) == paying


def test_without_a_declaration_nothing_is_lifted():
    word = told(flags(0, 10), (FINES,), None)
    assert without_money(word) == word == LibraryWord(flags(0, 10), (FINES,))


def test_without_an_exclusion_af_alone_decides():
    word = told(flags(0, 10), (FINES, "PATRON EXPIRED"), replace(KOHA, af_not=None))
    assert without_money(word).flags == set()


def test_fw_b_lifts_their_money_block_and_ours_and_no_other():
    word = replace(told(flags(0, 1, 3, 10), (FINES,), KOHA), until=Until.KNOWN, fee_amount=5000)
    debtor = patron("P", word=word, fees=(Fee("", "P", 5000, 5000, UNDATED),))
    assert [one.theirs for one in standing(debtor).obstacles] == [False, True]
    assert standing(debtor, for_payment=True).flags == set()
    assert standing(debtor, for_payment=True).money == standing(debtor).money
    banned = replace(debtor, status=8)
    assert standing(banned, for_payment=True).reason is Reason.STATUS


def test_an_expiry_speaks_for_itself_once_the_money_is_lifted():
    word = told(flags(0, 1, 3, 10), (FINES,), KOHA)
    (obstacle,) = standing(
        patron("P", word=word, membership_until=EXPIRED), for_payment=True
    ).obstacles
    assert (obstacle.reason, obstacle.theirs) == (Reason.MEMBERSHIP_EXPIRED, False)


# Doors ----------------------------------------------------------------------------------------

OPEN = CalendarMoment(OpeningState.UNSTAFFED, None)
RULES = DoorRules(require_badges=frozenset({"ONBE"}), minimum_age=16)
NO_DEBTS = replace(RULES, fees=False)


def decide(record, rules=RULES):
    holder = Holder(record, record.cards[0], "MAIN", TODAY, money_standing(record, TODAY, ZONE, 49))
    facts = DoorFacts(
        now=NOON,
        branch="MAIN",
        calendar=OPEN,
        record=record,
        card=record.cards[0],
        pin=PinState.OK,
        holder=assess_holder(holder, rules),
    )
    return decide_access(facts, rules)


def refused(record, rules=RULES):
    return [name for name, result in decide(record, rules).results() if result == "refused"]


@pytest.mark.parametrize(
    ("record", "reason", "checks"),
    [
        (theirs(), Reason.GRANTED, []),
        (theirs(0), Reason.BLOCKED, ["status"]),
        (theirs(0, 1, 2, 3), Reason.BLOCKED, ["status"]),
        (theirs(1, 2, 3), Reason.GRANTED, []),  # only 0 refuses
        (theirs(4, 10), Reason.GRANTED, []),
        (theirs(0, 4), Reason.CARD_BLOCKED, ["card_state"]),
        (
            theirs(0, 4, cards=(Card("P", CardState.REPLACED),)),
            Reason.CARD_REPLACED,
            ["card_state"],
        ),
        (theirs(0, 10), Reason.FEE_LIMIT, ["fee_limit"]),
        (theirs(0, 6, 11), Reason.FEE_LIMIT, ["fee_limit"]),
        (theirs(*ONE_BLOCK), Reason.BLOCKED, ["status"]),
        (theirs(0, membership_until=EXPIRED), Reason.MEMBERSHIP_EXPIRED, ["membership"]),
        (theirs(membership_until=EXPIRED), Reason.MEMBERSHIP_EXPIRED, ["membership"]),
        (theirs(0, blocks=(Block(BlockType.GENERAL),)), Reason.BLOCKED, ["status"]),
    ],
)
def test_their_flag_0_refuses_with_its_cause(record, reason, checks):
    assert decide(record).reason is reason
    assert refused(record) == checks


@pytest.mark.parametrize(
    ("set_flags", "reason"),
    [
        ({0, 10}, Reason.GRANTED),
        ({0, 1, 2, 3, 11}, Reason.GRANTED),
        ({0}, Reason.BLOCKED),
        *(({0, cause, 10}, Reason.BLOCKED) for cause in TOO_MANY),  # overdue items, for example
        ({0, 4, 10}, Reason.CARD_BLOCKED),
        (ONE_BLOCK, Reason.BLOCKED),
    ],
)
def test_a_door_that_ignores_debts_admits_if_nothing_else_can_be_the_cause(set_flags, reason):
    assert decide(theirs(*set_flags), NO_DEBTS).reason is reason


def test_a_door_chooses_the_flags_that_refuse():
    corvina = replace(RULES, denying_flags=frozenset({0, 2}))  # an expired patron has flag 2 only
    assert decide(theirs(2), corvina).reason is Reason.BLOCKED
    assert decide(theirs(1), corvina).granted
    assert decide(theirs(0), replace(RULES, denying_flags=frozenset())).granted


@pytest.mark.parametrize(
    ("set_flags", "amount", "reason"),
    [
        ({10}, None, Reason.FEE_LIMIT),
        ({11}, None, Reason.FEE_LIMIT),
        (set(), None, Reason.GRANTED),
        ({10}, 5000, Reason.GRANTED),
        (ONE_BLOCK - {0}, None, Reason.GRANTED),
    ],
)
def test_without_an_amount_their_money_flags_decide(set_flags, amount, reason):
    record = theirs(*set_flags, word=replace(KNOWN, fee_amount=amount))
    assert decide(record).reason is reason
    assert decide(record, NO_DEBTS).granted


@pytest.mark.parametrize(
    ("until", "admits"),
    [
        (Until.UNMAPPED, True),
        (Until.BY_FLAGS, True),
        (Until.UNREADABLE, False),
        (Until.KNOWN, False),  # by whom it is known is not to be seen here
    ],
)
def test_without_an_end_of_the_membership_it_depends_on_what_was_agreed(until, admits):
    record = theirs(word=replace(KNOWN, until=until), membership_until=None)
    assert decide(record).granted is admits
    denied = theirs(0, word=replace(KNOWN, until=until), membership_until=None)
    assert not decide(denied).granted


def test_an_unknown_membership_is_refused_only_where_one_is_asked_for():
    unknown = replace(KNOWN, until=Until.UNMAPPED, membership_known=False)
    record = theirs(word=unknown, membership=None, membership_until=None)
    assert decide(record).granted
    asks = replace(RULES, memberships=frozenset({"201"}))
    assert decide(record, asks).reason is Reason.MEMBERSHIP_NOT_ALLOWED
    without_definition = theirs(membership=Membership("201", "201", 0))
    assert decide(without_definition, asks).granted


RECORDS = st.builds(
    theirs,
    st.just(0) | st.integers(0, 13),
    st.integers(0, 13),
    st.integers(0, 13),
    word=st.builds(
        replace,
        st.just(KNOWN),
        until=st.sampled_from(Until),
        membership_known=st.booleans(),
        fee_amount=st.sampled_from([None, 0, 5000]),
    ),
    membership=st.sampled_from([None, ADULT]),
    membership_until=st.sampled_from([None, EXPIRED, date(2027, 1, 1)]),
)
DOORS = st.builds(
    DoorRules,
    denying_flags=st.frozensets(st.integers(0, 13), max_size=3).map(lambda some: some | {0}),
    fees=st.booleans(),
)


@given(RECORDS, st.integers(0, 13), DOORS)
def test_one_more_flag_of_theirs_never_admits(record, flag, rules):
    if not rules.fees:
        flag = min(flag, 9)  # that it is about money is what admits there (C150)
    word = replace(record.word, flags=record.word.flags | {PatronFlag(flag)})
    denied = decide(replace(record, word=word), rules)
    assert decide(record, rules).granted or not denied.granted


@given(RECORDS, st.integers(0, 13))
def test_one_more_flag_of_theirs_never_takes_one_away(record, flag):
    word = replace(record.word, flags=record.word.flags | {PatronFlag(flag)})
    assert standing(record).flags <= standing(replace(record, word=word)).flags


@pytest.mark.parametrize(
    ("unknown", "rules"),
    [
        ({"birth_date": None}, {"minimum_age": 1}),
        ({"membership": None}, {"memberships": frozenset({"201"})}),
        ({"home_branch": None}, {"home_branch_only": True}),
        ({"badges": ()}, {"require_badges": frozenset({"ONBE"})}),
        ({"house_rules_accepted": None}, {"house_rules": True}),
    ],
)
@given(RECORDS)
def test_an_unknown_fact_never_admits_where_the_rule_asks_for_it(unknown, rules, record):
    assert not decide(replace(record, **unknown), DoorRules(**rules)).granted


def test_every_check_keeps_its_name_and_place():
    results = decide(theirs(0, 10)).results()
    assert [name for name, result in results if result is CheckResult.REFUSED] == ["fee_limit"]
