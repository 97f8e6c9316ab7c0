"""Booking: read the facts, then write the payment if they still hold, a round trip each (B46).

Python decides, so no single statement can do it. `book_payment` in the database writes the whole
payment at once, or nothing when its key is taken or when anything that was read has changed since;
then it is read and decided again. The first decision uses the facts that were read together with
the payer, which needs no extra round trip.

Why a payment is never booked twice nor lost: the key is written with the payment, in one
transaction, and the payment has the id of the order, however often that is tried. When a
connection is lost in the middle nobody knows whether the payment was written, so everything is read
again on a new connection. If the key is there, it was. If not, the same facts give the same
decision and a second try, which key and id (or the lock of the first try, still running) keep from
being a second payment. A refusal is answered only when the first try is fenced (`attempts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sip2gw.backend.base import PaymentOrder, PaymentOutcome, PaymentResult
from sip2gw.backend.doubts import Doubts
from sip2gw.backend.postgres.attempts import Attempts
from sip2gw.backend.postgres.database import numbered
from sip2gw.backend.postgres.patrons import DatedFacts, rows_of
from sip2gw.backend.postgres.pool import Pool
from sip2gw.backend.postgres.settling import InDoubt
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.money.ledger import (
    decided,
    entries_of,
    holder_of,
    other_parties,
    payment_of,
    refused,
)
from sip2gw.backend.sql.records import account
from sip2gw.backend.sql.values import list_text, moment_text, time_text
from sip2gw.model import PatronRecord, Payment
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason

_PARTIES = """
    SELECT ? AS id UNION
    SELECT CASE WHEN r.from_id = ? THEN r.to_id ELSE r.from_id END FROM ({payer_for}) r"""

FACTS = numbered(
    queries.fill(
        """
    SELECT v.version, {key}, a.*
    FROM store_version v LEFT JOIN payment k ON k.terminal = $2 AND k.key = $3
    LEFT JOIN (
        SELECT p.id, p.name, p.membership_from, p.membership_until, {membership}, {lists}
        FROM ({parties}) parties JOIN patron p ON p.id = parties.id
        LEFT JOIN membership m ON m.code = p.membership_code) a ON TRUE
    WHERE v.id = 1""",
        key=queries.KEY_COLUMNS,
        membership=queries.MEMBERSHIP_COLUMNS,
        lists=rows_of((queries.FEES, queries.PAYER_FOR)),
        parties=queries.fill(_PARTIES, payer_for=queries.PAYER_FOR).replace("?", "$1"),
    )
)
"""The key and the accounts of payer ($1) and debtors, a row for each; one row without account for
an unknown payer."""

BOOK = f"SELECT book_payment({', '.join(f'${number}' for number in range(1, 25))})"
TAKEN_OVER = numbered(queries.TAKEN_OVER)
PAYMENT = numbered(queries.fill(queries.PAYMENTS, where=" WHERE p.id = ?"))
REPLAY = queries.fill(
    """
    WITH resolved AS (
        UPDATE attempt SET resolved = $2 WHERE id = $1 AND resolved IS NULL)
    {payment}""",
    payment=PAYMENT,
)
"""`PAYMENT`, of which the terminal is told now whatever it was told before (C59)."""

_KEY, _HOLDER = slice(1, 6), 2
_ACCOUNT = slice(6, 18)
_FEES, _PAYER_FOR = 18, 19


class Booking(Attempts[PaymentResult]):
    """One order on its way into the ledger."""

    def __init__(
        self, pool: Pool, in_doubt: InDoubt, order: PaymentOrder, doubts: Doubts | None
    ) -> None:
        super().__init__(pool, in_doubt, order)
        self._order = order
        self._doubts = doubts

    async def attempt(self, number: int) -> PaymentResult | None:
        """First with the facts that were read with the payer, then with newly read ones."""
        return await (self._try() if number else self._try_on_seen())

    async def done(self) -> PaymentResult:
        """The payment that this order made."""
        return PaymentResult(
            PaymentOutcome.BOOKED, payment_of(await self._pool.fetch(PAYMENT, self._order.id))
        )

    async def _try_on_seen(self) -> PaymentResult | None:
        """Write by the facts that were read with the payer, if they give a payment at all.

        None if it was not written: the key may be taken, and that comes before any refusal.
        """
        seen = self._order.seen
        if not isinstance(seen, DatedFacts):
            return await self._try()
        payment = decided(self._order, seen, self._doubts)
        if isinstance(payment, PaymentResult):
            return await self._try()
        records = {record.id: record for record in (seen.payer, *seen.debtors)}
        booked = await self._write(seen.as_of, records, payment, None)
        return PaymentResult(PaymentOutcome.BOOKED, payment) if booked else None

    async def _try(self) -> PaymentResult | None:
        """One reading and, if that says so, one writing; None when it has to be done again."""
        order = self._order
        rows = await self._pool.fetch(FACTS, order.payer_id, order.terminal, order.key)
        holder = await self._holder(rows[0][_KEY])
        if isinstance(holder, PaymentResult):
            return holder
        if holder is not None:
            return await self._first_payment(holder)
        records = {record.id: record for record in map(_account_of, rows) if record is not None}
        payer = records.get(order.payer_id)
        if payer is None:
            return refused(PaymentRefusalReason.UNKNOWN_CARD)
        others = (records.get(party) for party in other_parties(payer))
        facts = PaymentFacts(payer, tuple(record for record in others if record is not None))
        payment = decided(order, facts, self._doubts)
        if isinstance(payment, PaymentResult):
            return payment
        booked = await self._write(rows[0][0], records, payment, rows[0][_HOLDER])
        return PaymentResult(PaymentOutcome.BOOKED, payment) if booked else None

    async def _holder(self, key: Sequence[Any]) -> str | PaymentResult | None:
        """`holder_of`; whom the key was taken over from is asked only if it is another's now."""
        order = self._order
        if key[0] is None:
            return None
        holder = holder_of(order, [key])
        if isinstance(holder, str) or not order.bk:
            return holder
        before = await self._pool.fetch(TAKEN_OVER, order.terminal, order.bk)
        return holder_of(order, [key, *before])

    async def _first_payment(self, payment_id: str) -> PaymentResult:
        """What holds the key: this very order, lost on its way back, or an earlier one."""
        if payment_id == self._order.id:
            return await self.done()
        values = (payment_id, time_text(self._order.now))
        return PaymentResult(
            PaymentOutcome.REPLAYED, payment_of(await self._pool.fetch(REPLAY, *values))
        )

    async def _write(
        self,
        version: int,
        records: dict[str, PatronRecord],
        payment: Payment,
        holder: str | None,
    ) -> bool:
        """Whether the payment was written; False also when nobody knows.

        Args:
            version: of the store, when the facts were read.
            records: the parties, as they were read.
            payment: what is to be written.
            holder: the payment that had the key, which now belongs to this one.
        """
        values = _values(self._order, payment)
        return await self.write(BOOK, version, *_guard(records, holder), *values)


def _account_of(row: Sequence[Any]) -> PatronRecord | None:
    values = row[_ACCOUNT]
    return None if values[0] is None else account(values, row[_FEES], row[_PAYER_FOR])


def _guard(
    records: dict[str, PatronRecord], holder: str | None
) -> tuple[list[str], str, str | None]:
    """The parties, what they owe and who may hold the key, as `book_payment` compares it."""
    fees = sorted((fee.id, fee.owed) for record in records.values() for fee in record.fees)
    return sorted(records), "\n".join(f"{fee_id} {owed}" for fee_id, owed in fees), holder


def _values(order: PaymentOrder, payment: Payment) -> tuple[Any, ...]:
    """The rest of the parameters of `book_payment`."""
    return (
        order.terminal,
        order.key,
        order.content,
        time_text(order.key_expires),
        payment.id,
        time_text(payment.time),
        payment.payer_id,
        payment.amount,
        payment.currency,
        payment.payment_type,
        payment.bk,
        payment.status,
        list_text(payment.texts),
        payment.card,
        moment_text(order.transacted),
        *map(list, zip(*entries_of(order, payment), strict=True)),
    )
