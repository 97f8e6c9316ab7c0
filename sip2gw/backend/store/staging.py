"""An import's tables beside the real ones, and how the one becomes the other (C63).

Checked rows are staged in temporary tables, which takes no lock. `apply` then runs inside one
short write transaction and touches only rows that really differ, so that a second import of the
same data writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sip2gw.backend.library import Connection
from sip2gw.backend.store.queries import fill
from sip2gw.backend.store.values import new_id

ROWS_BUFFERED = 2_000


@dataclass(frozen=True, slots=True)
class Staged:
    """A table that an import fills: the columns it sets, and the key among them.

    `beside` are columns of the staged row only. Each staged row also has `src`, its line.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    beside: tuple[str, ...] = ()

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of a staged row, in order."""
        return (*self.columns, *self.beside, "src")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MEMBERSHIP = Staged(
    "membership",
    ("code",),
    _names(
        "code description type customer_group minimum_age maximum_age max_items max_holds "
        "holds_permitted max_fees_self_service max_fees_desk alert_amount fines_via_invoice fee "
        "renewal_type term_months minimum_term_months minimum_duration_months free_months "
        "trial_months subsequent_membership notification_term_months remove_after_months hidden "
        "outgoing guest_lending automatic_renewal allow_pin_reset no_card_replacement_fee "
        "statistical_code reporting_group book_code info"
    ),
)
BADGE = Staged("badge", ("code",), _names("code name description active branches"))
PATRON = Staged(
    "patron",
    ("id",),
    _names(
        "id name pin_hash birth_date membership_code membership_from membership_until status "
        "home_branch language email phone address notices house_rules_accepted fee_limit"
    ),
    beside=("badges_given",),
)
CARD = Staged("card", ("number",), _names("number patron_id state"))
BADGE_ASSIGNMENT = Staged(
    "badge_assignment",
    ("patron_id", "badge_code"),
    _names("patron_id badge_code valid_from valid_until branches"),
)
BLOCK = Staged(
    "block",
    ("patron_id", "source", "type", "position"),
    _names("patron_id source type position note valid_until"),
)
RELATIONSHIP = Staged(
    "relationship",
    ("type", "from_id", "to_id"),
    _names("type from_id to_id may_renew may_pay confirmed"),
)
ITEM = Staged(
    "item",
    ("id",),
    _names(
        "id title title_id author media_type material owner_branch current_branch shelf "
        "call_number for_loan loan_days max_renewals checkout_fee overdue_fee_per_day magnetic "
        "security_marker note attachment status properties"
    ),
)
LOAN = Staged("loan", ("item_id",), _names("item_id patron_id checked_out due renewals"))
HOLD = Staged(
    "hold",
    ("id",),
    _names("id patron_id item_id title_id placed pickup_branch ready expires"),
)
FEE = Staged(
    "fee",
    ("id",),
    _names("id patron_id amount created type description item_id status arrangement_date"),
    beside=("paid",),
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

# Rows that a record no longer has: its lists are replaced whole (C16, C70).

_DROP_CARDS = """
    DELETE FROM card WHERE patron_id IN (SELECT id FROM stage_patron)
      AND NOT EXISTS (SELECT 1 FROM stage_card s WHERE s.number = card.number)"""
_DROP_BADGES = """
    DELETE FROM badge_assignment
    WHERE patron_id IN (SELECT id FROM stage_patron WHERE badges_given = 1)
      AND NOT EXISTS (SELECT 1 FROM stage_badge_assignment s
                      WHERE s.patron_id = badge_assignment.patron_id
                        AND s.badge_code = badge_assignment.badge_code)"""
_FORGET_BLOCKS_OF_STAFF = """
    DELETE FROM stage_block WHERE EXISTS
        (SELECT 1 FROM block b WHERE b.patron_id = stage_block.patron_id
            AND b.source <> 'import' AND b.type = stage_block.type
            AND b.note = stage_block.note
            AND COALESCE(b.valid_until, '') = COALESCE(stage_block.valid_until, ''))"""
_DROP_BLOCKS = """
    DELETE FROM block
    WHERE source = 'import' AND patron_id IN (SELECT id FROM stage_patron)
      AND NOT EXISTS (SELECT 1 FROM stage_block s
                      WHERE s.patron_id = block.patron_id AND s.type = block.type
                        AND s.position = block.position)"""
_DROP_CHANGED_RELATIONSHIPS = """
    DELETE FROM relationship WHERE EXISTS
        (SELECT 1 FROM stage_relationship s
         WHERE s.type = relationship.type AND s.from_id = relationship.from_id
           AND s.to_id = relationship.to_id
           AND (s.may_renew <> relationship.may_renew OR s.may_pay <> relationship.may_pay))"""
_KEEP_PINS = """
    UPDATE stage_patron
    SET pin_hash = (SELECT p.pin_hash FROM patron p WHERE p.id = stage_patron.id)
    WHERE pin_hash IS NULL"""

_ON_STAGE_ONLY = (_KEEP_PINS, _FORGET_BLOCKS_OF_STAFF)
_BEFORE: dict[str, tuple[str, ...]] = {
    "patron": (_KEEP_PINS,),
    "card": (_DROP_CARDS,),
    "badge_assignment": (_DROP_BADGES,),
    "block": (_FORGET_BLOCKS_OF_STAFF, _DROP_BLOCKS),
    "relationship": (_DROP_CHANGED_RELATIONSHIPS,),
}

_UPSERT = """
    INSERT INTO {table} ({columns})
    SELECT {staged_columns} FROM stage_{table} s LEFT JOIN {table} t ON {same_key}
    WHERE t.{first_key} IS NULL{or_differs}
    ON CONFLICT ({key}) DO UPDATE SET {assignments}"""

# Fees enter the ledger through `opening` (C71): position 0-3 of each line's block of four.

_NOTE_OPENINGS = """
    CREATE TEMP TABLE stage_opening AS
    SELECT s.src AS src, s.id AS fee_id, s.patron_id AS debtor_id,
           s.amount - COALESCE(f.amount, 0) AS delta,
           CASE WHEN f.id IS NULL THEN s.paid ELSE 0 END AS paid,
           CASE WHEN f.id IS NULL THEN 'opening' ELSE 'adjustment' END AS kind
    FROM stage_fee s LEFT JOIN fee f ON f.id = s.id
    WHERE f.id IS NULL OR f.amount <> s.amount"""
_OPENING_KINDS = "SELECT DISTINCT kind FROM stage_opening WHERE delta <> 0 ORDER BY kind"
_ADD_OPENING = "INSERT INTO ledger_transaction (id, time, kind) VALUES (?, ?, ?)"
_ADD_OPENING_ENTRIES = """
    INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id)
    SELECT ?, 4 * src, 'fee:' || fee_id, delta, fee_id, debtor_id
    FROM stage_opening WHERE kind = ? AND delta <> 0
    UNION ALL
    SELECT ?, 4 * src + 1, 'opening', -delta, NULL, debtor_id
    FROM stage_opening WHERE kind = ? AND delta <> 0
    UNION ALL
    SELECT ?, 4 * src + 2, 'fee:' || fee_id, -paid, fee_id, debtor_id
    FROM stage_opening WHERE kind = ? AND paid <> 0
    UNION ALL
    SELECT ?, 4 * src + 3, 'opening', paid, NULL, debtor_id
    FROM stage_opening WHERE kind = ? AND paid <> 0"""


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

    def set_pin_hashes(self, hashes: Iterable[tuple[str, str]]) -> None:
        """Fill in (hash, patron id) pairs that were made after staging."""
        self._connection.executemany("UPDATE stage_patron SET pin_hash = ? WHERE id = ?", hashes)

    def apply(self, time: str) -> int:
        """Make the real tables follow, inside the caller's transaction; `time` marks the ledger.

        Returns:
            How many rows were written or removed; 0 when everything was as staged.
        """
        self._connection.execute(_NOTE_OPENINGS)
        changed = 0
        for table in STAGED:
            for statement in _BEFORE.get(table.name, ()):
                rows = self._connection.execute(statement).rowcount
                changed += 0 if statement in _ON_STAGE_ONLY else rows
            upsert = _upsert(table, self._dialect.differs)
            changed += self._connection.execute(upsert).rowcount
        return changed + self._open_fees(time)

    def _open_fees(self, time: str) -> int:
        changed = 0
        for (kind,) in self._connection.execute(_OPENING_KINDS).fetchall():
            transaction_id = new_id()
            self._connection.execute(_ADD_OPENING, (transaction_id, time, kind))
            entries = self._connection.execute(_ADD_OPENING_ENTRIES, (transaction_id, kind) * 4)
            changed += 1 + entries.rowcount
        return changed


def _upsert(table: Staged, differs: str) -> str:
    rest = [name for name in table.columns if name not in table.key]
    return fill(
        _UPSERT,
        table=table.name,
        columns=", ".join(table.columns),
        staged_columns=", ".join(f"s.{name}" for name in table.columns),
        same_key=" AND ".join(f"t.{name} = s.{name}" for name in table.key),
        first_key=table.key[0],
        or_differs="".join(f" OR t.{name} {differs} s.{name}" for name in rest),
        key=", ".join(table.key),
        assignments=", ".join(f"{name} = excluded.{name}" for name in rest),
    )
