"""Copies, loans and holds are imported while they are lent and returned (B61, C60, C63, C69)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.base import CirculationResult
from sip2gw.backend.library import Library
from sip2gw.policy.items.decisions import CHECKIN

from .library import NOW, content, load
from .test_circulation import lending, loans, order, returning
from .test_import_together import load_while

ITEM = {"kind": "item", "id": "I2", "title": "Tijl, new edition", "title_id": "T2"}
FREE = {"kind": "item", "id": "N2", "title": "New", "title_id": "T9"}
LOAN = {
    "kind": "loan",
    "item": "N2",
    "patron": "P1",
    "checked_out": "2026-03-01",
    "due": "2026-03-22",
}
HOLD = {"kind": "hold", "id": "H9", "patron": "P3", "title_id": "T9", "placed": "2026-03-02"}


@pytest.fixture
def desk(library: Library) -> Library:
    """The small library and a copy that nobody has."""
    assert load(library, FREE).errors == ()
    return library


def waiting(work: Callable[[], Coroutine[Any, Any, CirculationResult]]) -> Callable[[], None]:
    """What an import's thread calls to have the gateway do `work`, which must succeed."""
    loop = asyncio.get_running_loop()

    def do() -> None:
        result = asyncio.run_coroutine_threadsafe(work(), loop).result(20)
        assert result.outcome == "done"

    return do


async def soundly(library: Library) -> dict[str, str]:
    """Who has what, after making sure that patrons and copies agree on it."""
    assert library.self_check() == []
    kept = {row[0]: row[1] for row in content(library)["loan"]}
    for item, patron in kept.items():
        record = await library.find_item(item, NOW)
        assert record is not None
        assert record.state.loan is not None
        assert record.state.loan.patron_id == patron
    seen = {item: patron for patron in ("P1", "P2", "P3") for item in await loans(library, patron)}
    assert seen == kept
    return kept


async def test_a_copy_that_is_lent_while_its_record_is_imported_stays_lent(desk: Library) -> None:
    changed = {**FREE, "title": "Newer"}
    lend = waiting(lambda: desk.circulate(decided_by(order(item="N2"), lending())))
    report = await asyncio.to_thread(load_while, desk, lend, changed, HOLD)
    assert report.errors == ()
    assert (await soundly(desk))["N2"] == "P3"
    record = await desk.find_item("N2", NOW)
    assert record is not None
    assert record.item.title == "Newer"
    assert record.next_hold is not None
    assert record.next_hold.id == "H9"


async def test_of_a_loan_and_an_imported_one_the_last_wins(desk: Library) -> None:
    """One loan, and both patrons are seen as it is."""
    lend = waiting(lambda: desk.circulate(decided_by(order(item="N2"), lending())))
    assert await loans(desk, "P3") == []
    report = await asyncio.to_thread(load_while, desk, lend, LOAN)
    assert report.errors == ()
    assert (await soundly(desk))["N2"] == "P1"
    again = await desk.circulate(decided_by(order(item="N2"), lending()))
    assert again.outcome == "refused"  # it is not P3's any more (C97)


async def test_a_copy_that_came_back_during_the_import_of_its_loan(desk: Library) -> None:
    load(desk, LOAN)
    back = waiting(lambda: desk.circulate(decided_by(order(CHECKIN, "N2", None), returning())))
    extended = {**LOAN, "due": "2026-04-01"}
    report = await asyncio.to_thread(load_while, desk, back, extended)
    assert report.errors == ()
    assert (await soundly(desk)).get("N2") in (None, "P1")
    assert (
        await desk.circulate(decided_by(order(item="N2", key="next"), lending(no_block=True)))
    ).done
    assert (await soundly(desk))["N2"] == "P3"


async def test_nothing_is_torn_by_imports_and_loans_all_at_once(desk: Library) -> None:
    """Whatever wins, a copy has one borrower, who has it, and the library goes on."""
    over = asyncio.Event()
    done = 0

    async def lend_and_return(patron: str) -> None:
        nonlocal done
        while not over.is_set():
            for wanted, decide in (
                (order(item="N2", patron=patron, key=None), lending()),
                (order(CHECKIN, "N2", None, key=None), returning()),
            ):
                result = await desk.circulate(decided_by(wanted, decide))
                done += result.outcome == "done"
                await asyncio.sleep(0)

    lenders = [asyncio.create_task(lend_and_return(patron)) for patron in ("P1", "P3")]
    for number in range(12):
        lines = ({**FREE, "title": f"New {number}"}, {**LOAN, "renewals": number % 3}, HOLD)
        report = await asyncio.to_thread(load, desk, *lines[: 1 + number % 3])
        assert report.errors == ()
    over.set()
    await asyncio.gather(*lenders)
    assert done > 0
    assert set((await soundly(desk)).items()) <= {("I1", "P1"), ("N2", "P1"), ("N2", "P3")}
    record = await desk.find_item("N2", NOW)
    assert record is not None
    assert record.item.title == "New 11"
