"""Asking the database how an attempt ended, and making that final (C98); see `fence`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from sip2gw.backend.attempts import Settlement, UnknownAttempt, UnknownCirculation
from sip2gw.backend.base import (
    BackendError,
    BackendTimeoutError,
    CirculationOrder,
    HungUpError,
    PaymentOrder,
)
from sip2gw.backend.doubts import Doubts, Key, key_of
from sip2gw.backend.postgres.pool import Pool
from sip2gw.backend.sql.money import unknown
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.backend.sql.values import time_text
from sip2gw.foundation.eager import within

CLEARING_S = 1.5
"""How long a terminal that asks again waits for what became of its last request."""

LEFT_MAX = 1_000
"""Of more terminals that hung up in the middle the oldest are forgotten."""

Order = PaymentOrder | CirculationOrder

_SETTLE_PAYMENT = f"SELECT settle_payment({', '.join(f'${number}' for number in range(1, 20))})"
_SETTLE_CIRCULATION = "SELECT settle_circulation($1, $2, $3, $4, $5, $6, $7, $8, $9)"


async def settle(pool: Pool, known: UnknownAttempt, now: datetime, *, noted: bool) -> bool:
    """Whether `known` was done; if not, it never will be. Doing this twice changes nothing.

    Args:
        pool: of the database.
        known: the attempt.
        now: when it is settled.
        noted: whether the terminal was told "not sure", so that staff must see what became of it.

    Raises:
        BackendError: the database cannot be asked, or the attempt is just being committed.
    """
    statement, values = _call(known)
    rows = await pool.fetch(statement, *values, time_text(now), noted)
    return bool(rows[0][0])


def _call(known: UnknownAttempt) -> tuple[str, Sequence[Any]]:
    if isinstance(known, UnknownCirculation):
        return _SETTLE_CIRCULATION, unknown.review_row(known)
    return _SETTLE_PAYMENT, (*unknown.payment_row(known), known.key, known.owed)


class InDoubt:
    """Attempts that this gateway has begun without learning how they ended.

    Several gateways may settle the same. All methods belong to one event loop.

    Args:
        pool: of the database.
        doubts: None for a command, which answers no terminal.
    """

    def __init__(self, pool: Pool, doubts: Doubts | None) -> None:
        self._pool = pool
        self._doubts = doubts
        self._under_way: dict[str, Order] = {}
        self._left: dict[Key, UnknownAttempt] = {}
        """What was under way when its terminal hung up. Nobody was told anything, so nothing is
        noted, but a retry must not be told no while the first one may still be done."""

    def begin(self, order: Order) -> None:
        """`order` is on its way into the database, until `end`."""
        self._under_way[order.id] = order

    def end(self, order: Order) -> None:
        """It was answered, noted or left."""
        self._under_way.pop(order.id, None)

    async def has_open(self, is_meant: Callable[[UnknownAttempt], bool]) -> bool:
        """See `Backend.has_open_attempt`."""
        under_way = map(attempt_of, self._under_way.values())
        noted = self._doubts.perhaps_done() if self._doubts is not None else ()
        found = next(filter(is_meant, (*noted, *self._left.values(), *under_way)), None)
        if found is not None:
            await self.note(found)
        return found is not None

    def all(self) -> Sequence[UnknownAttempt]:
        """What is noted and not settled yet, oldest first."""
        return () if self._doubts is None else self._doubts.all()

    async def note(self, attempt: UnknownAttempt) -> None:
        """Note `attempt` in the spool before the terminal is told."""
        if self._doubts is not None:
            await self._doubts.note(attempt)

    def done(self, attempt: UnknownAttempt) -> None:
        """`attempt` is done: see `Doubts.done`."""
        if self._doubts is not None:
            self._doubts.done(attempt)

    def leave(self, attempt: UnknownAttempt) -> None:
        """The terminal has hung up while `attempt` was under way."""
        while len(self._left) >= LEFT_MAX:
            del self._left[next(iter(self._left))]
        self._left[key_of(attempt)] = attempt

    async def clear(self, order: Order) -> UnknownAttempt | None:
        """Settle what `order` repeats, if it is in doubt; returns it when that is not possible."""
        if not self._left and not self._doubts:
            return None
        key = key_of(attempt_of(order))
        left = self._left.get(key)
        if left is not None:
            settled = await self._is_settled(left, order.now, noted=False)
            if not settled:
                await self.note(left)
            self._left.pop(key, None)
            if not settled:
                return left
        while self._doubts is not None and (known := self._doubts.under(key)) is not None:
            if not await self._is_settled(known, order.now, noted=True):
                return known
        return None

    async def _is_settled(self, known: UnknownAttempt, now: datetime, *, noted: bool) -> bool:
        try:
            looking = settle(self._pool, known, now, noted=noted)
            done = await within(CLEARING_S, looking, BackendTimeoutError)
        except HungUpError:
            raise
        except (BackendError, asyncio.CancelledError):
            return False
        if self._doubts is not None:
            self._doubts.settled((Settlement(known, done),))
        return True

    async def settle(self, attempts: Iterable[UnknownAttempt], now: datetime) -> list[Settlement]:
        """Those of `attempts` that could be settled, one by one, so that others are served too.

        Raises:
            BackendError: nothing could be settled.
        """
        settled: list[Settlement] = []
        failure: BackendError | None = None
        for known in attempts:
            try:
                done = await settle(self._pool, known, now, noted=True)
            except BackendError as error:
                failure = error
            else:
                settled.append(Settlement(known, done))
        if failure is not None and not settled:
            raise failure
        if self._doubts is not None:
            self._doubts.settled(settled)
        return settled

    async def mend(self) -> None:
        """Try again what failed with the spool."""
        if self._doubts is not None:
            await self._doubts.mend()

    async def close(self) -> None:
        """Attempts that are still in doubt stay in the spool for the next start."""
        if self._doubts is not None:
            await self._doubts.close()
