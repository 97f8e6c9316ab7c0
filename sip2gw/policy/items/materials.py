"""What a membership and an item's own age limit allow of material.  (B97, C167)"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from sip2gw.model import MaterialRule, PatronRecord
from sip2gw.model.items import Item
from sip2gw.policy.membership import age_on
from sip2gw.policy.reasons import CirculationReason


def rule_for(patron: PatronRecord | None, material: str | None) -> MaterialRule | None:
    """The first rule of the patron's membership that fits `material`, if there is one."""
    if patron is None or patron.membership is None:
        return None
    for rule in patron.membership.materials:
        if rule.fits(material):
            return rule
    return None


def loan_days(item: Item, patron: PatronRecord | None) -> int:
    """For how long the patron gets `item`: what their membership says, else the item."""
    rule = rule_for(patron, item.material)
    return item.loan_days if rule is None or rule.loan_days is None else rule.loan_days


def against_material(
    item: Item, patron: PatronRecord | None, today: date
) -> Iterator[CirculationReason]:
    """Why the patron must not have `item`, whether by a loan, a renewal or a hold."""
    rule = rule_for(patron, item.material)
    if rule is not None and not rule.allowed:
        yield CirculationReason.MATERIAL_NOT_ALLOWED
    ages = (item.minimum_age, rule.minimum_age if rule is not None else None)
    if any(age is not None and not _is_old_enough(patron, age, today) for age in ages):
        yield CirculationReason.UNDER_AGE


def _is_old_enough(patron: PatronRecord | None, age: int, today: date) -> bool:
    """Nobody knows the age of a patron without a birth date, so it is not enough (B36)."""
    if patron is None or patron.birth_date is None:
        return age == 0
    return age_on(patron.birth_date, today) >= age


def has_as_many_as_allowed(item: Item, patron: PatronRecord) -> bool:
    """Whether the patron has as many loans under the rule for `item` as it allows."""
    rule = rule_for(patron, item.material)
    if rule is None or not rule.max_items:
        return False
    on_loan = sum(rule_for(patron, loan.material) is rule for loan in patron.loans)
    return on_loan >= rule.max_items
