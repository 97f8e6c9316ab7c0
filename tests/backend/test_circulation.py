"""What every store must do with items: once, whole, one at a time (B56-B61, C69)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from orders import decided_by

from sip2gw.backend.base import CirculationOrder, CirculationResult
from sip2gw.backend.library import Library
from sip2gw.model import ItemStatus
from sip2gw.policy.items.decisions import (
    CHECKIN,
    CHECKOUT,
    CirculationRequest,
    CirculationRules,
    Decision,
    Facts,
    Refusal,
    decide_cancel,
)
from sip2gw.policy.items.holds import HoldRequest, decide_hold
from sip2gw.policy.items.lending import decide_checkout, decide_renewal
from sip2gw.policy.items.offline import Claim
from sip2gw.policy.items.returns import decide_checkin
from sip2gw.policy.obstacles import decide_standing
from sip2gw.policy.reasons import CirculationReason

from .library import NOW, ZONE, load, pay_fee
from .library import order as payment

RULES = CirculationRules("kiosk-1", "MAIN", ZONE, describe_overdue_fee="Late by {}".format)
KEPT = timedelta(hours=24)
OFF_LINE = Claim(believed=True)


def order(
    code: str = CHECKOUT, item: str = "I2", patron: str | None = "P3", **changes: Any
) -> CirculationOrder:
    """What kiosk-1 wants now, under a key of its own."""
    values: dict[str, Any] = {
        "code": code,
        "terminal": "kiosk-1",
        "item_id": item,
        "patron_id": patron,
        "now": NOW,
        "case": None,
        "key": f"kiosk-1|{code}|{patron}|{item}",
        "key_expires": NOW + KEPT,
    }
    return CirculationOrder(**(values | changes))


def lending(**asked: Any) -> Callable[[Facts], Decision]:
    """Lend by the rules; nobody has a block."""
    request = CirculationRequest(asked.pop("now", NOW), CHECKOUT, **asked)

    def decide(facts: Facts) -> Any:
        patron = facts.patron
        standing = None
        if patron is not None:
            card = patron.cards[0]
            standing = decide_standing(patron, card, NOW.date(), ZONE, None)
            standing = replace(standing, obstacles=())
        return decide_checkout(facts, standing, request, RULES)

    return decide


def returning(code: str = CHECKIN, **asked: Any) -> Callable[[Facts], Decision]:
    """Take back by the rules."""
    request = CirculationRequest(NOW, code, **asked)
    return lambda facts: decide_checkin(facts, request, RULES)


def cancelling(code: str) -> Callable[[Facts], Decision]:
    """Cancel by the rules."""
    request = CirculationRequest(NOW, code)
    return lambda facts: decide_cancel(facts, request, RULES)


async def loans(library: Library, patron_id: str) -> list[str]:
    """What the patron has."""
    record = await library.find_patron(patron_id)
    assert record is not None
    return [loan.item_id for loan in record.loans]


async def owed(library: Library, patron_id: str) -> list[tuple[int, str]]:
    """What the patron owes, and for what."""
    record = await library.find_patron(patron_id)
    assert record is not None
    return [(fee.owed, fee.description) for fee in record.fees]


def reason_of(result: CirculationResult) -> str:
    """Why it was refused."""
    assert result.refusal is not None
    return result.refusal.reason


async def add_copies(library: Library) -> None:
    report = load(
        library,
        {"kind": "item", "id": "N1", "title": "New", "title_id": "T9", "checkout_fee": "1.50"},
        {"kind": "item", "id": "N2", "title": "New", "title_id": "T9"},
        {"kind": "item", "id": "L1", "title": "Late", "overdue_fee_per_day": "0.20"},
        {
            "kind": "loan",
            "item": "L1",
            "patron": "P3",
            "checked_out": "2026-02-01",
            "due": "2026-03-07",
        },
    )
    assert report.errors == ()


@pytest.fixture
async def desk(furnished: Any) -> Library:
    """The small library and a few copies more."""
    library: Library = await furnished(add_copies)
    return library


async def test_an_item_is_found_with_its_loan_and_first_hold(desk: Library) -> None:
    record = await desk.find_item("I1", NOW)
    assert record is not None
    assert (record.item.title, record.item.for_loan, record.item.loan_days) == (
        "Reinaert",
        True,
        21,
    )
    assert record.state.loan is not None
    assert (record.state.loan.patron_id, record.state.loan.renewals) == ("P1", 1)
    assert record.next_hold is None
    held = await desk.find_item("I2", NOW)
    assert held is not None
    assert held.next_hold is not None
    assert (held.next_hold.id, held.next_hold.patron_name) == ("H1", "Ann Maes")
    assert await desk.hold_queue(held, NOW) == ("H1",)
    late = NOW + timedelta(days=90)
    assert (await desk.find_item("I2", late)) == replace(held, next_hold=None)
    assert await desk.hold_queue(held, late) == ()


async def test_no_item_is_found_under_strange_names(desk: Library) -> None:
    for name in ("", "nothing", "NUL\0", "I1' OR '1'='1"):
        assert await desk.find_item(name, NOW) is None
        result = await desk.circulate(decided_by(order(item=name), lending()))
        assert reason_of(result) == "unknown_item"


async def test_a_loan_is_seen_at_once_and_survives(desk: Library) -> None:
    assert await loans(desk, "P3") == ["L1"]
    result = await desk.circulate(decided_by(order(item="N2"), lending()))
    assert result.outcome == "done"
    assert result.done is not None
    assert result.done.patron_id == "P3"
    assert await loans(desk, "P3") == ["L1", "N2"]
    record = await desk.find_item("N2", NOW)
    assert record is not None
    assert record.state.loan is not None
    assert record.state.loan.due == result.done.due


async def test_a_refusal_changes_nothing(desk: Library) -> None:
    result = await desk.circulate(decided_by(order(item="I1"), lending()))
    assert (result.outcome, reason_of(result)) == ("refused", "charged_to_other")
    assert await loans(desk, "P1") == ["I1"]
    assert await loans(desk, "P3") == ["L1"]


@pytest.mark.parametrize("item", ["N2", "I1", "nothing", "NUL\0"])
async def test_what_would_be_done_is_what_is_done_then(desk: Library, item: str) -> None:
    """B70: `explain` asks for it as often as it likes."""
    foreseen = [
        await desk.would_circulate(decided_by(order(item=item), lending())) for _ in range(2)
    ]
    assert await loans(desk, "P3") == ["L1"]
    done = await desk.circulate(decided_by(order(item=item), lending()))
    assert foreseen == [done, done]


async def test_what_was_done_already_would_be_told_again(desk: Library) -> None:
    """C69."""
    lent = order(item="N2")
    await desk.circulate(decided_by(lent, lending()))
    again = await desk.would_circulate(decided_by(replace(lent, id="another"), lending()))
    assert again.outcome == "replayed"


async def test_facts_are_those_of_the_transaction(desk: Library) -> None:
    """Two orders in flight at once never decide on the same moment (C60)."""
    seen: list[int] = []

    def looking(facts: Facts) -> Any:
        assert facts.patron is not None
        seen.append(len(facts.patron.loans))
        return lending()(facts)

    await asyncio.gather(
        desk.circulate(decided_by(order(item="N2"), looking)),
        desk.circulate(decided_by(order(item="N1", key="other"), lambda f: looking(f))),
    )
    assert seen[-1] in (1, 2)
    if len(seen) == 2:
        assert sorted(seen) in ([1, 1], [1, 2])


async def test_of_two_who_want_the_same_item_one_gets_it(desk: Library) -> None:
    """B61."""
    results = await asyncio.gather(
        *(
            desk.circulate(decided_by(order(item="N2", patron=patron, key=patron), lending()))
            for patron in ("P1", "P2", "P3")
        )
    )
    outcomes = sorted(result.outcome for result in results)
    assert outcomes == ["done", "refused", "refused"]
    assert {reason_of(r) for r in results if r.refusal} == {"charged_to_other"}
    assert sorted(
        [*await loans(desk, "P1"), *await loans(desk, "P2"), *await loans(desk, "P3")]
    ) == [
        "I1",
        "L1",
        "N2",
    ]


async def test_the_same_key_is_done_once_and_told_the_same(desk: Library) -> None:
    """C69, while it is so."""
    wanted = order(item="N1")
    first, *others = await asyncio.gather(
        *(desk.circulate(decided_by(wanted, lending(fee_acknowledged=True))) for _ in range(4))
    )
    results = [first, *others]
    assert sorted(result.outcome for result in results) == ["done", *["replayed"] * 3]
    assert len({result.done for result in results}) == 1
    assert await owed(desk, "P3") == [(150, "")]
    assert desk.self_check() == []


async def test_a_second_loan_under_the_same_key_is_one(desk: Library) -> None:
    """C97: lent and back within a second, by a terminal whose clock stands still; a fee for each.

    The first return is not repeated either, and each answer takes the place of the one before.
    """
    borrows, comes_back = order(item="N1"), order(CHECKIN, "N1", None)
    for fees in (1, 2):
        for outcome in ("done", "replayed"):
            lent = await desk.circulate(decided_by(borrows, lending(fee_acknowledged=True)))
            assert lent.outcome == outcome
            assert "N1" in await loans(desk, "P3")
        for outcome in ("done", "replayed"):
            back = await desk.circulate(decided_by(comes_back, returning()))
            assert back.outcome == outcome
            assert back.done is not None
            assert back.done.patron_id == "P3"
            assert "N1" not in await loans(desk, "P3")
        assert await owed(desk, "P3") == [(150, "")] * fees
    assert desk.self_check() == []


async def test_a_return_is_not_repeated_when_somebody_has_had_the_item_since(desk: Library) -> None:
    """C97: not even when it has come back; but whoever only looked at it changes nothing."""
    tolerant = replace(RULES, takes_what_is_not_on_loan=True)

    async def returned(key: str) -> tuple[str, str]:
        result = await desk.circulate(
            decided_by(
                order(CHECKIN, "N2", None, key=key),
                lambda facts: decide_checkin(facts, CirculationRequest(NOW, CHECKIN), tolerant),
            ),
        )
        assert result.done is not None
        return result.outcome, result.done.patron_id

    await desk.circulate(decided_by(order(item="N2"), lending()))
    assert await returned("kiosk") == ("done", "P3")
    assert await returned("sorter") == ("done", "")
    assert await returned("kiosk") == ("replayed", "P3")
    assert await returned("sorter") == ("replayed", "")
    await desk.circulate(decided_by(order(item="N2", patron="P2", key="other"), lending()))
    assert await returned("desk") == ("done", "P2")
    assert await returned("kiosk") == ("done", "")


async def test_a_return_sees_a_loan_that_came_by_import(desk: Library) -> None:
    """C97: nobody else noted it."""
    await desk.circulate(decided_by(order(item="N2"), lending()))
    await desk.circulate(decided_by(order(CHECKIN, "N2", None), returning()))
    loan = {"kind": "loan", "item": "N2", "patron": "P2", "due": "2026-04-01"}
    assert load(desk, {**loan, "checked_out": "2026-03-10"}).errors == ()
    again = await desk.circulate(decided_by(order(CHECKIN, "N2", None), returning()))
    assert again.done is not None
    assert (again.outcome, again.done.patron_id) == ("done", "P2")
    assert await loans(desk, "P2") == []


async def test_a_renewal_is_repeated_until_another_date_is_set(desk: Library) -> None:
    """C97: a retry renews once; after an import with another due date it renews again."""
    wanted = order("29", "L1", "P3")

    async def renewed() -> tuple[str, int]:
        result = await desk.circulate(
            decided_by(
                wanted,
                lambda facts: decide_renewal(facts, (), CirculationRequest(NOW, "29"), RULES),
            )
        )
        record = await desk.find_item("L1", NOW)
        assert record is not None
        assert record.state.loan is not None
        return result.outcome, record.state.loan.renewals

    assert [await renewed(), await renewed()] == [("done", 1), ("replayed", 1)]
    loan = {"kind": "loan", "item": "L1", "patron": "P3", "due": "2026-03-15", "renewals": 1}
    assert load(desk, {**loan, "checked_out": "2026-02-01"}).errors == ()
    assert [await renewed(), await renewed()] == [("done", 2), ("replayed", 2)]


async def test_a_cancellation_is_repeated_until_there_is_something_to_cancel(
    desk: Library,
) -> None:
    """B58, C97: lent and cancelled, and again, by a terminal whose clock stands still."""
    borrows, cancels = order(item="N2"), order(CHECKIN, "N2", None, key="cancel")
    for _ in range(2):
        assert (await desk.circulate(decided_by(borrows, lending()))).outcome == "done"
        for outcome in ("done", "replayed"):
            assert (
                await desk.circulate(decided_by(cancels, cancelling(CHECKIN)))
            ).outcome == outcome
            assert await loans(desk, "P3") == ["L1"]


async def test_a_hold_is_repeated_while_it_is_there(desk: Library) -> None:
    """C97: placed and removed, and again, within a second; and two items under the same key."""

    async def asked(mode: str, item: str = "N1") -> str:
        def decide(facts: Facts) -> Any:
            assert facts.patron is not None
            card = facts.patron.cards[0]
            standing = decide_standing(facts.patron, card, NOW.date(), ZONE, None)
            request = HoldRequest(NOW, mode, any_copy=False)
            return decide_hold(facts, replace(standing, obstacles=()), request)

        return (
            await desk.circulate(decided_by(order("15", item, "P3", key=f"K{mode}"), decide))
        ).outcome

    async def held() -> list[str]:
        patron = await desk.find_patron("P3")
        assert patron is not None
        return sorted(str(hold.item_id) for hold in patron.holds)

    for _ in range(2):
        assert [await asked("+"), await asked("+"), await held()] == ["done", "replayed", ["N1"]]
        assert [await asked("-"), await asked("-"), await held()] == ["done", "replayed", []]
    assert [await asked("+"), await asked("+", "N2"), await held()] == ["done"] * 2 + [["N1", "N2"]]


async def test_an_expired_key_is_free_again(desk: Library) -> None:
    wanted = order(item="N2")
    await desk.circulate(decided_by(wanted, lending()))
    later = NOW + KEPT
    again = replace(wanted, now=later, key_expires=later + KEPT)
    result = await desk.circulate(decided_by(again, lending()))
    assert result.done is not None
    assert (result.outcome, result.done.renewed) == ("done", True)


async def test_without_a_key_it_is_done_each_time(desk: Library) -> None:
    for renewed in (False, True):
        result = await desk.circulate(decided_by(order(item="N2", key=None), lending()))
        assert result.done is not None
        assert (result.outcome, result.done.renewed) == ("done", renewed)


async def test_a_late_return_opens_a_fee_in_the_ledger(desk: Library) -> None:
    result = await desk.circulate(decided_by(order(CHECKIN, "L1", None), returning()))
    assert result.done is not None
    assert result.done.fee == 60
    assert await owed(desk, "P3") == [(60, "Late by 3")]
    assert await loans(desk, "P3") == []
    assert desk.self_check() == []


async def test_a_cancelled_return_leaves_no_trace(desk: Library) -> None:
    before = await desk.find_patron("P3")
    item = await desk.find_item("L1", NOW)
    await desk.circulate(decided_by(order(CHECKIN, "L1", None), returning()))
    result = await desk.circulate(decided_by(order(item="L1", key="cancel"), cancelling(CHECKOUT)))
    assert result.outcome == "done"
    assert await desk.find_patron("P3") == before
    after = await desk.find_item("L1", NOW)
    assert after is not None
    assert item is not None
    assert after.state == item.state
    assert desk.self_check() == []
    again = await desk.circulate(decided_by(order(CHECKIN, "L1", None), returning()))
    assert again.outcome == "done"  # its key is free
    assert desk.self_check() == []


async def pay_fee_of(desk: Library, item: str) -> str:
    """Pay what P3 owes for `item`, but for a cent; the payment's id."""
    record = await desk.find_patron("P3")
    assert record is not None
    (fee,) = (fee for fee in record.fees if fee.item_id == item)
    wanted = payment(f"for {fee.id}", fee.owed - 1, payer_id="P3")
    result = await desk.book_payment(decided_by(wanted, pay_fee(fee.id, fee.owed - 1)))
    assert result.payment is not None
    return result.payment.id


def surpluses(desk: Library) -> list[tuple[str, int]]:
    """Whose money is to be given back."""
    assert desk.self_check() == []
    return [(one.patron_id, one.amount) for one in desk.surpluses()]


async def test_what_was_paid_for_a_cancelled_loan_is_to_be_given_back(desk: Library) -> None:
    """B58, C103: and after an undo nothing is owed for a loan that never was."""
    await desk.circulate(decided_by(order(item="N1"), lending(fee_acknowledged=True)))
    paid = await pay_fee_of(desk, "N1")
    cancel = order(CHECKIN, "N1", None, key="cancel")
    assert (await desk.circulate(decided_by(cancel, cancelling(CHECKIN)))).outcome == "done"
    assert await owed(desk, "P3") == []
    assert surpluses(desk) == [("P3", 149)]
    await desk.undo_payment(paid, NOW, ZONE)
    assert await owed(desk, "P3") == []
    assert surpluses(desk) == []


async def test_one_late_return_is_paid_once_though_it_was_cancelled_and_made_again(
    desk: Library,
) -> None:
    """B58, C44, C103."""
    await desk.circulate(decided_by(order(CHECKIN, "L1", None), returning()))
    await pay_fee_of(desk, "L1")
    await desk.circulate(decided_by(order(item="L1", key="cancel"), cancelling(CHECKOUT)))
    await desk.circulate(decided_by(order(CHECKIN, "L1", None), returning()))
    assert await owed(desk, "P3") == [(60, "Late by 3")]
    assert surpluses(desk) == [("P3", 59)]


async def test_holds_are_served_set_aside_and_put_back(desk: Library) -> None:
    lent = await desk.circulate(decided_by(order(patron="P1"), lending()))
    assert lent.outcome == "done"
    patron = await desk.find_patron("P1")
    assert patron is not None
    assert patron.holds == ()
    await desk.circulate(decided_by(order(CHECKIN, patron=None), cancelling(CHECKIN)))
    patron = await desk.find_patron("P1")
    assert patron is not None
    (hold,) = patron.holds
    assert (hold.id, hold.item_id, hold.title_id, hold.ready) == ("H1", None, "T2", True)
    found = replace(RULES, takes_what_is_not_on_loan=True)
    await desk.circulate(
        decided_by(
            order(CHECKIN, patron=None, key="found"),
            lambda facts: decide_checkin(facts, CirculationRequest(NOW, CHECKIN), found),
        ),
    )
    patron = await desk.find_patron("P1")
    assert patron is not None
    assert [hold.item_id for hold in patron.holds] == ["I2"]


async def test_a_copy_on_its_way_to_a_hold_is_kept_from_an_older_one_for_that_copy(
    desk: Library,
) -> None:
    """Which an import may bring, or a clock that was set back."""
    waits = {"kind": "hold", "id": "HT", "patron": "P1", "title_id": "T9", "placed": "2026-03-05"}
    load(desk, {**waits, "pickup_branch": "EAST"})
    here = replace(RULES, takes_what_is_not_on_loan=True)

    def arriving(rules: CirculationRules) -> Callable[[Facts], Decision]:
        return lambda facts: decide_checkin(facts, CirculationRequest(NOW, CHECKIN), rules)

    await desk.circulate(decided_by(order(CHECKIN, "N2", None), arriving(here)))
    load(desk, {"kind": "hold", "id": "HC", "patron": "P3", "item": "N2", "placed": "2026-03-01"})
    refused = await desk.circulate(decided_by(order(item="N2"), lending()))
    assert reason_of(refused) == "on_hold"
    there = replace(here, branch="EAST")
    arrived = order(CHECKIN, "N2", None, key="there", terminal="sorter-east")
    result = await desk.circulate(decided_by(arrived, arriving(there)))
    assert result.done is not None
    assert result.done.hold is not None
    assert (result.done.hold.id, result.done.hold.ready) == ("HT", True)


async def test_a_hold_keeps_its_new_day_when_the_return_that_served_it_is_cancelled(
    desk: Library,
) -> None:
    """B58, B60: what happened in between stays."""
    hold = {"kind": "hold", "id": "HL", "patron": "P2", "item": "L1", "placed": "2026-03-01"}
    assert load(desk, {**hold, "pickup_branch": "MAIN"}).errors == ()

    async def its() -> tuple[bool, datetime | None]:
        patron = await desk.find_patron("P2")
        assert patron is not None
        (known,) = (hold for hold in patron.holds if hold.id == "HL")
        return known.ready, known.expires

    await desk.circulate(decided_by(order(CHECKIN, "L1", None), returning()))
    until = NOW + timedelta(days=3)
    request = HoldRequest(NOW, "*", any_copy=False, expires=until)
    changing = order("15", "L1", "P2", key="change")

    def change(facts: Facts) -> Any:
        assert facts.patron is not None
        card = facts.patron.cards[0]
        return decide_hold(
            facts, decide_standing(facts.patron, card, NOW.date(), ZONE, None), request
        )

    assert (await desk.circulate(decided_by(changing, change))).outcome == "done"
    assert await its() == (True, until)
    cancel = order(item="L1", key="cancel")
    assert (await desk.circulate(decided_by(cancel, cancelling(CHECKOUT)))).outcome == "done"
    assert await its() == (False, until)


async def test_where_an_item_is_gets_written(desk: Library) -> None:
    east = replace(RULES, branch="EAST")
    load(desk, {"kind": "item", "id": "N2", "title": "New", "owner_branch": "MAIN"})
    await desk.circulate(decided_by(order(item="N2"), lending()))
    result = await desk.circulate(
        decided_by(
            order(CHECKIN, "N2", None),
            lambda facts: decide_checkin(facts, CirculationRequest(NOW, CHECKIN), east),
        ),
    )
    assert result.done is not None
    assert result.done.destination == "MAIN"
    record = await desk.find_item("N2", NOW)
    assert record is not None
    assert (record.state.status, record.state.current_branch) == (ItemStatus.IN_TRANSIT, "EAST")


async def test_the_borrower_is_among_the_facts_when_asked_for(desk: Library) -> None:
    seen: list[Facts] = []

    def looking(facts: Facts) -> Any:
        seen.append(facts)
        return decide_renewal(facts, (), CirculationRequest(NOW, "29"), RULES, may_act=True)

    wanted = order("29", "I1", "P3", with_borrower=True)
    result = await desk.circulate(decided_by(wanted, looking))
    assert result.done is not None
    assert result.done.patron_id == "P1"
    assert seen[-1].borrower is not None
    assert seen[-1].borrower.name == "Ann Maes"
    assert seen[-1].patron is not None
    assert seen[-1].patron == await desk.find_patron("P3")
    await desk.circulate(decided_by(order("29", "I1", "P3", key="K2"), looking))
    assert seen[-1].borrower is None


async def test_what_happened_off_line_is_noted_once_done_or_refused(desk: Library) -> None:
    """B57."""
    done = order(item="I1", claim=OFF_LINE, key="A")
    for _ in range(2):
        await desk.circulate(decided_by(done, lending(no_block=True)))
    assert await loans(desk, "P1") == []
    assert "I1" in await loans(desk, "P3")
    impossible = order(item="nothing", claim=OFF_LINE, key="B")
    for _ in range(2):
        await desk.circulate(decided_by(impossible, lending(no_block=True)))
    await desk.circulate(
        decided_by(order(item="N2", claim=OFF_LINE, key="A"), lending(no_block=True))
    )
    noted = {
        (e.kind.value, e.message, e.item, e.patron, e.outcome, e.reasons) for e in desk.reviews()
    }
    assert noted == {
        ("conflict", "11", "I1", "P3", "done", ("charged_to_other",)),
        ("conflict", "11", "nothing", "P3", "refused", ("unknown_item",)),
        ("offline", "11", "N2", "P3", "done", ()),
    }


async def test_each_loan_of_the_same_off_line_second_is_noted(desk: Library) -> None:
    """B57, C97: two items under one key, and one of them twice."""
    for item in ("N1", "N2"):
        lent = order(item=item, claim=OFF_LINE, key="stopped")
        assert (await desk.circulate(decided_by(lent, lending(no_block=True)))).outcome == "done"
    await desk.circulate(decided_by(order(CHECKIN, "N2", None), returning()))
    for outcome in ("done", "replayed"):
        again = await desk.circulate(decided_by(lent, lending(no_block=True)))
        assert again.outcome == outcome
    assert sorted(entry.item for entry in desk.reviews()) == ["N1", "N2", "N2"]


async def test_a_decision_that_fails_changes_nothing(desk: Library) -> None:
    def fails(facts: Facts) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await desk.circulate(decided_by(order(item="N2"), fails))
    assert reason_of(
        await desk.circulate(
            decided_by(order(item="N2"), lambda facts: Refusal((CirculationReason.NOT_FOR_LOAN,)))
        )
    )
    assert await loans(desk, "P3") == ["L1"]


async def test_a_snapshot_taken_before_is_not_given_out_after(desk: Library) -> None:
    """Whoever lost, got or paid something is seen anew."""
    for patron in ("P1", "P3"):
        await desk.find_patron(patron)
    await desk.circulate(decided_by(order(item="I1", claim=OFF_LINE), lending(no_block=True)))
    assert await loans(desk, "P1") == []
    assert await loans(desk, "P3") == ["L1", "I1"]


async def test_a_copy_of_a_title_is_found_one_for_loan_first(desk: Library) -> None:
    assert await desk.copy_of_title("T9") == "N1"
    load(desk, {"kind": "item", "id": "N1", "title": "New", "title_id": "T9", "for_loan": False})
    assert await desk.copy_of_title("T9") == "N2"
    for name in ("", "nothing", "NUL\0"):
        assert await desk.copy_of_title(name) is None


async def test_holds_queue_in_the_order_of_their_coming(desk: Library) -> None:
    """B60."""
    for number, patron in enumerate(("P3", "P2")):
        now = NOW + timedelta(minutes=number)
        request = HoldRequest(now, "+", any_copy=True)

        def placing(facts: Facts, request: HoldRequest = request) -> Any:
            assert facts.patron is not None
            card = facts.patron.cards[0]
            standing = decide_standing(facts.patron, card, NOW.date(), ZONE, None)
            return decide_hold(facts, replace(standing, obstacles=()), request)

        result = await desk.circulate(
            decided_by(
                order("15", "N1", patron, key=None, now=now, key_expires=now + KEPT), placing
            )
        )
        assert result.done is not None
        assert result.done.hold is not None
        record = await desk.find_item("N2", now)
        assert record is not None
        assert (await desk.hold_queue(record, now))[-1] == result.done.hold.id
        holder = await desk.find_patron(patron)
        assert holder is not None
        assert holder.holds[-1].id == result.done.hold.id
    assert record is not None
    assert record.next_hold is not None
    assert record.next_hold.patron_id == "P3"


async def test_yesterdays_transactions_are_forgotten_and_loans_are_not(desk: Library) -> None:
    await desk.circulate(decided_by(order(item="N2"), lending()))
    assert desk.count_forgotten_transactions(NOW) == 0
    assert await desk.forget_transactions(NOW) == 0
    assert desk.count_forgotten_transactions(NOW + KEPT) == 1
    assert await desk.forget_transactions(NOW + KEPT) == 1
    assert desk.count_forgotten_transactions(NOW + KEPT) == 0
    assert await loans(desk, "P3") == ["L1", "N2"]
    cancelled = await desk.circulate(decided_by(order(CHECKIN, "N2", None), cancelling(CHECKIN)))
    assert reason_of(cancelled) == "nothing_to_cancel"


async def test_a_patron_is_known_with_what_has_been_lost(desk: Library) -> None:
    load(desk, {"kind": "item", "id": "L1", "title": "Late", "status": "lost"})
    record = await desk.find_patron("P3")
    assert record is not None
    assert [(loan.item_id, loan.lost) for loan in record.loans] == [("L1", True)]
    seen: list[bool] = []

    def looking(facts: Facts) -> Any:
        assert facts.patron is not None
        seen.extend(loan.lost for loan in facts.patron.loans)
        return lending()(facts)

    await desk.circulate(decided_by(order(item="N2"), looking))
    assert set(seen) == {True}


async def test_a_copy_on_its_way_keeps_its_goal(desk: Library) -> None:
    """B59: whoever loses a copy is first in the queue again, but not for what was promised."""
    load(
        desk,
        *({"kind": "item", "id": f"Q{n}", "title": "Queue", "title_id": "TQ"} for n in (1, 2)),
        *(
            {"kind": "hold", "id": f"HQ{n}", "patron": f"P{n}", "title_id": "TQ"}
            | {"placed": f"2026-03-0{n}", "pickup_branch": branch}
            for n, branch in ((1, "MAIN"), (2, "EAST"))
        ),
    )
    found = replace(RULES, takes_what_is_not_on_loan=True)
    east = replace(found, branch="EAST")

    async def arrives(item: str, rules: CirculationRules) -> str:
        result = await desk.circulate(
            decided_by(
                order(CHECKIN, item, None, key=None),
                lambda facts: decide_checkin(facts, CirculationRequest(NOW, CHECKIN), rules),
            ),
        )
        assert result.done is not None
        assert result.done.hold is not None
        return result.done.hold.patron_id

    assert await arrives("Q1", found) == "P1"
    assert await arrives("Q2", found) == "P2"  # on its way to EAST
    await desk.circulate(decided_by(order(item="Q1", claim=OFF_LINE), lending(no_block=True)))
    assert await arrives("Q2", east) == "P2"
    record = await desk.find_item("Q2", NOW)
    assert record is not None
    assert await desk.hold_queue(record, NOW) == ("HQ2", "HQ1")


# What somebody borrowed before ------------------------------------------------------------------


async def known_before(desk: Library, item: str, patron: str | None, since: datetime) -> bool:
    """Whether the patron is known to have had it since then; nothing is done."""
    seen: list[bool] = []

    def looking(facts: Facts) -> Any:
        seen.append(facts.borrowed_before)
        return Refusal((CirculationReason.PREVIOUSLY_BORROWED,))

    await desk.circulate(
        decided_by(order(item=item, patron=patron, key=None, borrowed_since=since), looking)
    )
    return seen[-1]


async def had(desk: Library, item: str, patron: str, **changes: Any) -> None:
    """The patron has borrowed it, and brought it back."""
    await desk.circulate(
        decided_by(order(item=item, patron=patron, key=None), lending(fee_acknowledged=True))
    )
    back = order(CHECKIN, item, None, key=None, **({"keeps_history": True} | changes))
    await desk.circulate(decided_by(back, returning()))


async def test_who_had_what_is_known_by_title_or_item_for_as_long_as_asked(desk: Library) -> None:
    await had(desk, "N1", "P3")
    await had(desk, "L1", "P3")
    before = NOW - timedelta(days=1)
    assert [await known_before(desk, item, "P3", before) for item in ("N1", "N2", "L1", "I2")] == [
        True,
        True,
        True,
        False,
    ]
    assert not await known_before(desk, "N1", "P2", before)
    assert not await known_before(desk, "N1", None, before)
    assert not await known_before(desk, "nothing", "P3", before)
    assert not await known_before(desk, "N1", "P3", NOW)
    await had(desk, "N2", "P3", now=NOW + timedelta(days=2))
    assert await known_before(desk, "N1", "P3", NOW)
    assert desk.self_check() == []


async def test_nothing_is_kept_unless_it_is_asked_for(desk: Library) -> None:
    await had(desk, "N1", "P3", keeps_history=False)
    assert not await known_before(desk, "N1", "P3", NOW - timedelta(days=1))
    assert await desk.forget_loans(NOW + timedelta(days=1)) == 0


async def test_who_does_not_ask_is_not_told(desk: Library) -> None:
    await had(desk, "N2", "P3")
    result = await desk.circulate(decided_by(order(item="N2", key="again"), lending()))
    assert result.outcome == "done"


async def test_a_cancelled_loan_was_none_and_one_that_goes_over_was_one(desk: Library) -> None:
    before = NOW - timedelta(days=1)
    await desk.circulate(decided_by(order(item="N2"), lending()))
    cancel = order(CHECKIN, "N2", None, key="cancel", keeps_history=True)
    assert (await desk.circulate(decided_by(cancel, cancelling(CHECKIN)))).outcome == "done"
    assert not await known_before(desk, "N2", "P3", before)
    over = order(item="L1", patron="P2", claim=OFF_LINE, keeps_history=True)
    assert (await desk.circulate(decided_by(over, lending(no_block=True)))).outcome == "done"
    assert await known_before(desk, "L1", "P3", before)
    assert not await known_before(desk, "L1", "P2", before)


async def test_old_loans_are_forgotten(desk: Library) -> None:
    await had(desk, "N1", "P3")
    await had(desk, "L1", "P3", now=NOW + timedelta(days=2))
    before = NOW - timedelta(days=1)
    assert desk.count_forgotten_loans(before) == 0
    assert await desk.forget_loans(before) == 0
    assert desk.count_forgotten_loans(NOW) == 1
    assert await desk.forget_loans(NOW) == 1
    assert desk.count_forgotten_loans(NOW) == 0
    assert not await known_before(desk, "N1", "P3", before)
    assert await known_before(desk, "L1", "P3", before)
