"""Holds: each rule, and the order in which they speak (B60)."""

from datetime import timedelta

import pytest
from family import ADULT, NOON, patron
from msgspec.structs import replace
from stock import BANNED, DUE, READER, facts, hold, loan, record, standing_of

from sip2gw.model import Hold, ItemStatus
from sip2gw.model.items import ItemState, QueuedHold
from sip2gw.policy.items.decisions import Effect, Refusal
from sip2gw.policy.items.holds import HoldRequest, decide_hold, is_available
from sip2gw.policy.reasons import CirculationReason as R

PLACE = HoldRequest(NOON, "+", any_copy=True, here="MAIN", branches=frozenset({"MAIN", "EAST"}))
MINE = Hold("H9", None, "T1", "Reinaert", NOON - timedelta(days=1), pickup_branch="MAIN")
WAITING = replace(READER, holds=(MINE,))
ELSEWHERE = replace(MINE, id="H8", title_id="T8")


def decide(known, who=READER, request=PLACE, **changes):
    standing = standing_of(who) if who is not None else None
    return decide_hold(facts(known, who), standing, replace(request, **changes))


def test_a_hold_for_any_copy_or_for_this_one() -> None:
    done = decide(record())
    assert isinstance(done, Effect)
    assert done.after == record().state
    assert done.add_hold == QueuedHold(
        "", "ANNA", READER.name, None, "T1", NOON, pickup_branch="MAIN"
    )
    this_one = decide(record(), any_copy=False, pickup_branch="EAST", expires=DUE).add_hold
    assert (this_one.item_id, this_one.title_id) == ("I1", None)
    assert (this_one.pickup_branch, this_one.expires) == ("EAST", DUE)


def test_a_copy_without_a_title_id_is_meant_itself() -> None:
    known = record()
    known = replace(known, item=replace(known.item, title_id=None))
    assert decide(known).add_hold.item_id == "I1"
    assert decide(known, WAITING).add_hold.item_id == "I1"


@pytest.mark.parametrize(
    ("known", "who", "changes", "reasons"),
    [
        (None, READER, {}, [R.UNKNOWN_ITEM]),
        (record(), None, {}, [R.UNKNOWN_CARD]),
        (record(for_loan=False), READER, {}, [R.NOT_FOR_LOAN]),
        (record(loan=loan("ANNA")), READER, {}, [R.ALREADY_CHARGED]),
        (record(), WAITING, {}, [R.ALREADY_HELD]),
        (record(), BANNED, {}, [R.BLOCKED]),
        (
            record(),
            patron("ANNA", membership=replace(ADULT, holds_permitted=False, max_holds=1)),
            {},
            [R.HOLDS_NOT_PERMITTED],
        ),
        (
            record(),
            patron("ANNA", membership=replace(ADULT, max_holds=1), holds=(ELSEWHERE,)),
            {},
            [R.HOLD_LIMIT],
        ),
        (record(), READER, {"pickup_branch": "NOWHERE"}, [R.UNKNOWN_BRANCH]),
        (record(), READER, {"expires": NOON}, [R.EXPIRED]),
        (record(), READER, {"mode": "*"}, [R.NO_SUCH_HOLD]),
        (record(), READER, {"mode": "-"}, [R.NO_SUCH_HOLD]),
        (record(), WAITING, {"mode": "!"}, [R.UNKNOWN_MODE]),
        (
            record(for_loan=False, loan=loan("FRED")),
            replace(BANNED, holds=(MINE,), membership=replace(ADULT, max_holds=1)),
            {"pickup_branch": "NOWHERE", "expires": NOON},
            [
                R.NOT_FOR_LOAN,
                R.ALREADY_CHARGED,
                R.ALREADY_HELD,
                R.BLOCKED,
                R.HOLD_LIMIT,
                R.UNKNOWN_BRANCH,
                R.EXPIRED,
            ],
        ),
    ],
)
def test_each_reason_and_all_of_them_in_order(known, who, changes, reasons) -> None:
    refused = decide(known, who, **changes)
    assert isinstance(refused, Refusal)
    assert list(refused.reasons) == reasons


def test_below_the_limit_without_one_and_with_an_expired_hold() -> None:
    over = replace(ELSEWHERE, expires=NOON)
    limited = replace(ADULT, max_holds=1)
    for who in (
        patron("ANNA", membership=replace(ADULT, max_holds=2), holds=(ELSEWHERE,)),
        patron("ANNA", holds=(ELSEWHERE,)),
        patron("ANNA", membership=limited, holds=(over,)),
        patron("ANNA", membership=limited, holds=(replace(MINE, expires=NOON),)),
    ):
        assert isinstance(decide(record(), who), Effect)


def test_without_branches_any_will_do() -> None:
    assert decide(record(), branches=frozenset(), pickup_branch="X").add_hold.pickup_branch == "X"


def test_a_hold_is_removed() -> None:
    done = decide(record(), WAITING, mode="-")
    assert done.drop_hold.id == "H9"
    assert done.outcome.hold == done.drop_hold


def test_the_hold_of_this_copy_goes_before_that_of_the_title() -> None:
    of_copy = replace(MINE, id="H7", item_id="I1", title_id=None)
    done = decide(record(), replace(READER, holds=(MINE, of_copy)), mode="-")
    assert done.drop_hold.id == "H7"


def test_a_hold_is_changed_and_keeps_its_place() -> None:
    done = decide(record(), WAITING, mode="*", expires=DUE)
    assert (done.set_hold.expires, done.set_hold.pickup_branch) == (DUE, "MAIN")
    assert done.set_hold.placed == MINE.placed
    moved = decide(record(), WAITING, mode="*", pickup_branch="EAST").set_hold
    assert moved.pickup_branch == "EAST"
    refused = decide(record(), WAITING, mode="*", pickup_branch="NOWHERE")
    assert refused == Refusal((R.UNKNOWN_BRANCH,))


def test_what_is_ready_stays_at_its_branch() -> None:
    ready = replace(READER, holds=(replace(MINE, ready=True),))
    assert decide(record(), ready, mode="*", pickup_branch="EAST") == Refusal((R.HOLD_READY,))
    assert isinstance(decide(record(), ready, mode="*", pickup_branch="MAIN"), Effect)


def test_available_is_what_stands_on_the_shelf() -> None:
    assert is_available(record())
    assert not is_available(record(loan=loan("ANNA")))
    assert not is_available(record(hold=hold("BERT")))
    assert is_available(record(hold=hold("BERT")), but_for=hold("BERT"))
    assert not is_available(record(hold=hold("BERT")), but_for=hold("BERT", id="H2"))
    assert not is_available(record(loan=loan("ANNA")), but_for=hold("BERT"))
    assert not is_available(record(state=ItemState(ItemStatus.IN_TRANSIT)))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("MAIN", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("a\ufffdb\x07", False),
        (" MAIN", False),
    ],
)
def test_where_no_branch_is_known_a_pickup_location_must_look_like_one(name, is_one):
    """C106: an import takes what an export gives."""
    decision = decide(record(), branches=frozenset(), pickup_branch=name)
    assert isinstance(decision, Effect) is is_one
