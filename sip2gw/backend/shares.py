"""Payments that go up to a library system, as every store keeps them (B75, C156)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from sip2gw.backend.base import Begun, PaymentOrder, PaymentResult, SingleShare
from sip2gw.backend.database import Database
from sip2gw.backend.doubts import Doubts
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.money import shares
from sip2gw.backend.sql.money.ledger import has_expired, load_payment, receipt_of_key
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.model import Minor, Payment, PaymentStatus
from sip2gw.model.shares import Debts, SentShare, Share, stays_here
from sip2gw.policy.money.receipts import Receipt
from sip2gw.policy.reasons import PaymentRefusalReason


class SharedPayments(Database):
    """The part of a store that keeps them; a command has no `_doubts`, and sends nothing."""

    _doubts: Doubts | None

    def begin_shares(
        self,
        order: PaymentOrder,
        account: str,
        plan: Sequence[Share] | PaymentRefusalReason,
        texts: Sequence[str],
        debts: Mapping[str, Debts],
        pending: Mapping[str, Collection[str]] | None = None,
    ) -> Awaitable[Begun | PaymentResult]:
        """See `Backend.begin_shares`."""
        # What stays here is decided on what else stays here: one after the other.
        stays = not isinstance(plan, PaymentRefusalReason) and stays_here(plan)
        write = self.write if stays else self.write_beside
        return write(
            lambda connection: shares.begin(connection, order, account, plan, texts, debts, pending)
        )

    def note_paid(self, order: PaymentOrder, payment_id: str) -> None:
        """See `Backend.note_paid`."""
        if self._doubts is not None:
            self._doubts.done(replace(attempt_of(order), id=payment_id))

    async def book_kept(self, payment_id: str, now: datetime) -> Payment:
        """See `Backend.book_kept`."""
        return await self.write(lambda connection: shares.book_kept(connection, payment_id, now))

    def end_share(
        self,
        payment_id: str,
        position: int,
        *,
        booked: bool,
        now: datetime,
        texts: Sequence[str] = (),
        then: tuple[int, Share] | None = None,
        settled: bool = False,
        single: SingleShare | None = None,
    ) -> Awaitable[Payment]:
        """See `Backend.end_share`."""
        return self.write_beside(
            partial(
                shares.end,
                payment_id=payment_id,
                position=position,
                booked=booked,
                now=now,
                texts=texts,
                then=then,
                settled=settled,
                single=single,
            )
        )

    async def sent_shares(self) -> Sequence[SentShare]:
        """See `Backend.sent_shares`."""

        def read() -> list[SentShare]:
            with self.snapshot() as connection:
                return shares.sent(connection)

        return await asyncio.to_thread(read)

    async def tell_share(self, share: SentShare, owed: Minor | None, proposal: str) -> None:
        """See `Backend.tell_share`."""
        await self.write_beside(lambda connection: shares.tell(connection, share, owed, proposal))

    async def payment_under(
        self, terminal: str, key: str, now: datetime
    ) -> tuple[Receipt, Payment] | None:
        """See `Backend.payment_under`."""

        def read() -> tuple[Receipt, Payment] | None:
            with self.snapshot() as connection:
                row = connection.execute(queries.PAYMENT_KEY, (terminal, key)).fetchone()
                payment = load_payment(connection, row[1]) if row is not None else None
                if payment is None:
                    return None
                is_open = payment.status == PaymentStatus.UNKNOWN
                is_free = has_expired(row, now) and not is_open
                return None if is_free else (receipt_of_key(row), payment)

        return await asyncio.to_thread(read)
