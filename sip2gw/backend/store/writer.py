"""The one writer thread: many jobs, one transaction, one fsync, one wake-up of the event loop.

Group commit: the thread takes what waits (at most `BATCH_JOBS_MAX`), runs each job, commits
once and only then reports. A failing job undoes only itself; a failing COMMIT
fails them all, and nothing is acknowledged.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.store.access_log import AccessLog
from sip2gw.backend.store.queries import BUMP_VERSION
from sip2gw.model import AccessRow, Fee

BATCH_JOBS_MAX = 64
QUEUE_JOBS_MAX = 10_000
"""More waiting jobs than that are refused at once: the disk has stopped keeping up."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What a job achieved, and the patrons whose snapshots are out of date now."""

    result: T
    touched: Collection[str] = ()
    fees: Mapping[str, tuple[Fee, ...]] = field(default_factory=dict)
    """Patrons of whom only the open fees changed, and what these are now."""


Job = Callable[[sqlite3.Connection], Done[Any]]
"""Runs in the writer thread inside a transaction; raises to undo what it wrote."""


class _Waiting:
    """A job with the future of whoever waits for it, and then its outcome."""

    __slots__ = ("future", "job", "outcome")

    def __init__(self, job: Job, future: asyncio.Future[Any] | None) -> None:
        self.job = job
        self.future = future
        self.outcome: Done[Any] | Exception = UnavailableError("not run")

    def settle(self) -> None:
        """Tell the waiting coroutine, unless it has given up."""
        if self.future is None or self.future.done():
            return
        if isinstance(self.outcome, Exception):
            self.future.set_exception(self.outcome)
        else:
            self.future.set_result(self.outcome.result)


class Writer:
    """Owns the writing connection and its thread.

    Args:
        connection: in autocommit mode; closed by the thread when it ends.
        access_log: rows that go along with each transaction.
        evict: called in the event loop with the touched patrons, before anybody is answered.
        bump_version: whether each transaction that changed something tells other processes (C62).
        update_fees: called in the event loop with open fees that changed, like `evict`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        access_log: AccessLog,
        evict: Callable[[Collection[str]], None],
        *,
        bump_version: bool,
        update_fees: Callable[[Mapping[str, tuple[Fee, ...]]], None] = lambda fees: None,
    ) -> None:
        self._connection = connection
        self._access_log = access_log
        self._evict = evict
        self._bump_version = bump_version
        self._update_fees = update_fees
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._waiting = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> asyncio.Future[Any]:
        """Queue `job`; the future has its result once it is durable.

        Raises:
            UnavailableError: too many jobs wait already.
        """
        if self._waiting >= QUEUE_JOBS_MAX:
            raise UnavailableError("the store's write queue is full")
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting += 1
        self._queue.put(_Waiting(job, future))
        return future

    def nudge(self) -> None:
        """Commit what lies in the access log, without anybody waiting for it."""
        self._queue.put(_Waiting(lambda _: Done(None), None))

    def stop(self) -> None:
        """Finish what is queued and end the thread; blocks until it has ended."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch: list[_Waiting] = []
            stopping = self._take(batch)
            if batch or self._access_log:
                self._commit(batch)
                self._report(batch)
        self._connection.close()

    def _take(self, batch: list[_Waiting]) -> bool:
        """Fill `batch` with what waits; True when the writer is to stop after it."""
        entry = self._queue.get()
        while entry is not None:
            batch.append(entry)
            if len(batch) == BATCH_JOBS_MAX:
                return False
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return False
        return True

    def _commit(self, batch: list[_Waiting]) -> None:
        """All jobs in one transaction; where one fails, again with a savepoint for each.

        Failures are rare and savepoints cost every job, so the first try does without.
        """
        rows = self._access_log.take()
        if not self._try(batch, rows, _run_plainly):
            self._try(batch, rows, _run_alone)

    def _try(
        self,
        batch: list[_Waiting],
        rows: list[AccessRow],
        run: Callable[[sqlite3.Connection, Job], Done[Any] | Exception],
    ) -> bool:
        """One transaction with all of `batch`; False when a job spoiled it and must run alone."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            before = connection.total_changes
            for waiting in batch:
                waiting.outcome = run(connection, waiting.job)
            self._access_log.write(connection, rows)
            if self._bump_version and connection.total_changes != before:
                connection.execute(BUMP_VERSION)
            connection.execute("COMMIT")
        except _JobError:
            self._roll_back()
            return False
        except Exception as error:
            self._access_log.put_back(rows)
            self._roll_back()
            failure = UnavailableError(f"the store could not commit: {error}")
            for waiting in batch:
                waiting.outcome = failure
        return True

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return  # the next BEGIN fails and says so to whoever asks then

    def _report(self, batch: list[_Waiting]) -> None:
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._settle, batch)
        except RuntimeError:
            return  # the loop has been closed: nobody is left to be told

    def _settle(self, batch: list[_Waiting]) -> None:
        for waiting in batch:
            outcome = waiting.outcome
            if isinstance(outcome, Done):
                if outcome.fees:
                    self._update_fees(outcome.fees)
                if outcome.touched:
                    self._evict(outcome.touched)
        for waiting in batch:
            self._waiting -= waiting.future is not None
            waiting.settle()


class _JobError(Exception):
    """A job failed in a transaction without savepoints."""


def _run_plainly(connection: sqlite3.Connection, job: Job) -> Done[Any]:
    try:
        return job(connection)
    except Exception:
        raise _JobError from None


def _run_alone(connection: sqlite3.Connection, job: Job) -> Done[Any] | Exception:
    """Run `job` in its own savepoint.

    Raises:
        sqlite3.Error: the whole transaction is lost.
    """
    connection.execute("SAVEPOINT job")
    try:
        done = job(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise
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
