"""What staff asks of a store, the same on every database: undo, relationships, badges, listings."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, tzinfo
from typing import Any, TypeVar

from sip2gw.backend.attempts import (
    Reconciliation,
    Settlement,
    UnknownAttempt,
    UnknownPayment,
)
from sip2gw.backend.base import BackendError, RefusedError
from sip2gw.backend.library import Connection, WriteResult
from sip2gw.backend.sql import (
    circulation,
    ledger,
    queries,
    refusals,
    reviews,
    surplus,
    unknown,
)
from sip2gw.backend.sql.door_log import access_rows
from sip2gw.backend.sql.values import time_text, time_value
from sip2gw.backend.staff import badges, doors, relationships
from sip2gw.backend.staff.people import holder
from sip2gw.model import (
    AccessRow,
    Badge,
    BadgeHolder,
    DoorCount,
    DoorEntry,
    Passage,
    Payment,
    Relationship,
    RelationshipType,
    Reveal,
    Surplus,
)
from sip2gw.model.items import Review
from sip2gw.model.refusals import RefusedPayment, RefusedPaymentsMore
from sip2gw.policy.relationships import RelationshipRules

T = TypeVar("T")


class StaffOperations(ABC):
    """Built on `write` and `snapshot`, which each database provides."""

    @property
    def slow_reads(self) -> int:
        """0, for a database whose disk is another host's."""
        return 0

    @abstractmethod
    def write(self, job: Callable[[Connection], WriteResult[T]]) -> Awaitable[T]:
        """Run `job` in a write transaction; awaiting gives its result, durable.

        Raises:
            BackendError: nothing was changed.
        """

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Connection]:
        """A read-only connection that sees one moment of the store."""

    @abstractmethod
    def own_connection(self) -> AbstractContextManager[Connection]:
        """A connection of its own.

        Raises:
            BackendError: the store failed.
        """

    async def undo_payment(self, payment_id: str, now: datetime, zone: tzinfo) -> Payment:
        """Take a payment back on the day it was made (C54).

        Raises:
            ledger.UndoRefusedError: it cannot be; the text says why.
        """
        return await self.write(lambda connection: ledger.undo(connection, payment_id, now, zone))

    async def refund(self, fee_id: str, now: datetime) -> list[Surplus]:
        """Book that what was paid too much of a fee was given back; to whom, and how much (C103).

        Raises:
            RefusedError: nothing was paid too much of it.
        """
        return await self.write(lambda connection: ledger.refund(connection, fee_id, now))

    def surpluses(self) -> list[Surplus]:
        """What was paid too much and not given back, the longest unchanged first (C103)."""
        with self.snapshot() as connection:
            return surplus.surpluses(connection)

    def spooled(self) -> Sequence[UnknownAttempt]:
        """Attempts of unknown outcome that are not in the store yet."""
        return ()

    async def unknown_attempts(self) -> Sequence[UnknownAttempt]:
        """All attempts that are not settled yet, oldest first."""

        def read() -> list[UnknownAttempt]:
            with self.snapshot() as connection:
                stored = unknown.unknown_attempts(connection)
                return unknown.merged(stored, unknown.unsettled(connection, spooled))

        spooled = self.spooled()
        try:
            return await asyncio.to_thread(read)
        except BackendError:
            if not spooled:
                raise
            return spooled

    async def settle(
        self, attempts: Iterable[UnknownAttempt], now: datetime
    ) -> Sequence[Settlement]:
        """Look what became of `attempts`, fence those that were not done, note the result."""
        chosen = tuple(attempts)
        return await self.write(lambda connection: unknown.settle(connection, chosen, now))

    async def last_import(self) -> datetime | None:
        """When library data was last imported; None if never."""
        (text,) = await asyncio.to_thread(self._first, queries.LAST_IMPORT) or (None,)
        return time_value(text)

    async def count_patrons(self) -> int:
        """How many patrons there are; reads an index as long as that."""
        row = await asyncio.to_thread(self._first, queries.COUNT_PATRONS)
        return int(row[0])

    def _first(self, statement: str) -> Any:
        with self.snapshot() as connection:
            return connection.execute(statement).fetchone()

    def reconciliations(self, since: datetime) -> list[Reconciliation]:
        """Payments that were answered with "not sure": open ones, and those settled since."""
        with self.snapshot() as connection:
            return unknown.reconciliations(connection, self.spooled(), since)

    async def settle_payment(
        self, payment_id: str, *, booked: bool, note: str, now: datetime
    ) -> None:
        """Settle an open payment as staff say, with their `note`.

        Raises:
            RefusedError: it is not open, or what staff say is not what the store knows.
        """
        known = next((it for it in await self.unknown_attempts() if it.id == payment_id), None)
        if not isinstance(known, UnknownPayment):
            raise RefusedError(f"no payment of unknown outcome: {payment_id}")
        chosen = known
        await self.write(
            lambda connection: unknown.settle_as_told(connection, chosen, booked, note, now)
        )

    async def set_pin_hash(self, patron_id: str, pin_hash: str | None) -> bool:
        """Replace a patron's PIN hash and unlock the PIN; False for an unknown patron."""

        def job(connection: Connection) -> WriteResult[bool]:
            changed = connection.execute(queries.SET_PIN_HASH, (pin_hash, patron_id)).rowcount
            connection.execute(queries.CLEAR_PIN_FAILURES, (patron_id,))
            return WriteResult(changed > 0, (patron_id,))

        return await self.write(job)

    async def add_relationship(
        self, wanted: Relationship, rules: RelationshipRules, today: date
    ) -> Relationship:
        """Make a relationship between the holders of two cards; what it replaces is gone (B49).

        Raises:
            RefusedError: it may not be; the text says why.
        """
        return await self.write(
            lambda connection: relationships.add(connection, wanted, rules, today)
        )

    async def confirm_relationship(
        self, kind: RelationshipType, from_card: str, to_card: str
    ) -> Relationship:
        """Put an unconfirmed relationship in force (B50).

        Raises:
            RefusedError: there is none.
        """
        return await self.write(
            lambda connection: relationships.confirm(connection, kind, from_card, to_card)
        )

    async def remove_relationship(
        self, kind: RelationshipType, from_card: str, to_card: str
    ) -> Relationship:
        """End a relationship.

        Raises:
            RefusedError: there is none.
        """
        return await self.write(
            lambda connection: relationships.remove(connection, kind, from_card, to_card)
        )

    async def define_badge(self, badge: Badge) -> None:
        """Make a badge, or change what the one of its code is called and whether it is active.

        Raises:
            RefusedError: not a badge that an import would take.
        """
        await self.write(lambda connection: badges.define(connection, badge))

    async def set_badge_active(self, code: str, active: bool) -> None:
        """Show a badge to terminals, or to none (B65).

        Raises:
            RefusedError: there is no such badge.
        """
        await self.write(lambda connection: badges.set_active(connection, code, active))

    async def assign_badge(self, code: str, card: str) -> str:
        """Give a badge, without limits, to the holder of `card`; the patron's id.

        Raises:
            RefusedError: no such badge or card.
        """
        return await self.write(lambda connection: badges.assign(connection, code, card))

    async def unassign_badge(self, code: str, card: str) -> str:
        """Take a badge from the holder of `card`; the patron's id.

        Raises:
            RefusedError: no such card, or the patron does not have the badge.
        """
        return await self.write(lambda connection: badges.unassign(connection, code, card))

    async def erase_access_identities(self, before: datetime) -> int:
        """Forget who stood at the doors before `before`; the rows are kept (B42)."""

        def erase() -> int:
            with self.own_connection() as connection:
                return doors.erase_identities(connection, before)

        return await asyncio.to_thread(erase)

    def count_access_identities(self, before: datetime) -> int:
        """How many rows `erase_access_identities` would change."""
        with self.snapshot() as connection:
            return doors.count_identities(connection, before)

    async def forget_transactions(self, now: datetime) -> int:
        """Forget who did what with which item, once it can neither be repeated nor cancelled."""

        def forget() -> int:
            with self.own_connection() as connection:
                return connection.execute(queries.FORGET_EVENTS, (time_text(now),)).rowcount

        return await asyncio.to_thread(forget)

    async def forget_loans(self, before: datetime) -> int:
        """Forget who borrowed what until `before`."""

        def forget() -> int:
            with self.own_connection() as connection:
                return connection.execute(queries.FORGET_LOANS, (time_text(before),)).rowcount

        return await asyncio.to_thread(forget)

    def count_forgotten_transactions(self, now: datetime) -> int:
        """How many `forget_transactions` would forget."""
        with self.snapshot() as connection:
            return circulation.count_forgotten_transactions(connection, now)

    def count_forgotten_loans(self, before: datetime) -> int:
        """How many `forget_loans` would forget."""
        with self.snapshot() as connection:
            return circulation.count_forgotten_loans(connection, before)

    async def forget_refused_payments(self, before: datetime) -> int:
        """Forget which payments were refused before `before` (C104)."""

        def forget() -> int:
            with self.own_connection() as connection:
                return refusals.forget(connection, before)

        return await asyncio.to_thread(forget)

    def count_forgotten_refusals(self, before: datetime) -> int:
        """How many `forget_refused_payments` would forget."""
        with self.snapshot() as connection:
            return refusals.count_forgotten(connection, before)

    def refused_payments(self, **filters: Any) -> Iterator[RefusedPayment | RefusedPaymentsMore]:
        """Refused payments, oldest first; filters as in `refusals.refused_payments`."""
        with self.snapshot() as connection:
            yield from refusals.refused_payments(connection, **filters)

    async def put_door_entry(self, entry: DoorEntry) -> None:
        """Put a card on a bar or pass list, instead of its entry there if it has one."""
        await self.write(lambda connection: doors.put_entry(connection, entry))

    async def remove_door_entry(self, kind: str, branch: str, card: str) -> bool:
        """Take a card from a list; False when it is not on it."""
        return await self.write(
            lambda connection: doors.remove_entry(connection, kind, branch, card)
        )

    def door_entries(self, kind: str, branch: str | None = None) -> list[DoorEntry]:
        """The `bar` or `pass` list, by branch and card."""
        with self.snapshot() as connection:
            return doors.entries(connection, kind, branch)

    def door_counts(self, **filters: Any) -> list[DoorCount]:
        """Door decisions per minute, branch and reason; filters as in `doors.counts`."""
        with self.snapshot() as connection:
            return doors.counts(connection, **filters)

    def passages(self, branch: str, since: datetime, until: datetime) -> list[Passage]:
        """Granted passages of known patrons in the half-open span, oldest first."""
        with self.snapshot() as connection:
            return doors.passages(connection, branch, since, until)

    async def add_reveal(self, reveal: Reveal) -> None:
        """Write down, durably, that names were asked for (C76)."""
        await self.write(lambda connection: doors.add_reveal(connection, reveal))

    def reveals(self) -> list[Reveal]:
        """Who asked for names, oldest first."""
        with self.snapshot() as connection:
            return doors.reveals(connection)

    def reviews(self, **filters: Any) -> Iterator[Review]:
        """What a person has to look at, oldest first; filters as in `reviews.reviews`."""
        with self.snapshot() as connection:
            yield from reviews.reviews(connection, **filters)
            yield from unknown.spooled_reviews(connection, self.spooled(), **filters)

    def review(self, review_id: str) -> Review | None:
        """One entry of `reviews`, or None."""
        with self.snapshot() as connection:
            return reviews.review(connection, review_id)

    async def close_reviews(
        self, review_ids: Sequence[str], note: str, user: str, now: datetime
    ) -> None:
        """Note that `user` has looked at them, all or none (C165).

        Raises:
            RefusedError: one of them is unknown or closed already; the text says which.
        """
        await self.write(lambda connection: reviews.close(connection, review_ids, note, user, now))

    def payments(self, **filters: Any) -> Iterator[Payment]:
        """Payments, oldest first; filters as in `ledger.payments`."""
        with self.snapshot() as connection:
            yield from ledger.payments(connection, **filters)
            yield from unknown.spooled_payments(connection, self.spooled(), **filters)

    def payment(self, payment_id: str) -> Payment | None:
        """One payment, or None."""
        with self.snapshot() as connection:
            found = ledger.load_payment(connection, payment_id)
            spooled = unknown.spooled_payments(connection, self.spooled())
            return found or next((one for one in spooled if one.id == payment_id), None)

    def relationships(self, card: str | None = None) -> Iterator[Relationship]:
        """All relationships, or those of the holder of `card`.

        Raises:
            RefusedError: nobody has the card.
        """
        with self.snapshot() as connection:
            if card is None:
                yield from relationships.of_everybody(connection)
            else:
                yield from relationships.of_patron(connection, holder(connection, card))

    def badges(self) -> list[Badge]:
        """All badge definitions, by code."""
        with self.snapshot() as connection:
            return badges.definitions(connection)

    def badge_holders(self, code: str | None = None) -> Iterator[BadgeHolder]:
        """Who has the badge `code`, or any badge (B65).

        Raises:
            RefusedError: there is no such badge.
        """
        with self.snapshot() as connection:
            yield from badges.holders(connection, code)

    def access_rows(self, **filters: Any) -> list[AccessRow]:
        """Door log rows, newest last; filters as in `access_log.access_rows`."""
        with self.snapshot() as connection:
            return access_rows(connection, **filters)

    def self_check(self) -> list[str]:
        """What is wrong with the stored data; empty when all is well. Reads everything."""
        with self.snapshot() as connection:
            return connection.dialect.physical_problems(connection) + ledger.problems(connection)
