"""A slow disk holds up whoever reads from it, once in a while everybody, never for long (C114)."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from orders import decided_by

from sip2gw.backend.base import Backend, BackendTimeoutError, UnavailableError
from sip2gw.backend.database import Connection
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql.money import ledger
from sip2gw.backend.sql.records import load_by_card
from sip2gw.backend.sqlite import database, reads, waits
from sip2gw.backend.sqlite import store as store_module
from sip2gw.backend.sqlite.place import Place
from sip2gw.backend.sqlite.reads import APART_S, THREADS_MAX, Reads
from sip2gw.backend.sqlite.store import Store
from sip2gw.backend.sqlite.waits import (
    SLOW_S,
    Account,
    Accounts,
    waited_for_disk,
)
from sip2gw.model import Block, BlockType, CardHere, PatronRecord
from sip2gw.policy.items.decisions import CHECKIN

from .contract import BackendContract
from .library import order, pay_fee
from .test_circulation import order as item_order
from .test_circulation import returning
from .test_coherence import (  # noqa: F401 -- the same tests, in threads
    test_a_command_in_another_process_is_seen_at_the_next_request,
    test_a_payment_by_a_command_is_seen,
    test_an_import_beside_the_daemon_is_seen,
    test_the_daemons_own_writes_keep_other_snapshots,
)

WAIT_S = 10
"""More than anything here takes."""


class Clock:
    """Shows what it is set to, beside what really goes by."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.perf_counter() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def apart(tmp_path: Path, clock: Clock) -> AsyncIterator[Reads]:
    """Reads of an empty file, which go to threads already."""
    made = Reads(Place(tmp_path / "library.db"), clock=clock)
    made.note_slow()
    yield made
    await made.close()


@pytest.fixture
def store(store: Store) -> Store:
    """The small library, read in threads."""
    store._reads.note_slow()
    return store


class Gate:
    """A read that says when it has begun, and ends when it is let."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, connection: Connection) -> str:
        self.begun.set()
        assert self.open.wait(WAIT_S)
        return "slow"

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, WAIT_S)


def who(connection: Connection) -> int:
    return threading.get_ident()


def slow(connection: Connection) -> int:
    time.sleep(0.3)  # a disk lets the interpreter go, too
    return who(connection)


class TestContractInThreads(BackendContract):
    """Nothing else is answered because threads read."""

    @pytest.fixture
    def backend(self, store: Store) -> Backend:
        return store


# Where ------------------------------------------------------------------------------------------


async def test_one_slow_read_sends_the_next_ones_to_threads(tmp_path: Path, clock: Clock) -> None:
    made, loop = Reads(Place(tmp_path / "library.db"), clock=clock), threading.get_ident()
    assert await made.moment(who) == loop
    assert not made.apart
    assert await made.moment(slow) == loop
    assert made.apart
    assert await made.moment(who) != loop
    assert await made.rows("SELECT 1") == [(1,)]
    await made.close()


async def test_a_fast_read_is_answered_before_slow_ones(apart: Reads) -> None:
    """All slow threads but one wait for the disk."""
    gates = [Gate() for _ in range(THREADS_MAX - 1)]
    waiting = [asyncio.ensure_future(apart.moment(gate)) for gate in gates]
    for gate in gates:
        await gate.reached()
    async with asyncio.timeout(WAIT_S):
        assert await apart.rows("SELECT 1") == [(1,)]
    assert not any(task.done() for task in waiting)
    for gate in gates:
        gate.open.set()
    assert await asyncio.gather(*waiting) == ["slow"] * len(gates)


async def test_they_come_back_when_none_was_slow_for_a_while(apart: Reads, clock: Clock) -> None:
    clock.ahead_s += APART_S - 10
    assert await apart.moment(slow) != threading.get_ident()
    clock.ahead_s += APART_S - 10
    assert await apart.moment(who) != threading.get_ident()
    clock.ahead_s += 20
    assert await apart.moment(who) == threading.get_ident()
    assert not apart.apart
    apart.note_slow()
    assert await apart.moment(who) != threading.get_ident()


async def test_they_do_not_come_back_to_a_disk_that_has_stopped(apart: Reads, clock: Clock) -> None:
    """Also when whoever asked has gone meanwhile."""
    gate = Gate()
    waiting = asyncio.ensure_future(apart.moment(gate))
    await gate.reached()
    waiting.cancel()
    clock.ahead_s += 10 * APART_S
    assert await apart.moment(who) != threading.get_ident()
    gate.open.set()
    clock.ahead_s += 10 * APART_S
    async with asyncio.timeout(WAIT_S):
        while await apart.moment(who) != threading.get_ident():
            clock.ahead_s += 10 * APART_S


async def test_one_moment_is_one_moment(apart: Reads) -> None:
    def read(connection: Connection) -> bool:
        return connection.in_transaction

    assert await apart.moment(read)
    apart.connection.execute("SELECT 1")
    assert not apart.connection.in_transaction


# Who goes, what fails ---------------------------------------------------------------------------


async def test_a_read_of_somebody_who_has_gone_is_dropped(
    apart: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "THREADS_MAX", 1)
    gate, done = Gate(), list[str]()
    first = asyncio.ensure_future(apart.moment(gate))
    await gate.reached()
    second = asyncio.ensure_future(apart.moment(lambda connection: done.append("second")))
    third = asyncio.ensure_future(apart.moment(lambda connection: done.append("third")))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    gate.open.set()
    await third
    assert done == ["third"]


async def test_too_many_waiting_reads_are_refused_at_once(
    apart: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "THREADS_MAX", 1)
    monkeypatch.setattr(reads, "WAITING_MAX", 2)
    gate = Gate()
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(apart.moment(gate))]
    await gate.reached()
    tasks += [asyncio.ensure_future(apart.moment(who)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="too many reads"):
        await apart.moment(who)
    gate.open.set()
    await asyncio.gather(*tasks)
    assert await apart.moment(who) != threading.get_ident()


async def test_the_end_does_not_wait_for_a_disk_that_has_stopped(
    apart: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "THREADS_MAX", 1)
    monkeypatch.setattr(reads, "CLOSE_WAIT_S", 0.01)
    gate = Gate()
    stuck = asyncio.ensure_future(apart.moment(gate))
    await gate.reached()
    waiting = asyncio.ensure_future(apart.moment(who))
    await asyncio.sleep(0)
    async with asyncio.timeout(WAIT_S):
        await apart.close()
        with pytest.raises(UnavailableError, match="closed"):
            await waiting
    assert not stuck.done()
    gate.open.set()
    assert await stuck == "slow"
    with pytest.raises(UnavailableError, match="closed"):
        await apart.moment(who)


async def test_a_failing_read_is_the_same_failure_in_a_thread(apart: Reads) -> None:
    def fail(connection: Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(UnavailableError, match="the store cannot be read: disk I/O error"):
        await apart.moment(fail)
    assert await apart.rows("SELECT 1") == [(1,)]


async def test_a_thread_opens_no_other_store(store: Store) -> None:
    """Nor does it make one where the file has gone (C109); it is noticed by the thread itself."""
    elsewhere = store.path.rename(store.path.with_suffix(".elsewhere"))
    with pytest.raises(UnavailableError, match="not where it was opened"):
        await store.find_by_card("C1")
    assert not store.path.exists()
    elsewhere.rename(store.path)
    await store.look()
    assert await store.find_by_card("C1") is not None


# What is kept -----------------------------------------------------------------------------------


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch, number: str) -> Iterator[Gate]:
    """Whoever reads the holder of this card waits, and has seen them before that."""
    gate, load = Gate(), load_by_card

    def load_and_wait(connection: Any, wanted: str) -> PatronRecord | None:
        record = load(connection, wanted)
        if wanted == number and not gate.begun.is_set():
            gate(connection)
        return record

    monkeypatch.setattr(store_module, "load_by_card", load_and_wait)
    yield gate
    gate.open.set()


async def block(store: Store) -> None:
    await store.set_block("P1", Block(BlockType.GENERAL, "", None, "terminal"))


async def pay(store: Store) -> None:
    await store.book_payment(decided_by(order(amount=250), pay_fee("F1", 250)))


async def other_version(store: Store) -> None:
    """As when a command has written."""
    writer = sqlite3.connect(store.path, isolation_level=None)
    writer.execute("DELETE FROM block WHERE patron_id = 'P1'")
    writer.execute("UPDATE store_version SET version = version + 1")
    writer.close()
    await store.find_by_card("P3")
    await store.find_by_card("P3")


@pytest.mark.parametrize("change", [block, pay, other_version])
async def test_what_changed_while_it_was_read_is_not_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, change: Callable[[Store], Any]
) -> None:
    """Who asks after the change sees it, whatever a thread that began before comes back with."""
    with held(monkeypatch, "C1") as gate:
        asked_before = asyncio.ensure_future(store.find_by_card("C1"))
        await gate.reached()
        await change(store)
        gate.open.set()
        before = await asked_before
    after = await store.find_by_card("C1")
    assert before is not None
    assert after is not None
    assert (after.blocks, after.fees) != (before.blocks, before.fees)
    assert after == await store.find_patron("P1")


async def test_what_was_read_while_somebody_else_changed_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(monkeypatch, "P3") as gate:
        asked_before = asyncio.ensure_future(store.find_by_card("P3"))
        await gate.reached()
        await block(store)
        gate.open.set()
        record = await asked_before
    assert record is not None
    assert await store.find_by_card("P3") is record


async def test_what_a_thread_has_read_of_a_number_may_be_old_and_is_not_remembered(
    store: Store,
) -> None:
    assert store._reads.apart
    assert await store.find_here("777") == CardHere()
    assert store._strangers == {}


async def test_others_are_found_while_one_waits_for_the_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(monkeypatch, "C1") as gate:
        waiting = asyncio.ensure_future(store.find_by_card("C1"))
        await gate.reached()
        async with asyncio.timeout(WAIT_S):
            assert await store.find_by_card("P3") is not None
            await block(store)
            await store.ping()
        assert not waiting.done()
        gate.open.set()
        assert await waiting is not None


@contextmanager
def statements(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> Iterator[tuple[set[str], set[str]]]:
    """What the writer reads in the loop, and what threads read, from now on."""
    in_loop, in_threads = set[str](), set[str]()
    connect = database.connect

    def traced(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(in_threads.add)
        return connection

    monkeypatch.setattr(reads, "connect", traced)
    store._writer._connection.set_trace_callback(in_loop.add)
    yield in_loop, in_threads
    store._writer._connection.set_trace_callback(None)


async def test_a_thread_reads_ahead_what_an_order_will_read_in_the_loop(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an item, who has it, and of the receipt; the patron was read to identify them."""
    back = item_order(CHECKIN, "I1", None, with_borrower=True)
    paid = order(amount=250)
    with statements(monkeypatch, store) as (in_loop, in_threads):
        assert (await store.circulate(decided_by(back, returning()))).outcome == "done"
        await store.find_payer("C1")
        await store.book_payment(decided_by(paid, pay_fee("F1", 250)))
        await store.book_payment(decided_by(replace(paid, id=new_id()), pay_fee("F1", 250)))
    read = {one for one in in_loop if one.lstrip().startswith("SELECT")}
    read -= {one for one in read if "store_version" in one}
    assert any("FROM item" in one for one in read)
    assert any("k.key" in one for one in read)
    first_payment = {one for one in read if "FROM payment p" in one}
    assert read - first_payment <= in_threads
    assert any(paid.id in one and "ledger_transaction" in one for one in in_threads)


async def test_an_order_whose_read_ahead_waits_is_certainly_not_done_at_its_deadline(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(ledger, "look_ahead", lambda connection, order: gate(connection))
    paying = asyncio.ensure_future(
        store.book_payment(decided_by(order(amount=250), pay_fee("F1", 250)))
    )
    await gate.reached()
    paying.cancel()
    with pytest.raises(BackendTimeoutError):
        await paying
    gate.open.set()
    monkeypatch.undo()
    assert list(store.payments()) == []
    assert await store.unknown_attempts() == []


# What is slow -----------------------------------------------------------------------------------

INTERVAL_S = sys.getswitchinterval()


@pytest.mark.parametrize(
    ("wall_s", "busy_s", "switches", "blocks", "slow"),
    [
        (0.9 * SLOW_S, 0.0, 1, 8, False),
        pytest.param(1.1 * SLOW_S, 0.0, 1, 8, True, id="one wait for the disk"),
        pytest.param(0.1, 0.0, 12, 96, True, id="many short waits for an old disk"),
        pytest.param(1.0, 0.0, 16, 0, True, id="long waits for a disk that is not counted"),
        pytest.param(1.0, 0.999, 1, 8, False, id="it ran, or was ready to run"),
        pytest.param(1.0, 0.0, 0, 0, False, id="it never waited: the machine stood still"),
        pytest.param(1.0, 0.5, 0.5 // INTERVAL_S, 0, False, id="for the interpreter"),
        pytest.param(0.086, 0.031, 5, 0, False, id="for somebody else's processor, as measured"),
        pytest.param(0.149, 0.096, 2, 0, False, id="on a crowded machine, as measured"),
    ],
)
def test_waiting_for_the_disk_is_told_from_waiting_for_anything_else(
    wall_s: float, busy_s: float, switches: int, blocks: int, slow: bool
) -> None:
    before = Account(10.0, 20, 40)
    after = Account(10.0 + busy_s, 20 + int(switches), 40 + blocks)
    assert waited_for_disk(wall_s, before, after) == slow


async def test_where_the_kernel_does_not_tell_reads_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "_SCHEDSTAT", str(tmp_path / "nothing"))
    accounts = Accounts()
    assert accounts.look() is None
    accounts.close()
    made = Reads(Place(tmp_path / "library.db"))
    await made.moment(slow)
    assert not made.apart
    await made.close()


@pytest.fixture
def crowd() -> Iterator[None]:
    """Other processes want the processors, and other threads the interpreter."""
    gone = threading.Event()

    def burn() -> None:
        while not gone.is_set():
            pass

    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(2 * (os.cpu_count() or 1))]
    threads = [threading.Thread(target=burn) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    gone.set()
    for process in processes:
        process.kill()
        process.wait()
    for thread in threads:
        thread.join()


COUNT = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
           SELECT SUM(i) FROM n"""


@pytest.mark.parametrize("apart", [False, True], ids=["in the loop", "in threads"])
@pytest.mark.usefixtures("crowd")
async def test_a_busy_machine_is_no_slow_disk(tmp_path: Path, apart: bool) -> None:
    made, took = Reads(Place(tmp_path / "library.db")), list[float]()
    if apart:
        made.note_slow()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        began = time.perf_counter()
        await made.rows(COUNT.format(3))
        await made.rows(COUNT.format(20_000))
        took.append(time.perf_counter() - began)
    await made.close()
    assert max(took) > SLOW_S
    assert made.slow == apart
