"""`payment reconcile` for a payment of which the library system has booked a part (C156, C157)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orders import saying, settling

from sip2gw.backend.base import Begun, PaymentOrder
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.model.shares import Share

from .conftest import Run

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
OF_ANNA, OF_DIRK, OF_EVA = (
    Share(debtor, debtor, relation, 250)
    for debtor, relation in (("P1", "own"), ("P2", "head_of_family"), ("P3", "head_of_family"))
)


def booked_in_part(config: Path, *, is_refused: bool) -> str:
    """The library system has booked the first of three parts, and refused the second or not
    answered; the payment's id."""

    async def pay() -> str:
        store = open_backend(load_config(config), "command").store
        what = ("cash-1", "17", "x", "P1", 750, "EUR", "01", "17", AT, AT + timedelta(days=30))
        order = PaymentOrder(*what, case=settling(), texts=saying("Thank you"))
        shares = (OF_ANNA, OF_DIRK, OF_EVA)
        begun = await store.begin_shares(order, "default", shares, ("Thank you",), {})
        assert isinstance(begun, Begun)
        then = begun.shares[1]
        await store.end_share(begun.payment_id, 0, booked=True, now=AT, then=then)
        if is_refused:
            await store.end_share(begun.payment_id, 1, booked=False, now=AT)
        await store.close()
        return begun.payment_id

    return asyncio.run(pay())


def test_staff_see_that_a_part_is_booked_and_that_it_stays(sip2gw: Run, library: Path) -> None:
    """The amount is that of all parts, so nobody may take `not-booked` for the whole of it."""
    payment_id = booked_in_part(library, is_refused=True)
    result = sip2gw("payment", "reconcile", "--open", "--config", library)
    assert f"Of payment {payment_id} EUR 2.50 is booked; the rest is what is open." in result.err
    result = sip2gw("payment", "undo", payment_id, "--config", library)
    assert (result.status, result.err) == (
        1,
        "sip2gw: nobody knows yet whether it is booked: see `payment reconcile`\n",
    )
    settle = ("payment", "reconcile", "--settle", payment_id, "--note", "seen")
    result = sip2gw(*settle, "not-booked", "--config", library)
    assert (result.status, result.err) == (
        0,
        f"Payment {payment_id} has been settled: not-booked.\n"
        "What was booked of it before, EUR 2.50, stays booked.\n",
    )


def test_staff_see_that_another_word_is_needed_for_the_rest(sip2gw: Run, library: Path) -> None:
    payment_id = booked_in_part(library, is_refused=False)
    settle = ("payment", "reconcile", "--settle", payment_id, "--note", "seen")
    result = sip2gw(*settle, "booked", "--config", library)
    assert (result.status, result.err) == (
        0,
        f"Payment {payment_id} has been settled: booked.\n"
        "So far EUR 5.00 is booked; the rest has not gone up, and is open.\n",
    )
    result = sip2gw(*settle, "booked", "--config", library)
    assert (result.status, result.err) == (0, f"Payment {payment_id} has been settled: booked.\n")
