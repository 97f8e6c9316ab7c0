"""How an import's staged rows become the real ones, briefly (C63).

The import finds out beforehand, without any lock, what it must write: rows that differ, and keys of
rows that a record no longer has. It stores them in the order of the keys. The write transaction
then only copies; a second import of the same data has nothing to copy.

The plan holds as long as no command has written meanwhile (`store_version`). The gateway's own
writes do not matter: of the rows that an import sets it changes only loans, holds and the places of
items, and there the later of the two is right; everything else is checked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sip2gw.backend.database import Connection
from sip2gw.backend.ids import new_id
from sip2gw.backend.loading.missing import Completion
from sip2gw.backend.loading.staging import BADGE_ASSIGNMENT, STAGED, Staged
from sip2gw.backend.sql.members import badges
from sip2gw.backend.sql.money.ledger import book_surplus
from sip2gw.backend.sql.money.surplus import Correction, corrections
from sip2gw.backend.sql.queries import balances, fill

_TODO = """
    CREATE TEMP TABLE todo_{table} AS
    SELECT {values}, s.src AS src, CASE WHEN {ahead} THEN 1 ELSE 0 END AS ahead
    FROM stage_{table} s LEFT JOIN {table} t ON {same_key}
    WHERE (t.{first_key} IS NULL{or_differs}){unless}
    ORDER BY {key}"""
"""`ahead` marks rows that nobody else can know of yet."""

_UNKNOWN = "t.{first_key} IS NULL"
_OF_UNKNOWN_PATRON = (
    "t.{first_key} IS NULL AND NOT EXISTS (SELECT 1 FROM patron p WHERE p.id = s.patron_id)"
)
_SHARED = ("relationship", "loan", "hold")
"""Tables of which a new row concerns somebody who is known already."""

_SAME_PIN = "(s.pin_hash IS NULL OR s.pin_hash = t.pin_hash OR s.pin_origin = t.pin_origin)"
"""An absent PIN is kept (C16), and so is our own hash that was made from the one of the file."""
_VALUES: Mapping[tuple[str, str], str] = {
    ("patron", name): f"CASE WHEN {_SAME_PIN} THEN t.{name} ELSE s.{name} END"
    for name in ("pin_hash", "pin_origin")
}

_ASSIGNED_TOO: Mapping[str, str] = {
    "patron": """status_fee = CASE WHEN patron.status = excluded.status
        THEN patron.status_fee END"""
}
"""An imported status is no longer about a fee of account maintenance (C160)."""

_STAFF_SET_IT = """EXISTS
        (SELECT 1 FROM block b WHERE b.patron_id = s.patron_id
            AND b.source <> 'import' AND b.type = s.type AND b.note = s.note
            AND COALESCE(b.valid_until, '') = COALESCE(s.valid_until, ''))"""
_UNLESS: Mapping[str, str] = {"block": f" AND NOT {_STAFF_SET_IT}"}

# A record's lists are replaced whole (C16, C70).

_GONE: Mapping[str, str] = {
    "card": """
    SELECT t.number FROM card t
    WHERE t.patron_id IN (SELECT id FROM stage_patron)
      AND NOT EXISTS (SELECT 1 FROM stage_card s WHERE s.number = t.number)""",
    "badge_assignment": """
    SELECT t.patron_id, t.badge_code FROM badge_assignment t
    WHERE t.patron_id IN (SELECT id FROM stage_patron WHERE badges_given = 1)
      AND NOT EXISTS (SELECT 1 FROM stage_badge_assignment s
                      WHERE s.patron_id = t.patron_id AND s.badge_code = t.badge_code)""",
    "block": """
    SELECT t.patron_id, t.source, t.type, t.position FROM block t
    WHERE t.source = 'import' AND t.patron_id IN (SELECT id FROM stage_patron)
      AND NOT EXISTS (SELECT 1 FROM stage_block s
                      WHERE s.patron_id = t.patron_id AND s.type = t.type
                        AND s.position = t.position AND NOT {staff_set_it})""",
    # Two authorised persons may change places, but never have the same function at once.
    "relationship": """
    SELECT t.type, t.from_id, t.to_id FROM relationship t JOIN stage_relationship s
        ON s.type = t.type AND s.from_id = t.from_id AND s.to_id = t.to_id
    WHERE s.may_renew <> t.may_renew OR s.may_pay <> t.may_pay""",
}
"""Keys of rows that must go before the new ones come."""

_REMOVE = "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM gone_{table})"
_ADD = """
    INSERT INTO {table} ({columns}) SELECT {columns} FROM todo_{table} WHERE ahead = 1"""
_PUT = """
    INSERT INTO {table} ({columns}) SELECT {columns} FROM todo_{table} WHERE ahead = 0
    ON CONFLICT ({key}) DO UPDATE SET {assignments}"""

# Fees enter the ledger through `opening` (C71): position 0-3 of each line's block of four.

_TODO_OPENINGS = """
    CREATE TEMP TABLE todo_opening AS
    SELECT s.src AS src, s.id AS fee_id, s.patron_id AS debtor_id, s.amount AS amount,
           s.amount - COALESCE(f.amount, 0) AS delta,
           CASE WHEN f.id IS NULL THEN s.paid ELSE 0 END AS paid,
           CASE WHEN f.id IS NULL THEN 'opening' ELSE 'adjustment' END AS kind, s.ahead AS ahead
    FROM todo_fee s LEFT JOIN fee f ON f.id = s.id
    WHERE f.id IS NULL OR f.amount <> s.amount OR f.patron_id <> s.patron_id
    ORDER BY s.src"""
_OPENING_KINDS = """
    SELECT DISTINCT kind FROM todo_opening
    WHERE (delta <> 0 OR paid <> 0) AND ahead = ? ORDER BY kind"""
_ADD_OPENING = "INSERT INTO ledger_transaction (id, time, kind) VALUES (?, ?, ?)"
_ADD_OPENING_ENTRIES = """
    INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id)
    SELECT ?, 4 * src, 'fee:' || fee_id, delta, fee_id, debtor_id
    FROM todo_opening WHERE kind = ? AND ahead = ? AND delta <> 0
    UNION ALL
    SELECT ?, 4 * src + 1, 'opening', -delta, NULL, debtor_id
    FROM todo_opening WHERE kind = ? AND ahead = ? AND delta <> 0
    UNION ALL
    SELECT ?, 4 * src + 2, 'fee:' || fee_id, -paid, fee_id, debtor_id
    FROM todo_opening WHERE kind = ? AND ahead = ? AND paid <> 0
    UNION ALL
    SELECT ?, 4 * src + 3, 'opening', paid, NULL, debtor_id
    FROM todo_opening WHERE kind = ? AND ahead = ? AND paid <> 0"""


_SURPLUS = balances("""
        SELECT o.src, o.fee_id AS id, o.debtor_id AS patron_id, o.amount, o.paid
        FROM todo_opening o
        WHERE o.kind = 'adjustment' OR o.paid > 0 AND o.paid > o.amount""")


class Plan:
    """What an import has to write, found out on its own connection."""

    def __init__(self, connection: Connection, completion: Completion) -> None:
        self._connection = connection
        self._completion = completion
        self._todo: set[str] = set()
        self._gone: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether the store is like the files already."""
        return not (self._todo or self._gone or self._completion.ends_patrons)

    def make(self) -> None:
        """Compare what is staged with what is stored now; an earlier plan is thrown away."""
        differs = self._connection.dialect.differs
        for table in STAGED:
            self._create(f"todo_{table.name}", _todo(table, differs))
        gone = self._gone_keys()
        for name, keys in gone.items():
            self._create(f"gone_{name}", f"CREATE TEMP TABLE gone_{name} AS {keys}")
        self._completion.find_patrons()
        self._create("todo_opening", _TODO_OPENINGS)
        self._todo = {table.name for table in STAGED if self._is_filled(f"todo_{table.name}")}
        self._gone = {name for name in gone if self._is_filled(f"gone_{name}")}

    def _gone_keys(self) -> dict[str, str]:
        """The keys of rows that must go: those of `_GONE`, and what a complete import lacks."""
        found: dict[str, str] = {}
        for table in STAGED:
            given = _GONE.get(table.name)
            keys = given and fill(given, staff_set_it=_STAFF_SET_IT)
            every = [part for part in (keys, self._completion.gone(table.name)) if part]
            if every:
                found[table.name] = " UNION ".join(every)
        return found

    def _create(self, name: str, statement: str) -> None:
        self._connection.execute(f"DROP TABLE IF EXISTS {name}")
        self._connection.execute(statement)

    def _is_filled(self, name: str) -> bool:
        statement = fill("SELECT 1 FROM {name} LIMIT 1", name=name)
        return self._connection.execute(statement).fetchone() is not None

    def write_ahead(self, time: str, user: str) -> int:
        """Add rows that nobody else can know before the commit, above all new patrons.

        Inside the caller's transaction, which need not keep payments out yet; `time` marks the
        ledger, and with `user` the history of badges. Returns how many rows were written.
        """
        self._remember_badges(time, user, ahead=1)
        written = sum(self._fill(_ADD, table) for table in self._tables())
        return written + self._open_fees(time, ahead=1)

    def surpluses(self) -> list[Correction]:
        """What will be overpaid, or no longer, once the fees are written (C103)."""
        return list(corrections(self._connection.execute(_SURPLUS)))

    def write_rest(self, time: str, user: str, surpluses: Sequence[Correction]) -> int:
        """Make everything else follow, in the same transaction, while no payment is booked.

        `surpluses` is what the method of that name says in this transaction. Returns how many rows
        were written or removed.
        """
        self._remember_badges(time, user, ahead=0)
        changed = 0
        for table in STAGED:
            if table.name in self._gone:
                changed += self._fill(_REMOVE, table)
            if table.name in self._todo:
                changed += self._fill(_PUT, table)
        changed += self._completion.end_patrons()
        changed += self._open_fees(time, ahead=0)
        return changed + book_surplus(self._connection, surpluses, time)

    def _remember_badges(self, time: str, user: str, *, ahead: int) -> None:
        """What is about to change becomes history: a row for each assignment (B65)."""
        values = (new_id(), time, user)
        if BADGE_ASSIGNMENT.name in self._gone and not ahead:
            self._connection.execute(badges.REMEMBER_REMOVED, values)
        if BADGE_ASSIGNMENT.name in self._todo:
            self._connection.execute(badges.REMEMBER_PUT, (*values, ahead))

    def _tables(self) -> Iterator[Staged]:
        return (table for table in STAGED if table.name in self._todo)

    def _fill(self, statement: str, table: Staged) -> int:
        return self._connection.execute(
            fill(
                statement,
                table=table.name,
                columns=", ".join(table.columns),
                key=", ".join(table.key),
                assignments=", ".join(_assignments(table)),
            )
        ).rowcount

    def _open_fees(self, time: str, *, ahead: int) -> int:
        written = 0
        for (kind,) in self._connection.execute(_OPENING_KINDS, (ahead,)).fetchall():
            transaction_id = new_id()
            self._connection.execute(_ADD_OPENING, (transaction_id, time, kind))
            values = (transaction_id, kind, ahead) * 4
            written += 1 + self._connection.execute(_ADD_OPENING_ENTRIES, values).rowcount
        return written


def _assignments(table: Staged) -> Iterator[str]:
    for name in table.columns:
        if name not in table.key:
            yield f"{name} = excluded.{name}"
    if table.reset:
        yield f"{table.reset} = NULL"
    if table.name in _ASSIGNED_TOO:
        yield _ASSIGNED_TOO[table.name]


def _todo(table: Staged, differs: str) -> str:
    def value(name: str) -> str:
        return _VALUES.get((table.name, name), f"s.{name}")

    rest = [name for name in table.columns if name not in table.key]
    or_reset = f" OR t.{table.reset} IS NOT NULL" if table.reset else ""
    return fill(
        _TODO,
        table=table.name,
        values=", ".join(f"{value(name)} AS {name}" for name in (*table.columns, *table.beside)),
        ahead=fill(_ahead(table), first_key=table.key[0]),
        same_key=" AND ".join(f"t.{name} = s.{name}" for name in table.key),
        first_key=table.key[0],
        or_differs="".join(f" OR t.{name} {differs} {value(name)}" for name in rest) + or_reset,
        unless=_UNLESS.get(table.name, ""),
        key=", ".join(f"s.{name}" for name in table.key),
    )


def _ahead(table: Staged) -> str:
    if table.name in _SHARED:
        return "1 = 0"
    return _OF_UNKNOWN_PATRON if table.of_patron else _UNKNOWN
