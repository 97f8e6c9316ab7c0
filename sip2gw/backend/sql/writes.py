"""The closed set of changes that circulation makes, each one statement for both databases.

SQLite runs them one after the other; PostgreSQL gets all rows of a transaction at once and runs
the same statements in its function `circulate`, which is generated from this table. Changing the
table needs a migration that replaces the function.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sip2gw.backend.sql import queries


class Write(Struct, frozen=True):
    """One kind of change: a statement with `?` for each of `columns`, in their order."""

    name: str
    columns: tuple[str, ...]
    statement: str


Row = tuple[Any, ...]
Rows = list[tuple[Write, Row]]

NUMBERS = frozenset({"renewals", "ready", "position", "amount", "place"})
"""Columns that hold numbers; all others hold texts."""


def names(text: str) -> tuple[str, ...]:
    """The columns that `text` names."""
    return tuple(text.split())


PUT_LOAN = Write(
    "put_loan",
    names("item_id patron_id checked_out due renewals"),
    """INSERT INTO loan (item_id, patron_id, checked_out, due, renewals)
    VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (item_id) DO UPDATE
    SET patron_id = excluded.patron_id, checked_out = excluded.checked_out,
        due = excluded.due, renewals = excluded.renewals""",
)
END_LOAN = Write("end_loan", ("item_id",), "DELETE FROM loan WHERE item_id = ?")
REMEMBER_LOAN = Write("remember_loan", names("patron_id until item_id"), queries.REMEMBER_LOAN)
MOVE_ITEM = Write(
    "move_item",
    names("status current_branch properties item_id"),
    "UPDATE item SET status = ?, current_branch = ?, properties = ? WHERE id = ?",
)
ADD_HOLD = Write(
    "add_hold",
    names("id patron_id item_id title_id placed pickup_branch ready expires"),
    """INSERT INTO hold (id, patron_id, item_id, title_id, placed, pickup_branch, ready, expires)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING""",
)
SET_HOLD = Write(
    "set_hold",
    names("item_id pickup_branch ready expires id"),
    "UPDATE hold SET item_id = ?, pickup_branch = ?, ready = ?, expires = ? WHERE id = ?",
)
PUT_BACK_HOLD = Write(
    "put_back_hold",
    names("item_id ready id"),
    "UPDATE hold SET item_id = ?, ready = ? WHERE id = ?",
)
DROP_HOLD = Write("drop_hold", ("id",), "DELETE FROM hold WHERE id = ?")
ADD_FEE = Write(
    "add_fee",
    names("id patron_id amount created type description item_id"),
    """INSERT INTO fee (id, patron_id, amount, created, type, description, item_id)
    VALUES (?, ?, ?, ?, ?, ?, ?)""",
)
OPEN_FEE = Write(
    "open_fee",
    names("id time kind"),
    "INSERT INTO ledger_transaction (id, time, kind) VALUES (?, ?, ?)",
)
ADD_ENTRY = Write(
    "add_entry",
    names("transaction_id place account amount fee_id debtor_id"),
    """INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id)
    VALUES (?, ?, ?, ?, ?, ?)""",
)
WAIVE = Write(
    "waive",
    names("id time fee_id"),
    """INSERT INTO ledger_transaction (id, time, kind)
    SELECT ?, ?, 'adjustment' FROM fee f WHERE f.id = ? AND f.amount <> 0""",
)
ADD_WAIVER = Write(
    "add_waiver",
    names("transaction_id fee_id"),
    """INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id)
    SELECT t.id, n.place, CASE WHEN n.place = 0 THEN 'fee:' || f.id ELSE 'opening' END,
           CASE WHEN n.place = 0 THEN -f.amount ELSE f.amount END,
           CASE WHEN n.place = 0 THEN f.id END, f.patron_id
    FROM ledger_transaction t
    JOIN (SELECT 0 AS place UNION ALL SELECT 1) n ON t.id = ?
    JOIN fee f ON f.id = ?""",
)
WAIVE_FEE = Write("waive_fee", ("fee_id",), "UPDATE fee SET amount = 0 WHERE id = ?")
OWE_BACK = Write(
    "owe_back",
    names("id time fee_id"),
    """INSERT INTO ledger_transaction (id, time, kind)
    SELECT ?, ?, 'surplus' WHERE
        (SELECT COALESCE(SUM(e.amount), 0) FROM ledger_entry e WHERE e.fee_id = ?) < 0""",
)
"""Of a waived fee nothing but what was paid is left, below zero: it is a surplus (C103)."""
ADD_SURPLUS = Write(
    "add_surplus",
    names("transaction_id fee_id"),
    """INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id)
    SELECT t.id, n.place,
           CASE WHEN n.place = 0 THEN 'fee:' || f.id ELSE 'surplus:' || f.patron_id END,
           CASE WHEN n.place = 0 THEN f.paid ELSE -f.paid END,
           CASE WHEN n.place = 0 THEN f.id END, f.patron_id
    FROM ledger_transaction t
    JOIN (SELECT 0 AS place UNION ALL SELECT 1) n ON t.id = ?
    JOIN (SELECT g.id AS id, g.patron_id AS patron_id,
                 (SELECT CAST(-SUM(e.amount) AS BIGINT) FROM ledger_entry e
                  WHERE e.fee_id = g.id) AS paid
          FROM fee g WHERE g.id = ?) f ON f.paid > 0""",
)
PUT_EVENT = Write(
    "put_event",
    names("item_id key terminal code patron_id position expires outcome before attempt"),
    """INSERT INTO circulation (item_id, key, terminal, code, patron_id, position, expires,
                             outcome, before, attempt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (item_id, key) DO UPDATE
    SET terminal = excluded.terminal, code = excluded.code, patron_id = excluded.patron_id,
        position = excluded.position, expires = excluded.expires, outcome = excluded.outcome,
        before = excluded.before, attempt = excluded.attempt""",
)
DROP_EVENT = Write(
    "drop_event", names("item_id key"), "DELETE FROM circulation WHERE item_id = ? AND key = ?"
)
ADD_REVIEW = Write(
    "add_review",
    names("id time kind terminal message item patron outcome reasons"),
    """INSERT INTO review (id, time, kind, terminal, message, item, patron, outcome, reasons)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING""",
)

WRITES = (
    PUT_LOAN,
    END_LOAN,
    REMEMBER_LOAN,
    MOVE_ITEM,
    ADD_HOLD,
    SET_HOLD,
    PUT_BACK_HOLD,
    DROP_HOLD,
    ADD_FEE,
    OPEN_FEE,
    ADD_ENTRY,
    WAIVE,
    ADD_WAIVER,
    WAIVE_FEE,
    OWE_BACK,
    ADD_SURPLUS,
    DROP_EVENT,
    PUT_EVENT,
    ADD_REVIEW,
)
"""In the order in which PostgreSQL runs them; SQLite runs them as they are listed."""
