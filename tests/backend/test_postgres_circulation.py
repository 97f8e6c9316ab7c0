"""Connections that break in the middle of a loan, and two gateways at one item (B61, C69)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from orders import decided_by
from postgres import Server
from proxy import BreakableProxy, breakable

from sip2gw.backend.base import OutcomeUnknownError
from sip2gw.backend.postgres import PostgresStore
from sip2gw.policy.items.decisions import CHECKIN

from .library import load, open_postgres_library
from .test_circulation import lending, loans, order, returning
from .test_postgres_broken import open_through

LOAN = b"put_loan"
"""Only the statement that writes names this."""


@pytest.fixture
async def proxy(postgres: Server) -> AsyncIterator[BreakableProxy]:
    async with breakable(postgres.socket) as proxy:
        yield proxy


@pytest.fixture
async def store(proxy: BreakableProxy, postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store that reaches its database through the proxy, with two copies more."""
    direct = open_postgres_library(postgres_url, role="command")
    copies = [{"kind": "item", "id": f"N{n}", "title": "New"} for n in (1, 2)]
    assert load(direct, *copies).errors == ()
    await direct.close()
    store = await asyncio.to_thread(open_through, proxy, postgres_url, timeout_s=1.0)
    yield store
    await store.close()


@pytest.mark.parametrize("key", ["K1", None])
async def test_cut_before_the_statement_arrives(
    store: PostgresStore, proxy: BreakableProxy, key: str | None
) -> None:
    proxy.cut_before = LOAN
    result = await store.circulate(decided_by(order(item="N1", key=key), lending()))
    assert (proxy.cuts, result.outcome) == (1, "done")
    assert await loans(store, "P3") == ["N1"]


@pytest.mark.parametrize("key", ["K1", None])
async def test_cut_after_the_commit_before_the_answer(
    store: PostgresStore, proxy: BreakableProxy, key: str | None
) -> None:
    """It is looked up on another connection, and was done by this very order: no renewal."""
    proxy.cut_after = LOAN
    result = await store.circulate(decided_by(order(item="N1", key=key), lending()))
    assert (proxy.cuts, result.outcome) == (1, "done")
    assert result.done is not None
    assert not result.done.renewed
    record = await store.find_patron("P3")
    assert record is not None
    assert [(loan.item_id, loan.renewals) for loan in record.loans] == [("N1", 0)]


async def test_what_was_done_and_undone_by_others_is_not_done_again(
    store: PostgresStore, proxy: BreakableProxy, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy comes back at the sorter before the loan's own gateway can look: lent once (C98)."""
    other = open_postgres_library(postgres_url)
    cut = proxy.cut

    async def bring_back_and_cut() -> None:
        back = order(code=CHECKIN, item="N1", patron=None, key="K2", terminal="sorter-1")
        assert (await other.circulate(decided_by(back, returning()))).outcome == "done"
        await cut()

    monkeypatch.setattr(proxy, "cut", bring_back_and_cut)
    proxy.cut_after = LOAN
    try:
        result = await store.circulate(decided_by(order(item="N1"), lending()))
    finally:
        await other.close()
    assert (proxy.cuts, result.outcome) == (1, "done")
    assert await loans(store, "P3") == []


async def test_what_an_earlier_order_did_under_the_key_is_not_what_this_one_did(
    store: PostgresStore, proxy: BreakableProxy
) -> None:
    """The terminal's clock stands still; the copy was lent and is back, and is lent again (C97)."""
    await store.circulate(decided_by(order(item="N1"), lending()))
    await store.circulate(decided_by(order(code=CHECKIN, item="N1", patron=None), returning()))
    assert await loans(store, "P3") == []
    proxy.cut_before = LOAN
    result = await store.circulate(decided_by(order(item="N1"), lending()))
    assert (proxy.cuts, result.outcome) == (1, "done")
    assert await loans(store, "P3") == ["N1"]


async def test_a_database_that_stays_away_leaves_the_outcome_unknown(
    store: PostgresStore, proxy: BreakableProxy
) -> None:
    await store.find_patron("P3")
    proxy.cut_after = LOAN
    proxy.then_close = True
    with pytest.raises(OutcomeUnknownError):
        await store.circulate(decided_by(order(item="N1"), lending()))


async def test_two_gateways_lend_an_item_once_and_a_limit_is_not_outrun(
    store: PostgresStore, proxy: BreakableProxy, postgres_url: str
) -> None:
    # Not with the fixture's second: a busy machine may need longer for twelve that compete.
    patient = await asyncio.to_thread(open_through, proxy, postgres_url, timeout_s=30.0)
    other = open_postgres_library(postgres_url)
    try:
        results: list[Any] = await asyncio.gather(
            *(
                gateway.circulate(
                    decided_by(order(item=item, patron=patron, key=f"{number}"), lending())
                )
                for number, gateway in enumerate((patient, other) * 3)
                for item in ("N1", "N2")
                for patron in ("P1", "P3")
            )
        )
        assert sum(r.outcome == "done" and not r.done.renewed for r in results) == 2
        held = [*await loans(store, "P1"), *await loans(other, "P3")]
        assert sorted(held) == ["I1", "N1", "N2"]
    finally:
        await patient.close()
        await other.close()
