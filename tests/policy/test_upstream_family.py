"""Whose fees may be paid through a library system that knows no relations (B51, B53, C37, C150)."""

from datetime import date

import pytest
from family import ANNA, CARLA, HEAD_OF_TOM, TODAY, TOM, fee, patron
from msgspec.structs import replace

from sip2gw.model import Card, LibraryWord, Relationship, RelationshipType
from sip2gw.policy.relationships import RelationshipRules
from sip2gw.policy.upstream.family import (
    DEBTORS_MAX,
    as_debtor,
    debtors_to_ask,
    says_debt,
    told_apart,
)
from sip2gw.protocol.fields import PatronFlag
from sip2gw.protocol.messages import PatronInformationResponse

ALL = RelationshipRules()
DENIED = frozenset({PatronFlag.CHARGE_DENIED})


def head_of(number):
    return Relationship(RelationshipType.HEAD_OF_FAMILY, "ANNA", f"KID{number:02}")


# Whom to ask about ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payer", "rules", "wanted"),
    [
        (ANNA, ALL, ("TOM",)),
        (CARLA, ALL, ("BERT",)),
        (TOM, ALL, ()),
        (ANNA, RelationshipRules(frozenset()), ()),  # relations are switched off
        (CARLA, RelationshipRules(frozenset({RelationshipType.HEAD_OF_FAMILY})), ()),
        (replace(ANNA, membership_until=date(2026, 3, 9)), ALL, ()),  # they sleep
        (replace(ANNA, payer_for=(replace(HEAD_OF_TOM, confirmed=False),)), ALL, ()),
    ],
)
def test_those_for_whom_the_payer_may_pay_are_asked_about(payer, rules, wanted):
    assert debtors_to_ask(payer, rules, TODAY) == (wanted, True)


@pytest.mark.parametrize(("children", "is_everybody"), [(DEBTORS_MAX, True), (11, False)])
def test_only_so_many_are_asked_about(children, is_everybody):
    payer = replace(ANNA, payer_for=tuple(head_of(n) for n in reversed(range(children))))
    wanted, told = debtors_to_ask(payer, ALL, TODAY)
    assert wanted == tuple(f"KID{n:02}" for n in range(DEBTORS_MAX))
    assert told is is_everybody


# What an answer says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "fees", "bv", "cq", "says"),
    [
        (LibraryWord(DENIED, fee_amount=0), (), "0.00", None, True),
        (LibraryWord(DENIED), (fee("1", "TOM", 300),), None, None, True),
        (LibraryWord(frozenset()), (), None, None, True),  # nothing denied, so nothing owed
        (LibraryWord(frozenset()), (), " ", None, True),
        (LibraryWord(frozenset()), (), None, True, True),
        (LibraryWord(frozenset()), (), None, False, False),  # a PIN is wanted
        (LibraryWord(frozenset()), (), "a lot", None, False),
        (LibraryWord(DENIED), (), None, None, False),
        (None, (fee("1", "TOM", 300),), "3.00", None, False),  # ours, not theirs
    ],
)
def test_whether_an_answer_says_what_is_owed(word, fees, bv, cq, says):
    answer = PatronInformationResponse(language="001", fee_amount=bv, valid_patron_password=cq)
    assert says_debt(answer, replace(TOM, word=word, fees=fees)) is says


# What is revealed ----------------------------------------------------------------------------

KNOWN = patron(
    "TOM",
    "Peeters, Tom",
    email="tom@example.org",
    phone="0123",
    address="Street 1",
    language="nl",
    notices=("Ask him.",),
    fees=(fee("1", "TOM", 300, description="Overdue The Hobbit", item_id="B1"),),
    word=LibraryWord(DENIED, ("His text.",)),
)


@pytest.mark.parametrize(
    ("tells_titles", "description", "item"),
    [(False, "", None), (True, "Overdue The Hobbit", "B1")],
)
def test_a_payer_learns_a_first_name_and_what_is_owed(tells_titles, description, item):
    told = as_debtor(KNOWN, tells_titles=tells_titles)
    assert (told.id, told.name, told.cards) == ("TOM", "Tom", (Card("TOM"),))
    (owed,) = told.fees
    assert (owed.id, owed.owed, owed.description, owed.item_id) == ("1", 300, description, item)
    assert (told.email, told.phone, told.address, told.language) == (None,) * 4
    assert (told.notices, told.badges, told.birth_date, told.pin_hash) == ((), (), None, None)
    assert told.membership == KNOWN.membership
    assert told.membership_until == KNOWN.membership_until


@pytest.mark.parametrize(
    ("name", "first"),
    [("Tom Peeters", "Tom Peeters"), ("Peeters, Tom", "Tom"), ("Peeters,", ""), ("", "")],
)
def test_the_family_name_is_left_out_where_it_is_told_apart(name, first):
    assert as_debtor(replace(KNOWN, name=name), tells_titles=False).name == first


# Ids that two have ---------------------------------------------------------------------------


def owing(number, *fees):
    return patron(number, fees=tuple(fee(fee_id, number, owed) for fee_id, owed in fees))


@pytest.mark.parametrize(
    ("payer", "debtors", "told"),
    [
        ([("1", 100)], [[("2", 200)]], [[("2", 200)]]),
        # what has no id is nobody else's
        ([("", 100)], [[("", 200)]], [[("", 200)]]),
        ([("1", 100)], [[("1", 200)]], [[("", 200)]]),
        ([("1", 100)], [[("1", 200), ("2", 50), ("", 7)]], [[("2", 50), ("", 207)]]),
        ([("1", 100)], [[("1", 200), ("", -200)]], [[]]),
        ([], [[("1", 200)], [("1", 300)], [("1", 400)]], [[("1", 200)], [("", 300)], [("", 400)]]),
        # An id that was taken away once stays taken.
        ([("1", 1)], [[("1", 2), ("2", 3)], [("2", 4)]], [[("2", 3), ("", 2)], [("", 4)]]),
    ],
)
def test_no_fee_can_be_taken_for_that_of_a_patron_before(payer, debtors, told):
    records = [owing("ANNA", *payer)]
    records += [owing(f"KID{n}", *fees) for n, fees in enumerate(debtors)]
    first, *others = told_apart(records)
    assert first is records[0]
    assert [[(fee.id, fee.owed) for fee in one.fees] for one in others] == told
    assert all(fee.patron_id == one.id for one in others for fee in one.fees)
