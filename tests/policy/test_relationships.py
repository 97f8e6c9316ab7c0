"""Who pays for whom (B49-B53): only directly, only confirmed, only while both are members."""

import random
from datetime import date
from typing import Any

import pytest
from family import (
    ANNA,
    BERT,
    CARLA,
    CARLA_PAYS_FOR_BERT,
    HEAD_OF_TOM,
    TODAY,
    TOM,
    fee,
    patron,
)
from full import FULL
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sip2gw.model import Proposer, Relationship, RelationshipType
from sip2gw.policy.money.debts import PaymentRequest, PaymentRules, decide_allocation
from sip2gw.policy.relationships import (
    RelationshipRules,
    addition_problems,
    children_of,
    confirmation_problem,
    is_already_so,
    is_born_on,
    may_renew_for,
    payable_accounts,
    renewable_by,
    structure_problems,
)

RULES = RelationshipRules()
FLANDERS = RelationshipRules(types=frozenset({RelationshipType.HEAD_OF_FAMILY}))
WITHOUT_LICENCE = RelationshipRules(frozenset())


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


STAFF_ONLY = "staff have left this open; only they can confirm it"
OTHER_ONLY = "the other party must say yes to what you have proposed"


@pytest.mark.parametrize(
    ("proposed_by", "by_authoriser", "by_authorised"),
    [
        (Proposer.FROM, OTHER_ONLY, None),
        (Proposer.TO, None, OTHER_ONLY),
        (Proposer.STAFF, STAFF_ONLY, STAFF_ONLY),
    ],
)
def test_b50_the_other_party_says_yes(proposed_by, by_authoriser, by_authorised):
    """Nobody to their own proposal, and neither to one of staff: that needs both."""
    relation = replace(CARLA_PAYS_FOR_BERT, confirmed=False, proposed_by=proposed_by)
    assert confirmation_problem(relation, "BERT") == by_authoriser
    assert confirmation_problem(relation, "CARLA") == by_authorised


@pytest.mark.parametrize("confirmed", [False, True])
def test_b50_the_yes_is_to_what_was_seen(confirmed):
    """The authoriser may have proposed more in the meantime."""
    both = frozenset({"pay", "renew"})
    relation = replace(
        CARLA_PAYS_FOR_BERT, functions=both, confirmed=confirmed, proposed_by=Proposer.FROM
    )
    assert confirmation_problem(relation, "CARLA", both) is None
    assert confirmation_problem(relation, "CARLA", frozenset({"pay"})) == (
        "it is something else now: pay and renew; look again, and say yes to that"
    )


@pytest.mark.parametrize(
    ("stored", "stays"),
    [
        ({"proposed_by": Proposer.FROM, "confirmed": True}, True),
        ({"proposed_by": Proposer.FROM, "confirmed": False}, True),
        # Staff made it, and it is in force: a proposal would only take it away.
        ({"proposed_by": Proposer.STAFF, "confirmed": True}, True),
        ({"proposed_by": Proposer.STAFF, "confirmed": False}, False),
        ({"proposed_by": Proposer.TO, "confirmed": False}, False),
        ({"proposed_by": Proposer.FROM, "functions": frozenset({"pay", "renew"})}, False),
        ({"proposed_by": Proposer.FROM, "to_id": "DORA"}, False),
    ],
)
def test_b50_who_proposes_again_what_is_already_so_changes_nothing(stored, stays):
    wanted = replace(CARLA_PAYS_FOR_BERT, confirmed=False, proposed_by=Proposer.FROM)
    assert is_already_so(replace(CARLA_PAYS_FOR_BERT, **stored), wanted) is stays


def test_b50_staff_may_take_the_same_out_of_force():
    """`relationship add --unconfirmed` means what it says."""
    unconfirmed = replace(CARLA_PAYS_FOR_BERT, confirmed=False)
    assert not is_already_so(CARLA_PAYS_FOR_BERT, unconfirmed)


@pytest.mark.parametrize("proposed_by", Proposer)
@pytest.mark.parametrize("patron_id", ["BERT", "CARLA"])
def test_b50_to_confirm_what_is_in_force_changes_nothing(proposed_by, patron_id):
    relation = replace(CARLA_PAYS_FOR_BERT, proposed_by=proposed_by)
    assert confirmation_problem(relation, patron_id) is None


@pytest.mark.parametrize("proposed_by", Proposer)
def test_b50_only_staff_propose_a_head_of_family(proposed_by):
    problems = addition_problems(
        replace(HEAD_OF_TOM, proposed_by=proposed_by), [ANNA, TOM], [], RULES, TODAY
    )
    staff = proposed_by is Proposer.STAFF
    assert problems == ([] if staff else ["only staff propose a head of family"])
    trust = replace(CARLA_PAYS_FOR_BERT, proposed_by=proposed_by)
    assert addition_problems(trust, [BERT, CARLA], [], RULES, TODAY) == []


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


# Which relationships there may be (B49)


def family(head, child):
    return Relationship(RelationshipType.HEAD_OF_FAMILY, head, child)


def authorised(giver, receiver, *functions):
    return Relationship(RelationshipType.AUTHORISATION, giver, receiver, frozenset(functions))


PEOPLE = {name: patron(name) for name in "ABCD"}


def refusals(relation, stored=(), rules=RULES, **changed):
    people = PEOPLE | changed
    parties = [people[relation.from_id], people[relation.to_id]]
    return addition_problems(relation, parties, stored, rules, TODAY)


@pytest.mark.parametrize(
    ("relation", "stored"),
    [
        (family("A", "B"), []),
        (family("A", "C"), [family("A", "B")]),  # a head has many children
        (family("A", "B"), [authorised("B", "A", "pay")]),  # both kinds at once
        (authorised("A", "B", "pay"), [authorised("B", "A", "pay")]),  # mutually
        (authorised("A", "B", "pay"), [authorised("A", "C", "renew")]),  # another function
        (authorised("A", "C", "pay"), [authorised("B", "C", "pay")]),  # C acts for two
        (authorised("A", "B", "pay", "renew"), [authorised("A", "B", "pay")]),  # replaces
    ],
)
def test_what_may_be(relation, stored):
    assert refusals(relation, stored) == []


@pytest.mark.parametrize(
    ("relation", "stored", "sentence"),
    [
        (family("A", "A"), [], "a patron cannot have a relationship with themselves"),
        (authorised("A", "A", "pay"), [], "a patron cannot have a relationship with themselves"),
        (
            replace(family("A", "B"), functions=frozenset({"pay"})),
            [],
            "`functions` is allowed only with an authorisation",
        ),
        (authorised("A", "B"), [], "an authorisation needs `functions`: renew, pay or both"),
        (family("C", "B"), [family("A", "B")], "patron B already has a head of family: A"),
        (
            family("B", "C"),
            [family("A", "B")],
            "patron B is a child, so cannot be a head of family",
        ),
        (
            family("C", "A"),
            [family("A", "B")],
            "patron A is a head of family, so cannot be a child",
        ),
        (
            authorised("A", "C", "pay"),
            [authorised("A", "B", "pay", "renew")],
            "patron A has already given pay to B",
        ),
        (
            authorised("A", "C", "renew"),
            [replace(authorised("A", "B", "renew"), confirmed=False)],
            "patron A has already given renew to B",
        ),
    ],
)
def test_what_may_not_be(relation, stored, sentence):
    assert sentence in refusals(relation, stored)


def test_switches_are_told():
    """The licence, and Flanders."""
    assert refusals(family("A", "B"), rules=WITHOUT_LICENCE) == [
        "relationships of type head_of_family are switched off"
    ]
    assert refusals(authorised("A", "B", "pay"), rules=FLANDERS) == [
        "relationships of type authorisation are switched off"
    ]
    assert refusals(family("A", "B"), rules=FLANDERS) == []


@pytest.mark.parametrize("side", ["A", "B"])
@pytest.mark.parametrize(
    "changes", [{"membership": None}, {"membership_until": date(2026, 3, 9)}], ids=["none", "ended"]
)
def test_c3_both_need_a_valid_membership(side, changes):
    found = refusals(family("A", "B"), **{side: patron(side, **changes)})
    assert found == [f"patron {side} has no valid membership"]


def test_those_that_come_together_must_fit_each_other():
    coming = [family("A", "B"), family("B", "C")]
    found = list(structure_problems([], coming))
    assert found == [(coming[1], "patron B is a child, so cannot be a head of family")]


def random_relations(size, chance):
    """What is left of many random relationships when those are refused that do not fit."""
    stored: dict[Any, Any] = {}
    for _ in range(3 * size):
        one, other = (f"P{chance.randrange(size)}" for _ in range(2))
        functions = chance.choice((("pay",), ("renew",), ("renew", "pay")))
        relation = chance.choice((family(one, other), authorised(one, other, *functions)))
        relation = replace(relation, confirmed=chance.random() < 0.8)
        near = [
            known for party in {one, other} for known in stored.get(party, []) if known != relation
        ]
        if not addition_problems(relation, [ANNA, TOM], near, RULES, TODAY):
            for party in (one, other):
                known = [old for old in stored.get(party, []) if old.key != relation.key]
                stored[party] = [*known, relation]
    return stored


"""Two hundred times a thousand patrons, and everybody tries to pay."""


@settings(max_examples=200 if FULL else 25, database=None)
@given(st.just(1000) if FULL else st.integers(2, 1000), st.integers(0, 2**32))
def test_in_no_family_is_anything_paid_over_two_steps(size, seed):
    """Random families of up to 1,000 patrons, each of whom owes something (B51)."""
    chance = random.Random(seed)
    stored = random_relations(size, chance)
    everybody = {
        name: patron(
            name, fees=(fee(f"F-{name}", name, 100),), payer_for=tuple(stored.get(name, ()))
        )
        for name in (f"P{number}" for number in range(size))
    }
    payers = list(everybody.values())
    for payer in payers if FULL else chance.sample(payers, min(size, 20)):
        relations = payer.payer_for
        direct = {r.to_id for r in relations if r.type == "head_of_family"}
        direct |= {r.from_id for r in relations if "pay" in r.functions}
        accounts = payable_accounts(payer, everybody.values(), RULES, TODAY)
        allowed = {account.debtor.id for account in accounts}
        assert allowed <= direct - {payer.id}
        beyond = {
            name
            for relation in relations
            for party in (relation.from_id, relation.to_id)
            for near in stored[party]
            for name in (near.from_id, near.to_id)
        }
        strangers = chance.sample(list(everybody), min(size, 10))
        for name in {payer.id, *beyond, *strangers}:
            wanted = PaymentRequest(100, f"F-{name}")
            plan = decide_allocation(payer, accounts, wanted, PaymentRules(True, True))
            assert (plan != "unknown_fee") is (name in {payer.id, *allowed})


CARLA_RENEWS_FOR_BERT = replace(CARLA_PAYS_FOR_BERT, functions=frozenset({"renew"}))


@pytest.mark.parametrize(
    ("relation", "rules", "allowed"),
    [
        (CARLA_RENEWS_FOR_BERT, RULES, True),
        (replace(CARLA_RENEWS_FOR_BERT, confirmed=False), RULES, False),
        (CARLA_PAYS_FOR_BERT, RULES, False),
        (replace(CARLA_RENEWS_FOR_BERT, to_id="ANNA"), RULES, False),
        (replace(HEAD_OF_TOM, from_id="BERT", to_id="CARLA"), RULES, False),
        (CARLA_RENEWS_FOR_BERT, FLANDERS, False),
        (CARLA_RENEWS_FOR_BERT, WITHOUT_LICENCE, False),
    ],
)
def test_only_the_authorised_renew_b54(relation, rules, allowed):
    carla = replace(CARLA, payer_for=(relation,))
    assert may_renew_for(carla, BERT, rules, TODAY) is allowed
    assert (renewable_by(carla, rules) == ("BERT",)) is allowed


@pytest.mark.parametrize(
    ("relation", "rules", "children"),
    [
        (HEAD_OF_TOM, RULES, ("TOM",)),
        (HEAD_OF_TOM, WITHOUT_LICENCE, ()),
        (replace(HEAD_OF_TOM, confirmed=False), RULES, ()),
        (replace(CARLA_PAYS_FOR_BERT, to_id="ANNA"), RULES, ()),
    ],
)
def test_c142_a_head_has_the_children_of_relations_in_force(relation, rules, children):
    assert children_of(replace(ANNA, payer_for=(relation,)), rules) == children


def test_renewing_for_another_needs_both_memberships_c3():
    carla = replace(CARLA, payer_for=(CARLA_RENEWS_FOR_BERT,))
    ended = date(2026, 1, 31)
    assert not may_renew_for(replace(carla, membership_until=ended), BERT, RULES, TODAY)
    assert not may_renew_for(carla, replace(BERT, membership_until=ended), RULES, TODAY)


def test_who_has_no_birth_date_was_born_on_no_day_b50():
    born = replace(ANNA, birth_date=date(1980, 5, 1))
    assert is_born_on(born, date(1980, 5, 1))
    assert not is_born_on(born, date(1980, 5, 2))
    assert not is_born_on(replace(ANNA, birth_date=None), date(1980, 5, 1))
