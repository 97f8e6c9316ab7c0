"""Asking the database what became of an attempt, and that nothing else may (C98); see `fence`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sip2gw.backend.attempts import Settlement, UnknownAttempt, UnknownCirculation
from sip2gw.backend.base import BackendError, HungUpError
from sip2gw.backend.doubts import Doubts, Key
from sip2gw.backend.postgres.pool import Pool, within
from sip2gw.backend.store import unknown
from sip2gw.backend.store.values import time_text

SETTLING_S = 3.0
"""What is not settled after so long in one go is left for the next."""

CLEARING_S = 1.5
"""How long a terminal that asks again waits for what became of its last request."""

_SETTLE_PAYMENT = f"SELECT settle_payment({', '.join(f'${number}' for number in range(1, 19))})"
_SETTLE_CIRCULATION = "SELECT settle_circulation($1, $2, $3, $4, $5, $6, $7, $8, $9)"


async def settle(pool: Pool, known: UnknownAttempt, now: datetime, *, noted: bool) -> bool:
    """Whether `known` was done; it is not done any more if it was not. Twice is once.

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


class Settler:
    """Settles what is in doubt, a few at a time and one after the other: others want to be served.

    What was settled is forgotten by `doubts` once it is in the database.
    """

    def __init__(self, pool: Pool, doubts: Doubts) -> None:
        self._pool = pool
        self._doubts = doubts

    async def settle(self, attempts: Iterable[UnknownAttempt], now: datetime) -> list[Settlement]:
        """Those of `attempts` that could be settled.

        Raises:
            BackendError: nothing could be settled.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + SETTLING_S
        settled: list[Settlement] = []
        failure: BackendError | None = None
        for known in attempts:
            try:
                done = await settle(self._pool, known, now, noted=True)
            except BackendError as error:
                failure = error
            else:
                settled.append(Settlement(known, done))
            if loop.time() > end or self._pool.backoff_s:
                break
        if failure is not None and not settled:
            raise failure
        await self._doubts.forget([known.attempt.id for known in settled])
        return settled

    async def clear(self, key: Key, now: datetime) -> UnknownAttempt | None:
        """Settle what is in doubt under `key`; what still is."""
        known = self._doubts.under(key)
        if known is None:
            return None
        try:
            await within(CLEARING_S, self.settle((known,), now))
        except HungUpError:
            raise
        except (BackendError, asyncio.CancelledError):
            return known
        return None
