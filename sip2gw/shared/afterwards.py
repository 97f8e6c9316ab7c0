"""Work for after an answer: nobody waits for it, and it does not pile up (B78, C126)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

WAITING_MAX = 16
"""Work that may wait for one terminal, beside what is being done."""

Work = Callable[[], Awaitable[None]]


class Afterwards:
    """Does work in a later turn of the loop, when the answer that it follows has been written.

    Each terminal has one task at most, so none of them holds up another.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Work]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def do(self, terminal: str, work: Work) -> bool:
        """Do `work` after all that waits for `terminal`; False if too much does: it is dropped."""
        waiting = self._waiting.get(terminal)
        if waiting is not None:
            if len(waiting) >= WAITING_MAX:
                return False
            waiting.append(work)
            return True
        waiting = self._waiting[terminal] = deque((work,))
        task = asyncio.get_running_loop().create_task(self._work_off(terminal, waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _work_off(self, terminal: str, waiting: deque[Work]) -> None:
        try:
            while waiting:
                try:
                    await waiting.popleft()()
                except Exception as problem:
                    failure = {"message": "work after an answer failed", "exception": problem}
                    asyncio.get_running_loop().call_exception_handler(failure)
                await asyncio.sleep(0)  # requests first, even where nothing else waits
        finally:
            del self._waiting[terminal]

    async def done(self) -> None:
        """Wait until nothing is left to do."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
