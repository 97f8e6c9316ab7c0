"""Two gateways on one database, in front of a library system that takes no 37 (B46, C124)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from harness import CONFIG, fields
from hostile_library import HostileLibrary
from postgres import Server
from till_library import Till
from tills import TILL, configured, pay, went_up

from .test_postgres_gateways import two_gateways

ASK = "63001{}   Y      AOHUB|AA1001|AC|AD1234|"
STAMP = "20260310    120000"


@pytest.fixture
async def library() -> AsyncIterator[HostileLibrary]:
    """The first patron owes 2.00 and 3.00."""
    async with HostileLibrary(answer=Till({b"1001": {b"1": 200, b"2": 300}})) as started:
        yield started


@pytest.fixture
async def gateways(
    postgres: Server, tmp_path: Path, library: HostileLibrary
) -> AsyncIterator[list[Any]]:
    config = CONFIG + TILL + configured(library, keys="payments = false")
    async with two_gateways(postgres, tmp_path, config, []) as started:
        yield started


async def balance(terminal: Any) -> str:
    shown: str
    (shown,) = fields(await terminal.ask(ASK.format(STAMP)), "BV", fixed=61)
    return shown


async def waiting(gateway: Any) -> list[Any]:
    found: list[Any] = await asyncio.to_thread(lambda: gateway.store.payment_exports(pending=True))
    return found


async def test_both_know_what_was_paid_and_what_is_done(
    gateways: list[Any], library: HostileLibrary
) -> None:
    first, second = [await gateway.terminal("till-1") for gateway in gateways]
    assert (await balance(first), await balance(second)) == ("5.00", "5.00")
    answer = await first.ask(pay("3.00", more="CG2|"))
    assert answer.startswith("38Y")
    assert (await balance(first), await balance(second)) == ("2.00", "2.00")
    # The same receipt at the other: the same answer, booked once.
    assert await second.ask(pay("3.00", more="CG2|")) == answer
    (one,) = await waiting(gateways[1])
    await gateways[1].store.set_exported(one.id, gateways[1].clock.now())
    assert (await balance(first), await balance(second)) == ("5.00", "5.00")
    assert went_up(library) == []


async def test_a_fee_is_taken_money_for_once_by_both_together(gateways: list[Any]) -> None:
    """B61 for money: other receipts for the same fee at the same moment."""
    tills = [await gateway.terminal("till-1") for gateway in gateways]
    requests = [pay("3.00", bk=bk, more="CG2|") for bk in ("B1", "B2")]
    answers = await asyncio.gather(*(map(lambda till, ask: till.ask(ask), tills, requests)))
    assert sorted(answer[:3] for answer in answers) == ["38N", "38Y"]
    assert [one.amount for one in await waiting(gateways[0])] == [300]


async def test_a_receipt_at_both_at_once_is_one_payment(gateways: list[Any]) -> None:
    tills = [await gateway.terminal("till-1") for gateway in gateways]
    for number in range(5):
        request = pay("0.10", bk=f"K{number}", more="CG2|")
        answers = await asyncio.gather(*(till.ask(request) for till in tills))
        # Who comes second may hear that it is not sure yet; asked again, it is.
        assert any(answer.startswith("38Y") for answer in answers)
        again = [await till.ask(request) for till in tills]
        assert again[0].startswith("38Y")
        assert again[0] == again[1]
    assert [one.amount for one in await waiting(gateways[0])] == [10] * 5
    assert await asyncio.to_thread(gateways[0].store.self_check) == []
