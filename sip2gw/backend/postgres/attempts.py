"""Read what is decided on, write it if that still holds, and try again until one of them stands.

A decision is a Python function, so no single statement can make it: each write names what was read
and changes nothing when that has changed since. When a connection is lost in the middle nobody
knows whether the rows were written; then everything is read again on a new connection.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from sip2gw.backend.base import BackendTimeoutError, UnavailableError
from sip2gw.backend.postgres.failures import (
    CONFLICTS,
    FAILURES,
    LOST,
    ConflictError,
    as_backend_error,
)
from sip2gw.backend.postgres.pool import Pool

TRIES_MAX = 100
"""Each order for the same data that is faster costs a try; more than that never meet."""

UNKNOWN_RETRY_S = 0.05

T = TypeVar("T")


class Attempts(ABC, Generic[T]):
    """One order on its way into the database; `attempt` is made until it has a result."""

    def __init__(self, pool: Pool, what: str) -> None:
        """`what` names, for an error, the thing of which nobody knows whether it was done."""
        self._pool = pool
        self._what = what
        self._unknown = False
        """Whether a connection was lost while something was written."""

    @abstractmethod
    async def attempt(self, number: int) -> T | None:
        """One reading and, if that says so, one writing; None when it has to be done again."""
        ...

    async def run(self, deadline: float) -> T:
        """Do it, repeat what was done first, or refuse.

        Raises:
            BackendTimeoutError: the database could not be asked again before `deadline` (of the
                loop's clock) whether it was done.
            BackendError: nothing was changed.
        """
        for number in range(TRIES_MAX):
            try:
                result = await self.attempt(number)
            except UnavailableError:
                if not self._unknown:
                    raise
                await self._wait(deadline)
            else:
                if result is not None:
                    return result
        if self._unknown:
            raise self._unknown_outcome()
        raise ConflictError("others changed the same data again and again")

    async def _wait(self, deadline: float) -> None:
        """Give the database a moment before it is asked again what became of it."""
        delay_s = max(UNKNOWN_RETRY_S, self._pool.backoff_s)
        if asyncio.get_running_loop().time() + delay_s >= deadline:
            raise self._unknown_outcome() from None
        await asyncio.sleep(delay_s)

    def _unknown_outcome(self) -> BackendTimeoutError:
        return BackendTimeoutError(f"whether {self._what} is not known")

    async def write(self, statement: str, *values: Any) -> bool:
        """Whether `statement` says that it wrote; False also when nobody knows."""
        try:
            async with self._pool.connection() as connection:
                return bool(await connection.fetchval(statement, *values))
        except CONFLICTS:
            return False
        except LOST:
            self._unknown = True
            return False
        except FAILURES as error:
            raise as_backend_error(error) from None
