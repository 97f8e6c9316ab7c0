"""Payments that we book and staff tell a library system, on both stores (B46, B47, C124, C156)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from sip2gw.backend.base import Begun, PaymentOutcome, PaymentResult, RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.sql.money.exports import ANY_PENDING, PENDING
from sip2gw.backend.sql.money.ledger import UndoRefusedError
from sip2gw.backend.sqlite.store import Store
from sip2gw.model.shares import Debts, Kept, PendingFee, Share
from sip2gw.policy.reasons import PaymentRefusalReason

from .library import NOW, ZONE, open_library, order

LATER = NOW + timedelta(minutes=5)
OF_ANN = Share("P1", "C1", "own", 250, "7", kept=Kept.FEE)
OF_BOB = Share("P2", "P2", "head_of_family", 400, kept=Kept.SUM)
BOTH = (OF_ANN, OF_BOB)


async def begin(
    library: Library, *shares: Share, key: str = "BK1", **pending: list[str]
) -> Begun | PaymentResult:
    """The first step; `pending`: what is known of payments for each debtor."""
    amount = sum(share.amount for share in shares)
    return await library.begin_shares(
        order(key, amount), "default", shares, ("Thank you",), {"P1": Debts(250)}, pending
    )


async def pay(library: Library, *shares: Share, key: str = "BK1", **pending: list[str]) -> str:
    """Pay in two steps; gives the payment's id."""
    begun = await begin(library, *shares, key=key, **pending)
    assert isinstance(begun, Begun)
    payment = await library.book_kept(begun.payment_id, NOW)
    assert payment.status == "booked"
    return payment.id


def waiting(library: Library, **wanted: Any) -> list[tuple[str, str, str, int]]:
    """Id, debtor, fee and amount of what waits for staff."""
    found = library.payment_exports(pending=True, **wanted)
    return [(one.id, one.patron, one.fee, one.amount) for one in found]


async def test_only_what_stays_here_waits_for_payments_that_are_being_booked(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is decided on what else stays here (C60)."""
    ways, write, beside = [], library.write, library.write_beside

    def seen(way: Callable[..., Any], name: str) -> Callable[..., Any]:
        def noted(job: Callable[..., Any]) -> Any:
            ways.append(name)
            return way(job)

        return noted

    monkeypatch.setattr(library, "write_beside", seen(beside, "beside"))
    up = await begin(library, replace(OF_ANN, kept=None))
    assert isinstance(up, Begun)
    await library.end_share(up.payment_id, 0, booked=False, now=NOW)
    monkeypatch.setattr(library, "write", seen(write, "alone"))
    assert isinstance(await begin(library, OF_ANN, key="BK2"), Begun)
    assert ways == ["beside", "beside", "alone"]


async def test_a_payment_is_in_the_ledger_and_waits_for_staff(library: Library) -> None:
    payment_id = await pay(library, *BOTH)
    assert waiting(library) == [
        (f"{payment_id}-1", "P1", "7", 250),
        (f"{payment_id}-2", "P2", "", 400),
    ]
    assert await library.pending_fees("P1") == (PendingFee(f"{payment_id}-0", "7", 250),)
    assert await library.pending_fees("P2") == (PendingFee(f"{payment_id}-1", "", 400),)
    assert await library.pending_fees("P3") == ()
    (one,) = library.payments()
    assert [(line.debtor_id, line.relation, line.amount) for line in one.lines] == [
        ("P1", "own", 250),
        ("P2", "head_of_family", 400),
    ]
    assert library.self_check() == []


async def test_who_has_heard_that_nothing_waits_hears_when_something_does(
    library: Library,
) -> None:
    assert await library.pending_fees("P1") == ()
    payment_id = await pay(library, OF_ANN)
    assert [fee.amount for fee in await library.pending_fees("P1")] == [250]
    await library.set_exported(payment_id, LATER)
    library.distrust_cache()
    assert await library.pending_fees("P1") == ()
    await pay(library, OF_ANN, key="BK2")
    assert [fee.amount for fee in await library.pending_fees("P1")] == [250]


async def test_another_process_may_have_taken_the_money(store: Store) -> None:
    assert await store.pending_fees("P1") == ()
    other = open_library(store.path.parent, role="command")
    try:
        await pay(other, OF_ANN)
    finally:
        await other.close()
    store.distrust_cache()
    assert [fee.amount for fee in await store.pending_fees("P1")] == [250]


async def test_while_nothing_waits_for_anybody_nobody_is_looked_up(store: Store) -> None:
    read, statements = store._reads.rows, []

    async def rows(statement: str, *values: Any) -> list[Any]:
        statements.append(statement)
        return await read(statement, *values)

    with patch.object(store._reads, "rows", rows):
        for patron in ("P1", "P2", "P3"):
            await store.pending_fees(patron)
        assert PENDING not in statements
        assert statements.count(ANY_PENDING) == 1
        await pay(store, OF_ANN)
        await store.pending_fees("P2")
        assert statements.count(PENDING) == 1


async def test_what_a_thread_has_read_may_be_old_and_is_not_remembered(store: Store) -> None:
    store._reads.note_slow()
    assert await store.pending_fees("P1") == ()
    assert store._is_anything_pending is None


async def test_one_share_has_the_id_of_its_payment(library: Library) -> None:
    payment_id = await pay(library, OF_ANN)
    (one,) = library.payment_exports(pending=True)
    assert (one.id, one.time, one.terminal, one.bk) == (payment_id, NOW, "cash-1", "BK1")
    assert (one.currency, one.payment_type, one.done) == ("EUR", "00", None)


async def test_what_staff_have_entered_waits_no_longer(library: Library) -> None:
    payment_id = await pay(library, *BOTH)
    (done,) = await library.set_exported(f"{payment_id}-1", LATER)
    assert (done.patron, done.fee) == ("P1", "7")
    assert waiting(library) == [(f"{payment_id}-2", "P2", "", 400)]
    assert await library.pending_fees("P1") == ()
    # All of them, with when each was done.
    assert [one.done for one in library.payment_exports(pending=False)] == [LATER, None]
    # The whole payment is what is left of it.
    (rest,) = await library.set_exported(payment_id, LATER + timedelta(minutes=1))
    assert rest.patron == "P2"
    assert waiting(library) == []
    dones = [one.done for one in library.payment_exports(pending=False)]
    assert dones == [LATER, LATER + timedelta(minutes=1)]


@pytest.mark.parametrize("said", ["{}", "{}-1"])
async def test_done_twice_is_refused_and_says_when_it_was(library: Library, said: str) -> None:
    export_id = said.format(await pay(library, *BOTH))
    await library.set_exported(export_id, LATER)
    with pytest.raises(RefusedError, match="before, at 2026-03-10T09:35"):
        await library.set_exported(export_id, LATER)


@pytest.mark.parametrize("said", ["NONE", "", "{}-3", "{}-0", "{}-x", "{}-1-1", "-"])
async def test_an_unknown_id_is_refused(library: Library, said: str) -> None:
    payment_id = await pay(library, *BOTH)
    with pytest.raises(RefusedError, match="no payment to export"):
        await library.set_exported(said.format(payment_id), LATER)
    assert len(waiting(library)) == 2


async def test_they_are_listed_by_time_and_terminal(library: Library) -> None:
    await pay(library, OF_ANN)
    assert len(waiting(library, since=NOW, until=LATER, terminal="cash-1")) == 1
    assert waiting(library, since=LATER) == []
    assert waiting(library, until=NOW) == []
    assert waiting(library, terminal="cash-2") == []


async def test_a_repeated_receipt_is_the_same_payment(library: Library) -> None:
    payment_id = await pay(library, OF_ANN)
    again = await begin(library, OF_ANN)
    assert isinstance(again, PaymentResult)
    assert again.payment is not None
    assert (again.outcome, again.payment.id) == (PaymentOutcome.REPLAYED, payment_id)
    assert len(waiting(library)) == 1


async def test_what_was_paid_meanwhile_is_not_paid_again(library: Library) -> None:
    payment_id = await pay(library, OF_ANN)
    late = await begin(library, OF_ANN, key="BK2")
    assert isinstance(late, PaymentResult)
    assert late.refusal is PaymentRefusalReason.SYSTEM
    # Who knows of it has decided on it; the key is free.
    await pay(library, replace(OF_ANN, amount=50), key="BK2", P1=[f"{payment_id}-0"])
    assert [amount for *_, amount in waiting(library)] == [250, 50]
    # Nor is what was told meanwhile still left out.
    await library.set_exported(payment_id, LATER)
    late = await begin(library, OF_ANN, key="BK3", P1=[f"{payment_id}-0"])
    assert isinstance(late, PaymentResult)
    assert late.refusal is PaymentRefusalReason.SYSTEM


async def test_what_goes_up_is_for_the_library_system_to_judge(library: Library) -> None:
    await pay(library, OF_ANN)
    assert isinstance(await begin(library, replace(OF_ANN, kept=None), key="BK2"), Begun)


async def test_what_is_being_booked_is_not_shown_and_not_listed_yet(library: Library) -> None:
    begun = await begin(library, *BOTH)
    assert isinstance(begun, Begun)
    assert [fee.amount for fee in await library.pending_fees("P1")] == [250]
    assert waiting(library) == []
    # Its gateway has died: it was not booked, and never will be.
    sent = await library.sent_shares()
    assert [(one.position, one.share.kept) for one in sent] == [(0, Kept.FEE), (1, Kept.SUM)]
    for one in sent:
        await library.end_share(one.payment_id, one.position, booked=False, now=LATER)
    assert (await library.book_kept(begun.payment_id, LATER)).status == "refused"
    assert await library.pending_fees("P1") == ()
    assert waiting(library) == []
    assert library.self_check() == []
    await pay(library, *BOTH)


async def test_staff_settle_what_nobody_knows(library: Library) -> None:
    begun = await begin(library, *BOTH)
    assert isinstance(begun, Begun)
    await library.settle_payment(begun.payment_id, booked=True, note="in the till", now=LATER)
    assert len(waiting(library)) == 2
    assert library.self_check() == []


async def test_it_is_undone_until_it_is_in_their_books(library: Library) -> None:
    first = await pay(library, *BOTH)
    undone = await library.undo_payment(first, LATER, ZONE)
    assert (undone.status, len(undone.lines)) == ("undone", 2)
    assert waiting(library) == []
    assert library.payment_exports(pending=False) == []
    assert await library.pending_fees("P1") == ()
    assert library.self_check() == []
    with pytest.raises(RefusedError, match="undone"):
        await library.set_exported(first, LATER)
    second = await pay(library, *BOTH, key="BK2")
    await library.set_exported(f"{second}-2", LATER)
    with pytest.raises(UndoRefusedError, match="library system"):
        await library.undo_payment(second, LATER, ZONE)
    assert library.self_check() == []


async def test_a_self_check_finds_an_undone_payment_that_is_still_in_the_ledger(
    library: Library,
) -> None:
    await pay(library, OF_ANN)
    with library.own_connection() as connection:
        connection.execute("UPDATE payment SET status = 'undone'")
    assert len(library.self_check()) == 1
