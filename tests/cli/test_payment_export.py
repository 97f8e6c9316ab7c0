"""`payment export`: what staff enter in a library system that takes no payments (C124, C157)."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from orders import saying, settling

from sip2gw.backend.base import Begun, PaymentOrder
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.model.shares import Kept, Share

from .conftest import Result, Run

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
OF_ANNA = Share("P1", "P1", "own", 120, "F7", kept=Kept.FEE)
OF_DIRK = Share("P2", "P2", "head_of_family", 400, kept=Kept.SUM)
HEADER = "id,time,terminal,patron,amount,currency,payment_type,bk,fee"


@pytest.fixture
def command(sip2gw: Run, library: Path) -> Run:
    """`sip2gw payment` with the library's configuration."""

    def run(*arguments: object, **options: Any) -> Result:
        return sip2gw("payment", *arguments, "--config", library, **options)

    return run


def pay(config: Path, *shares: Share, bk: str, at: datetime = AT) -> str:
    """Pay at a gateway; the payment's id."""

    async def book() -> str:
        store = open_backend(load_config(config), "command").store
        amount = sum(share.amount for share in shares)
        what = ("cash-1", bk, "x", "P1", amount, "EUR", "01", bk, at, at + timedelta(days=30))
        order = PaymentOrder(*what, case=settling(), texts=saying("Thank you"))
        begun = await store.begin_shares(order, "default", shares, ("Thank you",), {})
        assert isinstance(begun, Begun)
        await store.book_kept(begun.payment_id, at)
        await store.close()
        return begun.payment_id

    return asyncio.run(book())


def listed(command: Run, *arguments: object) -> list[dict[str, Any]]:
    result = command("export", *arguments, "--json")
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_c157_what_waits_is_listed_a_fee_a_row_until_it_is_done(
    command: Run, library: Path
) -> None:
    assert listed(command, "--pending") == []
    payment_id = pay(library, OF_ANNA, OF_DIRK, bk="17")
    of_anna = {
        "id": f"{payment_id}-1",
        "time": "2026-03-01T10:30:00+01:00",
        "terminal": "cash-1",
        "patron": "P1",
        "amount": "1.20",
        "currency": "EUR",
        "payment_type": "01",
        "bk": "17",
        "fee": "F7",
    }
    of_dirk = of_anna | {"id": f"{payment_id}-2", "patron": "P2", "amount": "4.00", "fee": ""}
    assert listed(command, "--pending") == [of_anna, of_dirk]
    assert command("export", "--pending", "--csv").out.splitlines() == [
        HEADER,
        f"{payment_id}-1,2026-03-01T10:30:00+01:00,cash-1,P1,1.20,EUR,01,17,F7",
        f"{payment_id}-2,2026-03-01T10:30:00+01:00,cash-1,P2,4.00,EUR,01,17,",
    ]
    result = command("export", "--done", f"{payment_id}-1")
    assert (result.status, result.out) == (0, "")
    assert result.err == (f"1 entry of {payment_id}-1 recorded as entered in the library system.\n")
    assert listed(command, "--pending") == [of_dirk]
    # Without --pending there is everything, with when it was done.
    first, second = listed(command)
    assert {**first, "done": None} == {**of_anna, "done": None}
    assert datetime.fromisoformat(first["done"]) > AT
    assert second == {**of_dirk, "done": None}
    (header, *_) = csv.reader(io.StringIO(command("export", "--csv").out))
    assert header == [*HEADER.split(","), "done"]


def test_a_whole_payment_and_several_are_done_at_once(command: Run, library: Path) -> None:
    first = pay(library, OF_ANNA, OF_DIRK, bk="17")
    result = command("export", "--done", first)
    assert result.err.startswith("2 entries of ")
    second = pay(library, OF_ANNA, bk="18", at=AT + timedelta(days=1))
    third = pay(library, OF_DIRK, bk="19", at=AT + timedelta(days=2))
    assert [one["id"] for one in listed(command, "--since", "2026-03-02")] == [second, third]
    assert [one["id"] for one in listed(command, "--until", "2026-03-01")] == [
        f"{first}-1",
        f"{first}-2",
    ]
    assert listed(command, "--terminal", "cash-2") == []
    assert command("export", "--done", second, "--done", third).status == 0
    assert listed(command, "--pending") == []


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--done", "NONE"), 1, "no payment to export has the id NONE"),
        (("--done", "DONE"), 1, "was recorded as done before, at "),
        (("--done", "DONE", "--json"), 2, "--done goes with no other option"),
        (("--done", "DONE", "--pending"), 2, "--done goes with no other option"),
        (("--json", "--csv"), 2, "--csv"),
    ],
)
def test_what_cannot_be_done_is_refused(
    command: Run, library: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = pay(library, OF_ANNA, bk="17")
    assert command("export", "--done", done).status == 0
    result = command("export", *(done if one == "DONE" else one for one in arguments))
    assert result.status == status
    assert said in result.err


def test_it_is_undone_while_it_waits_and_counts_in_the_totals(command: Run, library: Path) -> None:
    at = datetime.now(UTC)
    payment_id = pay(library, OF_ANNA, OF_DIRK, bk="17", at=at)
    (total,) = map(json.loads, command("totals", "--json").out.splitlines())
    assert (total["count"], total["amount"]) == (1, "5.20")
    assert command("undo", payment_id).status == 0
    assert listed(command) == []
    assert command("totals", "--json").out == ""
    (one,) = map(json.loads, command("list", "--json").out.splitlines())
    assert (one["status"], one["amount"]) == ("undone", "5.20")
    assert command("reconcile").status == 0
