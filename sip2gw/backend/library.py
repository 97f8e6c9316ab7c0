"""What the commands and the composition root ask of a store, whichever database keeps it.

`Library` is the port of `base` plus what only staff does: listings, import, export, undo. Code that
reads or writes with SQL of its own gets a `Connection`, which is all that SQLite and PostgreSQL
have in common: statements with `?` for values, and rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import Any, Generic, Protocol, TypeVar

from sip2gw.backend.attempts import Reconciliation
from sip2gw.backend.base import Backend
from sip2gw.model import (
    AccessRow,
    Badge,
    BadgeHolder,
    DoorCount,
    DoorEntry,
    Fee,
    Passage,
    PatronRecord,
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


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, None behind the last."""
        ...

    def fetchall(self) -> list[Any]:
        """The rows that were not fetched yet."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Dialect(Protocol):
    """What the two databases say differently; everything else is the same SQL."""

    differs: str
    """NULL-safe inequality."""
    begin_write: tuple[str, ...]
    """Starts a transaction that changes what payments are decided on; no other runs beside it."""
    begin_import: tuple[str, ...]
    """Starts an import's transaction, one at a time; others need not be kept from writing yet."""
    lock_facts: tuple[str, ...]
    """Keeps them from writing from here on, if the transaction does not do so already."""
    begin_migration: tuple[str, ...]
    """Starts a transaction that may also make a table anew that others refer to."""
    end_migration: tuple[str, ...]
    """Comes after that transaction, whatever became of it."""
    table_names: str
    """Lists the tables of the store."""
    beside: Mapping[int, tuple[str, ...]]
    """Statements that go with the migration of that number in this database only."""
    derived: tuple[str, ...]
    """Statements that make anew what is generated from the tables and queries of this program; they
    run after the last missing migration. When they change, add a migration, an empty one if the
    tables stay, or stores that are up to date keep what they have."""

    def create_table(self, statement: str) -> str:
        """`CREATE TABLE` as this database wants it."""
        ...

    def append_only(self, table: str) -> tuple[str, ...]:
        """Statements that make the database refuse to change or delete a row of `table`."""
        ...

    def replace_check(self, table: str, column: str, before: str, after: str) -> tuple[str, ...]:
        """Statements that put the CHECK `after` of a column in the place of `before`.

        Every row that passed `before` must pass `after`: nobody looks.
        """
        ...

    def after_loading(self, table: str) -> tuple[str, ...]:
        """Statements to run once `table` has been filled with many rows."""
        ...

    def physical_problems(self, connection: Connection) -> list[str]:
        """What the database itself finds wrong with the stored data."""
        ...


class Connection(Protocol):
    """One connection, used by one thread at a time; transactions are begun explicitly."""

    @property
    def dialect(self) -> Dialect:
        """What this connection's database says differently."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Rows:
        """Run one statement."""
        ...

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> Rows:
        """Run one statement for each of `values`."""
        ...

    def add_rows(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /
    ) -> None:
        """Insert many rows in the fastest way there is."""
        ...


@dataclass(slots=True)
class WriteResult(Generic[T]):
    """What a write job achieved, and the patrons whose snapshots are out of date now."""

    result: T
    touched: Collection[str] = ()
    fees: Mapping[str, tuple[Fee, ...]] = field(default_factory=dict)
    """Patrons of whom only the open fees changed, and what these are now."""
    changes: Mapping[str, Callable[[PatronRecord], PatronRecord]] = field(default_factory=dict)
    """Patrons whose snapshot, if there is one, is right again after this; doing it twice is doing
    it once, for the snapshot may have been taken after the write."""


class Library(Backend, Protocol):
    """A store: the library system itself, with its administration."""

    pin_secret: bytes
    """Keys the PIN hashes; never to be shown (C18)."""

    @property
    def slow_reads(self) -> int:
        """How many reads so far have waited long for a disk of this host (C114)."""
        ...

    def write(self, job: Callable[[Connection], WriteResult[T]]) -> Awaitable[T]:
        """Run `job` in a write transaction; awaiting gives its result, durable.

        Raises:
            BackendError: nothing was changed.
        """
        ...

    async def undo_payment(self, payment_id: str, now: datetime, zone: tzinfo) -> Payment:
        """Take a payment back on the day it was made (C54).

        Raises:
            RefusedError: it cannot be; the text says why.
        """
        ...

    def reconciliations(self, since: datetime) -> list[Reconciliation]:
        """Payments that were answered with "not sure": open ones, and those settled since (C157).

        Oldest first.
        """
        ...

    async def settle_payment(
        self, payment_id: str, *, booked: bool, note: str, now: datetime
    ) -> None:
        """Settle an open payment as staff say, with their `note` (C157).

        Raises:
            RefusedError: it is not open, or what staff say is not what the store knows; the
                text says so.
        """
        ...

    async def add_relationship(
        self, wanted: Relationship, rules: RelationshipRules, today: date
    ) -> Relationship:
        """Make a relationship between the holders of two cards; what it replaces is gone (B49).

        Raises:
            RefusedError: it may not be; the text says why.
        """
        ...

    async def confirm_relationship(
        self, kind: RelationshipType, from_card: str, to_card: str
    ) -> Relationship:
        """Put an unconfirmed relationship in force (B50).

        Raises:
            RefusedError: there is none.
        """
        ...

    async def remove_relationship(
        self, kind: RelationshipType, from_card: str, to_card: str
    ) -> Relationship:
        """End a relationship.

        Raises:
            RefusedError: there is none.
        """
        ...

    async def define_badge(self, badge: Badge) -> None:
        """Make a badge, or change what the one of its code is called and whether it is active.

        Raises:
            RefusedError: not a badge that an import would take.
        """
        ...

    async def set_badge_active(self, code: str, active: bool) -> None:
        """Show a badge to terminals, or to none (B65).

        Raises:
            RefusedError: there is no such badge.
        """
        ...

    async def assign_badge(self, code: str, card: str) -> str:
        """Give a badge, without limits, to the holder of `card`; the patron's id.

        Raises:
            RefusedError: no such badge or card.
        """
        ...

    async def unassign_badge(self, code: str, card: str) -> str:
        """Take a badge from the holder of `card`; the patron's id.

        Raises:
            RefusedError: no such card, or the patron does not have the badge.
        """
        ...

    async def refund(self, fee_id: str, now: datetime) -> list[Surplus]:
        """Book that what was paid too much of a fee was given back; to whom, and how much (C103).

        Raises:
            RefusedError: nothing was paid too much of it.
        """
        ...

    def surpluses(self) -> list[Surplus]:
        """What was paid too much and not given back, the longest unchanged first (C103)."""
        ...

    async def set_pin_hash(self, patron_id: str, pin_hash: str | None) -> bool:
        """Replace a patron's PIN hash and unlock the PIN; False for an unknown patron."""
        ...

    async def erase_access_identities(self, before: datetime) -> int:
        """Forget who stood at the doors before `before`; the rows are kept (B42).

        Done in small steps beside everything else; doing it again changes nothing.

        Returns:
            How many rows lost their patron.
        """
        ...

    def count_access_identities(self, before: datetime) -> int:
        """How many rows `erase_access_identities` would change."""
        ...

    async def forget_transactions(self, now: datetime) -> int:
        """Forget who did what with which item, once it can neither be repeated nor cancelled.

        Returns:
            How many transactions were forgotten.
        """
        ...

    async def forget_loans(self, before: datetime) -> int:
        """Forget who borrowed what until `before`; loans that go on are not touched.

        Returns:
            How many were forgotten.
        """
        ...

    def count_forgotten_transactions(self, now: datetime) -> int:
        """How many `forget_transactions` would forget."""
        ...

    def count_forgotten_loans(self, before: datetime) -> int:
        """How many `forget_loans` would forget."""
        ...

    async def forget_refused_payments(self, before: datetime) -> int:
        """Forget which payments were refused before `before`, and how many more were (C104).

        Returns:
            How many were forgotten, those not counted of which only the number was known.
        """
        ...

    def count_forgotten_refusals(self, before: datetime) -> int:
        """How many `forget_refused_payments` would forget."""
        ...

    def refused_payments(self, **filters: Any) -> Iterator[RefusedPayment | RefusedPaymentsMore]:
        """Refused payments, oldest first; filters as in `refusals.refused_payments` (B100)."""
        ...

    async def put_door_entry(self, entry: DoorEntry) -> None:
        """Put a card on a bar or pass list, instead of its entry there if it has one."""
        ...

    async def remove_door_entry(self, kind: str, branch: str, card: str) -> bool:
        """Take a card from a list; False when it is not on it."""
        ...

    def door_entries(self, kind: str, branch: str | None = None) -> list[DoorEntry]:
        """The `bar` or `pass` list, by branch and card."""
        ...

    def door_counts(self, **filters: Any) -> list[DoorCount]:
        """Door decisions per minute, branch and reason; filters as in `doors.counts`."""
        ...

    def passages(self, branch: str, since: datetime, until: datetime) -> list[Passage]:
        """Granted passages of known patrons in the half-open span, oldest first."""
        ...

    async def add_reveal(self, reveal: Reveal) -> None:
        """Write down, durably, that names were asked for (C76)."""
        ...

    def reveals(self) -> list[Reveal]:
        """Who asked for names, oldest first."""
        ...

    def reviews(self, **filters: Any) -> Iterator[Review]:
        """What a person has to look at, oldest first; filters as in `reviews.reviews`."""
        ...

    def review(self, review_id: str) -> Review | None:
        """One entry of `reviews`, or None."""
        ...

    async def close_reviews(
        self, review_ids: Sequence[str], note: str, user: str, now: datetime
    ) -> None:
        """Note that `user` has looked at them, all or none (C165).

        Raises:
            RefusedError: one of them is unknown or closed already; the text says which.
        """
        ...

    async def last_import(self) -> datetime | None:
        """When library data was last imported, by whatever command; None if never (C138).

        The moment at which that import began; one that changed nothing counts, an empty one does
        not. Asked beside the loop, like the next two.

        Raises:
            BackendError: the store cannot be read.
        """
        ...

    async def count_patrons(self) -> int:
        """How many patrons there are; reads something of each, so ask rarely.

        Raises:
            BackendError: the store cannot be read.
        """
        ...

    async def disk_free_bytes(self) -> int | None:
        """What the store's file system still takes; None for a database on a host of its own.

        Raises:
            UnavailableError: the store's file has gone.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Connection]:
        """A read-only connection that sees one moment of the store.

        Raises:
            BackendError: the store cannot be read.
        """
        ...

    def own_connection(self) -> AbstractContextManager[Connection]:
        """A connection of its own for an import.

        Raises:
            BackendError: the store failed; an open transaction was not applied.
        """
        ...

    def warm(self) -> int:
        """Bring what doors need into memory; blocks, for a thread. Returns how many rows it is.

        Raises:
            BackendError: it cannot be read.
        """
        ...

    def distrust_cache(self) -> None:
        """Others may have written: trust no snapshot kept in memory."""
        ...

    def payments(self, **filters: Any) -> Iterator[Payment]:
        """Payments, oldest first; filters as in `ledger.payments`."""
        ...

    def payment(self, payment_id: str) -> Payment | None:
        """One payment, or None."""
        ...

    def relationships(self, card: str | None = None) -> Iterator[Relationship]:
        """All relationships, or those of the holder of `card`."""
        ...

    def badges(self) -> list[Badge]:
        """All badge definitions, by code."""
        ...

    def badge_holders(self, code: str | None = None) -> Iterator[BadgeHolder]:
        """Who has the badge `code`, or any badge (B65)."""
        ...

    def access_rows(self, **filters: Any) -> list[AccessRow]:
        """Door log rows, newest last; filters as in `access_log.access_rows`."""
        ...

    def self_check(self) -> list[str]:
        """What is wrong with the stored data; empty when all is well. Reads everything."""
        ...
