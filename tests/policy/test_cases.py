"""What may be asked about an item, each decided by itself (B54, B56, B58-B60, C60, C106)."""

import pytest
from family import NOON, TODAY, ZONE
from msgspec.structs import replace
from stock import BANNED, OTHER, READER, RULES, facts, loan, record, request

from sip2gw.model import (
    Card,
    CardState,
    Relationship,
    RelationshipType,
)
from sip2gw.policy.items.cases import (
    CancellationCase,
    HoldCase,
    LoanCase,
    PropertiesCase,
    Reader,
    RefusedCase,
    RenewalCase,
    ReturnCase,
)
from sip2gw.policy.items.decisions import (
    CHECKIN,
    RENEWAL,
    Effect,
    refusal,
)
from sip2gw.policy.items.holds import HoldRequest
from sip2gw.policy.reasons import CirculationReason
from sip2gw.policy.relationships import RelationshipRules

MAY_RENEW = Relationship(
    RelationshipType.AUTHORISATION, "BERT", "ANNA", frozenset({"pay", "renew"})
)
ACTING = replace(READER, payer_for=(MAY_RENEW,))


def reader(card=READER.cards[0]):
    return Reader(card, TODAY, ZONE, None)


def said(case, known):
    """`ok`, or why not."""
    decision = case.decide(known)
    return "ok" if isinstance(decision, Effect) else str(decision.reason)


@pytest.mark.parametrize(
    ("who", "card", "expected"),
    [
        (READER, READER.cards[0], "ok"),
        (READER, None, "unknown_card"),
        (None, READER.cards[0], "unknown_card"),
        (BANNED, BANNED.cards[0], "blocked"),
        (READER, Card("GUEST", CardState.BLOCKED), "blocked"),
    ],
)
def test_a_loan_depends_on_who_asks(who, card, expected):
    case = LoanCase(request(), reader(card), RULES)
    assert said(case, facts(record(), who)) == expected


def test_the_card_counts_as_the_transaction_finds_it():
    """C60: what the terminal saw is older."""
    blocked = replace(READER, cards=(replace(READER.cards[0], state=CardState.BLOCKED),))
    assert said(LoanCase(request(), reader(), RULES), facts(record(), blocked)) == "blocked"


def test_what_the_terminal_saw_is_judged_once_and_anything_newer_anew():
    """C60: the judgement before the transaction counts for that very snapshot only."""
    card = BANNED.cards[0]
    judged = reader(card).standing(BANNED)
    seen = replace(reader(card), seen=BANNED, judged=judged)
    assert seen.standing(BANNED) is judged
    assert said(LoanCase(request(), seen, RULES), facts(record(), READER)) == "ok"
    assert said(LoanCase(request(), seen, RULES), facts(record(), BANNED)) == "blocked"
    unjudged = replace(reader(card), seen=BANNED)
    assert unjudged.standing(BANNED) == judged


@pytest.mark.parametrize(
    ("who", "changes", "no_block", "expected"),
    [
        (ACTING, {}, False, "ok"),
        (READER, {}, False, "charged_to_other"),
        (None, {}, False, "unknown_card"),
        (ACTING, {"relationships": RelationshipRules(frozenset())}, False, "charged_to_other"),
        (ACTING, {"pin_missing": True}, False, "no_pin"),
        (READER, {"pin_missing": True}, False, "charged_to_other"),
        (ACTING, {"pin_missing": True}, True, "ok"),
    ],
)
def test_who_renews_the_loan_of_an_authoriser(who, changes, no_block, expected):
    asked = request(RENEWAL, no_block=no_block)
    case = RenewalCase(asked, reader(), RULES, RelationshipRules(), pin_missing=False)
    known = facts(record(loan=loan("BERT")), who, OTHER)
    assert said(replace(case, **changes), known) == expected


@pytest.mark.parametrize("borrower", [OTHER, replace(OTHER, status=8)])
def test_what_stands_against_an_authoriser_counts_too(borrower):
    case = RenewalCase(request(RENEWAL), reader(), RULES, RelationshipRules(), pin_missing=False)
    known = facts(record(loan=loan("BERT")), ACTING, borrower)
    assert said(case, known) == ("ok" if borrower is OTHER else "blocked")


@pytest.mark.parametrize(("who", "expected"), [(READER, "ok"), (BANNED, "blocked")])
def test_ones_own_loan_is_renewed_unless_something_stands_against_it(who, expected):
    card = who.cards[0]
    case = RenewalCase(request(RENEWAL), reader(card), RULES, RelationshipRules(), pin_missing=True)
    assert said(case, facts(record(loan=loan(who.id)), who)) == expected


def test_a_return_and_its_cancellation_are_told_apart():
    known = facts(record(loan=loan("ANNA")), None)
    assert said(ReturnCase(request(CHECKIN), RULES), known) == "ok"
    assert said(CancellationCase(request(CHECKIN), RULES), known) == "nothing_to_cancel"


@pytest.mark.parametrize(("card", "expected"), [(READER.cards[0], "ok"), (None, "unknown_card")])
def test_a_hold_depends_on_who_asks(card, expected):
    case = HoldCase(HoldRequest(NOON, "+", any_copy=True), reader(card))
    assert said(case, facts(record(), READER)) == expected


def test_properties_are_stored_for_a_known_item():
    case = PropertiesCase("torn", NOON)
    decision = case.decide(facts(record(), None))
    assert isinstance(decision, Effect)
    assert decision.after.properties == "torn"
    assert said(case, facts(None, None)) == "unknown_item"


def test_what_is_refused_before_stays_refused():
    no = refusal(CirculationReason.WRONG_PIN)
    assert RefusedCase(no).decide(facts(record(), READER)) is no
