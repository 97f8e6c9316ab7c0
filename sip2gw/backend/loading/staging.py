"""An import's tables next to the real ones (C63).

Rows are staged in temporary tables, which takes no lock; `applying` makes the real ones follow.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sip2gw.backend.database import Connection
from sip2gw.backend.sql.members import memberships
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.writes import names

ROWS_BUFFERED = 2_000


class Staged(Struct, frozen=True):
    """A table that an import fills: the columns it sets, and the key among them.

    Each staged row also has `src`, its line.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    beside: tuple[str, ...] = ()
    """Columns of the staged row only."""
    reset: str = ""
    """A column that an import of the record sets back to nothing."""
    of_patron: bool = False
    """Whether rows belong to the patron of `patron_id`, and nobody else can know of them before
    that patron is known."""

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of a staged row, in order."""
        return (*self.columns, *self.beside, "src")


MEMBERSHIP = Staged("membership", ("code",), memberships.COLUMNS)
BADGE = Staged(
    "badge", ("code",), names("code name description active branches valid_from valid_until")
)
PATRON = Staged(
    "patron",
    ("id",),
    names(
        "id name pin_hash pin_origin birth_date membership_code membership_from membership_until "
        "status home_branch language email phone address notices house_rules_accepted fee_limit"
    ),
    beside=("badges_given",),
    reset="ended_on",
)
CARD = Staged("card", ("number",), names("number patron_id state"), of_patron=True)
BADGE_ASSIGNMENT = Staged(
    "badge_assignment",
    ("patron_id", "badge_code"),
    names("patron_id badge_code valid_from valid_until branches"),
    of_patron=True,
)
BLOCK = Staged(
    "block",
    ("patron_id", "source", "type", "position"),
    names("patron_id source type position note valid_until"),
    of_patron=True,
)
RELATIONSHIP = Staged(
    "relationship",
    ("type", "from_id", "to_id"),
    names("type from_id to_id may_renew may_pay confirmed proposed_by"),
)
ITEM = Staged(
    "item",
    ("id",),
    names(
        "id title title_id author media_type material owner_branch current_branch shelf "
        "call_number for_loan loan_days max_renewals checkout_fee overdue_fee_per_day magnetic "
        "security_marker note attachment status properties overdue_fee_max minimum_age"
    ),
)
LOAN = Staged("loan", ("item_id",), names("item_id patron_id checked_out due renewals"))
HOLD = Staged(
    "hold",
    ("id",),
    names("id patron_id item_id title_id placed pickup_branch ready expires"),
)
FEE = Staged(
    "fee",
    ("id",),
    names("id patron_id amount created type description item_id status arrangement_date"),
    beside=("paid",),
    of_patron=True,
)

STAGED = (
    MEMBERSHIP,
    BADGE,
    PATRON,
    CARD,
    BADGE_ASSIGNMENT,
    BLOCK,
    RELATIONSHIP,
    ITEM,
    LOAN,
    HOLD,
    FEE,
)
"""In the order in which they are applied: what is referred to comes first."""


class Stage:
    """The temporary tables of one import on its own connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect
        self._buffers: dict[str, list[tuple[Any, ...]]] = {}
        self._filled: set[str] = set()
        for table in STAGED:
            self._create(table)

    def _create(self, table: Staged) -> None:
        beside = "".join(f", 0 AS {name}" for name in (*table.beside, "src"))
        self._connection.execute(
            fill(
                "CREATE TEMP TABLE stage_{table} AS SELECT {columns}{beside} FROM {table} "
                "WHERE 1 = 0",
                table=table.name,
                columns=", ".join(table.columns),
                beside=beside,
            )
        )
        self._buffers[table.name] = []

    def add(self, table: Staged, row: tuple[Any, ...]) -> None:
        """Stage one row (`table.all_columns`)."""
        buffer = self._buffers[table.name]
        buffer.append(row)
        if len(buffer) >= ROWS_BUFFERED:
            self._write(table)

    def _write(self, table: Staged) -> None:
        rows = self._buffers[table.name]
        if rows:
            self._filled.add(table.name)
            self._connection.add_rows(f"stage_{table.name}", table.all_columns, rows)
            rows.clear()

    def complete(self) -> None:
        """No more rows: write what is buffered and index the keys."""
        for table in STAGED:
            self._write(table)
            if table.name not in self._filled:
                continue
            self._connection.execute(
                fill(
                    "CREATE INDEX stage_{table}_key ON stage_{table} ({key})",
                    table=table.name,
                    key=", ".join(table.key),
                )
            )
            for statement in self._dialect.after_loading(f"stage_{table.name}"):
                self._connection.execute(statement)
