"""Group commit: many jobs, one transaction, one fsync, one wake-up of the event loop.

Jobs run in the event loop's thread, inside the write transaction; only what can wait for the disk
or for another process (COMMIT, a BEGIN that finds the lock taken, rows of the door log) runs in
the writer's thread. Running the jobs there as well would be worse: each of their statements would
wait for the interpreter lock that the loop holds (measured: twice the CPU per payment).

While one transaction commits the next jobs gather. A failing job undoes only itself; a failing
COMMIT fails them all, and nothing is acknowledged.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from queue import SimpleQueue
from typing import Any

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.library import Done
from sip2gw.backend.store.access_log import AccessLog
from sip2gw.backend.store.dialect import WRITE_WAIT_S, SqliteConnection, is_busy, never_wait
from sip2gw.backend.store.queries import BUMP_VERSION
from sip2gw.model import AccessRow, Fee, PatronRecord

BATCH_JOBS_MAX = 64
JOBS_PER_TURN = 16
"""After so many jobs of a batch the event loop serves others first."""
QUEUE_JOBS_MAX = 10_000
"""More waiting jobs than that are refused at once: the disk has stopped keeping up."""
LOCK_POLL_S = 0.005

Job = Callable[[SqliteConnection], Done[Any]]
"""Runs inside a transaction, may be run again; raises to undo what it wrote."""


class _Waiting:
    """A job with the future of whoever waits for it, and then its outcome."""

    __slots__ = ("future", "job", "outcome")

    def __init__(self, job: Job, future: asyncio.Future[Any]) -> None:
        self.job = job
        self.future = future
        self.outcome: Done[Any] | Exception = UnavailableError("not run")

    def settle(self) -> None:
        """Tell the waiting coroutine, unless it has given up."""
        if self.future.done():
            return
        if isinstance(self.outcome, Exception):
            self.future.set_exception(self.outcome)
        else:
            self.future.set_result(self.outcome.result)


class Writer:
    """Owns the writing connection and its thread. All methods belong to one event loop.

    Args:
        connection: in autocommit mode; closed by `stop`.
        access_log: rows that go along with each transaction.
        evict: called with the touched patrons, before anybody is answered.
        bump_version: whether each transaction that changed something tells other processes (C62).
        update_fees: called with open fees that changed, like `evict`.
        change: called for each patron whose snapshot is to be changed, like `evict`.
        on_begin: called in each write transaction before its first job.
        still_there: called in the thread before and after each COMMIT; raises when what is
            written would not be found again.
    """

    def __init__(
        self,
        connection: SqliteConnection,
        access_log: AccessLog,
        evict: Callable[[Collection[str]], None],
        *,
        bump_version: bool,
        update_fees: Callable[[Mapping[str, tuple[Fee, ...]]], None] = lambda fees: None,
        change: Callable[[str, Callable[[PatronRecord], PatronRecord]], None] = (
            lambda patron_id, change: None
        ),
        on_begin: Callable[[SqliteConnection], None] = lambda connection: None,
        still_there: Callable[[], None] = lambda: None,
    ) -> None:
        never_wait(connection)
        self.touched: set[str] = set()
        """Patrons changed by the jobs of the running transaction so far."""
        self._connection = connection
        self._access_log = access_log
        self._evict = evict
        self._bump_version = bump_version
        self._update_fees = update_fees
        self._change = change
        self._on_begin = on_begin
        self._still_there = still_there
        self._queue: deque[_Waiting] = deque()
        self._busy = False
        self._idle: asyncio.Future[None] | None = None
        self._changes = 0
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    # In the event loop ----------------------------------------------------------------------

    def submit(self, job: Job) -> asyncio.Future[Any]:
        """Queue `job`; the future has its result once it is durable.

        Raises:
            UnavailableError: too many jobs wait already.
        """
        if len(self._queue) >= QUEUE_JOBS_MAX:
            raise UnavailableError("the store's write queue is full")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.append(_Waiting(job, future))
        self.nudge()
        return future

    def nudge(self) -> None:
        """Commit what lies in the access log, without anybody waiting for it."""
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._begin)

    async def stop(self) -> None:
        """Finish what is queued, write what the access log holds, end the thread."""
        if self._access_log:
            self.nudge()
        while self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._orders.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._connection.close()

    def _begin(self) -> None:
        """Open the transaction; when another process holds the lock, the thread waits for it."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error):
                loop = asyncio.get_running_loop()
                self._orders.put(lambda: self._wait_for_lock(loop))
            else:
                self._begun(error)
        else:
            self._begun(None)

    def _begun(self, error: Exception | None) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_JOBS_MAX))]
        if error is not None:
            self._finish(batch, error)
            return
        try:
            self._on_begin(self._connection)
            self._connection.execute("SAVEPOINT batch")
        except sqlite3.Error as failure:
            self._finish(batch, failure)
            return
        self._changes = self._connection.total_changes
        self.touched.clear()
        self._run(batch, 0)

    def _run(self, batch: list[_Waiting], start: int) -> None:
        """Run the next jobs of `batch`, then let others have their turn, then commit."""
        end = start + JOBS_PER_TURN
        try:
            for waiting in batch[start:end]:
                waiting.outcome = waiting.job(self._connection)
                self._note_touched(waiting.outcome)
        except Exception:
            # Failures are rare and savepoints cost every job, so the first try does without.
            self._run_one_by_one(batch)
            return
        if end < len(batch):
            asyncio.get_running_loop().call_soon(self._run, batch, end)
        else:
            self._hand_over(batch)

    def _run_one_by_one(self, batch: list[_Waiting]) -> None:
        """Undo all jobs of `batch` and run them again, each in a savepoint of its own."""
        try:
            self._connection.execute("ROLLBACK TO batch")
            self.touched.clear()
            for waiting in batch:
                waiting.outcome = _run_alone(self._connection, waiting.job)
                self._note_touched(waiting.outcome)
        except sqlite3.Error as error:
            self._finish(batch, error)
        else:
            self._hand_over(batch)

    def _note_touched(self, outcome: Done[Any] | Exception) -> None:
        if isinstance(outcome, Done):
            self.touched.update(outcome.touched)
            self.touched.update(outcome.fees)
            self.touched.update(outcome.changes)

    def _hand_over(self, batch: list[_Waiting]) -> None:
        loop, rows = asyncio.get_running_loop(), self._access_log.take()
        self._orders.put(lambda: self._commit(loop, batch, rows))

    def _finish(self, batch: list[_Waiting], error: Exception | None) -> None:
        """The transaction has ended: update snapshots, answer, go on with what waits."""
        if error is not None:
            self._roll_back()
            failure = UnavailableError(f"the store could not commit: {error}")
            failure.add_note(str(error))
            for waiting in batch:
                waiting.outcome = failure
        for waiting in batch:
            outcome = waiting.outcome
            if isinstance(outcome, Done):
                if outcome.fees:
                    self._update_fees(outcome.fees)
                for patron_id, change in outcome.changes.items():
                    self._change(patron_id, change)
                if outcome.touched:
                    self._evict(outcome.touched)
        for waiting in batch:
            waiting.settle()
        if self._queue:
            self._begin()
            return
        self._busy = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return  # the next BEGIN fails and says so to whoever asks then

    # In the thread --------------------------------------------------------------------------

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    def _wait_for_lock(self, loop: asyncio.AbstractEventLoop) -> None:
        deadline = time.monotonic() + WRITE_WAIT_S
        error: Exception | None = None
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as failure:
                if is_busy(failure) and time.monotonic() < deadline:
                    time.sleep(LOCK_POLL_S)
                    continue
                error = failure
            break
        _tell(loop, self._begun, error)

    def _commit(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], rows: list[AccessRow]
    ) -> None:
        connection = self._connection
        error: Exception | None = None
        try:
            self._still_there()
            self._access_log.write(connection, rows)
            if self._bump_version and connection.total_changes != self._changes:
                connection.execute(BUMP_VERSION)
            connection.execute("COMMIT")
        except Exception as failure:
            self._access_log.put_back(rows)
            error = failure
        else:
            error = self._lost_meanwhile()
        _tell(loop, self._finish, batch, error)

    def _lost_meanwhile(self) -> Exception | None:
        """Why what was just committed must not be acknowledged, as if COMMIT had failed.

        Looking before it is not enough: the file may have gone while COMMIT waited for the disk.
        """
        try:
            self._still_there()
        except Exception as failure:
            return failure
        return None


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(what, *arguments)
    except RuntimeError:
        return  # the loop has been closed: nobody is left to be told


def _run_alone(connection: SqliteConnection, job: Job) -> Done[Any] | Exception:
    """Run `job` in its own savepoint.

    Raises:
        sqlite3.Error: the whole transaction is lost.
    """
    connection.execute("SAVEPOINT job")
    try:
        done = job(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise sqlite3.OperationalError("the transaction is lost") from None
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return _as_backend_error(error)
    connection.execute("RELEASE job")
    return done


def _as_backend_error(error: Exception) -> Exception:
    if isinstance(error, sqlite3.OperationalError):
        return UnavailableError(f"the store failed: {error}")
    if isinstance(error, sqlite3.Error):
        return BackendError(f"the store refused: {error}")
    return error
