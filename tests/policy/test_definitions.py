"""Which membership definitions are refused, each with its own sentence (B62, C47, C144, C160)."""

from typing import Any

import pytest

from sip2gw.model import MaterialRule, MembershipDefinition
from sip2gw.policy.members.definitions import definition_problems

AGES = {"minimum_age": 12, "maximum_age": 17}


def rules(*materials: str) -> tuple[MaterialRule, ...]:
    return tuple(map(MaterialRule, materials))


def problems(type: int, **values: Any) -> list[str]:
    definition: MembershipDefinition[int] = MembershipDefinition("300", "New", type, **values)
    return list(definition_problems(definition))


REFUSED: list[tuple[int, dict[str, Any], str]] = [
    (0, {"fee": 1}, "a membership of type 0 cannot have a fee: leave out fee, or use type 3"),
    (1, {}, "a membership of type 1 needs minimum_age and maximum_age: give both"),
    (1, {"minimum_age": 0}, "a membership of type 1 needs minimum_age and maximum_age: give both"),
    (2, {"maximum_age": 9}, "a membership of type 2 needs minimum_age and maximum_age: give both"),
    (
        3,
        {"minimum_age": 18, "maximum_age": 17},
        "minimum_age must not be above maximum_age: exchange them",
    ),
    (3, {"renewal_type": 2}, "renewal_type must be one of 0, 1, 3, 4, 5, 9: choose one"),
    (3, {"renewal_type": 3}, "renewal_type 3 is allowed only with type 6: choose another"),
    (3, {"renewal_type": 1}, "renewal_type 1 is allowed only with type 1 or 2: choose another"),
    (
        3,
        {"alert_amount": 501, "max_fees_self_service": 500},
        "alert_amount must not be above max_fees_self_service: lower it",
    ),
    (1, {**AGES, "trial_months": 1}, "trial_months is allowed only with type 2 or 3: leave it out"),
    (
        3,
        {"punch_card": True},
        "punch_card is allowed only with type 6: leave it out, or use type 6",
    ),
    (
        2,
        {**AGES, "birth_month_expiry": True},
        "birth_month_expiry is allowed only with type 1: leave it out, or use type 1",
    ),
    (
        1,
        {
            **AGES,
            "birth_month_expiry": True,
            "fixed_expiration_month": 12,
            "minimum_term_months": 2,
        },
        "fixed_expiration_month and birth_month_expiry exclude each other: give one of them",
    ),
    (
        3,
        {
            "fixed_expiration_month": 12,
            "minimum_term_months": 2,
            "registration_term_months": 6,
        },
        "registration_term_months is for a variable month of expiration: leave it out, or leave"
        " out fixed_expiration_month",
    ),
    (
        3,
        {"fixed_expiration_month": 12},
        "fixed_expiration_month needs minimum_term_months: give both",
    ),
    *(
        (
            type,
            {"invoicing_method": 4},
            f"a membership of type {type} is never invoiced: leave out invoicing_method",
        )
        for type in (0, 5, 6)
    ),
    (3, {"invoicing_method": 4}, "invoicing_method 4 is allowed only with type 4: choose another"),
    (
        3,
        {"fee_reminder_months": 3, "fee_delinquent_months": 2},
        "fee_delinquent_months must not be below fee_reminder_months: raise it",
    ),
    (
        3,
        {"fee_delinquent_months": 3, "fee_delete_months": 2},
        "fee_delete_months must not be below fee_delinquent_months: raise it",
    ),
    (
        3,
        {"fee_reminder_months": 3, "fee_delinquent_months": 0, "fee_delete_months": 2},
        "fee_delete_months must not be below fee_reminder_months: raise it",
    ),
    (
        3,
        {"subsequent_membership": "300"},
        "subsequent_membership must be another membership: name the one that follows",
    ),
    (
        1,
        {**AGES, "linked_memberships": ("800",)},
        "linked_memberships is allowed only with type 2, 3 or 4: leave it out",
    ),
    (
        3,
        {"linked_memberships": ("800", "300")},
        "linked_memberships must name other memberships: take out its own code",
    ),
    (
        3,
        {"linked_memberships": ("800", "800")},
        "linked_memberships names a membership twice: take out one of them",
    ),
    (
        3,
        {"materials": rules("DVD", "DVD")},
        "materials: the rule for DVD is never reached after the one for DVD: put it first, or"
        " take it out",
    ),
    (
        3,
        {"materials": rules("BOOK", "D*", "DVD*")},
        "materials: the rule for DVD* is never reached after the one for D*: put it first, or"
        " take it out",
    ),
]


@pytest.mark.parametrize(("type", "values", "sentence"), REFUSED)
def test_is_refused_with_a_sentence_of_its_own(
    type: int, values: dict[str, Any], sentence: str
) -> None:
    assert problems(type, **values) == [sentence]


@pytest.mark.parametrize(
    ("type", "values"),
    [
        (0, {"fee": 0, "subsequent_membership": "201"}),
        (1, {**AGES, "renewal_type": 1, "birth_month_expiry": True}),
        (2, {"minimum_age": 12, "maximum_age": 12, "renewal_type": 1, "trial_months": 1}),
        (3, {"fee": 1200, "invoicing_method": 3, "trial_months": 1, "linked_memberships": ("8",)}),
        (4, {"fee": 1200, "invoicing_method": 4, "linked_memberships": ("800",)}),
        (5, {"fee": 300, "renewal_type": 5, "trial_months": 0}),
        (6, {"renewal_type": 3, "punch_card": True}),
        (7, {"internet_registration_limit": 1}),
        (8, {"renewal_type": 9}),
        (3, {"fixed_expiration_month": 12, "minimum_term_months": 0}),
        (3, {"registration_term_months": 6}),
        (3, {"alert_amount": 500, "max_fees_self_service": 500}),
        (3, {"alert_amount": 500}),
        (3, {"max_fees_self_service": 500}),
        (3, {"fee_reminder_months": 2, "fee_delinquent_months": 2, "fee_delete_months": 3}),
        (3, {"fee_reminder_months": 2, "fee_delinquent_months": 0}),
        (3, {"materials": rules("DVD*", "D*", "BOOK", "*")}),
        (3, {"minimum_age": 18}),
    ],
)
def test_is_allowed(type: int, values: dict[str, Any]) -> None:
    assert problems(type, **values) == []


def test_everything_that_is_wrong_is_said() -> None:
    assert len(problems(0, fee=1, renewal_type=3, trial_months=1)) == 3
