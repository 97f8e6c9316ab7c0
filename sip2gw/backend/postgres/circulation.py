"""Circulation in two round trips: read the facts, then write if they still hold.

As with bookings, a lost connection in the middle leaves open whether the rows were written, so
everything is read again: what was done holds its key and is found under it (C69), with the id of
the attempt that did it. Each try writes under the same key and id, so there is never a second
transaction, whatever others did with the item since.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from sip2gw.backend.base import (
    CirculationOrder,
    CirculationOutcome,
    CirculationResult,
    UnavailableError,
)
from sip2gw.backend.postgres.attempts import Attempts
from sip2gw.backend.postgres.patrons import is_storable, record_of
from sip2gw.backend.postgres.pool import Pool
from sip2gw.backend.postgres.settling import InDoubt
from sip2gw.backend.sql.circulation import decided, item_record, keyed
from sip2gw.backend.sql.values import time_text
from sip2gw.backend.sql.writes import Rows
from sip2gw.model import PatronRecord
from sip2gw.model.items import ItemRecord
from sip2gw.policy.items.decisions import Facts

FACTS = "SELECT circulation_facts($1, $2, $3, $4, $5, $6)"
CIRCULATE = "SELECT circulate($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"

_decode = msgspec.json.Decoder(list[list[dict[str, Any]]]).decode
_encode = msgspec.json.Encoder().encode


async def find_item(pool: Pool, item_id: str, now: datetime) -> ItemRecord | None:
    """The item as it is now, or None."""
    if not is_storable(item_id):
        return None
    rows = await pool.fetch(FACTS, item_id, None, None, False, time_text(now), None)
    return _facts(rows[0][0], None).record


async def foreseen(pool: Pool, order: CirculationOrder) -> CirculationResult:
    """What `order` would come to now; nothing is written."""
    order = keyed(_storable(order))
    rows = await pool.fetch(FACTS, *_asked(order))
    return decided(order, _facts(rows[0][0], order.key)).result


class Circulating(Attempts[CirculationResult]):
    """One order on its way into the library."""

    def __init__(self, pool: Pool, in_doubt: InDoubt, order: CirculationOrder) -> None:
        self._order = keyed(_storable(order))
        super().__init__(pool, in_doubt, self._order)

    async def done(self) -> CirculationResult:
        """What this order did.

        Raises:
            UnavailableError: it was cancelled since.
        """
        done = self._own(_facts(await self._read(), self._order.key).record)
        if done is None:
            raise UnavailableError("what was done was cancelled since")
        return done

    def _own(self, record: ItemRecord | None) -> CirculationResult | None:
        """What this very order did, whatever others did with the item since; None if nothing."""
        event = record.repeated if record is not None else None
        if event is None or event.attempt != self._order.id:
            return None
        return CirculationResult(CirculationOutcome.DONE, record, event.outcome)

    async def attempt(self, number: int) -> CirculationResult | None:
        """One reading and, if that says so, one writing; None when it has to be done again."""
        order = self._order
        text = await self._read()
        facts = _facts(text, order.key)
        if self._lost and (done := self._own(facts.record)) is not None:
            return done
        plan = decided(order, facts)
        result = plan.result
        if not plan.rows:
            return result
        parties = plan.parties.union(p.id for p in (facts.patron, facts.borrower) if p)
        values = (*_asked(order), sorted(parties), text, _json(plan.rows))
        return result if await self.write(CIRCULATE, order.id, *values) else None

    async def _read(self) -> str:
        return str((await self._pool.fetch(FACTS, *_asked(self._order)))[0][0])


def _asked(order: CirculationOrder) -> tuple[Any, ...]:
    """The parameters that say what to read."""
    since = order.borrowed_since
    return (
        order.item_id,
        order.key,
        order.patron_id,
        order.with_borrower,
        time_text(order.now),
        time_text(since) if since is not None else None,
    )


def _storable(order: CirculationOrder) -> CirculationOrder:
    """`order` without texts that the database cannot store: no id or key contains them."""
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
