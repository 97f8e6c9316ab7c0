"""The checks of an item in plain words (B56-B60, B70)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from sip2gw.model import (
    Hold,
    ItemStatus,
    Loan,
    MaterialRule,
    Membership,
)
from sip2gw.model.items import Item, ItemLoan, ItemRecord, ItemState, QueuedHold
from sip2gw.policy.access import CheckResult
from sip2gw.policy.explaining.items import ItemCase, explain_items
from sip2gw.policy.explaining.places import ExplainedCheck
from sip2gw.policy.obstacles import decide_standing
from sip2gw.policy.reasons import CirculationReason

from .test_explain import BRUSSELS, CARD, NOW, PLACE, RECORD, TODAY, fee

DUE = NOW + timedelta(days=20)
ITEM = Item("I1", "Reinaert", material="DVD", checkout_fee=150)
STANDING = decide_standing(RECORD, CARD, TODAY, BRUSSELS, 49)
CASE = ItemCase(ItemRecord(ITEM, ItemState()), RECORD, STANDING, NOW, PLACE)
OVERDUE = Loan("I8", "Late", NOW - timedelta(days=1), NOW - timedelta(days=30), 0, 2, lost=True)
RULES = Membership(
    "202",
    "Choosy",
    0,
    max_items=3,
    max_holds=2,
    materials=(MaterialRule(material="DVD*", max_items=1, minimum_age=16),),
)
CHOOSY = replace(RECORD, membership=RULES)
WITHOUT = replace(CASE, patron=replace(RECORD, membership=None))
LATE = replace(CASE, patron=replace(RECORD, loans=(OVERDUE,)))


def told(code: str, *reasons: str, case: ItemCase | None = CASE) -> dict[str, ExplainedCheck]:
    """The checks of a request that is refused for `reasons`, by name."""
    explained = explain_items(code, map(CirculationReason, reasons), case)
    return {check.check: check for check in explained}


def of_item(**changes: Any) -> ItemCase:
    return replace(CASE, record=ItemRecord(replace(ITEM, **changes), ItemState()))


def in_state(**changes: Any) -> ItemCase:
    return replace(CASE, record=ItemRecord(ITEM, ItemState(**changes)))


@pytest.mark.parametrize(
    ("code", "checks"),
    [
        (
            "11",
            "item for_loan material attachment waiting loan patron overdue lost_items item_limit"
            " membership_material age material_limit renewals borrowed_before fee",
        ),
        ("29", "item loan waiting patron membership_material age renewals fee"),
        ("09", "item material loan in_transit note for_loan waiting"),
        (
            "15",
            "item for_loan loan own_hold patron membership_material age holds hold_fees pickup",
        ),
    ],
)
def test_what_is_not_refused_has_only_good_checks(code: str, checks: str) -> None:
    explained = told(code)
    assert list(explained) == checks.split()
    assert {check.result for check in explained.values()} == {CheckResult.OK}


def test_every_reason_is_refused_at_its_check_and_says_what_it_means() -> None:
    explained = told("11", "on_hold", "fee")
    refused = [name for name in explained if explained[name].result is CheckResult.REFUSED]
    assert refused == ["waiting", "fee"]
    assert explained["fee"].detail == (
        "costs 1.50 EUR; it costs something, and the patron has not agreed (BO)"
    )
    assert explained["patron"].result is CheckResult.OK


@pytest.mark.parametrize("reason", CirculationReason)
def test_no_reason_is_without_a_check(reason: CirculationReason) -> None:
    explained = [one for code in ("11", "09", "29", "15") for one in told(code, reason).values()]
    is_of_the_card = reason in ("unknown_card", "card_replaced", "wrong_pin", "no_pin")
    refused = {one.check for one in explained if one.result is CheckResult.REFUSED}
    assert (not refused) == (is_of_the_card or reason is CirculationReason.UNKNOWN_ITEM)


def test_after_a_reason_that_ends_it_nothing_else_is_checked() -> None:
    """A second checkout of one's own loan is refused before anything else is looked at."""
    explained = told("11", "already_charged")
    assert explained["loan"].result is CheckResult.REFUSED
    assert explained["fee"].result is CheckResult.SKIPPED
    assert explained["fee"].detail.startswith("not checked: the patron has it already")


def test_an_item_that_nobody_knows() -> None:
    explained = told("09", "unknown_item", case=None)
    assert explained["item"] == ExplainedCheck("item", CheckResult.REFUSED, "there is no such item")
    assert explained["loan"].detail == "not checked: there is no such item"


def test_an_item_that_was_not_looked_at() -> None:
    explained = told("11", "wrong_pin", case=None)
    assert {check.result for check in explained.values()} == {CheckResult.SKIPPED}
    assert explained["item"].detail == "not checked: the PIN is wrong or locked"


@pytest.mark.parametrize(
    ("code", "check", "case", "said"),
    [
        ("11", "item", CASE, "I1, Reinaert"),
        ("11", "for_loan", CASE, "for loan, available"),
        ("11", "for_loan", of_item(for_loan=False), "a reference copy, available"),
        ("11", "material", CASE, "material DVD"),
        ("11", "material", of_item(material=None), "material unknown"),
        ("11", "attachment", CASE, "nothing belongs to it"),
        ("11", "attachment", of_item(attachment="a map"), "attached: a map"),
        ("11", "waiting", CASE, "nobody waits for it"),
        ("11", "loan", CASE, "nobody has it on loan"),
        (
            "11",
            "loan",
            in_state(loan=ItemLoan("P2", NOW, DUE)),
            "patron P2 has it on loan until Tue 2026-03-24 19:30",
        ),
        ("11", "patron", CASE, "nothing stands against the patron"),
        ("11", "overdue", CASE, "0 loans overdue"),
        (
            "11",
            "overdue",
            LATE,
            "1 loan overdue",
        ),
        ("11", "lost_items", CASE, "0 loans lost"),
        (
            "11",
            "lost_items",
            LATE,
            "1 loan lost",
        ),
        ("11", "item_limit", CASE, "0 loans, no limit"),
        (
            "11",
            "item_limit",
            replace(CASE, patron=CHOOSY),
            "0 loans, 3 allowed (max_items of the membership)",
        ),
        (
            "11",
            "item_limit",
            WITHOUT,
            "0 loans, no limit",
        ),
        ("11", "membership_material", CASE, "no rule of the membership is about this material"),
        (
            "11",
            "membership_material",
            replace(CASE, patron=CHOOSY),
            "a rule of the membership about DVD*",
        ),
        ("11", "age", CASE, "no minimum age"),
        ("11", "age", replace(CASE, patron=CHOOSY), "age 46, at least 16 is asked for"),
        (
            "11",
            "age",
            replace(of_item(minimum_age=12), patron=replace(RECORD, birth_date=None)),
            "age unknown, at least 12 is asked for",
        ),
        ("11", "material_limit", CASE, "no limit for this material"),
        ("11", "material_limit", replace(CASE, patron=CHOOSY), "at most 1 of DVD*"),
        ("11", "renewals", CASE, "renewed 0 of 2 times"),
        (
            "29",
            "renewals",
            in_state(loan=ItemLoan("P1", NOW, DUE, 2)),
            "renewed 2 of 2 times",
        ),
        ("11", "borrowed_before", CASE, ""),
        ("11", "fee", of_item(checkout_fee=None), "costs nothing"),
        ("09", "in_transit", in_state(status=ItemStatus.IN_TRANSIT), "it is in_transit"),
        ("09", "note", CASE, "no note"),
        ("09", "note", of_item(note="look"), "staff has left a note"),
        ("15", "holds", CASE, "0 holds, no limit"),
        (
            "15",
            "holds",
            replace(CASE, patron=replace(CHOOSY, holds=(Hold("H1", "I2", None, "", NOW),))),
            "1 hold, 2 allowed (max_holds of the membership)",
        ),
        (
            "15",
            "holds",
            WITHOUT,
            "0 holds, no limit",
        ),
        ("15", "hold_fees", CASE, "owes 0.00 EUR"),
    ],
)
def test_a_check_in_words(code: str, check: str, case: ItemCase, said: str) -> None:
    assert told(code, case=case)[check].detail == said


def test_whatever_stands_against_the_patron_is_named() -> None:
    owing = replace(RECORD, fees=(fee(1250, 60),))
    standing = decide_standing(owing, CARD, TODAY, BRUSSELS, 49)
    explained = told("11", "blocked", case=replace(CASE, standing=standing))
    assert explained["patron"].detail.startswith("against the patron: fee_limit, fee_age; ")


@pytest.mark.parametrize(("ready", "more"), [(False, ""), (True, ", and it is ready")])
def test_who_is_next(ready: bool, more: str) -> None:
    hold = QueuedHold("H1", "P2", "Ann", "I1", None, NOW, ready=ready)
    case = replace(CASE, record=ItemRecord(ITEM, ItemState(), hold))
    assert told("11", case=case)["waiting"].detail == f"patron P2 is next{more}"


def test_a_return_asks_for_nobody() -> None:
    """Whose loan it is, the check of the loan says."""
    alone = replace(CASE, patron=None, standing=None)
    assert told("09", case=alone)["loan"].detail == "nobody has it on loan"
