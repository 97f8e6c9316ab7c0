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
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


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
        waits_for = self._waits_for
        if waits_for is None:
            asyncio.get_running_loop().call_soon(self._step, None)
        elif isinstance(waits_for, OneWait) and not waits_for.done():
            waits_for.then = self._step
        else:  # or it was cancelled, when its caller left: `Detached` goes on from here
            waits_for.add_done_callback(self._step)

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


class OneWait(asyncio.Future[None]):
    """A wait for something that goes on when the wait is cancelled.

    Whoever wants to know the end of it all the same begins another wait. `Detached` relies on that.

    A suspended coroutine goes on where the wait ends, inside of `end`. Another turn of the loop
    would cost a request in front of a library system several per cent of what it takes in all.
    """

    __slots__ = ("then",)
    then: Callable[[asyncio.Future[Any]], None] | None
    """Called by `end`, or in a later turn when the wait ends otherwise."""

    def begun(self) -> OneWait:
        """What a generator yields in order to wait until this is done, whatever its outcome."""
        # What `await` does, but for two calls; a task that runs the generator insists on it.
        self._asyncio_future_blocking = True
        self.then = None
        return self

    def end(self) -> None:
        """What was waited for has happened. Call it last: whoever waits goes on before it returns,
        and may begin whatever it likes."""
        then, self.then = self.then, None
        if then is None:
            self.end_later()
            return
        try:
            then(self)
        except Exception as error:  # as of any callback: not the fault of whoever calls us
            context = {"message": "the end of a wait", "exception": error, "future": self}
            self.get_loop().call_exception_handler(context)

    def end_later(self) -> None:
        """The same, but whoever waits goes on in a later turn."""
        if not self.done():
            self._call_soon()
            self.set_result(None)

    def cancel(self, msg: Any = None) -> bool:
        """Whoever waits learns of it in a later turn."""
        self._call_soon()
        return super().cancel(msg)

    def _call_soon(self) -> None:
        then, self.then = self.then, None
        if then is not None:
            self.add_done_callback(then)


class Happening:
    """Something that happens once and for which one coroutine waits; one in a `Detached` goes on
    waiting after its caller has gone."""

    __slots__ = ("_has_happened", "_wait")

    def __init__(self) -> None:
        self._has_happened = False
        self._wait: OneWait | None = None

    def __await__(self) -> Generator[Any, None, None]:
        while not self._has_happened:
            wait = self._wait = OneWait()
            yield wait.begun()

    def happen(self) -> None:
        """Let whoever waits go on, in a later turn."""
        self._has_happened = True
        if self._wait is not None:
            self._wait.end_later()


class Cancellable(Generic[T]):
    """Work in the caller's own steps that somebody else may cancel, as if it had a task."""

    __slots__ = ("_is_cancelled", "_waits_for")

    def __init__(self) -> None:
        self._is_cancelled = False
        self._waits_for: asyncio.Future[Any] | None = None

    @types.coroutine
    def run(self, work: Coroutine[Any, Any, T]) -> Generator[Any, None, T]:
        """The result of `work`, or its exception; the caller may only give up in a `Detached`."""
        try:
            while True:
                if self._is_cancelled:
                    self._is_cancelled = False
                    self._waits_for = work.throw(asyncio.CancelledError())
                else:
                    self._waits_for = work.send(None)
                yield self._waits_for
        except StopIteration as end:
            result: T = end.value
            return result

    def cancel(self) -> None:
        """Raise a cancellation in the work where it waits; in a later turn."""
        self._is_cancelled = True
        if self._waits_for is not None:
            self._waits_for.cancel()


class Detached(Generic[T]):
    """Work that goes on to its end even if whoever waits for it gives up; it has no task either.

    As long as the caller of `run` stays, the work runs in that caller's own steps. `left` holds a
    future for each whose caller has gone, until it ends; `ended` is called then, and at the end of
    all others.
    """

    __slots__ = ("_ended", "_joined", "_left")

    def __init__(self, left: set[asyncio.Future[None]], ended: Callable[[], None]) -> None:
        self._ended = ended
        self._left = left
        self._joined: asyncio.Future[T] | None = None
        """Tells the outcome to those who wait besides the caller of `run`."""

    @types.coroutine
    def run(self, work: Coroutine[Any, Any, T]) -> Generator[Any, None, T]:
        """The result of `work`, or its exception."""
        has_left = False
        try:
            while True:
                waits_for = work.send(None)
                try:
                    yield waits_for if isinstance(waits_for, OneWait) else _shielded(waits_for)
                except asyncio.CancelledError:
                    has_left = True
                    self._go_on_alone(work, waits_for)
                    raise
        except StopIteration as end:
            result: T = end.value if self._joined is None else self._tell(end)
            return result
        except BaseException as error:
            if not has_left:
                self._fail(error)
            raise
        finally:
            if not has_left:
                self._ended()

    def join(self) -> Awaitable[T]:
        """The same for one more who waits, before the work has ended; who has joined may give up as
        well."""
        if self._joined is None:
            self._joined = asyncio.get_running_loop().create_future()
            self._joined.add_done_callback(lambda joined: joined.exception())
        return asyncio.shield(self._joined)

    def _go_on_alone(self, work: Coroutine[Any, Any, T], waits_for: Any) -> None:
        gone = asyncio.get_running_loop().create_future()
        self._left.add(gone)

        def then(_: object) -> None:
            self._left.discard(gone)
            self._ended()
            gone.set_result(None)

        Suspended(self._rest(work, waits_for), None).go_on(then)

    @types.coroutine
    def _rest(self, work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, None, None]:
        """The rest of `work`, whose outcome interests nobody but those who have joined."""
        try:
            while True:
                yield waits_for
                waits_for = work.send(None)
        except StopIteration as end:
            self._tell(end)
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error)

    def _tell(self, end: StopIteration) -> T:
        result: T = end.value
        if self._joined is not None:
            self._joined.set_result(result)
        return result

    def _fail(self, error: BaseException) -> None:
        if self._joined is not None:
            self._joined.set_exception(error)


def _shielded(waits_for: asyncio.Future[Any] | None) -> asyncio.Future[Any] | None:
    """What the caller may cancel without cancelling what the work waits for."""
    if waits_for is None:
        return None
    shield = OneWait()

    def done(_: object) -> None:
        if not shield.done():
            shield.end()

    waits_for.add_done_callback(done)
    return shield.begun()


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
