"""Membership definitions on both databases (B62, C47, C82, C144, C160, C167)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from orders import decided_by

from sip2gw.backend.base import ChangedError, CirculationOrder, NotFoundError, RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.loading.format import MembershipLine
from sip2gw.backend.sql.members.memberships import Definition
from sip2gw.backend.sql.queries import STORE_VERSION
from sip2gw.model import MaterialRule, Membership
from sip2gw.model.items import LateTerms
from sip2gw.policy.items.cases import RefusedCase
from sip2gw.policy.items.decisions import Facts, Refusal
from sip2gw.policy.reasons import CirculationReason

from .library import NOW, content, load

DVD: dict[str, Any] = {
    "material": "DVD*",
    "allowed": False,
    "max_items": 2,
    "loan_days": 7,
    "minimum_age": 12,
}
EVERYTHING: dict[str, Any] = {
    "kind": "membership",
    "code": "300",
    "description": "All of it",
    "type": 2,
    "customer_group": "S",
    "minimum_age": 12,
    "maximum_age": 17,
    "max_items": 3,
    "max_holds": 2,
    "holds_permitted": False,
    "max_fees_self_service": "10.00",
    "max_fees_desk": "20.00",
    "alert_amount": "8.00",
    "fines_via_invoice": True,
    "fee": "12.50",
    "renewal_type": 1,
    "term_months": 12,
    "minimum_term_months": 2,
    "minimum_duration_months": 3,
    "free_months": 1,
    "trial_months": 2,
    "subsequent_membership": "201",
    "notification_term_months": 1,
    "remove_after_months": 60,
    "hidden": True,
    "outgoing": True,
    "guest_lending": True,
    "automatic_renewal": True,
    "allow_pin_reset": True,
    "no_card_replacement_fee": True,
    "statistical_code": "Y",
    "reporting_group": "YOUTH",
    "book_code": "2001",
    "info": "For pupils",
    "refund": True,
    "alert_period_days": 7,
    "alert_repeat_days": 14,
    "age_alert": True,
    "linked_memberships": ["101", "201"],
    "hold_limit": "5.00",
    "internet_registration_limit": "6.00",
    "invoicing_method": 0,
    "fee_reminder_months": 2,
    "fee_delinquent_months": 4,
    "fee_delete_months": 6,
    "materials": [DVD, {**DVD, "material": "*", "allowed": True}],
    "grace_days": 4,
    "overdue_fee_max": "7.50",
    "fixed_expiration_month": 12,
    "invoice_description": "Youth",
    "sorting_position": 5,
    "info_url": "https://library.example/youth",
}
"""A value for each key but those that only other types may have."""
OF_OTHER_TYPES = {"birth_month_expiry", "punch_card", "registration_term_months"}
ALREADY_CHARGED = Refusal((CirculationReason.ALREADY_CHARGED,))
PLAIN = Definition("400", "Plain", 3)


def version(library: Library) -> int:
    with library.snapshot() as connection:
        return int(connection.execute(STORE_VERSION).fetchone()[0])


def definition(library: Library, code: str) -> Definition:
    return next(it for it in library.memberships() if it.code == code)


def test_the_example_has_every_key_and_no_default() -> None:
    fields = msgspec.structs.fields(MembershipLine)
    assert {it.name for it in fields} == EVERYTHING.keys() - {"kind"} | OF_OTHER_TYPES
    assert all(EVERYTHING.get(it.name, ...) != it.default for it in fields)


def test_every_key_is_kept_and_exported(library: Library) -> None:
    """B69: and importing it again changes nothing."""
    assert load(library, EVERYTHING).errors == ()
    lines = [json.loads(line) for line in export_lines(library, currency="EUR")]
    assert EVERYTHING in lines
    assert load(library, *lines).rows_changed == 0
    known = definition(library, "300")
    assert (known.fee, known.hold_limit, known.holds_permitted) == (1250, 500, False)
    assert known.materials[0] == MaterialRule(**DVD)


@pytest.mark.parametrize("key", sorted(OF_OTHER_TYPES))
def test_the_keys_of_other_types_are_kept_too(library: Library, key: str) -> None:
    record: dict[str, Any] = {"kind": "membership", "code": "301", "description": "Other"}
    values = {
        "birth_month_expiry": {"type": 1, "minimum_age": 0, "maximum_age": 11, key: True},
        "punch_card": {"type": 6, key: True},
        "registration_term_months": {"type": 3, key: 6},
    }
    record |= values[key]
    assert load(library, record).errors == ()
    assert record in [json.loads(line) for line in export_lines(library, currency="EUR")]


def test_what_a_record_leaves_out_returns_to_its_default(library: Library) -> None:
    """C16."""
    bare = {"kind": "membership", "code": "300", "description": "Bare", "type": 3}
    load(library, EVERYTHING)
    load(library, bare)
    assert definition(library, "300") == Definition("300", "Bare", 3)
    assert bare in [json.loads(line) for line in export_lines(library, currency="EUR")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"linked_memberships": ["999"]}, "unknown membership 999"),
        ({"linked_memberships": ["300"]}, "must name other memberships"),
        ({"invoicing_method": 5}, "invoicing_method"),
        ({"fixed_expiration_month": 13}, "fixed_expiration_month"),
        ({"materials": [{"material": ""}]}, "material"),
        ({"materials": [{"material": "DVD", "days": 7}]}, "`materials.1` unknown key `days`"),
        ({"materials": [{"material": "*"}, DVD]}, "the rule for DVD* is never reached"),
        ({"hold_limit": "-1.00"}, "`hold_limit`: must not be negative"),
        ({"overdue_fee_max": "1.005"}, "`overdue_fee_max`: EUR has 2 decimals"),
        ({"trial_months": 1, "type": 5}, "trial_months is allowed only with type 2 or 3"),
    ],
)
def test_an_import_refuses(library: Library, changes: dict[str, Any], message: str) -> None:
    before = content(library)
    errors = load(library, EVERYTHING | changes).errors
    assert any(message in error for error in errors), errors
    assert content(library) == before


def test_memberships_may_name_each_other_in_one_import(library: Library) -> None:
    linked = {"kind": "membership", "code": "801", "description": "Card 2", "type": 8}
    assert load(library, EVERYTHING | {"linked_memberships": ["801"]}, linked).errors == ()


async def test_new_ones_are_added_together_even_in_a_circle(library: Library) -> None:
    one = msgspec.structs.replace(PLAIN, subsequent_membership="401")
    other = Definition("401", "Next", 3, subsequent_membership="400", linked_memberships=("201",))
    before = version(library)
    assert await library.add_memberships({1: one, 2: other}) == []
    assert (definition(library, "400"), definition(library, "401")) == (one, other)
    assert version(library) > before


async def test_added_are_all_or_none(library: Library) -> None:
    """C47: a code that exists, and unknown ones."""
    adult = Definition("201", "Adult", 3)
    lost = Definition("401", "Lost", 3, subsequent_membership="998", linked_memberships=("999",))
    before = library.memberships()
    problems = await library.add_memberships({1: PLAIN, 2: adult, 5: lost})
    assert problems == [
        (2, "membership 201 exists; see `membership change`"),
        (5, "unknown membership 998"),
        (5, "unknown membership 999"),
    ]
    assert library.memberships() == before


async def test_the_order_is_that_of_the_position_then_of_the_code(library: Library) -> None:
    first = {"kind": "membership", "code": "900", "description": "First", "type": 3}
    load(library, EVERYTHING, first)
    assert [it.code for it in library.memberships()] == ["101", "201", "900", "300"]


async def test_c62_members_follow_a_change_at_once(library: Library) -> None:
    """Without each of them being touched."""

    async def terms() -> Membership:
        record = await library.find_by_card("C1")
        assert record is not None
        assert record.membership is not None
        return record.membership

    assert (await terms()).max_items == 20
    rules = (MaterialRule("DVD", max_items=1),)
    assert await library.change_membership("201", {"max_items": 7, "materials": rules})
    assert ((await terms()).max_items, (await terms()).materials) == (7, rules)
    assert (await terms()).hold_limit is None
    assert await library.change_membership("201", {"hold_limit": 100})
    assert (await terms()).hold_limit == 100
    assert (await terms()).max_fees_self_service == 500


async def test_a_change_says_whether_it_was_one(library: Library) -> None:
    assert not await library.change_membership("201", {"max_items": 20})
    assert await library.change_membership("201", {"hidden": True})
    assert definition(library, "201").hidden
    record = await library.find_by_card("C1")
    assert record is not None
    assert record.membership is not None, "who has a hidden membership keeps it"


@pytest.mark.parametrize(
    ("code", "values", "message"),
    [
        ("999", {"max_items": 1}, "there is no membership 999; see `membership list`"),
        ("201", {"minimum_age": None}, "needs minimum_age and maximum_age"),
        ("201", {"subsequent_membership": "999"}, "unknown membership 999"),
        ("201", {"linked_memberships": ("999",)}, "unknown membership 999"),
        ("101", {"fee": 5, "trial_months": 1}, "type 0 cannot have a fee.*; trial_months"),
    ],
)
async def test_a_change_is_refused_as_an_import_is(
    library: Library, code: str, values: dict[str, Any], message: str
) -> None:
    before = content(library)
    with pytest.raises(RefusedError, match=message):
        await library.change_membership(code, values)
    assert content(library) == before


async def test_a_definition_that_somebody_else_has_changed_stays(library: Library) -> None:
    """C176: who says what was seen changes nothing else."""
    seen = definition(library, "201")
    assert await library.change_membership("201", {"max_items": 7}, seen)
    with pytest.raises(ChangedError, match="somebody has changed it in the meantime"):
        await library.change_membership("201", {"max_items": 9}, seen)
    assert definition(library, "201").max_items == 7
    with pytest.raises(NotFoundError):
        await library.change_membership("999", {"max_items": 1})


async def test_circulation_sees_rules_loans_and_terms(library: Library) -> None:
    """B96, B97: whatever a decision about material needs is among its facts."""
    member = {"kind": "patron", "id": "M1", "name": "Mia", "membership": "300"}
    item = {"kind": "item", "id": "D1", "title": "Film", "material": "DVD-6", "minimum_age": 6}
    lent = {"kind": "loan", "item": "D1", "patron": "M1", "checked_out": "2026-03-01"}
    lent["due"] = "2026-03-05"
    report = load(library, EVERYTHING, member, item | {"overdue_fee_max": "2.00"}, lent)
    assert report.errors == ()
    seen: list[Facts] = []

    def look(facts: Facts) -> Refusal:
        seen.append(facts)
        return ALREADY_CHARGED

    for item_id in ("D1", "I2"):
        wanted = CirculationOrder(
            code="11",
            terminal="kiosk-1",
            item_id=item_id,
            patron_id="M1",
            now=NOW,
            case=RefusedCase(ALREADY_CHARGED),
        )
        await library.circulate(decided_by(wanted, look))
    facts, free = seen
    assert facts.record is not None
    assert facts.patron is not None
    assert facts.patron.membership is not None
    assert [rule.material for rule in facts.patron.membership.materials] == ["DVD*", "*"]
    assert facts.patron.membership.hold_limit == 500
    assert [loan.material for loan in facts.patron.loans] == ["DVD-6"]
    known = facts.record.item
    assert (known.minimum_age, known.overdue_fee_max, known.material) == (6, 200, "DVD-6")
    assert facts.record.late_terms == LateTerms(4, 750)
    assert free.record is not None
    assert free.record.late_terms == LateTerms()
    assert (free.record.item.minimum_age, free.record.item.overdue_fee_max) == (None, None)
