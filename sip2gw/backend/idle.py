"""Connections that wait, open, for their next use.

Opening one takes a millisecond of CPU with SQLite, which reads the whole schema for it, and several
with PostgreSQL, which starts a process and checks a password. That is more than most of what REST
asks the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

KEPT_OPEN = 4
"""Connections of each kind that a process for staff, which has no terminals, keeps for later."""


class Transacting(Protocol):
    """What is needed of a connection."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def rollback(self) -> None:
        """Undo it."""

    def close(self) -> None:
        """Let go of it."""


C = TypeVar("C", bound=Transacting)


class Idle(Generic[C]):
    """Lends connections, the one used last first; may be used from any thread.

    Args:
        connect: opens another one.
        kept_max: so many wait at most; others are closed after use.
        failure: what a connection raises that has failed, and is not lent again.
        is_alive: whether one that has waited can be used; else it is closed.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        kept_max: int,
        failure: type[Exception],
        is_alive: Callable[[C], bool] = lambda _: True,
    ) -> None:
        self._connect, self._kept_max = connect, kept_max
        self._failure, self._is_alive = failure, is_alive
        self._waiting: list[C] = []

    @contextmanager
    def lent(self) -> Iterator[C]:
        """A connection for as long as the block takes; what is not committed then is undone.

        One that has failed is not lent again.
        """
        connection = self._taken()
        try:
            yield connection
            self._give_back(connection)
        except self._failure:
            connection.close()
            raise
        except BaseException:
            self._give_back(connection)
            raise

    def close(self) -> None:
        """Close those that wait, and from now on each after its use."""
        self._kept_max = 0
        while self._waiting:
            self._waiting.pop().close()

    def _taken(self) -> C:
        while True:
            try:
                connection = self._waiting.pop()  # at once: another thread may take the last one
            except IndexError:
                return self._connect()
            if self._is_alive(connection):
                return connection
            connection.close()

    def _give_back(self, connection: C) -> None:
        if len(self._waiting) >= self._kept_max:
            connection.close()
            return
        if connection.in_transaction:
            connection.rollback()
        self._waiting.append(connection)
