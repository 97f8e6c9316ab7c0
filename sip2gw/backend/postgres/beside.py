"""Write transactions of the gateway that are more than one statement, on warm connections (C72).

The job is the one that SQLite runs. It waits for each statement in a thread, while the connection
stays with the event loop of the pool. Bookings go on beside it; who changes what they are decided
on (an import, staff) waits until it has ended, and the other way round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.postgres.database import POSTGRES
from sip2gw.backend.postgres.failures import FAILURES, ConflictError, as_backend_error
from sip2gw.backend.postgres.pool import Pool
from sip2gw.backend.postgres.session import Home, Result, Session, changed

TRIES_MAX = 5
"""Of a job that others were in the way of; it was undone each time."""

T = TypeVar("T")


class _Pooled(Session):
    """A connection of a pool, whose statements stay prepared from one job to the next."""

    async def _execute(self, statement: str, values: Sequence[Any]) -> Result:
        try:
            if statement.lstrip().startswith("SELECT") or "RETURNING" in statement:
                return Result(await self._connection.fetch(statement, *values), 0)
            return Result((), changed(await self._connection.execute(statement, *values)))
        except FAILURES as error:
            raise as_backend_error(error) from None


async def write_beside(pool: Pool, job: Callable[[Connection], WriteResult[T]]) -> T:
    """Run `job` in a transaction of its own, again if others were in the way.

    Raises:
        BackendError: nothing was changed, unless the connection was lost at the very end.
    """
    home = Home(asyncio.get_running_loop())
    for number in range(1, TRIES_MAX + 1):
        async with pool.connection() as connection:
            try:
                return await asyncio.to_thread(_run, _Pooled(home, connection), job)
            except ConflictError:
                connection.terminate()
                if number == TRIES_MAX:
                    raise
            except BaseException:
                # With it ends its transaction.
                connection.terminate()
                raise
    raise AssertionError("the last try returns or raises")


def _run(session: Session, job: Callable[[Connection], WriteResult[T]]) -> T:
    for statement in POSTGRES.begin_beside:
        session.execute(statement)
    done = job(session)
    session.execute("COMMIT")
    return done.result
