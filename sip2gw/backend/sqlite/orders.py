"""Orders on their way into the SQLite store: however the wait ends, the answer is true (C98).

An order can have three results. *Done*, or refused by a decision: its transaction is durable. *Not
done*: its job was not begun, or what it wrote was undone, and it will not be begun any more.
*Unknown*: its transaction had begun when the deadline passed; the attempt is noted before that is
said, and settled by looking in a later transaction.

An order that was certainly not done may repeat, by its key, another one whose outcome is still
unknown: one whose terminal hung up while it was committed, or one that was answered with "not
sure". The answer to the later order must then not be a plain no, because the earlier one may turn
out to be done. Or it repeats one that is done: while others only keep us from writing, we can read,
and the answer is that of the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sip2gw.backend.attempts import Settlement, UnknownAttempt, UnknownPayment
from sip2gw.backend.base import (
    BackendError,
    BackendTimeoutError,
    CirculationOrder,
    HungUpError,
    OutcomeUnknownError,
    PaymentOrder,
    PaymentResult,
    UnavailableError,
)
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.doubts import Doubts, insist_on_notable, key_of
from sip2gw.backend.sql.money.ledger import refused
from sip2gw.backend.sql.money.unknown import attempt_of, is_new, settle
from sip2gw.backend.sqlite.writer import State, Waiting, Writer
from sip2gw.foundation.eager import within
from sip2gw.policy.reasons import PaymentRefusalReason

Order = PaymentOrder | CirculationOrder
Job = Callable[[Connection], WriteResult[Any]]
Look = Callable[[Order], Coroutine[Any, Any, Any]]

LOOK_S = 0.5
"""How long a look at what was done before may take; the terminal has waited already."""


class Orders:
    """Gives orders to the writer.

    Args:
        writer: writes for this process.
        doubts: None for a command, which answers no terminal.
        look: reads the result of an earlier order with the same key, None without one.
    """

    def __init__(self, writer: Writer, doubts: Doubts | None, look: Look) -> None:
        self.closed = False
        """Whether no more are taken."""
        self._writer = writer
        self._doubts = doubts
        self._look = look

    async def has_open(self, is_meant: Callable[[UnknownAttempt], bool]) -> bool:
        """See `Backend.has_open_attempt`."""
        begun = map(attempt_of, self._writer.orders_in_doubt())
        noted = self._doubts.perhaps_done() if self._doubts is not None else ()
        found = next(filter(is_meant, (*noted, *begun)), None)
        if found is not None:
            await self._note(found)
        return found is not None

    async def run(self, order: Order, job: Job, ready: Awaitable[None] | None) -> Any:
        """The result of `job` for `order`, begun after `ready`, once it is durable.

        An attempt of unknown outcome that `order` repeats is settled in the same transaction.

        Raises:
            OutcomeUnknownError: nobody knows about this order, or about one that it repeats.
            BackendError: it was not done, and will not be.
        """
        if self.closed:
            raise UnavailableError("the store is closed")
        waiting: Waiting | None = None
        try:
            if ready is not None:
                await ready
            known = self._noted(order)
            waiting = self._writer.submit(
                job if known is None else _after(known, order, job), order
            )
            result = await waiting
        except HungUpError:
            raise
        except asyncio.CancelledError:
            return await self._given_up(order, waiting)
        except UnavailableError as error:
            return await self._not_done(order, error)
        if self._doubts is not None:
            if known is not None:
                self._doubts.settled((Settlement(known, result.refusal is None),))
            if is_new(result.outcome):
                self._doubts.done(attempt_of(order))
        if isinstance(result, PaymentResult):
            return insist_on_notable(self._doubts, result)
        return result

    async def _given_up(self, order: Order, waiting: Waiting | None) -> Any:
        """What is known of `order` at the moment when its deadline has passed."""
        if waiting is not None and waiting.state is State.BEGUN:
            await self._note(attempt_of(order))
            raise OutcomeUnknownError("the deadline passed while it was committed")
        if waiting is not None and waiting.state is State.ENDED:
            outcome = waiting.outcome
            if isinstance(outcome, WriteResult):
                return outcome.result
            if not isinstance(outcome, UnavailableError):
                raise outcome
        return await self._not_done(order, BackendTimeoutError("it was not begun in time"))

    async def _not_done(self, order: Order, error: BackendError) -> Any:
        """`order` was not done, but one that it repeats may have been: that one's result then.

        Raises:
            OutcomeUnknownError: nobody knows about that one.
            BackendError: `error`, when there is no such attempt.
        """
        other = self._noted(order) or self._in_doubt(order)
        if other is None:
            return await self._done_before(order, error)
        if isinstance(order, PaymentOrder) and _has_other_content(order, other):
            return refused(PaymentRefusalReason.BK_REUSED)
        await self._note(other)
        raise OutcomeUnknownError("an earlier attempt is not settled yet")

    async def _done_before(self, order: Order, error: BackendError) -> Any:
        """The result of the order that `order` repeats.

        Raises:
            BackendError: `error`, when there is none, or the store cannot be read either.
        """
        try:
            done = await within(LOOK_S, self._look(order), BackendTimeoutError)
        except (BackendError, asyncio.CancelledError):  # the latter: its time is over
            raise error from None
        if done is None:
            raise error
        return done

    def _noted(self, order: Order) -> UnknownAttempt | None:
        """The attempt of unknown outcome that `order` repeats."""
        return self._doubts.under(key_of(attempt_of(order))) if self._doubts else None

    def _in_doubt(self, order: Order) -> UnknownAttempt | None:
        """The attempt that `order` repeats, whose transaction has not ended yet."""
        wanted = key_of(attempt_of(order))
        begun = map(attempt_of, self._writer.orders_in_doubt())
        return next((attempt for attempt in begun if key_of(attempt) == wanted), None)

    async def _note(self, attempt: UnknownAttempt) -> None:
        if self._doubts is not None:
            await self._doubts.note(attempt)


def _has_other_content(order: PaymentOrder, other: UnknownAttempt) -> bool:
    return isinstance(other, UnknownPayment) and other.content != order.content


def _after(known: UnknownAttempt, order: Order, job: Job) -> Job:
    """`job`, once the attempt that its order repeats is settled, in the same transaction."""

    def settle_first(connection: Connection) -> WriteResult[Any]:
        settle(connection, (known,), order.now)
        return job(connection)

    return settle_first
