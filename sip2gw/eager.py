"""Running a coroutine at once, and only making a task of it when it really has to wait.

Most requests are answered from memory or by a read that takes microseconds; a task for each would
cost more than the whole answer. The coroutine's first step is made by the caller; if it suspends,
the rest goes on inside an ordinary task.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Suspended(Generic[T]):
    """A coroutine that has made its first step and waits for something."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    async def finish(self) -> T:
        """Go on to the end; must run inside a task."""
        return await self

    def __await__(self) -> Generator[Any, Any, T]:
        step: Callable[[], Any] = partial(getattr, self, "_waits_for")
        while True:
            try:
                waits_for = step()
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                sent = yield waits_for
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, sent)


def start(coroutine: Coroutine[Any, Any, T]) -> T | Suspended[T]:
    """Make the first step of `coroutine`: its result, or what is left of it.

    Exceptions of the first step are raised here.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    return Suspended(coroutine, waits_for)
