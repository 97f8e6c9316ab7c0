"""Circulation in two round trips: read what it is decided on, then write if that still holds.

As with bookings, a lost connection in the middle leaves open whether the rows were written, so
everything is read again: what was done holds its key and is found under it (C69). Each try writes
under the same key, so that there is never a second one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from sip2gw.backend.base import (
    BackendTimeoutError,
    CirculationOrder,
    CirculationResult,
    DecideCirculation,
    UnavailableError,
)
from sip2gw.backend.postgres.booking import TOO_MANY_TRIES, TRIES_MAX, UNKNOWN_RETRY_S
from sip2gw.backend.postgres.failures import (
    CONFLICTS,
    FAILURES,
    LOST,
    ConflictError,
    as_backend_error,
)
from sip2gw.backend.postgres.pool import Pool
from sip2gw.backend.postgres.reading import is_storable, record_of
from sip2gw.backend.store.circulation import DONE, REPLAYED, decided, item_record, keyed
from sip2gw.backend.store.values import time_text
from sip2gw.backend.store.writes import Rows
from sip2gw.model import PatronRecord
from sip2gw.policy.circulation import Facts
from sip2gw.stock import ItemRecord

FACTS = "SELECT circulation_facts($1, $2, $3, $4, $5, $6)"
CIRCULATE = "SELECT circulate($1, $2, $3, $4, $5, $6, $7, $8, $9)"

_decode = msgspec.json.Decoder(list[list[dict[str, Any]]]).decode
_encode = msgspec.json.Encoder().encode


async def find_item(pool: Pool, item_id: str, now: datetime) -> ItemRecord | None:
    """The item as it is now, or None."""
    if not is_storable(item_id):
        return None
    rows = await pool.fetch(FACTS, item_id, None, None, False, time_text(now), None)
    return _facts(rows[0][0], None).record


class Circulating:
    """One order on its way into the library."""

    def __init__(self, pool: Pool, order: CirculationOrder, decide: DecideCirculation) -> None:
        self._pool = pool
        self._order = keyed(_storable(order))
        self._decide = decide
        self._unknown = False

    async def run(self, deadline: float) -> CirculationResult:
        """Do it, repeat what was done first, or refuse.

        Raises:
            BackendTimeoutError: the database could not be asked again before `deadline` (of the
                loop's clock) whether it was done.
            BackendError: nothing was changed.
        """
        for _ in range(TRIES_MAX):
            try:
                result = await self._try()
            except UnavailableError:
                if not self._unknown:
                    raise
                await self._wait(deadline)
            else:
                if result is not None:
                    return result
        raise self._unknown_outcome() if self._unknown else ConflictError(TOO_MANY_TRIES)

    async def _wait(self, deadline: float) -> None:
        """Give the database a moment before it is asked again what became of it."""
        delay_s = max(UNKNOWN_RETRY_S, self._pool.backoff_s)
        if asyncio.get_running_loop().time() + delay_s >= deadline:
            raise self._unknown_outcome() from None
        await asyncio.sleep(delay_s)

    def _unknown_outcome(self) -> BackendTimeoutError:
        return BackendTimeoutError("whether it was done is not known")

    async def _try(self) -> CirculationResult | None:
        """One reading and, if that says so, one writing; None when it has to be done again."""
        order = self._order
        asked = (
            order.item_id,
            order.key,
            order.patron_id,
            order.with_borrower,
            time_text(order.now),
            time_text(order.borrowed_since) if order.borrowed_since is not None else None,
        )
        text = (await self._pool.fetch(FACTS, *asked))[0][0]
        facts = _facts(text, order.key)
        plan = decided(order, facts, self._decide)
        result = plan.result
        if result.outcome == REPLAYED and self._unknown:
            return replace(result, outcome=DONE)  # by this very order
        if not plan.rows:
            return result
        parties = plan.parties.union(p.id for p in (facts.patron, facts.borrower) if p)
        written = await self._write(*asked, sorted(parties), text, _json(plan.rows))
        return result if written else None

    async def _write(self, *values: Any) -> bool:
        """Whether the rows were written; False also when nobody knows."""
        try:
            async with self._pool.connection() as connection:
                return bool(await connection.fetchval(CIRCULATE, *values))
        except CONFLICTS:
            return False
        except LOST:
            self._unknown = True
            return False
        except FAILURES as error:
            raise as_backend_error(error) from None


def _storable(order: CirculationOrder) -> CirculationOrder:
    """`order` without texts that the database cannot keep: nothing has such an id or key."""
    if order.key is not None and not is_storable(order.key):
        order = replace(order, key=None)
    return order if is_storable(order.item_id) else replace(order, item_id="")


def _facts(text: str, key: str | None) -> Facts:
    item, item_holds, title_holds, events, patron, borrower, borrowed = map(_plain, _decode(text))
    record = None
    if item:
        record = item_record(item[0], [*item_holds, *title_holds], events, key)
    return Facts(record, _patron(patron), _patron(borrower), bool(borrowed))


def _plain(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [list(row.values()) for row in rows]


def _patron(rows: Sequence[Sequence[Any]]) -> PatronRecord | None:
    """The snapshot behind a row whose lists are rows themselves."""
    if not rows:
        return None
    values = (tuple(_plain(value)) if isinstance(value, list) else value for value in rows[0])
    return record_of(tuple(values))


def _json(rows: Rows) -> str:
    """The rows by kind, as `circulate` wants them."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for write, row in rows:
        named = dict(zip(write.columns, row, strict=True))
        by_kind.setdefault(write.name, []).append(named)
    return _encode(by_kind).decode()
