"""What is special to SQLite: opening a connection, PRAGMAs, triggers, NULL-safe comparison.

All other SQL of the store works on PostgreSQL too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sip2gw.backend.database import Connection
from sip2gw.backend.sql.migrations import money
from sip2gw.backend.sql.queries import fill

WRITE_WAIT_S = 30.0
"""How long a writer waits for another process's transaction before it fails."""

READ_WAIT_S = 1.0
"""Readers only ever wait for a recovery or a checkpoint that restarts the log."""

# Else Python asks None how to adapt it, in vain, each time: 0.15 µs that each empty value costs.
sqlite3.register_adapter(type(None), lambda none: none)

_PRIMARY_CODE = 0xFF
_STATEMENTS_CACHED = 256
_CACHE_KIB = 8 * 1024
_BULK_CACHE_KIB = 256 * 1024
_DRAFT_CACHE_KIB = 64 * 1024
_LOG_BYTES_KEPT = 64 * 1024 * 1024
_LOG_PAGES_GATHERED = 8_000
"""Of 4 KiB. A page that many payments change is copied back into the database once for all."""

_CHECKPOINT_WAIT_MS = 1_000
_CHECKPOINTS_TRIED = 5


def _in_key_order(statement: str) -> str:
    return f"{statement} WITHOUT ROWID"


def _guards(table: str) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    )


def _guard_but_for_stubs() -> tuple[str, ...]:
    """Let a ledger entry change its debtor into the stub that takes their place, and no more."""
    same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in money.GUARDED_IN_ENTRIES)
    return (
        "DROP TRIGGER ledger_entry_no_update",
        fill(
            "CREATE TRIGGER ledger_entry_no_update BEFORE UPDATE ON ledger_entry "
            "WHEN NOT ({same} AND NEW.account IS {account} AND {debtor}) "
            "BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END",
            same=same,
            account=money.REKEYED_ACCOUNT,
            debtor=money.REKEYED_DEBTOR,
        ),
    )


def _remade(definition: str) -> tuple[str, ...]:
    """Replace a table by one with the same columns and rows but other constraints.

    The old one's indexes and triggers go with it.
    """
    name = definition.split()[2]
    return (
        _in_key_order(definition.replace(name, f"{name}_new", 1)),
        fill("INSERT INTO {name}_new SELECT * FROM {name}", name=name),
        f"DROP TABLE {name}",
        f"ALTER TABLE {name}_new RENAME TO {name}",
    )


class SqliteDialect:
    """See `sip2gw.backend.database.Dialect`."""

    differs = "IS NOT"
    has_more_than_ascii = "length(CAST({text} AS BLOB)) <> length({text})"
    is_like = "{text} LIKE ? ESCAPE '!'"  # which takes half the time without `lower`
    for_update = ""
    hold_debtor = ""
    begin_write: tuple[str, ...] = ("BEGIN IMMEDIATE",)
    # An import has looked up all references at once; row by row takes most of its time.
    begin_import: tuple[str, ...] = ("PRAGMA foreign_keys = OFF", *begin_write)
    lock_facts: tuple[str, ...] = ()
    # Between the old and the new form of a table the others refer to nothing.
    begin_migration: tuple[str, ...] = ("PRAGMA foreign_keys = OFF", *begin_write)
    end_migration: tuple[str, ...] = ("PRAGMA foreign_keys = ON",)
    table_names = "SELECT name FROM sqlite_master WHERE type = 'table'"
    column_names = "SELECT name FROM pragma_table_info(?)"
    beside: Mapping[int, tuple[str, ...]] = {
        9: (
            *_remade(money.FEE_WITH_CREDITS),
            money.FEE_INDEX,
            *_remade(money.LEDGER_TRANSACTION_WITH_SURPLUS),
            *_guards("ledger_transaction"),
        ),
        19: _guard_but_for_stubs(),
    }
    derived: tuple[str, ...] = ()

    def create_table(self, statement: str) -> str:
        """`CREATE TABLE` with its rows kept in key order: one tree instead of two."""
        return _in_key_order(statement)

    def append_only(self, table: str) -> tuple[str, ...]:
        """Triggers that refuse to change or delete a row of `table`."""
        return _guards(table)

    def replace_check(self, table: str, column: str, before: str, after: str) -> tuple[str, ...]:
        """The table's own text is changed, as SQLite advises for CHECK constraints.

        https://www.sqlite.org/lang_altertable.html#otheralter: no row has to be written anew.
        The migration that it belongs to changes the schema in another way, too, so that other
        connections read it again.
        """
        quoted = (text.replace("'", "''") for text in (before, after, table))
        change = "UPDATE sqlite_master SET sql = replace(sql, '{}', '{}') WHERE name = '{}'"
        return (
            "PRAGMA writable_schema = ON",
            change.format(*quoted),
            "PRAGMA writable_schema = RESET",
        )

    def free_references(self, connection: Connection) -> tuple[str, ...]:
        """Nothing: whoever loads has switched foreign keys off, and looks them up afterwards."""
        return ()

    def after_loading(self, table: str) -> tuple[str, ...]:
        """Nothing: indexes are enough for the planner."""
        return ()

    def erase_traces(self, connection: Connection, tables: Iterable[str]) -> str:
        """Write the file anew, copy the log into it, and empty the log.

        Zeros for what is deleted are not enough: when SQLite splits or joins pages, copies of
        entries stay where nothing points to. The log has the pages as they were.
        """
        try:
            connection.execute("VACUUM")
        except sqlite3.OperationalError as problem:
            return (
                f"the file may still hold old data ({problem}); stop the gateway and run"
                " `sqlite3 FILE VACUUM`"
            )
        connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_MS}")
        for _ in range(_CHECKPOINTS_TRIED):
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return ""
        return (
            "the file's write-ahead log could not be emptied because others are reading; it may"
            " still hold old data until the gateway is restarted"
        )

    def physical_problems(self, connection: Connection) -> list[str]:
        """What SQLite itself finds wrong: broken pages and rows whose parent is missing."""
        problems = [row[0] for row in connection.execute("PRAGMA quick_check") if row[0] != "ok"]
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            problems.append(f"{table}: a row refers to a missing {parent}")
        return problems


SQLITE = SqliteDialect()


class SqliteConnection(sqlite3.Connection):
    """A connection that knows its dialect, see `sip2gw.backend.database.Connection`."""

    dialect = SQLITE

    def add_rows(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /
    ) -> None:
        """Insert `rows` with one prepared statement."""
        statement = fill(
            "INSERT INTO {table} ({columns}) VALUES ({marks})",
            table=table,
            columns=", ".join(columns),
            marks=", ".join("?" * len(columns)),
        )
        self.executemany(statement, rows)


_WRITING = (
    "journal_mode = WAL",
    "synchronous = FULL",
    f"journal_size_limit = {_LOG_BYTES_KEPT}",
    f"wal_autocheckpoint = {_LOG_PAGES_GATHERED}",
    "secure_delete = ON",
)
"""What a connection may need that writes, and what writes itself."""


def connect(
    address: Path | str,
    *,
    read_only: bool = False,
    factory: type[SqliteConnection] = SqliteConnection,
    cache_kib: int = _CACHE_KIB,
) -> SqliteConnection:
    """A connection in autocommit mode with the store's PRAGMAs (WAL, synchronous=FULL).

    It may be handed from one thread to another, but used by one at a time. The file is read, not
    mapped: a failing read is then an error that gets an answer, not a signal that ends the process
    (B2). What is deleted or overwritten is filled with zeros (C146).

    Args:
        address: the file, or the URI that `ReadingPlace` has chosen: then nothing is ever written.
        read_only: whether statements that write are refused.
    """
    is_reader = isinstance(address, str)
    read_only = read_only or is_reader
    connection = sqlite3.connect(
        address,
        uri=is_reader,
        timeout=READ_WAIT_S if read_only else WRITE_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS_CACHED,
        factory=factory,
    )
    for pragma in (
        *(() if is_reader else _WRITING),
        "foreign_keys = ON",
        f"cache_size = -{cache_kib}",
        f"query_only = {int(read_only)}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def memory() -> SqliteConnection:
    """An empty database in memory."""
    return sqlite3.connect(":memory:", isolation_level=None, factory=SqliteConnection)


def draft(path: Path) -> SqliteConnection:
    """A connection in a transaction that fills a new file, which is thrown away if that fails."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, factory=SqliteConnection
    )
    for statement in (
        "PRAGMA journal_mode = OFF",
        "PRAGMA synchronous = OFF",
        f"PRAGMA cache_size = -{_DRAFT_CACHE_KIB}",
        *SQLITE.begin_migration,
    ):
        connection.execute(statement)
    return connection


@contextmanager
def look_into(address: str) -> Iterator[SqliteConnection]:
    """A connection that sees one moment of the file at `address`, that of a `ReadingPlace`.

    Raises:
        sqlite3.Error: there is no such file, or it is no database.
    """
    connection = sqlite3.connect(
        address,
        uri=True,
        timeout=READ_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
    )
    with closing(connection):
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        # The moment is that of the first read.
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        yield connection


def never_wait(connection: sqlite3.Connection) -> None:
    """Make a statement that finds the write lock taken fail at once instead of waiting."""
    connection.execute("PRAGMA busy_timeout = 0")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether `error` says that another process holds the write lock."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return (code & _PRIMARY_CODE) == sqlite3.SQLITE_BUSY


def expect_bulk(connection: SqliteConnection) -> None:
    """Give `connection` the memory for one large transaction."""
    connection.execute(f"PRAGMA cache_size = -{_BULK_CACHE_KIB}")
