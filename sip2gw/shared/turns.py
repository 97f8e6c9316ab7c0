"""Whose turn it is to guess at the PIN of a patron: one after the other (B20, B74)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


class NameTurns:
    """The turns of all names at which somebody guesses now.

    Mostly nobody else does, so a turn costs an entry in a table, and a queue only if somebody
    waits for it.
    """

    def __init__(self) -> None:
        self._taken: dict[str, deque[asyncio.Future[None]] | None] = {}
        """Who waits for each; None: nobody yet."""

    def take_free(self, names: Sequence[str]) -> bool:
        """Take the turn of each of `names` if nobody has any of them; whether that was so."""
        taken = self._taken
        for name in names:
            if name in taken:
                return False
        for name in names:
            taken[name] = None
        return True

    async def take(self, names: Sequence[str]) -> None:
        """Wait for the turn of each of `names`; everybody must name them in the same order."""
        for at, name in enumerate(names):
            if name not in self._taken:
                self._taken[name] = None
                continue
            try:
                await self._wait(name)
            except BaseException:
                self.release(names[:at])
                raise

    def release(self, names: Sequence[str]) -> None:
        """Let the next one have the turn of each."""
        for name in names:
            waiting = self._taken.pop(name)
            if waiting:
                self._hand_on(name, waiting)

    def _hand_on(self, name: str, waiting: deque[asyncio.Future[None]]) -> None:
        """Let the first of those who are still `waiting` have the turn."""
        while waiting and waiting[0].done():
            waiting.popleft()
        if waiting:
            self._taken[name] = waiting
            waiting.popleft().set_result(None)

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """Whoever is inside is the only one who guesses at that patron."""
        await self.take((name,))
        try:
            yield
        finally:
            self.release((name,))

    async def _wait(self, name: str) -> None:
        waiting = self._taken[name]
        if waiting is None:
            waiting = self._taken[name] = deque()
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come already
                self.release((name,))
            raise
