"""What a membership and an item's age allow, at a loan, a renewal, a hold (B97, C167)."""

from datetime import UTC, date, datetime, timedelta

import pytest
from family import ADULT, NOON, fee, patron
from msgspec.structs import replace
from stock import DUE, RULES, facts, loan, record, request, standing_of

from sip2gw.model import Loan, MaterialRule
from sip2gw.model.items import LateTerms
from sip2gw.policy.items.decisions import Effect, Refusal
from sip2gw.policy.items.holds import HoldRequest, decide_hold
from sip2gw.policy.items.lending import decide_checkout, decide_renewal
from sip2gw.policy.items.materials import rule_for
from sip2gw.policy.items.returns import decide_checkin
from sip2gw.policy.moments import END_OF_DAY
from sip2gw.policy.reasons import CirculationReason as R

RULED = replace(
    ADULT,
    materials=(
        MaterialRule("GAME*", allowed=False),
        MaterialRule("DVD", max_items=2, loan_days=7),
        MaterialRule("DVD-18", minimum_age=18, loan_days=7),
        MaterialRule("DVD*", max_items=1),
        MaterialRule("MAP", loan_days=0),
    ),
)
READER = patron("ANNA", membership=RULED)
BORN_TODAY_16_YEARS_AGO = date(2010, 3, 10)


def on_loan(*materials):
    return tuple(
        Loan(f"X{n}", "X", DUE, NOON, material=material) for n, material in enumerate(materials)
    )


def check_out(who=READER, asked=None, **item):
    asked = asked or request()
    return decide_checkout(facts(record(**item), who), standing_of(who), asked, RULES)


def renew(who=READER, borrower=None, **item):
    known = record(loan=loan((borrower or who).id), **item)
    standings = tuple(standing_of(one) for one in (who, borrower) if one is not None)
    return decide_renewal(
        facts(known, who, borrower), standings, request("29"), RULES, may_act=borrower is not None
    )


def place(who=READER, **item):
    asked = HoldRequest(NOON, "+", any_copy=True, here="MAIN")
    return decide_hold(facts(record(**item), who), standing_of(who), asked)


def reasons(decision):
    return list(decision.reasons) if isinstance(decision, Refusal) else []


@pytest.mark.parametrize(
    ("material", "pattern"),
    [
        ("GAME", "GAME*"),
        ("GAMEBOY", "GAME*"),
        ("DVD", "DVD"),
        ("DVD-18", "DVD-18"),
        ("DVD-6", "DVD*"),
        ("GAM", None),
        ("BOOK", None),
        ("dvd", None),
        (None, None),
    ],
)
def test_the_first_rule_that_fits_speaks(material, pattern) -> None:
    rule = rule_for(READER, material)
    assert (rule and rule.material) == pattern


def test_a_star_alone_fits_an_item_without_material() -> None:
    rule = MaterialRule("*")
    who = patron("ANNA", membership=replace(ADULT, materials=(rule,)))
    assert rule_for(who, None) is rule
    assert rule_for(patron("ANNA", membership=None), "DVD") is None


@pytest.mark.parametrize("ask", [check_out, renew, place])
@pytest.mark.parametrize(
    ("item", "refused"),
    [
        ({"material": "GAME1"}, [R.MATERIAL_NOT_ALLOWED]),
        ({"material": "GAME1", "minimum_age": 99}, [R.MATERIAL_NOT_ALLOWED, R.UNDER_AGE]),
        ({"material": "DVD-18"}, []),
        ({"minimum_age": 99}, [R.UNDER_AGE]),
        ({"minimum_age": 45}, []),
        ({}, []),
    ],
)
def test_material_and_age(ask, item, refused) -> None:
    assert reasons(ask(**item)) == refused


@pytest.mark.parametrize("ask", [check_out, renew, place])
@pytest.mark.parametrize(
    ("born", "item", "refused"),
    [
        (BORN_TODAY_16_YEARS_AGO, {"minimum_age": 16}, []),
        (BORN_TODAY_16_YEARS_AGO + timedelta(days=1), {"minimum_age": 16}, [R.UNDER_AGE]),
        (BORN_TODAY_16_YEARS_AGO, {"material": "DVD-18"}, [R.UNDER_AGE]),
        (BORN_TODAY_16_YEARS_AGO, {"material": "DVD-18", "minimum_age": 12}, [R.UNDER_AGE]),
        (None, {"minimum_age": 1}, [R.UNDER_AGE]),
        (None, {"minimum_age": 0}, []),
        (None, {"material": "DVD"}, []),
    ],
)
def test_b36_an_unknown_birth_date_is_not_old_enough(ask, born, item, refused) -> None:
    assert reasons(ask(patron("ANNA", membership=RULED, birth_date=born), **item)) == refused


def test_b38_age_is_that_of_the_day_at_the_branch() -> None:
    young = patron("ANNA", membership=RULED, birth_date=date(2010, 3, 11))
    at_midnight = datetime(2026, 3, 10, 23, tzinfo=UTC)
    asked = request(no_block=False, moment=at_midnight)
    assert reasons(check_out(young, minimum_age=16)) == [R.UNDER_AGE]
    assert reasons(check_out(young, asked, minimum_age=16)) == []


@pytest.mark.parametrize(
    ("have", "wanted", "refused"),
    [
        (("DVD",), "DVD", []),
        (("DVD", "DVD"), "DVD", [R.MATERIAL_LIMIT]),
        # Each counts under the rule that is its own.
        (("DVD", "DVD-6"), "DVD", []),
        (("DVD-6",), "DVD-9", [R.MATERIAL_LIMIT]),
        (("DVD", "DVD", "BOOK"), "DVD-9", []),
        (("BOOK",) * 5, "BOOK", []),
        (("MAP",) * 5, "MAP", []),
    ],
)
def test_so_many_of_a_material(have, wanted, refused) -> None:
    who = replace(READER, loans=on_loan(*have))
    assert reasons(check_out(who, material=wanted)) == refused
    # A renewal or a hold makes nobody have more.
    assert reasons(renew(who, material=wanted)) == reasons(place(who, material=wanted)) == []


def test_the_order_of_speaking() -> None:
    full = replace(RULED, max_items=1, materials=(MaterialRule("DVD", max_items=1),))
    who = patron("ANNA", membership=full, loans=on_loan("DVD"), birth_date=None)
    refused = reasons(check_out(who, material="DVD", minimum_age=12))
    assert refused == [R.ITEM_LIMIT, R.UNDER_AGE, R.MATERIAL_LIMIT]


@pytest.mark.parametrize(
    ("material", "days"), [("DVD", 7), ("BOOK", 21), ("DVD-6", 21), ("MAP", 0)]
)
def test_the_loan_period_of_the_rule_or_else_of_the_item(material, days) -> None:
    lent, renewed = check_out(material=material), renew(material=material)
    assert isinstance(lent, Effect)
    assert isinstance(renewed, Effect)
    due = datetime.combine((NOON + timedelta(days=days)).date(), END_OF_DAY, NOON.tzinfo)
    assert lent.outcome.due == due
    assert renewed.outcome.due == max(due, DUE)


def test_a_renewal_for_another_follows_the_membership_of_the_other() -> None:
    helper, other = patron("HUGO"), patron("BERT", membership=RULED)
    assert reasons(renew(helper, other, material="GAME1")) == [R.MATERIAL_NOT_ALLOWED]
    assert reasons(renew(READER, patron("BERT"), material="GAME1")) == []
    young = replace(other, birth_date=date(2020, 1, 1))
    assert reasons(renew(helper, young, minimum_age=12)) == [R.UNDER_AGE]


def test_what_happened_off_line_is_done_and_noted() -> None:
    asked = request(no_block=True)
    done = check_out(READER, asked, material="GAME1", minimum_age=99)
    assert isinstance(done, Effect)
    assert done.overridden == (R.MATERIAL_NOT_ALLOWED, R.UNDER_AGE)


@pytest.mark.parametrize(("owed", "refused"), [(500, []), (501, [R.HOLD_FEE_LIMIT])])
def test_exactly_the_limit_of_money_still_reserves(owed, refused) -> None:
    limited = replace(ADULT, hold_limit=500)
    who = patron("ANNA", membership=limited, fees=(fee("F1", "ANNA", owed),))
    assert reasons(place(who)) == refused
    assert reasons(check_out(who)) == []


def returned_late(days, terms=None, per_day=20, cap=None):
    known = record(
        loan=loan("ANNA", due=NOON - timedelta(days=days)),
        overdue_fee_per_day=per_day,
        overdue_fee_max=cap,
    )
    known = replace(known, late_terms=terms or LateTerms())
    done = decide_checkin(facts(known), request("09"), RULES)
    assert isinstance(done, Effect)
    return done.fee.amount if done.fee is not None else 0


@pytest.mark.parametrize(
    ("days", "terms", "cap", "owed"),
    [
        (3, None, None, 60),
        (3, LateTerms(grace_days=3), None, 0),
        # Past the grace every day counts.
        (4, LateTerms(grace_days=3), None, 80),
        (4, LateTerms(fee_max=50), None, 50),
        (2, LateTerms(fee_max=50), None, 40),
        (4, LateTerms(fee_max=50), 70, 70),
        (4, LateTerms(fee_max=50), 0, 0),
        (4, LateTerms(fee_max=0), None, 0),
        (4, None, 30, 30),
    ],
)
def test_b96_grace_and_cap_of_a_late_return(days, terms, cap, owed) -> None:
    assert returned_late(days, terms, cap=cap) == owed


def test_without_a_membership_there_is_no_rule_to_speak_of() -> None:
    nobody = patron("ANNA", membership=None)
    assert reasons(place(nobody)) == [R.BLOCKED]
    assert reasons(check_out(nobody, material="GAME1", minimum_age=99)) == [R.BLOCKED, R.UNDER_AGE]
