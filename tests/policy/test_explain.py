"""Every check in plain words: the fact, the rule, the setting (B70, C22)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import fields, replace

from sip2gw.model import (
    UNDATED,
    BadgeAssignment,
    Block,
    BlockType,
    CalendarChange,
    Card,
    CardState,
    Fee,
    LibraryWord,
    Membership,
    PatronRecord,
    Presence,
    Until,
)
from sip2gw.policy.access import (
    CHECK_NAMES,
    CheckResult,
    DoorFacts,
    DoorRules,
    Holder,
    PinState,
    assess_holder,
    decide_access,
)
from sip2gw.policy.explaining.doors import explain_access, explain_exit
from sip2gw.policy.explaining.places import ExplainedCheck, Place, Settings
from sip2gw.policy.explaining.standing import (
    STANDING_CHECKS,
    explain_standing,
    explain_unknown_card,
)
from sip2gw.policy.hours.calendar import CalendarMoment, OpeningState
from sip2gw.policy.money.debts import money_standing
from sip2gw.policy.obstacles import decide_standing
from sip2gw.protocol.fields import PatronFlag

BRUSSELS = ZoneInfo("Europe/Brussels")
NOW = datetime(2026, 3, 4, 19, 30, tzinfo=BRUSSELS)
TODAY = NOW.date()
SETTINGS = Settings(**{setting.name: f"<{setting.name}>" for setting in fields(Settings)})
PLACE = Place("door-1", "MAIN", "EUR", 49, SETTINGS, "<access>")
CARD = Card("P1")
RECORD = PatronRecord(
    id="P1",
    name="Anna",
    birth_date=date(1980, 3, 4),
    membership=Membership("201", "Adult", 0, max_fees_self_service=1000),
    membership_until=date(2026, 12, 31),
    home_branch="MAIN",
    cards=(CARD,),
    badges=(BadgeAssignment("ONBE"),),
    pin_hash="$argon2id$…",
    house_rules_accepted=date(2025, 5, 1),
)
UNSTAFFED = CalendarMoment(OpeningState.UNSTAFFED, NOW.replace(hour=22, minute=0))


def fee(owed: int, days: int) -> Fee:
    return Fee("F1", "P1", owed, owed, NOW - timedelta(days=days))


def at_door(
    record: PatronRecord | None = RECORD,
    rules: DoorRules | None = None,
    place: Place = PLACE,
    **changes: Any,
) -> dict[str, ExplainedCheck]:
    rules = rules or DoorRules()
    facts = DoorFacts(
        now=NOW,
        branch="MAIN",
        calendar=UNSTAFFED,
        record=record,
        card=CARD if record is not None else None,
        pin=PinState.OK,
        holder=None,
    )
    facts = replace(facts, **changes)
    if facts.record is not None and facts.card is not None:
        money = money_standing(facts.record, TODAY, BRUSSELS, 49)
        holder = Holder(facts.record, facts.card, facts.branch, TODAY, money)
        facts = replace(facts, holder=assess_holder(holder, rules))
    explained = explain_access(facts, rules, decide_access(facts, rules).results(), place)
    assert tuple(check.check for check in explained) == CHECK_NAMES
    return {check.check: check for check in explained}


def detail(check: str, record: PatronRecord = RECORD, **rules: Any) -> str:
    """What is said of one check at a door with `rules`."""
    return at_door(record, DoorRules(**rules))[check].detail


def with_(**changes: Any) -> PatronRecord:
    return replace(RECORD, **changes)


def test_c22_an_age_names_the_fact_and_the_setting() -> None:
    young = with_(birth_date=date(2010, 3, 5))
    told = at_door(young, DoorRules(minimum_age=16))["age"]
    assert told.result is CheckResult.REFUSED
    assert told.detail == "age 15, <age>"


def test_data_that_is_too_old_is_named_with_its_setting() -> None:
    """C138."""
    told = at_door(data_too_old=True)["terminal"]
    assert told.result is CheckResult.REFUSED
    assert told.detail == (
        "terminal door-1 at branch MAIN; <access>, and the last import, or answer of the library"
        " system, is too old or unknown: <data_age>"
    )


@pytest.mark.parametrize(
    ("check", "record", "rules", "said"),
    [
        ("terminal", RECORD, {}, "terminal door-1 at branch MAIN; <access>"),
        ("card", RECORD, {}, "a card of patron P1"),
        ("card_state", RECORD, {}, "the card is active"),
        (
            "pin",
            RECORD,
            {},
            "the PIN is assumed to be right; <pin>",
        ),
        (
            "pin",
            with_(pin_hash=None),
            {},
            "the patron has no PIN yet, so a terminal calls every PIN wrong: import one, or give"
            " one with `patron set-pin`; <pin>",
        ),
        (
            "pin",
            RECORD,
            {"require_pin": False},
            "not required: <pin>",
        ),
        ("age", RECORD, {}, "no minimum age is set: <age>"),
        (
            "age",
            RECORD,
            {"minimum_age": 60, "companions": True},
            "age 46, <age>; a child may follow their head of family: <companions>",
        ),
        (
            "age",
            with_(birth_date=None),
            {"minimum_age": 16},
            "birth date unknown, <age>",
        ),
        ("membership", RECORD, {}, "membership 201 valid until 2026-12-31"),
        ("membership", with_(membership=None), {}, "no membership"),
        (
            "membership",
            with_(membership_from=date(2026, 4, 1)),
            {},
            "membership 201 begins on 2026-04-01",
        ),
        (
            "membership",
            with_(membership_until=date(2026, 3, 3)),
            {},
            "membership 201 ended on 2026-03-03",
        ),
        (
            "membership",
            with_(membership_until=None),
            {},
            "membership 201 valid without an end date; a door needs an end date",
        ),
        ("status", RECORD, {}, "customer status 5 (normal); blocks: none"),
        ("status", with_(status=8), {}, "customer status 8 (banned) blocks; blocks: none"),
        (
            "status",
            with_(blocks=(Block(BlockType.GENERAL), Block(BlockType.PAYMENT))),
            {},
            "customer status 5 (normal); blocks: general, payment",
        ),
        (
            "membership_allowed",
            RECORD,
            {},
            "every membership may enter: <memberships>",
        ),
        (
            "membership_allowed",
            RECORD,
            {"memberships": frozenset({"301", "202"})},
            "membership 201, <memberships>",
        ),
        (
            "membership_allowed",
            with_(membership=None),
            {"memberships": frozenset({"202"})},
            "membership none, <memberships>",
        ),
        (
            "home_branch",
            RECORD,
            {},
            "patrons of every home branch may enter: <home_branch>",
        ),
        (
            "home_branch",
            with_(home_branch=None),
            {"home_branch_only": True},
            "home branch unknown, door of MAIN; <home_branch>",
        ),
        (
            "fee_limit",
            RECORD,
            {"fees": False},
            "debts do not matter here: <fees>",
        ),
        (
            "fee_age",
            RECORD,
            {"fees": False},
            "debts do not matter here: <fees>",
        ),
        (
            "fee_limit",
            with_(fees=(fee(1250, 3),)),
            {},
            "owes 12.50 EUR, limit 10.00 EUR (max_fees_self_service of membership 201); <fees>",
        ),
        (
            "fee_limit",
            with_(fee_limit=500),
            {},
            "owes 0.00 EUR, limit 5.00 EUR (fee_limit of the patron); <fees>",
        ),
        (
            "fee_limit",
            with_(membership=None),
            {},
            "owes 0.00 EUR, and no limit is set; <fees>",
        ),
        ("fee_age", RECORD, {}, "no open charge; <fee_age>"),
        (
            "fee_age",
            with_(fees=(fee(100, 60),)),
            {},
            "the oldest open charge is 60 days old; <fee_age>",
        ),
        (
            "house_rules",
            RECORD,
            {},
            "the house rules need not be accepted: <house_rules>",
        ),
        (
            "house_rules",
            RECORD,
            {"house_rules": date(2026, 1, 1)},
            "the house rules were accepted on 2025-05-01; <house_rules>",
        ),
        (
            "house_rules",
            with_(house_rules_accepted=None),
            {"house_rules": True},
            "the house rules have not been accepted; <house_rules>",
        ),
        ("bar", RECORD, {}, "not on the bar list (<bars>)"),
        ("capacity", RECORD, {}, "no limit: <capacity>"),
        (
            "capacity",
            RECORD,
            {"capacity": 10},
            "not checked, because another check refuses; <capacity>",
        ),
        (
            "inside",
            RECORD,
            {},
            "a patron who is inside may enter again: <inside>",
        ),
        (
            "inside",
            RECORD,
            {"refuse_inside": True},
            "not checked, because another check refuses; <inside>",
        ),
        (
            "terminal",
            RECORD,
            {"emergency_max_age": timedelta(hours=12)},
            "terminal door-1 at branch MAIN; <access>; while the store or the library system does"
            " not answer, cards admitted here earlier may enter: <emergency>",
        ),
    ],
)
def test_a_check_in_words(
    check: str, record: PatronRecord, rules: dict[str, Any], said: str
) -> None:
    assert detail(check, record, **rules) == said


@pytest.mark.parametrize(
    ("check", "presence", "result", "said"),
    [
        ("capacity", Presence(9, False), "ok", "9 other people inside; "),
        ("capacity", Presence(10, False), "refused", "10 other people inside; "),
        ("inside", Presence(1, True), "refused", "went in and has not come out; "),
        ("inside", Presence(1, False), "ok", "not inside; "),
    ],
)
def test_who_is_inside_in_words(check: str, presence: Presence, result: str, said: str) -> None:
    rules = DoorRules(capacity=10, refuse_inside=True)
    told = at_door(rules=rules, presence=presence)[check]
    assert told.result == result
    assert told.detail.startswith(said)


@pytest.mark.parametrize(
    ("badges", "said"),
    [
        ((BadgeAssignment("ONBE"),), "badges here: ONBE; <all_badges>"),
        ((), "badges here: none; <all_badges>"),
        ((BadgeAssignment("ONBE", active=False),), "ONBE is not active"),
        ((BadgeAssignment("ONBE", valid_from=date(2026, 5, 1)),), "ONBE is valid from 2026-05-01"),
        (
            (BadgeAssignment("ONBE", badge_from=date(2026, 5, 1)),),
            "ONBE is valid for nobody before 2026-05-01",
        ),
        (
            (BadgeAssignment("ONBE", badge_until=date(2026, 3, 3)),),
            "ONBE was valid for anybody until 2026-03-03",
        ),
        (
            (BadgeAssignment("ONBE", valid_until=date(2026, 3, 3)),),
            "ONBE was valid until 2026-03-03",
        ),
        (
            (BadgeAssignment("ONBE", assignment_branches=("ANNEX",)),),
            "ONBE is not valid at branch MAIN",
        ),
    ],
)
def test_b22_a_badge_that_does_not_count_says_why(
    badges: tuple[BadgeAssignment, ...], said: str
) -> None:
    told = detail("badge", with_(badges=badges), require_badges=frozenset({"ONBE"}))
    assert said in told
    assert told.endswith("; <all_badges>")


def test_badges_that_are_not_asked_for() -> None:
    assert detail("badge") == "no badge is required: <badges>"


@pytest.mark.parametrize(
    ("moment", "changes", "said"),
    [
        (
            UNSTAFFED,
            {},
            "MAIN is unstaffed on Wed 2026-03-04 19:30, open until Wed 22:00; <last_entry>",
        ),
        (
            CalendarMoment(OpeningState.UNSTAFFED, None),
            {},
            "MAIN is unstaffed on Wed 2026-03-04 19:30, open for at least another week;"
            " <last_entry>",
        ),
        (
            CalendarMoment(OpeningState.STAFFED, None),
            {},
            "MAIN is staffed on Wed 2026-03-04 19:30; <when_staffed>",
        ),
        (
            CalendarMoment(OpeningState.CLOSED, None),
            {},
            "MAIN is closed on Wed 2026-03-04 19:30 (<hours>)",
        ),
        (
            CalendarMoment(OpeningState.CLOSED, None),
            {"has_pass": True},
            "the card has a pass, so the calendar does not apply (<passes>)",
        ),
        (
            CalendarMoment(OpeningState.CLOSED, None),
            {"has_pass": True, "barred": True},
            "MAIN is closed on Wed 2026-03-04 19:30 (<hours>)",
        ),
    ],
)
def test_the_calendar_in_words(moment: CalendarMoment, changes: dict[str, Any], said: str) -> None:
    rules = DoorRules(last_entry_margin=timedelta(minutes=15))
    assert at_door(rules=rules, calendar=moment, **changes)["calendar"].detail == said


@pytest.mark.parametrize(("reason", "why"), [("", ""), ("a leak", ": a leak")])
def test_c139_what_staff_changed_is_named_with_its_end(reason: str, why: str) -> None:
    until = NOW + timedelta(hours=1)
    change = CalendarChange("MAIN", "closed", NOW, until, reason, user="anna")
    told = at_door(calendar=CalendarMoment(OpeningState.CLOSED, None, change))["calendar"]
    assert told.detail == (
        "MAIN is closed on Wed 2026-03-04 19:30, because staff changed it until"
        f" Wed 2026-03-04 20:30{why} (branch list)"
    )


def test_staffed_hours_may_refuse() -> None:
    moment = CalendarMoment(OpeningState.STAFFED, None)
    told = at_door(rules=DoorRules(admit_when_staffed=False), calendar=moment)["calendar"]
    assert told.result is CheckResult.REFUSED
    assert told.detail.endswith("; <when_staffed>")


def test_b34_a_barred_card() -> None:
    assert at_door(barred=True)["bar"].detail == "on the bar list (<bars>)"


def test_c75_a_door_without_a_branch() -> None:
    told = at_door(place=replace(PLACE, branch=""), branch=None, calendar=None)
    assert "<branch> is not set" in told["terminal"].detail
    assert told["calendar"].detail == "not checked: the terminal has no branch"
    assert told["bar"].detail == "not on the bar list (<bars>)"


def test_an_unknown_card_at_a_door() -> None:
    told = at_door(None)
    assert told["card"] == ExplainedCheck("card", CheckResult.REFUSED, "nobody has this card")
    assert told["age"].detail == "not checked: nobody has this card"


def test_c67_a_door_that_leads_out_checks_nothing() -> None:
    told = explain_exit(PLACE)
    assert [check.check for check in told] == list(CHECK_NAMES)
    assert {check.result for check in told} == {CheckResult.SKIPPED}
    assert "<direction>" in told[0].detail


def at_kiosk(
    record: PatronRecord,
    card: Card = CARD,
    place: Place = PLACE,
    pin: PinState = PinState.OK,
) -> dict[str, ExplainedCheck]:
    standing = decide_standing(record, card, TODAY, BRUSSELS, place.max_fee_age_days)
    explained = explain_standing(record, card, pin, standing, NOW, place)
    assert tuple(check.check for check in explained) == STANDING_CHECKS
    return {check.check: check for check in explained}


@pytest.mark.parametrize(
    ("record", "card", "refused"),
    [
        (RECORD, CARD, set()),
        (RECORD, Card("P1", CardState.LOST), {"card_state"}),
        (with_(membership=None), CARD, {"membership"}),
        (with_(membership_until=None), CARD, set()),
        (with_(status=9, blocks=(Block(BlockType.GENERAL),)), CARD, {"status"}),
        (with_(fees=(fee(1250, 60),)), CARD, {"fee_limit", "fee_age"}),
        (RECORD, Card("P1", CardState.REPLACED), {"card_state"}),
    ],
)
def test_outside_doors_each_obstacle_is_a_refused_check(
    record: PatronRecord, card: Card, refused: set[str]
) -> None:
    told = at_kiosk(record, card)
    assert {name for name in told if told[name].result is CheckResult.REFUSED} == refused


@pytest.mark.parametrize(
    ("until", "end"), [(NOW + timedelta(minutes=5), " until Wed 2026-03-04 19:35"), (None, "")]
)
def test_c171_a_locked_pin_is_refused_with_its_end(until: datetime | None, end: str) -> None:
    locked = replace(CARD, pin_locked_until=until)
    told = at_kiosk(RECORD, locked, pin=PinState.LOCKED)["pin"]
    assert told.result is CheckResult.REFUSED
    assert told.detail == f"wrong PINs have locked the PIN{end}; <pin_required>"


def test_a_terminal_without_a_branch_is_named_without_one() -> None:
    assert replace(PLACE, branch="").words == "terminal door-1; <access>"


def test_a_terminal_without_an_age_of_charges() -> None:
    told = at_kiosk(RECORD, place=replace(PLACE, max_fee_age_days=None))["fee_age"]
    assert told.detail == "no maximum age of charges is set (<fee_age>)"


def test_an_unknown_card_outside_doors() -> None:
    terminal, card, *rest = explain_unknown_card(PLACE)
    assert terminal.detail == PLACE.words
    assert card == ExplainedCheck("card", CheckResult.REFUSED, "nobody has this card")
    assert [check.check for check in rest] == list(STANDING_CHECKS[2:])
    assert {check.result for check in rest} == {CheckResult.SKIPPED}


# Patrons of a library system (C121, C150)

WORD = LibraryWord(frozenset(), until=Until.KNOWN, membership_known=True, fee_amount=0)


def said(*numbers: int, **changes: Any) -> LibraryWord:
    """What a library system says that sets these flags."""
    return replace(WORD, flags=frozenset(PatronFlag(number) for number in numbers), **changes)


UNDATED_FEES = (Fee("", "P1", 250, 250, UNDATED),)
REFUSING = "what refuses here: 0 (charge denied)"


@pytest.mark.parametrize(
    ("check", "record", "rules", "told"),
    [
        ("card_state", with_(word=said(0)), {}, "the card is active"),
        ("pin", with_(word=said(0), pin_hash=None), {}, "the PIN is assumed to be right; <pin>"),
        (
            "card_state",
            with_(word=said(0, 4)),
            {},
            "the card is active; the library system says that it is lost (flag 4)",
        ),
        ("membership", with_(word=said()), {}, "membership 201 valid until 2026-12-31"),
        (
            "membership",
            with_(
                word=said(until=Until.UNMAPPED, membership_known=False),
                membership=None,
                membership_until=None,
            ),
            {},
            "membership unknown: no field is mapped to its end, so the library system's flag 0"
            " decides",
        ),
        (
            "membership",
            with_(word=said(until=Until.UNREADABLE), membership_until=None),
            {},
            "membership 201: the library system says no end that can be read; a door needs an end"
            " date",
        ),
        (
            "membership",
            with_(word=said(until=Until.BY_FLAGS), membership_until=None),
            {},
            "membership 201: the library system says no end that can be read, so its flag 0"
            " decides",
        ),
        (
            "membership",
            with_(word=said(), membership_until=None),
            {},
            "membership 201: its end is unknown; a door needs an end date",
        ),
        (
            "membership_allowed",
            with_(word=said(membership_known=False), membership=None),
            {"memberships": frozenset({"201"})},
            "membership unknown, <memberships>",
        ),
        (
            "status",
            with_(word=said()),
            {},
            "customer status 5 (normal); blocks: none; the library system sets no flag; "
            + REFUSING,
        ),
        (
            "status",
            with_(word=said(0, 11)),
            {"denying_flags": frozenset()},
            "customer status 5 (normal); blocks: none; the library system sets flags"
            " 0 (charge denied), 11 (excessive fees); what refuses here: no flag",
        ),
        (
            "fee_limit",
            with_(word=said()),
            {},
            "owes 0.00 EUR, limit 10.00 EUR (max_fees_self_service of membership 201); <fees>",
        ),
        (
            "fee_limit",
            with_(word=said(0, 10)),
            {},
            "owes 0.00 EUR, limit 10.00 EUR (max_fees_self_service of membership 201);"
            " the library system sets flags 10 (excessive fines); <fees>",
        ),
        (
            "fee_limit",
            with_(word=said(0, 10, fee_amount=None)),
            {},
            "the library system does not say how much is owed, so its flags decide:"
            " 10 (excessive fines); <fees>",
        ),
        (
            "fee_limit",
            with_(word=said(fee_amount=None)),
            {},
            "the library system does not say how much is owed, so its flags decide:"
            " neither 10 nor 11; <fees>",
        ),
        (
            "fee_age",
            with_(word=said(), fees=UNDATED_FEES),
            {},
            "the library system does not say how old the open charges are; <fee_age>",
        ),
        (
            "fee_age",
            with_(word=said(), fees=(fee(250, 3),)),
            {},
            "the oldest open charge is 3 days old; <fee_age>",
        ),
    ],
)
def test_what_a_library_system_says_is_told_as_its_word(
    check: str, record: PatronRecord, rules: dict[str, Any], told: str
) -> None:
    assert detail(check, record, **rules) == told


def test_outside_doors_the_denials_of_a_library_system_refuse_their_check() -> None:
    record = with_(word=said(0, 1, 3, 10))
    standing = decide_standing(record, CARD, TODAY, BRUSSELS, 49)
    checks = explain_standing(record, CARD, PinState.OK, standing, NOW, PLACE)
    told = {check.check: check for check in checks}
    refused = {name for name, check in told.items() if check.result is CheckResult.REFUSED}
    assert refused == {"fee_limit"}
    assert told["status"].detail.endswith(
        "the library system sets flags 0 (charge denied), 1 (renewal denied), 3 (hold denied),"
        " 10 (excessive fines)"
    )
