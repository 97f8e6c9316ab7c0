"""Where a read of the store runs: in the event loop, or for a while in threads (C114, B68).

An indexed read from memory is over before a thread would have begun it, so reads run in the loop.
There a read from a slow disk delays every terminal. After the first such read the next ones go to
threads with their own connections, where a slow read delays only the request that needs it. They
come back to the loop when no read has been slow for `APART_S`. So a disk that stays slow delays
everybody for one read, and at most once in that time. `waits` distinguishes a slow disk from a busy
machine.

A read in a thread sees the store at the moment when it began there, not when it is answered. Code
that keeps the result must make sure that nothing has changed since (`cache`).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.sqlite.database import SqliteConnection, connect
from sip2gw.backend.sqlite.place import Place
from sip2gw.backend.sqlite.waits import (
    SLOW_S,
    Account,
    Accounts,
    waited_for_disk,
)

APART_S = 60.0
"""So long after the last slow read the next ones still go to threads."""
STUCK_S = 1.0
"""Nor do they come back while one is under way for longer than this."""
THREADS_MAX = 16
"""So many slow reads hold up nobody else."""
WAITING_MAX = 1_000
"""More reads that wait for a thread are refused at once: the disk has stopped answering."""
CLOSE_WAIT_S = 0.5
"""So long the end waits for reads that are under way; the others are left to themselves."""

_THREAD_CACHE_KIB = 1024

T = TypeVar("T")
Work = Callable[..., Any]
"""Gets a connection and the arguments that were given with it."""


class Reads:
    """All reads of a store in answer to terminals. Belongs to one event loop.

    Args:
        place: the store's file; where it is not, nothing is read.
        clock: seconds that only grow.
    """

    def __init__(self, place: Place, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.connection = connect(place.address, read_only=True)
        """That of the event loop."""
        self._place = place
        self._clock = clock
        self.slow = 0
        """How many reads have been slow so far."""
        self._slow_at = float("-inf")
        self._watch = _Watch(clock)
        self._threads: _Threads | None = None
        self._closed = False

    @property
    def apart(self) -> bool:
        """Whether the next read goes to a thread; asking lets the threads go when time is up."""
        threads = self._threads
        if threads is None:
            return False
        now = self._clock()
        if now - self._slow_at <= APART_S or now - threads.oldest(now) > STUCK_S:
            return True
        self._threads = None
        threads.end()
        return False

    async def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of one statement.

        Raises:
            UnavailableError: they cannot be read.
        """
        rows: list[Any] = await self._read(_rows, statement, values)
        return rows

    async def moment(self, read: Callable[..., T], *arguments: object) -> T:
        """What `read(connection, *arguments)` gives; all its statements see the same moment.

        Raises:
            UnavailableError: it cannot be read.
        """
        found: T = await self._read(_moment, read, *arguments)
        return found

    def ahead(self, read: Callable[..., object], *arguments: object) -> Awaitable[None] | None:
        """Let a thread bring into memory what a write is about to read in the loop.

        Returns:
            What is to be awaited before the write; it raises `UnavailableError` when that cannot
            be read. None while reads run in the loop too.
        """
        if self._threads is None or not self.apart:
            return None
        return self._read(_moment, read, *arguments)

    async def _read(self, work: Work, *arguments: object) -> Any:
        if self._closed:
            raise UnavailableError("the store is closed")
        self._place.insist_as_last_seen()
        try:
            if self._threads is not None and self.apart:
                return await self._threads.submit(work, arguments)
            return self._here(work, arguments)
        except sqlite3.Error as error:
            failure = UnavailableError(f"the store cannot be read: {error}")
            failure.add_note(str(error))
            raise failure from None

    def _here(self, work: Work, arguments: tuple[object, ...]) -> Any:
        began = self._watch.begin()
        try:
            return work(self.connection, *arguments)
        finally:
            if self._watch.was_slow(began):
                self.note_slow()

    def note_slow(self) -> None:
        """A read has waited for the disk: the next ones go to threads."""
        self.slow += 1
        self._slow_at = self._clock()
        if self._threads is None and not self._closed:
            self._threads = _Threads(self._connect, self._clock, self.note_slow)

    def _connect(self) -> SqliteConnection:
        self._place.insist()
        connection = connect(self._place.address, read_only=True, cache_kib=_THREAD_CACHE_KIB)
        try:
            self._place.insist()
        except UnavailableError:
            connection.close()
            raise
        return connection

    async def close(self) -> None:
        """Refuse waiting reads, and wait a little for running ones."""
        self._closed = True
        threads, self._threads = self._threads, None
        if threads is not None:
            await threads.close()
        self._watch.close()
        self.connection.close()


def _rows(connection: SqliteConnection, statement: str, values: Sequence[Any]) -> list[Any]:
    return connection.execute(statement, values).fetchall()


def _moment(connection: SqliteConnection, read: Callable[..., T], *arguments: object) -> T:
    connection.execute("BEGIN")
    try:
        return read(connection, *arguments)
    finally:
        connection.execute("COMMIT")


class _Watch:
    """Notices slow reads of one thread. A fast one costs two looks at the clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._accounts = Accounts()
        self._known: Account | None = None
        """At most `SLOW_S` older than the read that is being watched."""
        self._known_at = float("-inf")

    def begin(self) -> float:
        """Now, from when on a read is watched."""
        now = self._clock()
        if now - self._known_at > SLOW_S:
            self._known, self._known_at = self._accounts.look(), now
        return now

    def was_slow(self, began: float) -> bool:
        """Whether the read that has ended now waited long for the disk."""
        took = self._clock() - began
        if took <= SLOW_S:
            return False
        before, after = self._known, self._accounts.look()
        self._known, self._known_at = after, self._clock()
        return before is not None and after is not None and waited_for_disk(took, before, after)

    def close(self) -> None:
        self._accounts.close()


class _Wanted:
    """A read with the future of whoever waits for it."""

    __slots__ = ("arguments", "future", "since", "work")

    def __init__(
        self,
        work: Work,
        arguments: tuple[object, ...],
        future: asyncio.Future[Any],
        since: float,
    ) -> None:
        self.work = work
        self.arguments = arguments
        self.future = future
        self.since = since


class _Threads:
    """Reading threads, each with a connection of its own; begun when they are needed."""

    def __init__(
        self,
        connect: Callable[[], SqliteConnection],
        clock: Callable[[], float],
        note_slow: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._note_slow = note_slow
        self._wanted: SimpleQueue[_Wanted | None] = SimpleQueue()
        self._underway: dict[_Wanted, None] = {}
        """Reads that wait or are being done, also for somebody who has gone, oldest first."""
        self._threads: list[threading.Thread] = []

    # In the event loop ----------------------------------------------------------------------

    def submit(self, work: Work, arguments: tuple[object, ...]) -> asyncio.Future[Any]:
        """Let a thread do `work`; cancelling the future drops it, unless it has begun.

        Raises:
            UnavailableError: too many wait already, or the system has no thread for us.
        """
        if self._wanted.qsize() >= WAITING_MAX:
            raise UnavailableError("too many reads wait for the disk")
        loop = asyncio.get_running_loop()
        if len(self._threads) < min(len(self._underway) + 1, THREADS_MAX):
            self._begin_thread(loop)
        wanted = _Wanted(work, arguments, loop.create_future(), self._clock())
        self._underway[wanted] = None
        self._wanted.put(wanted)
        return wanted.future

    def _begin_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        thread = threading.Thread(target=self._work, args=(loop,), name="store-reader", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise UnavailableError(f"no thread to read the store: {error}") from None
        else:
            self._threads.append(thread)

    def _done(
        self, wanted: _Wanted, result: Any, error: Exception | None, slow: bool = False
    ) -> None:
        del self._underway[wanted]
        if slow:
            self._note_slow()
        if wanted.future.done():
            return  # nobody waits for it any more
        if error is None:
            wanted.future.set_result(result)
        else:
            wanted.future.set_exception(error)

    def oldest(self, now: float) -> float:
        """Since when the oldest read is under way, `now` if there is none."""
        first = next(iter(self._underway), None)
        return now if first is None else first.since

    def end(self) -> None:
        """Let the threads go when they have done what waits."""
        for _ in self._threads:
            self._wanted.put(None)

    async def close(self) -> None:
        """Refuse waiting reads, and wait a little for the threads."""
        try:
            while (wanted := self._wanted.get_nowait()) is not None:
                self._done(wanted, None, UnavailableError("the store is closed"))
        except Empty:
            self.end()
        await asyncio.get_running_loop().run_in_executor(None, self._join)

    # In the threads -------------------------------------------------------------------------

    def _join(self) -> None:
        until = time.monotonic() + CLOSE_WAIT_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        watch, connection = _Watch(self._clock), None
        while (wanted := self._wanted.get()) is not None:
            result, error, slow = None, None, False
            if not wanted.future.done():
                began = watch.begin()
                try:
                    connection = connection or self._connect()
                    result = wanted.work(connection, *wanted.arguments)
                except Exception as failure:
                    error = failure
                slow = watch.was_slow(began)
            try:
                loop.call_soon_threadsafe(self._done, wanted, result, error, slow)
            except RuntimeError:
                break  # the loop has been closed: nobody is left to be told
            del wanted, result, error
        watch.close()
        if connection is not None:
            connection.close()
