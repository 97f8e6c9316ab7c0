"""Whose turn it is when all lines are in use: terminals one after the other (B71)."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What waits."""

    @property
    def terminal(self) -> str:
        """Whose it is."""


W = TypeVar("W", bound=Waiting)


class Turns(Generic[W]):
    """Requests that wait, by terminal: each terminal in its turn, its own in their order."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queues: dict[str, deque[W]] = {}
        """In the order of turns."""
        self.size = 0
        """How many wait."""

    def add(self, one: W) -> bool:
        """Let `one` wait; False if too many wait already."""
        if self.size >= self._limit:
            return False
        self._queues.setdefault(one.terminal, deque()).append(one)
        self.size += 1
        return True

    def take(self) -> W | None:
        """The next one; its terminal comes after all others then."""
        if not self._queues:
            return None
        terminal = next(iter(self._queues))
        queue = self._queues.pop(terminal)
        one = queue.popleft()
        self.size -= 1
        if queue:
            self._queues[terminal] = queue
        return one

    def remove(self, one: W) -> None:
        """Let `one` wait no longer, if it does."""
        queue = self._queues.get(one.terminal)
        if queue is None or one not in queue:
            return
        queue.remove(one)
        self.size -= 1
        if not queue:
            del self._queues[one.terminal]
