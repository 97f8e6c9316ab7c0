"""Connections that break in the middle of a payment: never doubled, never lost (B46)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from orders import decided_by
from postgres import Server
from proxy import BreakableProxy, breakable

from sip2gw.backend.base import OutcomeUnknownError, UnavailableError
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.postgres import pool as pool_module
from sip2gw.model import Block, BlockType
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason

from .library import NOW, open_postgres_library, order, pay_fee

PAYMENT = b"Thank you"
"""Only the statement that books carries the texts of the payment."""


@pytest.fixture
async def proxy(postgres: Server) -> AsyncIterator[BreakableProxy]:
    async with breakable(postgres.socket) as proxy:
        yield proxy


@pytest.fixture
async def store(proxy: BreakableProxy, postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store that reaches its database through the proxy."""
    store = await asyncio.to_thread(open_through, proxy, postgres_url, timeout_s=1.0)
    yield store
    await store.close()


def open_through(proxy: BreakableProxy, url: str, **limits: float) -> PostgresStore:
    database = urlsplit(url).path
    return open_postgres_library(
        f"postgresql://postgres@{proxy.address}{database}?sslmode=disable", **limits
    )


async def booked(url: str) -> list[str]:
    """The BKs in the ledger, by a look that does not go through the proxy."""
    store = open_postgres_library(url, role="command")
    assert store.self_check() == []
    keys = [payment.bk for payment in store.payments(status="booked")]
    await store.close()
    return keys


async def test_cut_before_the_statement_arrives(
    store: PostgresStore, proxy: BreakableProxy, postgres_url: str
) -> None:
    proxy.cut_before = PAYMENT
    assert (await store.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "booked"
    assert proxy.cuts == 1
    assert await booked(postgres_url) == ["BK1"]


async def test_cut_after_the_commit_before_the_answer(
    store: PostgresStore, proxy: BreakableProxy, postgres_url: str
) -> None:
    """The payment is looked up on another connection, and it is our own."""
    proxy.cut_after = PAYMENT
    result = await store.book_payment(decided_by(order(), pay_fee("F1")))
    assert proxy.cuts == 1
    assert result.outcome == "booked"
    assert result.payment is not None
    assert result.payment == await asyncio.to_thread(store.payment, result.payment.id)
    assert await booked(postgres_url) == ["BK1"]


@pytest.mark.parametrize(("where", "later"), [("before", "booked"), ("after", "replayed")])
async def test_when_nobody_can_be_asked_the_outcome_is_unknown_and_a_retry_finds_it(
    store: PostgresStore, proxy: BreakableProxy, postgres_url: str, where: str, later: str
) -> None:
    """C59: "not sure" now, the truth with the retry."""
    setattr(proxy, f"cut_{where}", PAYMENT)
    proxy.then_close = True
    with pytest.raises(OutcomeUnknownError):
        await store.book_payment(decided_by(order(), pay_fee("F1")))
    await proxy.open()
    await until_reachable(store)
    assert (await store.book_payment(decided_by(order(), pay_fee("F1")))).outcome == later
    assert await booked(postgres_url) == ["BK1"]


async def until_reachable(store: PostgresStore) -> None:
    """Wait for the back-off to end."""
    while True:
        try:
            await store._fetch("SELECT 1")
            return await store.ping()
        except UnavailableError:
            await asyncio.sleep(0.01)


async def test_a_refusal_after_a_cut_is_certain(
    store: PostgresStore, proxy: BreakableProxy, postgres_url: str
) -> None:
    """Another payment takes the fee in between, and what was lost on its way is fenced."""
    other = open_postgres_library(postgres_url, role="command")
    proxy.cut_before = PAYMENT
    decisions: list[str] = []

    def decide(facts: PaymentFacts) -> PaymentPlan | PaymentRefusalReason:
        if not decisions:
            rival = order("BK2", 250, terminal="cash-2")
            with ThreadPoolExecutor(1) as pool:
                pool.submit(
                    asyncio.run, other.book_payment(decided_by(rival, pay_fee("F1", 250)))
                ).result()
        decision = pay_fee("F1")(facts)
        decisions.append(type(decision).__name__)
        return decision

    result = await store.book_payment(decided_by(order(), decide))
    await other.close()
    assert result.outcome == "refused"
    assert decisions == ["PaymentPlan", "PaymentRefusalReason"]
    fenced = await asyncio.to_thread(lambda: list(store.payments(status="refused")))
    assert [payment.bk for payment in fenced] == ["BK1"]
    assert await booked(postgres_url) == ["BK2"]


async def test_reads_and_small_writes_go_on_after_a_cut(
    store: PostgresStore, proxy: BreakableProxy
) -> None:
    """All warm connections are dead at once, as after a restart of the server."""
    await asyncio.gather(*(store.find_patron("P1") for _ in range(5)))
    await proxy.close()
    await proxy.open()
    assert await store.find_patron("P1") is not None
    proxy.cut_before = b"by the door"
    await store.set_block("P1", Block(BlockType.GENERAL, "by the door", None, "terminal"))
    assert proxy.cuts == 1
    record = await store.find_patron("P1")
    assert record is not None
    assert [block.note for block in record.blocks] == ["ask", "by the door"]


async def test_an_unreachable_database_is_left_in_peace_for_a_while(
    store: PostgresStore, proxy: BreakableProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "BACKOFF_FIRST_S", 60.0)
    monkeypatch.setattr(pool_module, "BACKOFF_MAX_S", 60.0)
    await proxy.close()
    with pytest.raises(UnavailableError, match=r"reached|lost"):
        await store.find_patron("P1")
    await proxy.open()
    with pytest.raises(UnavailableError, match="next try is due soon"):
        await store.find_patron("P1")


async def test_a_payment_that_never_left_is_unavailable_not_unknown(
    store: PostgresStore, proxy: BreakableProxy
) -> None:
    await proxy.close()
    with pytest.raises(UnavailableError):
        await store.book_payment(decided_by(order(), pay_fee("F1")))


async def test_a_storm_of_cuts_books_every_key_once(
    proxy: BreakableProxy, postgres_url: str
) -> None:
    """Two gateways, each key asked for by both, cut at random."""
    chance = random.Random(7)
    stores = [
        await asyncio.to_thread(open_through, proxy, postgres_url, timeout_s=5.0) for _ in range(2)
    ]

    async def pay(key: str) -> set[str]:
        wanted = order(key, 1, now=NOW)
        chance.choice([lambda: None, lambda: arm("cut_before"), lambda: arm("cut_after")])()
        results = await asyncio.gather(
            *(store.book_payment(decided_by(wanted, pay_fee("F1", 1))) for store in stores)
        )
        assert all(result.payment is not None for result in results)
        return {result.payment.id for result in results if result.payment is not None}

    def arm(where: str) -> None:
        setattr(proxy, where, PAYMENT)

    keys = [f"BK{number:02}" for number in range(30)]
    for start in range(0, len(keys), 3):
        ids = await asyncio.gather(*map(pay, keys[start : start + 3]))
        assert all(len(found) == 1 for found in ids)
    for store in stores:
        await store.close()
    assert proxy.cuts > 5
    assert sorted(await booked(postgres_url)) == keys
