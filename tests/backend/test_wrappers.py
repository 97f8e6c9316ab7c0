"""Backends around a backend."""

from __future__ import annotations

from datetime import timedelta

import pytest
from orders import decided_by

from sip2gw.backend.attempts import UnknownSending
from sip2gw.backend.base import BackendError, EntryOrder
from sip2gw.backend.library import Library
from sip2gw.backend.wrappers import PassingOn, Timed, Unrecorded
from sip2gw.model import AccessRow
from sip2gw.policy.items.decisions import HOLD, Decision, Facts
from sip2gw.policy.items.holds import HoldRequest, decide_hold
from sip2gw.policy.obstacles import decide_standing

from .library import NOW, ZONE
from .test_circulation import order

ENTRY = EntryOrder("MAIN", "door-1 C1", "P1", NOW, NOW + timedelta(hours=9), NOW, NOW, 0, False)
ROW = AccessRow(NOW, "MAIN", "door-1", "granted", "granted", "normal", "", "P1")


def placed(facts: Facts) -> Decision:
    """Whoever asks waits for any copy."""
    assert facts.patron is not None
    (card, *_) = facts.patron.cards
    standing = decide_standing(facts.patron, card, NOW.date(), ZONE, None)
    return decide_hold(facts, standing, HoldRequest(NOW, "+", any_copy=False))


async def test_what_is_not_changed_is_the_method_of_the_inner_backend(library: Library) -> None:
    """So a look-up through any number of wrappers costs what the look-up costs."""
    inner = PassingOn(library)  # type: ignore[abstract] # the rest is passed on
    around = Unrecorded(inner)  # type: ignore[abstract] # the rest is passed on
    assert around.find_by_card == library.find_by_card
    assert around.look == library.look
    assert around.capabilities == library.capabilities
    assert await around.find_by_card("C1") == await library.find_by_card("C1")


async def test_unrecorded_writes_down_nothing_and_lets_nobody_in_or_out(library: Library) -> None:
    muted = Unrecorded(library)  # type: ignore[abstract] # the rest is passed on
    muted.log_access(ROW)
    assert not (await muted.enter_branch(ENTRY)).inside
    assert not (await library.presence(ENTRY)).inside
    await library.enter_branch(ENTRY)
    assert (await muted.enter_branch(ENTRY)).inside
    await muted.leave_branch("MAIN", "P1")
    await muted.leave_by_passage("MAIN", ENTRY.passage)
    assert (await library.presence(ENTRY)).inside
    await library.ping()
    assert library.access_rows() == []


async def test_unrecorded_keeps_what_would_have_been(library: Library) -> None:
    """B70."""
    muted = Unrecorded(library)  # type: ignore[abstract] # the rest is passed on
    muted.log_access(ROW)
    seen = await muted.enter_branch(ENTRY)
    assert (muted.row, muted.presence_seen) == (ROW, seen)


async def test_unrecorded_lends_nothing_and_puts_a_new_hold_at_the_end(library: Library) -> None:
    """I2 is waited for by H1; nothing is placed, but the answer would count it."""
    muted = Unrecorded(library)  # type: ignore[abstract] # the rest is passed on
    record = await library.find_item("I2", NOW)
    assert record is not None
    assert await muted.hold_queue(record, NOW) == ("H1",)
    placing = decided_by(order(HOLD, patron="P3", id="H9"), placed)
    result = await muted.circulate(placing)
    assert result is muted.result
    assert await muted.hold_queue(record, NOW) == ("H1", "H9")
    assert await library.hold_queue(record, NOW) == ("H1",)


async def test_unrecorded_notes_no_sending(library: Library) -> None:
    """Otherwise the gateway would settle what never went up (C154)."""
    muted = Unrecorded(library)  # type: ignore[abstract] # the rest is passed on
    sending = UnknownSending(
        id="S1",
        time=NOW,
        terminal="kiosk-1",
        code="11",
        item_id="I1",
        patron_id="P1",
        key="K",
        account="default",
        cancels=False,
    )
    assert await muted.journalled("I1") is None
    await muted.begin_sending(sending)
    muted.end_sending(sending)
    assert await library.unknown_attempts() == []


async def test_writes_are_timed_whether_they_work_or_fail(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(order: EntryOrder) -> None:
        raise BackendError

    seen: list[tuple[str, float]] = []
    ticks = iter([1.0, 3.0, 10.0, 14.0])
    timed = Timed(  # type: ignore[abstract] # the rest is passed on
        library, lambda *told: seen.append(told), lambda: next(ticks)
    )
    await timed.clear_pin_failures("P1")
    monkeypatch.setattr(library, "enter_branch", fails)
    with pytest.raises(BackendError):
        await timed.enter_branch(ENTRY)
    assert seen == [("clear_pin_failures", 2.0), ("enter_branch", 4.0)]
