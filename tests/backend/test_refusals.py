"""Refused payments: none is lost, none is kept twice, a flood costs little (B100, C104)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.sql.money import refusals as module
from sip2gw.backend.sql.money.refusals import Refusals, Writing
from sip2gw.backend.sqlite.store import Store
from sip2gw.model.refusals import RefusedPayment, RefusedPaymentsMore

from .library import NOW, ZONE, open_library, open_postgres_library

LOCAL_NOW = NOW.astimezone(ZONE)  # 10:30 on 10 March


def refused(minutes: int = 0, **changed: str) -> RefusedPayment:
    """A 37 that was answered no."""
    values = {
        "terminal": "cash-1",
        "payer": "nobody",
        "amount": "2.50",
        "currency": "EUR",
        "payment_type": "00",
        "bk": "K1",
        "reason": "overpayment",
    }
    return RefusedPayment(time=LOCAL_NOW + timedelta(minutes=minutes), **(values | changed))


async def keep(library: Library, *entries: RefusedPayment) -> None:
    """Have `entries` written."""
    for entry in entries:
        written = library.keep_refused_payment(entry)
        if written is not None:
            await written


async def listed(library: Library, **filters: Any) -> list[RefusedPayment | RefusedPaymentsMore]:
    return await asyncio.to_thread(lambda: list(library.refused_payments(**filters)))


async def test_it_is_there_once_it_was_waited_for(library: Library) -> None:
    await keep(library, refused())
    assert await listed(library) == [refused()]


async def test_the_payer_is_the_patron_if_somebody_has_the_card(library: Library) -> None:
    await keep(library, refused(0, payer="C1"), refused(1, payer="OLD1"), refused(2, payer="4711"))
    entries: list[Any] = await listed(library)
    assert [entry.payer for entry in entries] == ["P1", "P1", "4711"]
    assert "P1" not in repr(await listed(library))


async def test_they_are_listed_oldest_first_and_filtered(library: Library) -> None:
    entries = [refused(2), refused(0, terminal="cash-2"), refused(1)]
    await keep(library, *entries)
    assert await listed(library) == [entries[1], entries[2], entries[0]]
    assert await listed(library, terminal="cash-2") == [entries[1]]
    span = {"since": entries[2].time, "until": entries[0].time}
    assert await listed(library, **span) == [entries[2]]


async def test_beyond_the_limit_of_a_terminal_and_day_they_are_counted(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day is the branch's: 13 h 29 min after 10:30 it is still the same, a minute later not."""
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    monkeypatch.setattr(module, "COUNTS_AFTER_S", 0.0)
    same_day, next_day = 13 * 60 + 29, 13 * 60 + 30
    kept = [refused(0), refused(1), refused(2, terminal="cash-2"), refused(next_day)]
    counted = [refused(3), refused(4), refused(same_day)]
    await keep(library, *kept[:3], *counted, kept[3])
    await library.close()
    library = reopened(library)
    more = RefusedPaymentsMore(counted[-1].time, "cash-1", 3)
    assert await listed(library) == [*kept[:3], more, kept[3]]
    assert await listed(library, terminal="cash-2") == [kept[2]]
    await library.close()


def reopened(library: Library) -> Library:
    """The same store after a restart."""
    if isinstance(library, PostgresStore):
        return open_postgres_library(library._address.url)
    assert isinstance(library, Store)
    return open_library(library.path.parent)


async def test_a_restart_does_not_begin_to_count_anew(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    await keep(library, refused(0))
    await library.close()
    library = reopened(library)
    await keep(library, refused(1), refused(2))
    assert await listed(library) == [
        refused(0),
        refused(1),
        RefusedPaymentsMore(refused(2).time, "cash-1", 1),
    ]
    await library.close()


async def test_what_waits_is_written_when_the_store_is_closed(library: Library) -> None:
    library.keep_refused_payment(refused())
    await library.close()
    library = reopened(library)
    assert await listed(library) == [refused()]
    await library.close()


async def test_old_ones_are_forgotten(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 1)
    monkeypatch.setattr(module, "COUNTS_AFTER_S", 0.0)
    await keep(library, refused(0), refused(1), refused(24 * 60))
    await library.close()
    library = reopened(library)
    before = refused(24 * 60).time
    assert library.count_forgotten_refusals(before) == 1
    assert await library.forget_refused_payments(before) == 1
    assert await listed(library) == [refused(24 * 60)]
    assert library.count_forgotten_refusals(before) == 0
    await library.close()


async def test_a_database_that_is_away_gets_them_when_it_is_back(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER_S", 0.0)
    with postgres_store.own_connection() as connection:
        connection.execute("ALTER TABLE refused_payment RENAME TO gone")
        await keep(postgres_store, refused(0))
        connection.execute("ALTER TABLE gone RENAME TO refused_payment")
    await keep(postgres_store, refused(1))
    async with asyncio.timeout(30):
        while len(await listed(postgres_store)) < 2:
            pass
    assert await listed(postgres_store) == [refused(0), refused(1)]


async def test_a_batch_written_twice_is_kept_once(library: Library) -> None:
    """A connection was lost after the commit: nobody knew, so it is written again."""
    batches: list[Writing] = []

    async def remember(writing: Writing) -> None:
        batches.append(writing)

    written = Refusals(remember).add(refused())
    assert written is not None
    await written
    assert isinstance(library, Store | PostgresStore)
    for writing in batches * 2:
        await library._write_refusals(writing)
    assert await listed(library) == [refused()]


# What waits, without a store ----------------------------------------------------------------


class Disk:
    """Takes what is to be written, or fails."""

    def __init__(self) -> None:
        self.works = True
        self.writes: list[tuple[int, list[int]]] = []
        """Of each: rows kept, and the numbers that were only counted."""

    async def write(self, writing: Writing) -> None:
        await asyncio.sleep(0)
        if not self.works:
            raise UnavailableError("full")
        counts = [values[3] for values in writing.counted if values[4] == ""]
        self.writes.append((len(writing.kept), counts))


@pytest.fixture
def disk() -> Disk:
    return Disk()


async def test_a_flood_costs_one_write_and_then_only_numbers(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 5)
    waiting = Refusals(disk.write)
    results = [waiting.add(refused()) for _ in range(10_000)]
    assert [written is not None for written in results[:6]] == [True] * 5 + [False]
    assert results[5:] == [None] * 9_995
    await waiting.close()
    assert disk.writes == [(5, [9_995])]


async def test_many_are_written_in_portions(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_WRITE", 3)
    waiting = Refusals(disk.write)
    last = [waiting.add(refused()) for _ in range(7)][-1]
    assert last is not None
    await last
    assert [kept for kept, _ in disk.writes] == [3, 3, 1]


async def test_a_failing_store_keeps_nobody_waiting_and_loses_nothing(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 3)
    disk.works = False
    waiting = Refusals(disk.write)
    written = waiting.add(refused())
    assert written is not None
    await written
    assert waiting.add(refused()) is None  # known to fail: tried again later
    assert waiting.add(refused()) is None
    assert waiting.add(refused()) is None  # beyond the limit
    disk.works = True
    await waiting.close()
    assert disk.writes == [(3, [1])]


async def test_numbers_outlive_a_failure_too(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 0)
    disk.works = False
    waiting = Refusals(disk.write)
    for terminal in ("cash-1", "cash-2", "cash-1"):
        waiting.add(refused(terminal=terminal))
    assert not await waiting._write_some()
    waiting.add(refused())
    disk.works = True
    await waiting.close()
    assert disk.writes == [(0, [3, 1])]


async def test_it_tries_again_by_itself(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER_S", 0.0)
    disk.works = False
    waiting = Refusals(disk.write)
    waiting.add(refused())
    await until(lambda: waiting._failing)
    disk.works = True
    await until(lambda: bool(disk.writes))
    assert disk.writes == [(1, [])]


async def test_numbers_are_written_by_themselves(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 0)
    monkeypatch.setattr(module, "COUNTS_AFTER_S", 0.0)
    Refusals(disk.write).add(refused())
    await until(lambda: bool(disk.writes))
    assert disk.writes == [(0, [1])]


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until something has happened."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 -- turns of the loop, bounded
            await asyncio.sleep(0)


async def test_what_waits_is_bounded(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 2)
    waiting = Refusals(disk.write)
    for minutes in range(3):
        waiting.add(refused(minutes))
    await waiting.close()
    assert disk.writes == [(2, [1])]


async def test_a_new_day_has_room_again(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 1)
    waiting = Refusals(disk.write)
    for entry in (refused(), refused(1), refused(24 * 60), refused(24 * 60 + 1)):
        waiting.add(entry)
    await waiting.close()
    assert disk.writes == [(2, [1, 1])]


async def test_what_is_only_counted_holds_up_nothing_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "COUNTS_AFTER_S", 3_600)
    monkeypatch.setattr(module, "KEPT_MAX", 1)
    kept: list[int] = []

    async def write(writing: Writing) -> None:
        kept.append(len(writing.kept))

    refusals = Refusals(write)
    for entry in (refused(0), refused(1), refused(2, terminal="cash-2")):
        written = refusals.add(entry)
        if written is not None:
            await asyncio.wait_for(written, 5)
    assert kept == [1, 1]
    await refusals.close()


def test_two_in_one_turn_are_kept_on_the_loop_that_a_gateway_may_run_on() -> None:
    """uvloop's timer that is due at once cannot say when."""
    uvloop = pytest.importorskip("uvloop")
    kept: list[int] = []

    async def write(writing: Writing) -> None:
        kept.append(len(writing.kept))

    async def refuse_two() -> None:
        refusals = Refusals(write)
        first, second = refusals.add(refused(0)), refusals.add(refused(1))
        assert first is not None
        assert second is not None
        await asyncio.gather(first, second)
        await refusals.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(refuse_two())
    assert kept == [2]
