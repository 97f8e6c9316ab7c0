"""Whether a payment is booked: who asks, for whom, and by which rules (B46, B51-B53, C1, C37)."""

import pytest
from family import ANNA, TODAY, TOM, fee
from msgspec.structs import replace

from sip2gw.policy.money.debts import PaymentPlan, PaymentRules
from sip2gw.policy.money.payments import PaymentCase, PaymentFacts
from sip2gw.policy.relationships import RelationshipRules

PAYER = replace(ANNA, fees=(fee("A1", "ANNA", 200),))
FACTS = PaymentFacts(PAYER, (TOM,))
CASE = PaymentCase(
    fee_id=None,
    debtor_id=None,
    pin_missing=False,
    card_active=True,
    today=TODAY,
    relationships=RelationshipRules(),
    rules=PaymentRules(partial_payment=True, invoiced_payable=False),
)


def settled(case, amount):
    """Which fees are settled by how much, and what is left; or the reason."""
    plan = case.decide(amount, FACTS)
    if not isinstance(plan, PaymentPlan):
        return str(plan)
    return {line.fee_id: line.amount for line in plan.lines}, plan.left


@pytest.mark.parametrize(
    ("changes", "amount", "expected"),
    [
        ({}, 250, ({"A1": 200, "T1": 50}, 250)),
        ({"fee_id": "T1"}, 250, ({"T1": 250}, 250)),
        ({"relationships": None}, 200, ({"A1": 200}, 0)),
        ({"relationships": None}, 250, "overpayment"),
        ({"relationships": None, "fee_id": "T1"}, 250, "unknown_fee"),
        ({"debtor_id": "ANNA"}, 200, ({"A1": 200}, 0)),
        ({"debtor_id": "ANNA"}, 250, "overpayment"),
        ({"debtor_id": "TOM"}, 250, ({"T1": 250}, 50)),
        ({"debtor_id": "TOM", "fee_id": "A1"}, 200, "unknown_fee"),
        ({"debtor_id": "TOM", "relationships": None}, 250, "not_yours"),
        ({"debtor_id": ""}, 200, "not_yours"),
        ({"pin_missing": True}, 200, "no_pin"),
        ({"card_active": False}, 200, "card_blocked"),
        ({"pin_missing": True, "card_active": False}, 200, "no_pin"),
        ({"card_active": False, "debtor_id": ""}, 200, "card_blocked"),
        ({"rules": PaymentRules(False, False)}, 250, "partial"),
        ({"today": TODAY.replace(year=2030)}, 250, "overpayment"),
    ],
)
def test_each_fact_of_the_case_counts(changes, amount, expected):
    assert settled(replace(CASE, **changes), amount) == expected


def test_deciding_again_gives_the_same():
    assert CASE.decide(250, FACTS) == CASE.decide(250, FACTS)
