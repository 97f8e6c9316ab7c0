"""Who pays for whom (B49-B53): only directly, only confirmed, only while both are members."""

from dataclasses import replace
from datetime import date

import pytest
from family import (
    ANNA,
    BERT,
    CARLA,
    CARLA_PAYS_FOR_BERT,
    HEAD_OF_TOM,
    TODAY,
    TOM,
    patron,
)
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.model import Relationship, RelationshipType
from sip2gw.policy.relationships import RelationshipRules, payable_accounts

RULES = RelationshipRules()
FLANDERS = RelationshipRules(types=frozenset({RelationshipType.HEAD_OF_FAMILY}))
WITHOUT_LICENCE = RelationshipRules(enabled=False)


def debtors(payer, others, rules=RULES):
    return [account.debtor.id for account in payable_accounts(payer, others, rules, TODAY)]


def test_a_head_of_family_pays_for_a_child_and_an_authorised_person_for_the_authoriser():
    assert debtors(ANNA, [TOM]) == ["TOM"]
    assert debtors(CARLA, [BERT]) == ["BERT"]


def test_never_the_reverse():
    assert debtors(replace(TOM, payer_for=(HEAD_OF_TOM,)), [ANNA]) == []
    assert debtors(replace(BERT, payer_for=(CARLA_PAYS_FOR_BERT,)), [CARLA]) == []


@pytest.mark.parametrize(
    "relation",
    [
        replace(HEAD_OF_TOM, confirmed=False),
        replace(CARLA_PAYS_FOR_BERT, to_id="ANNA", functions=frozenset({"renew"})),
        replace(HEAD_OF_TOM, to_id="ANNA"),
    ],
    ids=["unconfirmed", "may only renew", "self"],
)
def test_some_relations_do_not_pay(relation):
    assert debtors(replace(ANNA, payer_for=(relation,)), [TOM, BERT, ANNA]) == []


@pytest.mark.parametrize("rules", [FLANDERS, WITHOUT_LICENCE])
def test_switched_off_types_do_not_pay(rules):
    assert debtors(CARLA, [BERT], rules) == []


def test_a_relation_sleeps_while_either_membership_is_invalid():
    expired = {"membership_until": date(2026, 1, 1)}
    assert debtors(replace(ANNA, **expired), [TOM]) == []
    assert debtors(ANNA, [replace(TOM, **expired)]) == []


def test_someone_related_twice_is_family():
    also = Relationship(RelationshipType.AUTHORISATION, "TOM", "ANNA", frozenset({"pay"}))
    for order in ((HEAD_OF_TOM, also), (also, HEAD_OF_TOM)):
        (account,) = payable_accounts(replace(ANNA, payer_for=order), [TOM], RULES, TODAY)
        assert account.relation is RelationshipType.HEAD_OF_FAMILY


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), max_size=20))
def test_never_over_two_steps(edges):
    relations = [
        Relationship(
            RelationshipType.HEAD_OF_FAMILY if head else RelationshipType.AUTHORISATION,
            f"P{left}",
            f"P{right}",
            frozenset() if head else frozenset({"pay"}),
        )
        for left, right, head in edges
    ]
    everybody = [patron(f"P{number}") for number in range(6)]
    for payer in everybody:
        direct = {
            r.to_id for r in relations if r.type == "head_of_family" and r.from_id == payer.id
        }
        direct |= {
            r.from_id for r in relations if r.type == "authorisation" and r.to_id == payer.id
        }
        record = replace(payer, payer_for=tuple(relations))
        assert set(debtors(record, everybody)) == direct - {payer.id}
