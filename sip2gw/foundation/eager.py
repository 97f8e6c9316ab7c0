"""Running a coroutine at once, and driving it by callbacks when it really has to wait.

Most requests are answered from memory or by a read that takes microseconds; a task for each would
cost more than the whole answer. The caller runs the coroutine's first step. If the coroutine
suspends, whatever it waits for runs each further step. A task would cost a write as much as several
bare exchanges: its own first turn of the loop, a context and a second coroutine around the first.

The price: there is no current task inside. So use `within` as the time-out for whatever a request
waits for, not `asyncio.timeout` or `asyncio.TaskGroup`: in the first step these find no task, or
the caller's task, which they would cancel. Code that needs a task for its own reasons (connecting
with asyncpg) gets one.

A task from the first suspension on would not change this, because a wait may begin in the first
step. It would cost each request that suspends 3 µs, and could not learn why it is cancelled
(`HungUpError`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_Outcome = tuple[Any, Exception | None]


class Suspended(Generic[T]):
    """A coroutine that has run its first step and waits for a future (None: for its turn)."""

    __slots__ = ("_cancelled", "_coroutine", "_passed_on", "_then", "_waits_for")

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], waits_for: asyncio.Future[Any] | None
    ) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._cancelled: asyncio.CancelledError | None = None
        self._passed_on = False
        """Whether what it waits for was cancelled, and is to say how it ends."""
        self._then: Callable[[T | asyncio.CancelledError], None]

    def go_on(self, then: Callable[[T | asyncio.CancelledError], None]) -> None:
        """Let it run to its end whenever it can, and call `then` with the result.

        Args:
            then: called from the loop, with the cancellation instead when that ended it. Any
                other exception of the coroutine goes to the loop's exception handler.
        """
        self._then = then
        self._wait()

    def cancel(self, why: asyncio.CancelledError | None = None) -> None:
        """Cancel what it waits for; the coroutine finds out, and may clean up, in a later turn.

        Args:
            why: what is raised in the coroutine, a plain cancellation by default. It is not raised
            if what it waits for gets a result anyway.
        """
        self._cancelled = why or asyncio.CancelledError()
        self._passed_on = self._waits_for is not None and self._waits_for.cancel()

    def _wait(self) -> None:
        if self._waits_for is None:
            asyncio.get_running_loop().call_soon(self._step, None)
        else:
            self._waits_for.add_done_callback(self._step)

    def _step(self, done: asyncio.Future[Any] | None) -> None:
        """Resume; the coroutine itself takes the result or the exception of what is `done`."""
        self._waits_for = None
        why, self._cancelled = self._cancelled, None
        try:
            if why is not None and not (self._passed_on and done and not done.cancelled()):
                self._waits_for = self._coroutine.throw(why)
            else:
                self._waits_for = self._coroutine.send(None)
        except StopIteration as end:
            self._then(end.value)
        except asyncio.CancelledError as error:
            self._then(error)
        else:
            self._wait()


def start(coroutine: Coroutine[Any, Any, T]) -> T | Suspended[T]:
    """Run the first step of `coroutine`; returns its result, or the rest of it.

    Exceptions of the first step are raised here.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    return Suspended(coroutine, waits_for)


class Detached:
    """Work that goes on to its end even if whoever waits for it gives up; it has no task either.

    `left` holds a future for each whose caller has gone, until it ends; `ended` is called then, and
    at the end of all others.
    """

    __slots__ = ("_ended", "_gone", "_is_over", "_left", "_waiter")

    def __init__(self, left: set[asyncio.Future[None]], ended: Callable[[], None]) -> None:
        self._left = left
        self._ended = ended
        self._gone: asyncio.Future[None] | None = None
        self._is_over = False
        self._waiter: asyncio.Future[Any]

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or its exception."""
        rest = start(self._caught(work))
        if isinstance(rest, Suspended):
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            rest.go_on(self._tell)
            try:
                answered: T = await waiter
                return answered
            except asyncio.CancelledError:
                if not self._is_over:
                    self._gone = waiter.get_loop().create_future()
                    self._left.add(self._gone)
                raise
        result: T
        result, error = rest
        if error is not None:
            raise error
        return result

    async def _caught(self, work: Coroutine[Any, Any, Any]) -> _Outcome:
        try:
            return await work, None
        except Exception as error:
            return None, error
        finally:
            self._ended()

    def _tell(self, outcome: _Outcome | asyncio.CancelledError) -> None:
        self._is_over = True
        if self._gone is not None:
            self._left.discard(self._gone)
            self._gone.set_result(None)
        elif isinstance(outcome, asyncio.CancelledError):
            self._waiter.cancel()
        elif not self._waiter.done():
            result, error = outcome
            if error is None:
                self._waiter.set_result(result)
            else:
                self._waiter.set_exception(error)


async def within(
    seconds: float, work: Coroutine[Any, Any, T], late: Callable[[str], Exception]
) -> T:
    """The result of `work`, or an error made by `late` when it has none after `seconds`.

    It runs in a task, which is then cancelled, and also when the waiting code is cancelled; nobody
    waits for it to clean up.
    """
    if seconds <= 0:
        work.close()
        raise late("no time is left")
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done:
            return task.result()
        raise late("no answer in time")
    finally:
        task.cancel()
