"""Cancelling: the last transaction of the same terminal, whole, and never anything else (B58)."""

from datetime import timedelta

import pytest
from family import NOON
from msgspec.structs import replace
from stock import OTHER, READER, RULES, facts, hold, loan, record, request, standing_of

from sip2gw.model.items import Event, ItemState
from sip2gw.policy.items.decisions import (
    CHECKIN,
    CHECKOUT,
    Effect,
    Materials,
    Refusal,
    before_of,
    decide_cancel,
    decide_properties,
)
from sip2gw.policy.items.lending import decide_checkout
from sip2gw.policy.items.returns import decide_checkin
from sip2gw.policy.reasons import CIRCULATION_REASONS
from sip2gw.policy.reasons import CirculationReason as R

NOTHING = Refusal((R.NOTHING_TO_CANCEL,))


def after(known, done, code, fee_id=None):
    """The item as it is after `done`, with the transaction remembered."""
    expires = NOON + timedelta(hours=24)
    position = known.last.position + 1 if known.last else 1
    kept = before_of(known, done, fee_id)
    patron_id = done.outcome.patron_id
    event = Event("kiosk-1", code, "K", patron_id, position, expires, done.outcome, kept)
    return replace(
        known,
        state=done.after,
        next_hold=done.set_hold or (None if done.drop_hold else known.next_hold),
        last=event,
    )


def lent(known=None, who=READER, **asked):
    known = known or record()
    done = decide_checkout(facts(known, who), standing_of(who), request(**asked), RULES)
    return after(known, done, CHECKOUT)


def returned(known):
    return after(known, decide_checkin(facts(known), request(CHECKIN), RULES), CHECKIN)


def cancel(known, code, who=None, rules=RULES):
    return decide_cancel(facts(known, who), request(code), rules)


def test_a_return_cancels_the_checkout_before_it() -> None:
    undone = cancel(lent(), CHECKIN)
    assert isinstance(undone, Effect)
    assert undone.after == record().state
    assert undone.undoes is not None
    assert undone.undoes.code == CHECKOUT
    assert undone.outcome.patron_id == "ANNA"


def test_a_checkout_cancels_the_return_before_it() -> None:
    undone = cancel(returned(record(loan=loan("ANNA"))), CHECKOUT, READER)
    assert undone.after.loan == loan("ANNA")
    assert undone.outcome.due == loan("ANNA").due


def test_a_renewal_at_the_kiosk_is_taken_back_to_the_loan_that_was() -> None:
    assert cancel(lent(record(loan=loan("ANNA"))), CHECKIN).after.loan == loan("ANNA")


def test_holds_are_again_as_they_were() -> None:
    mine = hold("ANNA", item_id="I1", ready=True)
    undone = cancel(lent(record(hold=mine)), CHECKIN)
    assert (undone.restore_hold, undone.put_back) == (mine, None)
    waiting = hold("BERT")
    undone = cancel(returned(record(loan=loan("ANNA"), hold=waiting)), CHECKOUT, READER)
    assert (undone.restore_hold, undone.put_back) == (None, waiting)


def test_what_a_terminal_stored_since_stays() -> None:
    known = lent()
    stored = replace(known, state=replace(known.state, properties="ink"))
    assert cancel(stored, CHECKIN).after.properties == "ink"


@pytest.mark.parametrize(
    ("known", "code", "who"),
    [
        (record(), CHECKIN, None),  # nothing was done
        (record(loan=loan("ANNA")), CHECKIN, None),  # a loan of old: no plain checkin
        (record(), CHECKOUT, READER),  # no plain checkout
        (lent(), CHECKOUT, READER),  # a checkout does not cancel a checkout
        (returned(lent()), CHECKIN, None),  # the last one was a return
        (returned(lent()), CHECKOUT, OTHER),  # somebody else's
        (replace(lent(), state=ItemState()), CHECKIN, None),  # changed since by other means
        (replace(returned(lent()), state=ItemState(loan=loan("BERT"))), CHECKOUT, READER),
    ],
)
def test_anything_else_is_refused_c43(known, code, who) -> None:
    assert cancel(known, code, who) == NOTHING


def test_another_terminal_and_a_later_day_cancel_nothing() -> None:
    assert cancel(lent(), CHECKIN, rules=replace(RULES, terminal="kiosk-2")) == NOTHING
    known = lent()
    old = replace(known, last=replace(known.last, expires=NOON))
    assert cancel(old, CHECKIN) == NOTHING


def test_a_cancellation_cannot_be_cancelled() -> None:
    known = lent()
    undone = cancel(known, CHECKIN)
    assert before_of(known, undone, None) is None
    assert cancel(after(known, undone, CHECKIN), CHECKOUT, READER) == NOTHING


def test_unknown_items_and_cards() -> None:
    assert cancel(None, CHECKIN) == Refusal((R.UNKNOWN_ITEM,))
    assert cancel(record(), CHECKOUT) == Refusal((R.UNKNOWN_CARD,))


def test_every_reason_has_an_entry_in_its_order() -> None:
    assert list(CIRCULATION_REASONS) == list(R)


def test_properties_are_stored_and_emptied() -> None:
    for said, kept in (("torn", "torn"), ("", None)):
        stored = decide_properties(facts(record()), said, NOON)
        assert isinstance(stored, Effect)
        assert stored.after.properties == kept
    assert decide_properties(facts(None), "torn", NOON) == Refusal((R.UNKNOWN_ITEM,))


@pytest.mark.parametrize(
    ("patterns", "inside", "outside"),
    [
        ([], [], ["", None, "DVD"]),
        (["DVD", "C*"], ["DVD", "C", "CD"], ["DVDX", "dvd", "", None]),
        (["*"], ["", None, "DVD"], []),
    ],
)
def test_materials_are_named_or_begin_with_a_pattern(patterns, inside, outside) -> None:
    materials = Materials.of(patterns)
    assert all(material in materials for material in inside)
    assert not any(material in materials for material in outside)
