"""Group commit: what is acknowledged is durable, what fails fails alone, or all together."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.store import writer as writer_module
from sip2gw.backend.store.access_log import AccessLog
from sip2gw.backend.store.dialect import SqliteConnection, connect
from sip2gw.backend.store.migrate import migrate
from sip2gw.backend.store.writer import Done, Writer
from sip2gw.model import AccessRow

from .library import NOW


class Disk(SqliteConnection):
    """A connection whose next statements of one kind can be made to fail."""

    failing = ""
    commits = 0

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if self.failing and statement.startswith(self.failing):
            raise sqlite3.OperationalError("disk I/O error")
        self.commits += statement == "COMMIT"
        return super().execute(statement, *values)


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

    def submit(self, job: writer_module.Job) -> asyncio.Future[Any]:
        return self.writer.submit(job).future

    def _evict(self, patron_ids: Collection[str]) -> None:
        self.evicted.extend(patron_ids)

    def names(self) -> list[str]:
        connection = connect(self.path, read_only=True)
        try:
            return [row[0] for row in connection.execute("SELECT id FROM patron ORDER BY id")]
        finally:
            connection.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "library.db")
    yield rig
    await rig.writer.stop()


def add(name: str, *, fail: bool = False) -> writer_module.Job:
    def job(connection: SqliteConnection) -> Done[str]:
        connection.execute("INSERT INTO patron (id, name) VALUES (?, '')", (name,))
        if fail:
            raise ValueError("no")
        return Done(name, (name,))

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

    def lose(connection: SqliteConnection) -> Done[None]:
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
        await rig.submit(lambda c: Done(c.execute("SELECT * FROM absent")))


async def test_who_gave_up_waiting_disturbs_nobody(rig: Rig) -> None:
    given_up, other = rig.submit(add("P1")), rig.submit(add("P2"))
    given_up.cancel()
    assert await other == "P2"
    assert rig.names() == ["P1", "P2"]


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
    await rig.submit(add("P1"))
    assert len(rig.log) == 0


async def test_a_slow_disk_batches_up_to_the_limit(rig: Rig) -> None:
    """More than a batch waits: all are served, in order."""
    count = writer_module.BATCH_JOBS_MAX * 2 + 5
    results = await asyncio.gather(*(rig.submit(add(f"P{n:03}")) for n in range(count)))
    assert results == sorted(results)
    assert rig.disk.commits >= 3
