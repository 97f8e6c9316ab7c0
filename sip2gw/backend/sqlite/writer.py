"""Group commit: many jobs, one transaction, one fsync, one wake-up of the event loop.

Jobs run in the event loop's thread, inside the write transaction; only what waits for the disk
(COMMIT, rows of the door log) runs in the writer's thread. Running the jobs there too would be
worse: each of their statements would wait for the interpreter lock that the loop holds (measured:
twice the CPU per payment). While another process holds the write lock the loop asks for it again
and again, which takes microseconds each time.

While one transaction commits the next jobs gather. A failing job undoes only itself.

After a no nothing is done later (C98):

- A job for which nobody waits any more is not begun (but for those that must be done all the same,
  such as counting a wrong PIN). Nor is one that did not get the lock within `lock_wait_s`, which is
  less than a request may take. Both are certain: nothing was written.
- From the moment a job runs until its transaction has ended the order is *in doubt*: whoever gives
  up waiting meanwhile does not know. `orders_in_doubt` tells which.
- A COMMIT that fails proves nothing. SQLite takes its frames back in memory, but they may lie in
  the log file, and if the machine or the process stops now the next one to open the file replays
  them. So the orders stay in doubt, and the store is *suspect*: new jobs are refused at once, until
  a transaction of our own has been committed. That one is the fence: SQLite writes the log from
  where the last good commit ended (`walWriteOneFrame` after `sqlite3WalUndo`), so its frames lie
  over those of the failed one; and a frame's checksum goes on from the frame before
  (https://www.sqlite.org/fileformat2.html#checksum_algorithm), so what is left behind them cannot
  be valid any more. A log that was begun anew in between has another salt, which says the same.
- After the fence the orders for which somebody still waits are tried again, once: they find what
  they have booked, or book it. The others were noted as unknown, and are settled by looking.

Why an order that is tried again is not booked twice: its id is that of the payment, and its key is
unique (`ledger.book`); what is done with an item has a key, too.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping
from enum import IntEnum
from queue import SimpleQueue
from typing import Any

from msgspec import Struct

from sip2gw.backend.base import BackendError, OutcomeUnknownError, UnavailableError
from sip2gw.backend.database import WriteResult
from sip2gw.backend.sql.door_log import AccessLog
from sip2gw.backend.sql.queries import BUMP_FOR_PARTS, BUMP_VERSION, NOTE_PART
from sip2gw.backend.sqlite.cache import part_of
from sip2gw.backend.sqlite.database import SqliteConnection, is_busy, never_wait
from sip2gw.foundation.eager import OneWait
from sip2gw.model import AccessRow, Fee, PatronRecord
from sip2gw.protocol.structs import Opaque

BATCH_JOBS_MAX = 64
JOBS_PER_TURN = 16
"""After so many jobs of a batch the event loop serves others first."""
QUEUE_JOBS_MAX = 10_000
"""More waiting jobs than that are refused at once: the disk has stopped keeping up."""
LOCK_POLL_S = 0.005
LOCK_WAIT_S = 3.0
"""How long a job of the gateway waits for another process; less than a request may take."""
ROWS_RETRY_S = 1.0
"""After so long without the lock door rows that nobody waits for are tried again."""
PROBE_EVERY_S = 0.25
"""How often a suspect store is tried."""
TRIES_MAX = 2
"""An order whose COMMIT failed is tried again once."""

Job = Callable[[SqliteConnection], WriteResult[Any]]
"""Runs inside a transaction, may be run again; raises to undo what it wrote."""

_PENDING = UnavailableError("not run")


class State(IntEnum):
    """How far a job is."""

    QUEUED = 0
    """Nothing of it was written: it has not run, or what it wrote was undone."""
    BEGUN = 1
    """It has run; its transaction decides, and nobody knows yet how."""
    ENDED = 2
    """Its outcome is known."""


_BEGUN, _ENDED = State.BEGUN, State.ENDED
"""By name: Python 3.11 takes 0.1 µs to find a member of an enumeration."""


class Waiting(Opaque, Struct, eq=False):
    """A job, and then its outcome. Whoever has submitted it awaits it."""

    job: Job
    order: object
    """Of a payment, or of what is to be done with an item; None for everything else."""
    optional: bool
    """Whether it is not begun when nobody waits for it any more."""
    since: float
    state: State = State.QUEUED
    tries: int = 0
    outcome: WriteResult[Any] | Exception = _PENDING
    wait: OneWait | None = None

    def __await__(self) -> Generator[Any, None, Any]:
        while self.state is not _ENDED:
            wait = self.wait = OneWait()
            # Only its end matters, not how it ends: `Detached` goes on after a cancelled one.
            yield wait.begun()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome.result

    @property
    def unwanted(self) -> bool:
        """Whether it need not be done, because nobody waits for it any more."""
        return self.optional and self.wait is not None and self.wait.cancelled()

    def settle(self) -> None:
        """Its outcome is known: whoever waits goes on at once, unless they have given up."""
        self.state = _ENDED
        if self.wait is not None:
            self.wait.end()

    def fail(self, error: Exception) -> None:
        """It was not done, and will not be: whoever waits learns of it in a later turn."""
        self.state, self.outcome = _ENDED, error
        if self.wait is not None:
            self.wait.end_later()


class Writer:
    """Owns the writing connection and its thread. All methods belong to one event loop.

    Args:
        connection: in autocommit mode; closed by `stop`.
        access_log: rows that go along with each transaction.
        evict: called with the touched patrons and numbers, before anybody is answered.
        bump_version: whether each transaction that changed something tells other processes (C62).
        lock_wait_s: how long a job waits for another process's transaction.
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
        lock_wait_s: float = LOCK_WAIT_S,
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
        self.suspect = False
        """Whether the last COMMIT failed and no other has succeeded since."""
        self._connection = connection
        self._access_log = access_log
        self._evict = evict
        self._bump_version = bump_version
        self._lock_wait_s = lock_wait_s
        self._update_fees = update_fees
        self._change = change
        self._on_begin = on_begin
        self._still_there = still_there
        self._queue: deque[Waiting] = deque()
        self._batch: list[Waiting] = []
        """What runs, commits, or is in doubt because its COMMIT failed."""
        self._busy = False
        self._stopping = False
        self._locked_since: float | None = None
        self._idle: asyncio.Future[None] | None = None
        self._changes = 0
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    # In the event loop ----------------------------------------------------------------------

    def submit(self, job: Job, order: object = None, *, optional: bool = False) -> Waiting:
        """Queue `job`; awaiting what is returned gives its result once it is durable.

        Args:
            job: what is to be done.
            order: a payment's or circulation's; it may be tried again, so `job` finds what it has
                done before. Always optional.
            optional: whether it is not begun when nobody waits for it any more.

        Raises:
            UnavailableError: the store is suspect, or too many jobs wait already.
        """
        if self.suspect:
            raise UnavailableError("the store could not commit and has not recovered yet")
        if len(self._queue) >= QUEUE_JOBS_MAX:
            raise UnavailableError("the store's write queue is full")
        since = asyncio.get_running_loop().time()
        waiting = Waiting(job, order, optional or order is not None, since)
        self._queue.append(waiting)
        self.nudge()
        return waiting

    def orders_in_doubt(self) -> list[Any]:
        """The orders that were begun and whose outcome is not known yet."""
        begun = (waiting for waiting in self._batch if waiting.state is State.BEGUN)
        return [waiting.order for waiting in begun if waiting.order is not None]

    def nudge(self) -> None:
        """Commit the waiting rows of the access log; nobody waits for this."""
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._begin)

    async def stop(self) -> None:
        """Finish what is queued, write what the access log holds, end the thread.

        It does not wait for a suspect store, and for a locked one no longer than a job waits.
        """
        if self._access_log:
            self.nudge()
        self._stopping = True
        while self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._orders.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._connection.close()

    def _begin(self) -> None:
        """Open the transaction, as soon as no other process holds the lock."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error):
                self._wait_for_lock()
            else:
                self._begun(error)
        else:
            self._begun(None)

    def _wait_for_lock(self) -> None:
        """Ask again soon, as long as somebody waits or there are door rows to write."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._locked_since is None:
            self._locked_since = now
        late = now - self._lock_wait_s
        waited_enough = UnavailableError("another process is writing to the store")
        for waiting in self._queue:
            if waiting.since <= late:
                waiting.fail(waited_enough)
        self._queue = deque(
            waiting for waiting in self._queue if waiting.since > late and not waiting.unwanted
        )
        if self._queue or (self._access_log and self._locked_since > late):
            loop.call_later(LOCK_POLL_S, self._begin)
            return
        self._rest()
        if self._access_log and not self._stopping:
            loop.call_later(ROWS_RETRY_S, self.nudge)

    def _begun(self, error: Exception | None) -> None:
        self._locked_since = None
        queue = self._queue
        self._batch = batch = [queue.popleft() for _ in range(min(len(queue), BATCH_JOBS_MAX))]
        if error is not None:
            self._undo(batch, error)
            return
        try:
            self._on_begin(self._connection)
            self._connection.execute("SAVEPOINT batch")
        except sqlite3.Error as failure:
            self._undo(batch, failure)
            return
        self._changes = self._connection.total_changes
        self.touched.clear()
        self._run(batch, 0)

    def _run(self, batch: list[Waiting], start: int) -> None:
        """Run the next jobs of `batch`, then let others have their turn, then commit."""
        end = start + JOBS_PER_TURN
        try:
            for waiting in batch[start:end]:
                if waiting.unwanted:
                    continue
                waiting.state = _BEGUN
                waiting.outcome = done = waiting.job(self._connection)
                self.touched.update(done.touched, done.fees, done.changes)
        except Exception:
            # Failures are rare and savepoints cost every job, so the first try uses none.
            self._run_one_by_one(batch)
            return
        if end < len(batch):
            asyncio.get_running_loop().call_soon(self._run, batch, end)
        else:
            self._hand_over(batch)

    def _run_one_by_one(self, batch: list[Waiting]) -> None:
        """Undo all jobs of `batch` and run them again, each in a savepoint of its own."""
        try:
            self._connection.execute("ROLLBACK TO batch")
            self.touched.clear()
            for waiting in batch:
                if waiting.unwanted:
                    waiting.fail(UnavailableError("not run"))
                    continue
                waiting.state = State.BEGUN
                waiting.outcome = done = _run_alone(self._connection, waiting.job)
                if isinstance(done, WriteResult):
                    self.touched.update(done.touched, done.fees, done.changes)
        except sqlite3.Error as error:
            self._undo(batch, error)
        else:
            self._hand_over(batch)

    def _hand_over(self, batch: list[Waiting]) -> None:
        loop, rows = asyncio.get_running_loop(), self._access_log.take()
        self._orders.put(lambda: self._commit(loop, batch, rows))

    def _finish(self, batch: list[Waiting]) -> None:
        """The transaction is durable: update snapshots, go on with what waits, answer."""
        self._batch = []
        for waiting in batch:
            outcome = waiting.outcome
            if isinstance(outcome, WriteResult):
                if outcome.fees:
                    self._update_fees(outcome.fees)
                for patron_id, change in outcome.changes.items():
                    self._change(patron_id, change)
                if outcome.touched:
                    self._evict(outcome.touched)
                if outcome.numbers:
                    self._evict(outcome.numbers)
        # First, so that the next transaction commits while the answers to this one are written.
        self._go_on()
        for waiting in batch:
            waiting.settle()

    def _undo(self, batch: list[Waiting], error: Exception) -> None:
        """Nothing was written, for certain: no COMMIT was tried."""
        self._roll_back()
        self._batch = []
        failure = _as_unavailable(error)
        for waiting in batch:
            waiting.fail(failure)
        self._go_on()

    def _go_on(self) -> None:
        if self._queue:
            self._begin()
        else:
            self._rest()

    def _rest(self) -> None:
        self._busy = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return  # the next BEGIN fails, and the next job reports it

    # After a COMMIT that failed -------------------------------------------------------------

    def _doubt(self, batch: list[Waiting], error: Exception) -> None:
        """Keep the orders of `batch` in doubt, refuse everything else, try the store."""
        self._roll_back()
        self.suspect = True
        failure = _as_unavailable(error)
        self._batch = []
        for waiting in batch:
            if waiting.order is not None and isinstance(waiting.outcome, WriteResult):
                waiting.tries += 1
                self._batch.append(waiting)
            else:
                waiting.fail(
                    failure if isinstance(waiting.outcome, WriteResult) else waiting.outcome
                )
        while self._queue:
            self._queue.popleft().fail(failure)
        self._try_store()

    def _try_store(self) -> None:
        loop = asyncio.get_running_loop()
        self._orders.put(lambda: self._probe(loop))

    def _probed(self, error: Exception | None) -> None:
        """Go on once a transaction is committed, which overwrites what the failed one left."""
        if error is None:
            self.suspect = False
            self._end_doubt()
        elif self._stopping:
            for waiting in self._batch:
                waiting.fail(OutcomeUnknownError("the store was closed before it recovered"))
            self._batch = []
            self._rest()
        else:
            asyncio.get_running_loop().call_later(PROBE_EVERY_S, self._try_store)

    def _end_doubt(self) -> None:
        """Try the orders again for which somebody waits; nothing of them was written."""
        batch, self._batch = self._batch, []
        for waiting in reversed(batch):
            waiting.state = State.QUEUED
            if waiting.tries < TRIES_MAX:
                self._queue.appendleft(waiting)
            else:
                waiting.fail(UnavailableError("the store could not commit"))
        self._go_on()

    # In the thread --------------------------------------------------------------------------

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    def _commit(
        self, loop: asyncio.AbstractEventLoop, batch: list[Waiting], rows: list[AccessRow]
    ) -> None:
        connection = self._connection
        try:
            self._still_there()
            self._access_log.write(connection, rows)
            if self._bump_version and connection.total_changes != self._changes:
                self._tell_others(batch)
        except Exception as failure:
            self._access_log.put_back(rows)
            _tell(loop, self._undo, batch, failure)
            return
        try:
            connection.execute("COMMIT")
        except Exception as failure:
            self._access_log.put_back(rows)
            _tell(loop, self._doubt, batch, failure)
            return
        lost = self._lost_meanwhile()
        if lost is None:
            _tell(loop, self._finish, batch)
        else:
            _tell(loop, self._doubt, batch, lost)

    def _tell_others(self, batch: list[Waiting]) -> None:
        """Note which patrons have changed, if all jobs know exactly, or else that anything may."""
        outcomes = (waiting.outcome for waiting in batch)
        if all(one.is_exact for one in outcomes if isinstance(one, WriteResult)):
            self._connection.execute(BUMP_FOR_PARTS)
            parts = {(part_of(patron_id),) for patron_id in self.touched}
            self._connection.executemany(NOTE_PART, sorted(parts))
        else:
            self._connection.execute(BUMP_VERSION)

    def _probe(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit something of our own; a new version also makes everybody read again."""
        error: Exception | None = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(BUMP_VERSION)
            self._connection.execute("COMMIT")
        except sqlite3.Error as failure:
            error = failure
            self._roll_back()
        else:
            error = self._lost_meanwhile()
        _tell(loop, self._probed, error)

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
        return  # the loop has been closed: nobody waits for the result any more


def _as_unavailable(error: Exception) -> UnavailableError:
    failure = UnavailableError(f"the store could not commit: {error}")
    failure.add_note(str(error))
    return failure


def _run_alone(connection: SqliteConnection, job: Job) -> WriteResult[Any] | Exception:
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
