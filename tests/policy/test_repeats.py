"""What was told is told again while it is so (C69, C97)."""

from datetime import timedelta
from typing import Any

import pytest
from family import NOON
from msgspec.structs import replace
from stock import DUE, READER, facts, hold, loan, record

from sip2gw.model import Hold, ItemStatus
from sip2gw.model.items import (
    Event,
    ItemState,
    Outcome,
    PriorState,
)
from sip2gw.policy.items.repeats import still_holds

LATER = NOON + timedelta(hours=1)
ANNAS = loan("ANNA", due=DUE)


def event(code, outcome, before=None, **changes):
    """Anna's transaction at noon, the third with the copy."""
    values: dict[str, Any] = {"terminal": "kiosk-1", "key": "K", "patron_id": "ANNA", "position": 3}
    known = before if before is not None else PriorState(ItemState())
    return replace(
        Event(code=code, expires=NOON, outcome=outcome, before=known, **values), **changes
    )


def holds(done, known, who=READER):
    return still_holds(done, facts(known, who), LATER)


# Loans

LENT = event("11", Outcome(NOON, "ANNA", due=DUE))
RENEWED = event(
    "29",
    Outcome(NOON, "ANNA", renewed=True, due=DUE),
    PriorState(ItemState(loan=loan("ANNA", renewals=1))),
)


@pytest.mark.parametrize(
    ("known", "so"),
    [
        (loan("ANNA"), True),
        (loan("ANNA", renewals=1), True),  # on the same day: due when it was due
        (loan("ANNA", due=DUE + timedelta(days=7)), False),
        (loan("ANNA", due=DUE - timedelta(seconds=1)), False),
        (loan("BERT"), False),
        (None, False),
    ],
)
def test_a_loan_is_open_until_the_day_that_was_told(known, so) -> None:
    assert holds(LENT, record(loan=known)) is so


@pytest.mark.parametrize(("renewals", "so"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_renewed_loan_is_not_one_that_was_made_since(renewals, so) -> None:
    assert holds(RENEWED, record(loan=loan("ANNA", renewals=renewals))) is so
    other_day = loan("ANNA", renewals=renewals, due=DUE + timedelta(days=1))
    assert not holds(RENEWED, record(loan=other_day))


def test_of_an_item_that_is_gone_nothing_is_so() -> None:
    assert not holds(LENT, None)


# Returns

RETURNED = event("09", Outcome(NOON, "ANNA", branch="MAIN"))
SENT = event("09", Outcome(NOON, "ANNA", branch="MAIN", destination="EAST"))
ON_SHELF = hold("BERT", item_id="I1", ready=True)
ON_ITS_WAY = replace(ON_SHELF, ready=False)
TRAVELLING = ItemState(ItemStatus.IN_TRANSIT, "MAIN")


def test_a_return_is_so_until_somebody_has_the_item() -> None:
    assert holds(RETURNED, record())
    assert not holds(RETURNED, record(loan=loan("BERT")))
    assert not holds(replace(RETURNED, had_since=True), record())


@pytest.mark.parametrize(
    ("done", "state", "so"),
    [
        (RETURNED, ItemState(current_branch="EAST"), False),
        (RETURNED, TRAVELLING, False),
        (RETURNED, ItemState(ItemStatus.MISSING, "MAIN"), False),
        (SENT, TRAVELLING, True),
        (SENT, ItemState(current_branch="MAIN"), False),
        (SENT, ItemState(ItemStatus.IN_TRANSIT, "WEST"), False),
        (replace(RETURNED, outcome=Outcome(NOON)), ItemState(current_branch="EAST"), True),
    ],
)
def test_a_return_is_so_while_the_item_is_where_it_was_left(done, state, so) -> None:
    assert holds(done, record(state=state)) is so


@pytest.mark.parametrize(
    ("said", "first", "so"),
    [
        (ON_SHELF, ON_SHELF, True),
        (ON_SHELF, replace(ON_SHELF, placed=NOON), True),
        (ON_SHELF, None, False),
        (ON_SHELF, replace(ON_SHELF, id="H2"), False),
        (ON_SHELF, replace(ON_SHELF, item_id=None), False),
        (ON_SHELF, ON_ITS_WAY, False),
        (None, hold("BERT"), True),  # waits since then; no reason to say no to a retry
        (None, ON_SHELF, False),
    ],
)
def test_a_return_is_so_while_the_item_is_set_aside_as_told(said, first, so) -> None:
    done = replace(RETURNED, outcome=replace(RETURNED.outcome, hold=said))
    assert holds(done, record(hold=first)) is so


# Cancelling

GIVEN_BACK = replace(event("11", Outcome(NOON, "ANNA", due=DUE)), before=None)
TAKEN_AWAY = replace(event("09", Outcome(NOON, "ANNA")), before=None)
NOTHING_BACK = replace(event("11", Outcome(NOON)), before=None, patron_id="")
BACK_TO_BEFORE = replace(event("09", Outcome(NOON, "ANNA", due=DUE)), before=None)


@pytest.mark.parametrize(
    ("done", "known", "so"),
    [
        (GIVEN_BACK, ANNAS, True),
        (GIVEN_BACK, replace(ANNAS, due=DUE + timedelta(days=1)), False),
        (GIVEN_BACK, loan("BERT"), False),
        (GIVEN_BACK, None, False),
        (TAKEN_AWAY, None, True),
        (TAKEN_AWAY, ANNAS, False),
        (NOTHING_BACK, None, True),
        (NOTHING_BACK, ANNAS, False),
        (BACK_TO_BEFORE, loan("BERT"), True),  # who had it before the loan that was cancelled
        (BACK_TO_BEFORE, ANNAS, True),  # it was a renewal that was cancelled
        (BACK_TO_BEFORE, replace(ANNAS, due=DUE + timedelta(days=1)), False),
        (BACK_TO_BEFORE, None, False),
    ],
)
def test_a_cancellation_is_so_while_it_is_the_last_that_was_done(done, known, so) -> None:
    left = record(loan=known)
    assert holds(done, replace(left, last=done)) is so
    assert not holds(done, replace(left, last=replace(done, position=4)))
    assert not holds(done, left)


# Holds

MINE = Hold("H9", None, "T1", "Reinaert", NOON, pickup_branch="MAIN", expires=DUE)
SAID = hold("ANNA", id="H9", placed=NOON, pickup_branch="MAIN", expires=DUE)
PLACED = event("15", Outcome(NOON, "ANNA", hold=SAID), position=0)
REMOVED = replace(PLACED, before=PriorState(ItemState(), SAID, hold_removed=True))


@pytest.mark.parametrize(
    ("known", "so"),
    [
        ([MINE], True),
        ([replace(MINE, id="H8"), MINE], True),
        ([replace(MINE, item_id="I1", ready=True)], True),
        ([replace(MINE, item_id="I1", title_id=None)], True),
        ([replace(MINE, id="H8")], False),
        ([replace(MINE, pickup_branch="EAST")], False),
        ([replace(MINE, expires=None)], False),
        ([replace(MINE, title_id="T2")], False),
        ([], False),
    ],
)
def test_a_hold_is_there_as_it_was_told(known, so) -> None:
    assert holds(PLACED, record(), replace(READER, holds=tuple(known))) is so


def test_a_hold_that_has_expired_is_not_there() -> None:
    ended = replace(MINE, expires=LATER)
    told = replace(PLACED, outcome=replace(PLACED.outcome, hold=replace(SAID, expires=LATER)))
    assert not holds(told, record(), replace(READER, holds=(ended,)))


@pytest.mark.parametrize(
    ("known", "so"),
    [
        ([], True),
        ([MINE], False),
        ([replace(MINE, placed=NOON - timedelta(days=1))], False),  # an import brought it back
        ([replace(MINE, id="H8", placed=NOON - timedelta(seconds=1))], True),
        ([replace(MINE, id="H8")], False),  # reserved anew within the same second
        ([replace(MINE, id="H8", placed=LATER)], False),
        ([replace(MINE, id="H8", placed=LATER, title_id="T2")], True),
    ],
)
def test_a_hold_that_was_removed_is_not_there_nor_is_a_newer_one(known, so) -> None:
    assert holds(REMOVED, record(), replace(READER, holds=tuple(known))) is so


def test_nobody_has_the_holds_of_an_unknown_patron() -> None:
    assert not holds(PLACED, record(), None)
