"""Read the facts, write the decision if they still hold, and try again until that succeeds.

A decision is a Python function, so no single statement can make it: each write names the facts that
were read, and changes nothing if they have changed since. If a connection is lost in the middle,
nobody knows whether the rows were written; then everything is read again on a new connection. All
tries of an order have the id of its attempt, so at most one of them writes. A no stays a no (C98):
nothing was sent, or the database itself refused what was sent, or the attempt was fenced before the
answer. If that is not possible in time, the attempt is noted as unknown, and the answer is "not
sure".

The steps run outside of a task, so `eager.within` sets time limits where they are needed.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from sip2gw.backend.base import (
    BackendError,
    BackendTimeoutError,
    CirculationOutcome,
    HungUpError,
    OutcomeUnknownError,
    PaymentOutcome,
    UnavailableError,
)
from sip2gw.backend.postgres.failures import (
    CONFLICTS,
    FAILURES,
    LOST,
    ConflictError,
    as_backend_error,
)
from sip2gw.backend.postgres.pool import Pool
from sip2gw.backend.postgres.settling import InDoubt, Order, settle
from sip2gw.backend.sql.money.unknown import attempt_of, is_new
from sip2gw.foundation.eager import within

TRIES_MAX = 100
"""Each order for the same data that is faster costs a try; more than that never meet."""

UNKNOWN_RETRY_S = 0.05

GRACE_S = 0.1
"""We wait so much longer than the limit: the server's own, which is a certain no, comes first."""

FENCE_S = 0.4
"""How long, behind the limit, we try to learn what became of a statement that was given up."""


class _Result(Protocol):
    @property
    def outcome(self) -> PaymentOutcome | CirculationOutcome: ...

    @property
    def refusal(self) -> object | None: ...


T = TypeVar("T", bound=_Result)


class Attempts(ABC, Generic[T]):
    """One order on its way into the database; `attempt` is made until it has a result."""

    def __init__(self, pool: Pool, in_doubt: InDoubt, order: Order) -> None:
        self._pool = pool
        self._in_doubt = in_doubt
        self._made_for = order
        self._deadline = 0.0
        self._lost = False
        """Whether a statement was given up, or its connection lost, before its answer came."""
        self._sending = False
        """Whether a statement is under way."""

    @abstractmethod
    async def attempt(self, number: int) -> T | None:
        """One reading and, if that says so, one writing; None when it has to be done again."""
        ...

    @abstractmethod
    async def done(self) -> T:
        """What was done."""
        ...

    async def run(self, deadline: float) -> T:
        """Do it, repeat the first result, or refuse, a moment after `deadline` at the latest.

        Args:
            deadline: of the loop's clock.

        Raises:
            OutcomeUnknownError: it was noted that nobody knows whether it was done (C98).
            BackendError: nothing was changed, and nothing will be.
        """
        self._deadline = deadline
        self._in_doubt.begin(self._made_for)
        try:
            result = await self._run()
            if is_new(result.outcome):
                self._in_doubt.done(attempt_of(self._made_for))
            return result
        except HungUpError:
            if self._is_open:
                self._in_doubt.leave(attempt_of(self._made_for))
            raise
        finally:
            self._in_doubt.end(self._made_for)

    async def _run(self) -> T:
        try:
            result = await self._tries()
        except HungUpError:
            raise
        except asyncio.CancelledError:
            if self._is_open:
                await self._leave_open()
            raise BackendTimeoutError("it was not begun in time") from None
        except BackendError as error:
            if not self._is_open:
                raise
            return await self._find_out(error)
        if self._is_open and result.refusal is not None:
            return await self._find_out(result)
        return result

    @property
    def _is_open(self) -> bool:
        """Whether something was sent that was done or may still be done."""
        return self._lost or self._sending

    async def _tries(self) -> T:
        for number in range(TRIES_MAX):
            try:
                if self._lost:
                    result = await within(
                        self._remaining_s, self.attempt(number), BackendTimeoutError
                    )
                else:
                    result = await self.attempt(number)
            except UnavailableError:
                if not self._lost:
                    raise
                await self._wait()
            else:
                if result is not None:
                    return result
        raise ConflictError("others changed the same data again and again")

    @property
    def _remaining_s(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    async def _wait(self) -> None:
        """Give the database a moment before asking again how it ended."""
        delay_s = max(UNKNOWN_RETRY_S, self._pool.backoff_s)
        if delay_s >= self._remaining_s:
            raise BackendTimeoutError("it was not done in time") from None
        await asyncio.sleep(delay_s)

    async def _find_out(self, no: T | BackendError) -> T:
        """Answer `no` once it is certain, or what was done after all."""
        try:
            limit_s = self._remaining_s + GRACE_S + FENCE_S
            done = await within(limit_s, self._looked_up(), BackendTimeoutError)
        except HungUpError:
            raise
        except (BackendError, asyncio.CancelledError):
            await self._leave_open()
        if done is not None:
            return done
        if isinstance(no, BackendError):
            raise no
        return no

    async def _looked_up(self) -> T | None:
        """What was done; None if nothing was, and from now on never will be."""
        order = self._made_for
        was_done = await settle(self._pool, attempt_of(order), order.now, noted=False)
        return await self.done() if was_done else None

    async def _leave_open(self) -> NoReturn:
        await self._in_doubt.note(attempt_of(self._made_for))
        raise OutcomeUnknownError("nobody knows whether it was done") from None

    async def write(self, statement: str, *values: Any) -> bool:
        """Whether `statement` says that it wrote; False also when nobody knows."""
        try:
            async with self._pool.connection() as connection:
                if self._remaining_s <= 0:
                    raise BackendTimeoutError("it was not begun in time")
                limit_s = self._remaining_s + GRACE_S
                self._sending = True
                written = bool(await connection.fetchval(statement, *values, timeout=limit_s))
        except CONFLICTS:
            written = False
        except LOST:
            self._lost, written = True, False
        except FAILURES as error:
            self._sending = False
            raise as_backend_error(error) from None
        self._sending = False
        if written:
            self._lost = False  # the same attempt, so this was the only try that wrote
        return written
