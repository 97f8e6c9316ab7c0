"""Group commit: what is acknowledged is durable, what fails fails alone, or all together."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from sip2gw.backend.base import BackendError, OutcomeUnknownError, UnavailableError
from sip2gw.backend.database import WriteResult
from sip2gw.backend.sql.door_log import AccessLog
from sip2gw.backend.sql.migrate import migrate
from sip2gw.backend.sql.queries import STORE_VERSION
from sip2gw.backend.sqlite import writer as writer_module
from sip2gw.backend.sqlite.database import SqliteConnection, connect
from sip2gw.backend.sqlite.writer import State, Waiting, Writer
from sip2gw.foundation.eager import Detached, Suspended, start
from sip2gw.model import AccessRow

from .library import NOW


class Disk(SqliteConnection):
    """A connection whose next statements of one kind can be made to fail, or to take long."""

    failing = ""
    """Statements that begin so fail."""
    failures_left = -1
    """So many times; -1 is for ever."""
    commits = 0
    passes: threading.Event | None = None
    """A COMMIT waits for it."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT" and self.passes is not None:
            self.passes.wait()
        if self.failing and statement.startswith(self.failing) and self.failures_left != 0:
            self.failures_left -= 1
            raise sqlite3.OperationalError("disk I/O error")
        self.commits += statement == "COMMIT"
        return super().execute(statement, *values)


async def result_of(waiting: Waiting) -> Any:
    return await waiting


def go_on(work: Coroutine[Any, Any, Any]) -> Suspended[Any]:
    """Drive it as a line does its requests, without a task."""
    request = start(work)
    assert isinstance(request, Suspended)
    request.go_on(lambda _: None)
    return request


def leave(waiting: Waiting) -> None:
    """Wait for it, and give up."""
    go_on(result_of(waiting)).cancel()


async def until(true: Callable[[], bool]) -> None:
    """Let the loop and the writer's thread go on until it is so."""
    while not true():  # noqa: ASYNC110 -- what the thread does has no event
        await asyncio.sleep(0.0005)


class Rig:
    """A writer with what it talks to."""

    def __init__(self, path: Path) -> None:
        connection = connect(path, factory=Disk)
        assert isinstance(connection, Disk)
        self.disk = connection
        migrate(connection)
        connection.commits = 0
        self.evicted: list[str] = []
        self.log = AccessLog()
        self.writer = Writer(connection, self.log, self._evict, bump_version=False)
        self.path = path

    def submit(self, job: writer_module.Job) -> Waiting:
        return self.writer.submit(job)

    async def recovered(self) -> None:
        """Wait until the store is no longer suspect."""
        await until(lambda: not self.writer.suspect)

    def _evict(self, patron_ids: Collection[str]) -> None:
        self.evicted.extend(patron_ids)

    def names(self) -> list[str]:
        connection = connect(self.path, read_only=True)
        try:
            return [row[0] for row in connection.execute("SELECT id FROM patron ORDER BY id")]
        finally:
            connection.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspect store is tried at once again."""
    monkeypatch.setattr(writer_module, "PROBE_EVERY_S", 0.002)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "library.db")
    yield rig
    await rig.writer.stop()


def add(name: str, *, fail: bool = False) -> writer_module.Job:
    def job(connection: SqliteConnection) -> WriteResult[str]:
        connection.execute("INSERT INTO patron (id, name) VALUES (?, '')", (name,))
        if fail:
            raise ValueError("no")
        return WriteResult(name, (name,))

    return job


async def test_what_waits_together_shares_one_commit(rig: Rig) -> None:
    results = await asyncio.gather(*(rig.submit(add(f"P{n:02}")) for n in range(40)))
    assert results == [f"P{n:02}" for n in range(40)]
    assert rig.names() == results
    assert rig.disk.commits < 40


async def test_a_failing_job_undoes_only_itself(rig: Rig) -> None:
    good, bad = rig.submit(add("P1")), rig.submit(add("P2", fail=True))
    with pytest.raises(ValueError, match="no"):
        await bad
    assert await good == "P1"
    assert rig.names() == ["P1"]
    assert rig.evicted == ["P1"]


async def test_a_failing_commit_fails_all_and_nothing_is_kept(rig: Rig) -> None:
    rig.disk.failing = "COMMIT"
    futures = [rig.submit(add(f"P{n}")) for n in range(3)]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 3
    rig.disk.failing = ""
    await rig.recovered()
    assert await rig.submit(add("P9")) == "P9"
    assert rig.names() == ["P9"]
    assert rig.evicted == ["P9"]


async def test_a_store_that_cannot_begin_answers_and_recovers(rig: Rig) -> None:
    rig.disk.failing = "BEGIN"
    with pytest.raises(UnavailableError):
        await rig.submit(add("P1"))
    rig.disk.failing = ""
    assert await rig.submit(add("P1")) == "P1"


async def test_a_lost_transaction_fails_the_whole_batch(rig: Rig) -> None:
    """A full disk makes SQLite roll everything back by itself: nobody may be acknowledged."""

    def lose(connection: SqliteConnection) -> WriteResult[None]:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    first, second = rig.submit(add("P1")), rig.submit(lose)
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(outcomes[1], UnavailableError)
    assert rig.names() == ([] if isinstance(outcomes[0], UnavailableError) else ["P1"])


async def test_errors_of_the_database_become_errors_of_the_port(rig: Rig) -> None:
    await rig.submit(add("P1"))
    with pytest.raises(BackendError, match="refused"):
        await rig.submit(add("P1"))
    with pytest.raises(UnavailableError, match="no such table"):
        await rig.submit(lambda c: WriteResult(c.execute("SELECT * FROM absent")))


async def test_who_gave_up_waiting_disturbs_nobody(rig: Rig) -> None:
    given_up, other = rig.submit(add("P1")), rig.submit(add("P2"))
    leave(given_up)
    assert await other == "P2"
    assert rig.names() == ["P1", "P2"]


async def test_what_goes_on_without_its_caller_hears_of_its_commit(rig: Rig) -> None:
    """A payment whose terminal has hung up is noted all the same (C98)."""
    rig.disk.passes = threading.Event()
    heard = []

    async def work() -> None:
        heard.append(await rig.submit(add("P1")))

    detached: Detached[None] = Detached(set(), lambda: None)

    async def request() -> None:
        await detached.run(work())

    go_on(request()).cancel()
    await asyncio.sleep(0.01)
    early = list(heard)
    rig.disk.passes.set()
    await until(lambda: heard == ["P1"])
    assert early == []


async def test_whoever_runs_after_a_failing_job_knows_whom_those_before_have_changed(
    rig: Rig,
) -> None:
    """They read nothing about them in memory, which is older."""
    seen: list[set[str]] = []

    def look(connection: SqliteConnection) -> WriteResult[None]:
        seen.append(set(rig.writer.touched))
        return WriteResult(None)

    jobs = rig.submit(add("P1")), rig.submit(look), rig.submit(add("P2", fail=True))
    await asyncio.gather(*jobs, return_exceptions=True)
    assert seen == [{"P1"}, {"P1"}]


async def test_the_next_transaction_begins_before_the_answers_to_the_last_one(rig: Rig) -> None:
    """So it commits while they are written."""
    rig.disk.passes = threading.Event()
    first = rig.submit(add("P1"))
    await begun(first)
    second = rig.submit(add("P2"))
    seen = []

    async def answer() -> None:
        await first
        seen.append(second.state)

    go_on(answer())
    rig.disk.passes.set()
    await second
    assert seen == [State.BEGUN]


async def test_whoever_is_told_may_write_again_in_the_same_step(rig: Rig) -> None:
    async def twice(name: str) -> None:
        await rig.submit(add(name))
        await rig.submit(add(f"{name}-2"))

    for number in range(3):
        go_on(twice(f"P{number}"))
    await until(lambda: len(rig.names()) == 6)


async def test_a_full_queue_refuses_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_JOBS_MAX", 2)
    waiting = [rig.submit(add("P1")), rig.submit(add("P2"))]
    with pytest.raises(UnavailableError, match="full"):
        rig.submit(add("P3"))
    await asyncio.gather(*waiting)
    assert await rig.submit(add("P3")) == "P3"


async def test_door_rows_survive_a_failing_commit(rig: Rig) -> None:
    row = AccessRow(NOW, "MAIN", "door", "granted", "granted", "normal", "", None)
    rig.log.add(row)
    rig.disk.failing = "COMMIT"
    with pytest.raises(UnavailableError):
        await rig.submit(add("P1"))
    assert len(rig.log) == 1
    rig.disk.failing = ""
    await rig.recovered()
    await rig.submit(add("P1"))
    assert len(rig.log) == 0


async def test_a_slow_disk_batches_up_to_the_limit(rig: Rig) -> None:
    """More than a batch waits: all are served, in order."""
    count = writer_module.BATCH_JOBS_MAX * 2 + 5
    results = await asyncio.gather(*(rig.submit(add(f"P{n:03}")) for n in range(count)))
    assert results == sorted(results)
    assert rig.disk.commits >= 3


# What was answered no is not done later (C98)


async def begun(waiting: writer_module.Waiting) -> None:
    """Wait until it has run and its transaction commits."""
    await until(lambda: waiting.state is State.BEGUN)


def pay(name: str) -> writer_module.Job:
    """As a payment does: finds what it has written before."""

    def job(connection: SqliteConnection) -> WriteResult[str]:
        connection.execute(
            "INSERT INTO patron (id, name) VALUES (?, '') ON CONFLICT DO NOTHING", (name,)
        )
        return WriteResult(name)

    return job


async def test_an_order_for_which_nobody_waits_any_more_is_not_begun(rig: Rig) -> None:
    dropped, other = rig.writer.submit(pay("P1"), "BK1"), rig.writer.submit(add("P2"))
    leave(dropped)
    await other
    assert rig.names() == ["P2"]
    assert dropped.state is not State.BEGUN


async def test_what_is_optional_is_not_begun_either_and_everything_else_is(rig: Rig) -> None:
    """A wrong PIN is counted although the terminal has hung up."""
    optional = rig.writer.submit(add("P1"), optional=True)
    counted = rig.writer.submit(add("P2"))
    leave(optional)
    leave(counted)
    await rig.submit(add("P3"))
    assert rig.names() == ["P2", "P3"]


async def test_nor_is_it_begun_when_another_job_of_the_batch_fails(rig: Rig) -> None:
    """The batch is run again, one by one."""
    orders = [rig.writer.submit(pay(f"P{n}"), f"BK{n}") for n in range(3)]

    def give_up(connection: SqliteConnection) -> WriteResult[None]:
        if not orders[0].unwanted:
            leave(orders[0])
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await rig.submit(give_up)
    assert [await waiting for waiting in orders[1:]] == ["P1", "P2"]
    assert rig.names() == ["P1", "P2"]


async def test_a_commit_under_way_is_in_doubt_until_it_ends(rig: Rig) -> None:
    rig.disk.passes = threading.Event()
    waiting = rig.writer.submit(pay("P1"), "BK1")
    assert rig.writer.orders_in_doubt() == []
    await begun(waiting)
    assert rig.writer.orders_in_doubt() == ["BK1"]
    rig.disk.passes.set()
    await waiting
    assert waiting.state is State.ENDED
    assert rig.writer.orders_in_doubt() == []


async def test_an_order_whose_commit_failed_is_done_once_when_the_disk_works_again(
    rig: Rig,
) -> None:
    rig.disk.failing, rig.disk.failures_left = "COMMIT", 4
    assert await rig.writer.submit(pay("P1"), "BK1") == "P1"
    assert rig.disk.failures_left == 0
    assert rig.names() == ["P1"]


async def test_while_nobody_knows_everything_else_is_refused_at_once(rig: Rig) -> None:
    rig.disk.failing, rig.disk.passes = "COMMIT", threading.Event()
    first = rig.writer.submit(pay("P1"), "BK1")
    await begun(first)
    second = rig.writer.submit(pay("P2"), "BK2")
    rig.disk.passes.set()
    with pytest.raises(UnavailableError):
        await second
    with pytest.raises(UnavailableError, match="recovered"):
        rig.writer.submit(pay("P3"), "BK3")
    assert rig.writer.orders_in_doubt() == ["BK1"]
    rig.disk.failing = ""
    assert await first == "P1"
    assert rig.names() == ["P1"]


async def test_an_order_in_doubt_for_which_nobody_waits_is_not_tried_again(rig: Rig) -> None:
    """Its terminal was told "not sure", or nothing."""
    rig.disk.failing = "COMMIT"
    waiting = rig.writer.submit(pay("P1"), "BK1")
    await begun(waiting)
    leave(waiting)
    await until(lambda: rig.writer.suspect)
    assert rig.writer.orders_in_doubt() == ["BK1"]
    rig.disk.failing = ""
    await rig.recovered()
    await rig.submit(add("P2"))
    assert rig.writer.orders_in_doubt() == []
    assert rig.names() == ["P2"]


async def test_an_order_that_can_never_be_committed_is_refused_in_the_end(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes the small transaction that tries it, but not this one."""
    real = Writer._commit

    def commit(self: Writer, loop: Any, batch: Any, rows: Any) -> None:
        rig.disk.failing = "COMMIT"
        real(self, loop, batch, rows)
        rig.disk.failing = ""

    monkeypatch.setattr(Writer, "_commit", commit)
    with pytest.raises(UnavailableError, match="commit"):
        await rig.writer.submit(pay("P1"), "BK1")
    assert rig.names() == []


async def test_the_transaction_that_ends_the_doubt_tells_everybody_to_read_anew(rig: Rig) -> None:
    """Whatever the failed one has written: no snapshot in memory is trusted."""

    def version() -> int:
        connection = connect(rig.path, read_only=True)
        try:
            return int(connection.execute(STORE_VERSION).fetchone()[0])
        finally:
            connection.close()

    before = version()
    rig.disk.failing, rig.disk.failures_left = "COMMIT", 1
    await rig.writer.submit(pay("P1"), "BK1")
    assert version() == before + 1


async def test_a_store_that_is_closed_while_nobody_knows_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "library.db")
    rig.disk.failing = "COMMIT"
    waiting = rig.writer.submit(pay("P1"), "BK1")
    await begun(waiting)
    await until(lambda: rig.writer.suspect)
    await rig.writer.stop()
    with pytest.raises(OutcomeUnknownError):
        await waiting


# Another process holds the lock


@pytest.fixture
def other(rig: Rig) -> Iterator[SqliteConnection]:
    """Another process's connection, in a write transaction."""
    connection = connect(rig.path)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


async def test_a_job_waits_for_the_lock(rig: Rig, other: SqliteConnection) -> None:
    waiting = rig.writer.submit(pay("P1"), "BK1")
    await asyncio.sleep(0.01)
    assert waiting.state is State.QUEUED
    other.execute("ROLLBACK")
    assert await waiting == "P1"


async def test_what_waited_too_long_for_the_lock_is_refused_and_never_done(
    rig: Rig, other: SqliteConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.writer, "_lock_wait_s", 0.02)
    with pytest.raises(UnavailableError, match="another process"):
        await rig.writer.submit(pay("P1"), "BK1")
    other.execute("ROLLBACK")
    await rig.submit(add("P2"))
    assert rig.names() == ["P2"]


async def test_whoever_has_waited_too_long_may_ask_again_at_once(
    rig: Rig, other: SqliteConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.writer, "_lock_wait_s", 0.02)
    done = []

    async def insist(name: str) -> None:
        with pytest.raises(UnavailableError, match="another process"):
            await rig.writer.submit(pay(name), name)
        rig.writer._lock_wait_s = 10
        done.append(rig.writer.submit(pay(name), name))

    for name in ("P1", "P2"):
        go_on(insist(name))
    async with asyncio.timeout(10):
        await until(lambda: len(done) == 2)
    other.execute("ROLLBACK")
    assert await asyncio.gather(*done) == ["P1", "P2"]


async def test_what_nobody_waits_for_while_the_lock_is_taken_is_never_done(
    rig: Rig, other: SqliteConnection
) -> None:
    given_up = rig.writer.submit(pay("P1"), "BK1")
    await asyncio.sleep(0.01)
    leave(given_up)
    await asyncio.sleep(0.01)
    other.execute("ROLLBACK")
    await rig.submit(add("P2"))
    assert rig.names() == ["P2"]


async def test_the_loop_is_free_while_the_lock_is_taken(rig: Rig, other: SqliteConnection) -> None:
    """C114: nothing of it waits for the other process."""
    waiting = rig.writer.submit(pay("P1"), "BK1")
    loop = asyncio.get_running_loop()
    longest = 0.0
    for _ in range(20):
        before = loop.time()
        await asyncio.sleep(0)
        longest = max(longest, loop.time() - before)
    assert longest < 1
    other.execute("ROLLBACK")
    await waiting


async def test_door_rows_wait_for_the_lock_as_well(
    rig: Rig, other: SqliteConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.writer, "_lock_wait_s", 0.01)
    monkeypatch.setattr(writer_module, "ROWS_RETRY_S", 0.01)
    rig.log.add(AccessRow(NOW, "MAIN", "door", "granted", "granted", "normal", "", None))
    rig.writer.nudge()
    await asyncio.sleep(0.05)
    assert len(rig.log) == 1
    other.execute("ROLLBACK")
    await until(lambda: not rig.log)


async def test_a_locked_store_can_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path / "library.db")
    monkeypatch.setattr(rig.writer, "_lock_wait_s", 0.01)
    rig.log.add(AccessRow(NOW, "MAIN", "door", "granted", "granted", "normal", "", None))
    other = connect(rig.path)
    other.execute("BEGIN IMMEDIATE")
    await rig.writer.stop()
    other.close()
