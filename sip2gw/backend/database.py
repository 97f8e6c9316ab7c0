"""What SQLite and PostgreSQL have in common: connections, and where they come from.

Code with its own SQL gets a `Connection`: statements with `?` for values, and rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct, field

from sip2gw.backend.attempts import UnknownAttempt
from sip2gw.backend.base import BackendError
from sip2gw.model import Fee, PatronRecord

T = TypeVar("T")


class Rows(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """The rows that were not fetched yet."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Dialect(Protocol):
    """The SQL in which the two databases differ; everything else is the same."""

    differs: str
    """NULL-safe inequality."""
    has_more_than_ascii: str
    """Whether `{text}` has a character that is not ASCII."""
    is_like: str
    """Whether `{text}` is like a pattern of small letters, whichever ASCII letters are capitals."""
    for_update: str
    """At the end of a SELECT: nobody else changes these rows until the transaction ends."""
    hold_debtor: str
    """Keeps other payments to a library system for a debtor, by their id, waiting until the
    transaction ends; empty: no two transactions write at the same time anyway."""
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
    column_names: str
    """Lists the columns of one table, in their order."""
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
        """Statements that replace the CHECK `before` of a column by `after`.

        Every row that passed `before` must pass `after`: this is not checked.
        """
        ...

    def free_references(self, connection: Connection) -> tuple[str, ...]:
        """Let rows refer to others that come later, in the transaction that is open.

        Returns the statements that check all references at once and hold them from then on.
        """
        ...

    def after_loading(self, table: str) -> tuple[str, ...]:
        """Statements to run once `table` has been filled with many rows."""
        ...

    def erase_traces(self, connection: Connection, tables: Iterable[str]) -> str:
        """Make the database let go of rows that were deleted or overwritten in `tables` (C146).

        Outside of a transaction. Returns a sentence about what is left to do; empty if nothing.
        """
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


class WriteResult(Struct, Generic[T]):
    """The result of a write job, and the patrons whose snapshots are now out of date."""

    result: T
    touched: Collection[str] = ()
    fees: Mapping[str, tuple[Fee, ...]] = field(default_factory=dict)
    """Patrons of whom only the open fees changed, and what these are now."""
    changes: Mapping[str, Callable[[PatronRecord], PatronRecord]] = field(default_factory=dict)
    """Patrons whose snapshot, if there is one, is right again after this; doing it twice is doing
    it once, for the snapshot may have been taken after the write."""
    is_exact: bool = False
    """Whether these are all that other processes must read again: no other snapshot, no membership
    and no count of wrong PINs has changed. It is never wrong to leave that open."""
    numbers: Collection[str] = ()
    """Card numbers of which the doors' lists say something else now. Nobody may have them here, and
    then they may be typing errors: they are not for the audit log."""


class Database(ABC):
    """An open database: what the operations of staff, imports and exports are built on."""

    pin_secret: bytes
    """Keys the PIN hashes; never to be shown (C18)."""
    on_change: Callable[[], None] = staticmethod(lambda: None)
    """Called when a command or another process has changed the store, before anything more is read;
    only a store that keeps snapshots in memory notices."""

    @abstractmethod
    def write(self, job: Callable[[Connection], WriteResult[T]]) -> Awaitable[T]:
        """Run `job` in a write transaction; awaiting gives its result, durable.

        Raises:
            BackendError: nothing was changed.
        """

    def write_beside(self, job: Callable[[Connection], WriteResult[T]]) -> Awaitable[T]:
        """The same beside payments that are being booked: `job` changes nothing that these are
        decided on, and locks what it must find unchanged (`Dialect.for_update`).

        Raises:
            BackendError: nothing was changed, unless the connection was lost at its very end.
        """
        return self.write(job)

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Connection]:
        """A read-only connection that sees one moment of the store.

        Raises:
            BackendError: the store cannot be read.
        """

    @abstractmethod
    def own_connection(self) -> AbstractContextManager[Connection]:
        """A connection of its own; what it has not committed is undone.

        Raises:
            BackendError: the store failed.
        """

    def warm_connection(self) -> AbstractContextManager[Connection]:
        """The same for a few quick statements that set nothing for their connection: it may be one
        that was used before, which takes less time.

        Raises:
            BackendError: the store failed.
        """
        return self.own_connection()

    @abstractmethod
    def spooled(self) -> Sequence[UnknownAttempt]:
        """Attempts of unknown outcome that are not in the store yet."""

    @property
    @abstractmethod
    def spool_problem(self) -> str:
        """Why no attempt could be noted, so that no payment is taken; empty if one could."""

    @abstractmethod
    def distrust_cache(self) -> None:
        """Others may have written: trust no snapshot kept in memory."""


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """A transaction beside which nobody books or imports; undone unless it was committed inside.

    References are not checked row by row: who deletes must have removed them first.
    """
    for statement in (*connection.dialect.begin_import, *connection.dialect.lock_facts):
        connection.execute(statement)
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def telling(undone: str, remedy: str) -> Iterator[None]:
    """Make a failure say what was left undone, and what the operator can do about it."""
    try:
        yield
    except BackendError as error:
        raise type(error)(f"{undone}: {error}; {remedy}") from None
