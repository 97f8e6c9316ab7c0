"""Which combinations of values a membership definition must not have.  (B62, C47, C144, C160)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sip2gw.model import MaterialRule, MembershipDefinition, Minor

RENEWAL_TYPES = (0, 1, 3, 4, 5, 9)
TYPES_WITH_AGES = (1, 2)
TYPES_WITH_TRIAL = (2, 3)
TYPES_WITH_LINKS = (2, 3, 4)
TYPES_NOT_INVOICED = (0, 5, 6)
FREE, YOUTH, SCHOOLS, PUNCH_CARD = 0, 1, 4, 6

FEE_STEPS = ("fee_reminder_months", "fee_delinquent_months", "fee_delete_months")
"""What becomes of an unpaid membership fee, in the order in which it happens (C160)."""


def definition_problems(definition: MembershipDefinition[Minor]) -> Iterator[str]:
    """What is wrong with `definition`, each in a sentence that says what to do.

    Whether the memberships exist that it names is for the store to say.
    """
    yield from _of_type(definition)
    yield from _of_ages(definition)
    yield from _of_renewal(definition)
    yield from _of_term(definition)
    yield from _of_fee(definition)
    yield from _of_references(definition)
    yield from _unreachable(definition.materials)
    limit, alert = definition.max_fees_self_service, definition.alert_amount
    if alert is not None and limit is not None and alert > limit:
        yield "alert_amount must not be above max_fees_self_service: lower it"


def _of_type(it: MembershipDefinition[Minor]) -> Iterator[str]:
    if it.type == FREE and it.fee:
        yield "a membership of type 0 cannot have a fee: leave out fee, or use type 3"
    if it.trial_months and it.type not in TYPES_WITH_TRIAL:
        yield "trial_months is allowed only with type 2 or 3: leave it out"
    if it.punch_card and it.type != PUNCH_CARD:
        yield "punch_card is allowed only with type 6: leave it out, or use type 6"


def _of_ages(it: MembershipDefinition[Minor]) -> Iterator[str]:
    if it.type in TYPES_WITH_AGES and None in (it.minimum_age, it.maximum_age):
        yield f"a membership of type {it.type} needs minimum_age and maximum_age: give both"
    if (
        it.minimum_age is not None
        and it.maximum_age is not None
        and it.minimum_age > it.maximum_age
    ):
        yield "minimum_age must not be above maximum_age: exchange them"


def _of_renewal(it: MembershipDefinition[Minor]) -> Iterator[str]:
    if it.renewal_type not in RENEWAL_TYPES:
        yield f"renewal_type must be one of {', '.join(map(str, RENEWAL_TYPES))}: choose one"
    if it.renewal_type == 3 and it.type != PUNCH_CARD:
        yield "renewal_type 3 is allowed only with type 6: choose another"
    if it.renewal_type == 1 and it.type not in TYPES_WITH_AGES:
        yield "renewal_type 1 is allowed only with type 1 or 2: choose another"


def _of_term(it: MembershipDefinition[Minor]) -> Iterator[str]:
    if it.birth_month_expiry and it.type != YOUTH:
        yield "birth_month_expiry is allowed only with type 1: leave it out, or use type 1"
    if it.fixed_expiration_month is None:
        return
    if it.birth_month_expiry:
        yield "fixed_expiration_month and birth_month_expiry exclude each other: give one of them"
    if it.registration_term_months is not None:
        yield (
            "registration_term_months is for a variable month of expiration: leave it out, or"
            " leave out fixed_expiration_month"
        )
    if it.minimum_term_months is None:
        yield "fixed_expiration_month needs minimum_term_months: give both"


def _of_fee(it: MembershipDefinition[Minor]) -> Iterator[str]:
    if it.invoicing_method is not None and it.type in TYPES_NOT_INVOICED:
        yield f"a membership of type {it.type} is never invoiced: leave out invoicing_method"
    elif it.invoicing_method == 4 and it.type != SCHOOLS:
        yield "invoicing_method 4 is allowed only with type 4: choose another"
    # 0 is never, as if the step were not there.
    steps = [(name, getattr(it, name)) for name in FEE_STEPS if getattr(it, name)]
    for (before, sooner), (after, later) in pairwise(steps):
        if later < sooner:
            yield f"{after} must not be below {before}: raise it"


def _of_references(it: MembershipDefinition[Minor]) -> Iterator[str]:
    if it.subsequent_membership == it.code:
        yield "subsequent_membership must be another membership: name the one that follows"
    if not it.linked_memberships:
        return
    if it.type not in TYPES_WITH_LINKS:
        yield "linked_memberships is allowed only with type 2, 3 or 4: leave it out"
    if it.code in it.linked_memberships:
        yield "linked_memberships must name other memberships: take out its own code"
    if len(set(it.linked_memberships)) < len(it.linked_memberships):
        yield "linked_memberships names a membership twice: take out one of them"


def _unreachable(rules: Sequence[MaterialRule]) -> Iterator[str]:
    """Rules that never speak, because an earlier one fits whatever they fit (C167)."""
    for place, rule in enumerate(rules):
        earlier = next((one for one in rules[:place] if _covers(one, rule)), None)
        if earlier is not None:
            yield (
                f"materials: the rule for {rule.material} is never reached after the one for"
                f" {earlier.material}: put it first, or take it out"
            )


def _covers(one: MaterialRule, other: MaterialRule) -> bool:
    if one.material.endswith("*"):
        return other.material.startswith(one.material[:-1])
    return one.material == other.material
