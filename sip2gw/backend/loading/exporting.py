"""Export: the import's format back, streamed from one moment of the store (B69, C17, C95).

PIN hashes are exported; PINs are unknown. Settled fees are left out unless asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from sip2gw.backend.database import Connection, Database
from sip2gw.backend.loading import staging
from sip2gw.backend.loading.format import (
    BadgeLine,
    FeeLine,
    HoldLine,
    ItemLine,
    Line,
    LoanLine,
    PatronLine,
    PinSecretLine,
    RelationshipLine,
)
from sip2gw.backend.loading.memberships import line_of_definition
from sip2gw.backend.loading.staging import Staged
from sip2gw.backend.sql.members.memberships import definitions
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.stubs import LIVING, OURS
from sip2gw.backend.sql.values import list_value, moment_value, time_text
from sip2gw.foundation.hashing import secret_fingerprint
from sip2gw.model import CardState, format_amount

_TABLE = "SELECT {columns} FROM {table} p{ours} ORDER BY {order}"
_FEES = fill(
    """
    SELECT f.id, f.patron_id, f.amount, f.created, f.type, f.description, f.item_id, f.status,
           f.arrangement_date, f.amount -
           CAST(COALESCE(SUM(CASE WHEN t.kind <> 'surplus' THEN e.amount END), 0) AS BIGINT)
    FROM fee f LEFT JOIN ledger_entry e ON e.fee_id = f.id
    LEFT JOIN ledger_transaction t ON t.id = e.transaction_id
    WHERE EXISTS (SELECT 1 FROM patron p WHERE p.id = f.patron_id AND {living})
    GROUP BY f.id
    HAVING ? = 1 OR SUM(e.amount) <> 0
        OR SUM(CASE WHEN t.kind = 'surplus' THEN e.amount END) <> 0
    ORDER BY f.id""",
    living=LIVING,
)
"""What was paid too much of a settled fee is not to be lost on the way to another store."""

_KEPT_HERE = frozenset(("pin_origin",))
"""Columns that an import fills and no file has."""
_RENAMED = {
    "membership_code": "membership",
    "patron_id": "patron",
    "item_id": "item",
    "from_id": "from",
    "to_id": "to",
    "valid_from": "from",
    "valid_until": "until",
    "badge_code": "code",
}
_AMOUNTS = frozenset(
    (
        "fee_limit",
        "checkout_fee",
        "overdue_fee_per_day",
        "overdue_fee_max",
        "amount",
        "paid",
    )
)
_TIMES = frozenset(("checked_out", "due", "placed", "expires", "created"))
_LISTS = frozenset(("branches", "notices"))

_encoder = msgspec.json.Encoder()

Record = dict[str, Any]


def export_lines(store: Database, *, currency: str, everything: bool = False) -> Iterator[bytes]:
    """The store's data as lines of JSON with their newlines.

    Args:
        store: what to export.
        currency: the institution's, for the decimals of amounts.
        everything: settled fees too (`--all`).
    """
    with store.snapshot() as connection:
        yield _line(PinSecretLine(secret_fingerprint(store.pin_secret)))
        exporter = _Exporter(connection, currency)
        yield from map(_line, exporter.memberships())
        for kind, record in exporter.records(everything):
            yield _line(msgspec.convert(record, kind, strict=False))


def _line(record: Line) -> bytes:
    return _encoder.encode(record) + b"\n"


class _Exporter:
    """Reads rows as records with the format's names and values."""

    def __init__(self, connection: Connection, currency: str) -> None:
        self._connection = connection
        self._currency = currency

    def records(self, everything: bool) -> Iterator[tuple[type[Line], Record]]:
        """Every other record with its kind, what is referred to before what refers."""
        plain: tuple[tuple[type[Line], Callable[[], Iterator[Record]]], ...] = (
            (BadgeLine, lambda: self._table(staging.BADGE)),
            (PatronLine, self._patrons),
            (RelationshipLine, self._relationships),
            (ItemLine, lambda: self._table(staging.ITEM)),
            (LoanLine, lambda: self._table(staging.LOAN)),
            (HoldLine, lambda: self._table(staging.HOLD)),
            (FeeLine, lambda: self._fees(everything)),
        )
        for kind, read in plain:
            for record in read():
                yield kind, record | {"kind": kind.__struct_config__.tag}

    def memberships(self) -> Iterator[Line]:
        """The membership definitions."""
        for definition in definitions(self._connection):
            yield line_of_definition(definition, self._currency)

    def _table(self, table: Staged) -> Iterator[Record]:
        columns = tuple(name for name in table.columns if name not in _KEPT_HERE)
        statement = fill(
            _TABLE,
            table=table.name,
            columns=", ".join(columns),
            ours=f" WHERE {OURS}" if table is staging.PATRON else "",
            order=", ".join(table.key),
        )
        return self._select(statement, columns)

    def _select(
        self, statement: str, columns: tuple[str, ...], values: tuple[Any, ...] = ()
    ) -> Iterator[Record]:
        for row in self._connection.execute(statement, values):
            yield {
                _RENAMED.get(name, name): self._value(name, value)
                for name, value in zip(columns, row, strict=True)
                if value is not None
            }

    def _value(self, name: str, value: Any) -> Any:
        if name in _AMOUNTS:
            return None if name == "paid" and not value else self._amount(value)
        if name in _TIMES:
            text = time_text(moment_value(value))
            return text.replace("+00:00", "Z").replace(".000000", "")
        return list_value(value) if name in _LISTS else value

    def _amount(self, minor: int) -> str:
        return format_amount(minor, self._currency)

    def _patrons(self) -> Iterator[Record]:
        cards, badges, blocks = (
            _Children(self._owned(table))
            for table in (staging.CARD, staging.BADGE_ASSIGNMENT, staging.BLOCK)
        )
        for record in self._table(staging.PATRON):
            own = {"number": record["id"], "state": CardState.ACTIVE.value}
            record["cards"] = [card for card in cards.of(record["id"]) if card != own]
            record["badges"] = [
                badge if badge.keys() - {"code"} else badge["code"]
                for badge in map(_without_empty, badges.of(record["id"]))
            ]
            record["blocks"] = blocks.of(record["id"])
            yield record

    def _owned(self, table: Staged) -> Iterator[Record]:
        """The rows of a patron's list, in the order of patrons."""
        columns = tuple(name for name in table.columns if name not in ("source", "position"))
        order = ", ".join(dict.fromkeys(("patron_id", *table.key)))
        if table is staging.BLOCK:
            order = "patron_id, position, source, type"
        statement = fill(_TABLE, table=table.name, columns=", ".join(columns), ours="", order=order)
        return self._select(statement, columns)

    def _relationships(self) -> Iterator[Record]:
        for record in self._table(staging.RELATIONSHIP):
            given = {name: record.pop(f"may_{name}") for name in ("renew", "pay")}
            record["functions"] = [name for name, allowed in given.items() if allowed]
            yield record

    def _fees(self, everything: bool) -> Iterator[Record]:
        columns = (*staging.FEE.columns, *staging.FEE.beside)
        return self._select(_FEES, columns, (int(everything),))


def _without_empty(badge: Record) -> Record:
    return {name: value for name, value in badge.items() if value not in ((), None)}


class _Children:
    """Hands out the rows of one patron after another; both come in the database's order."""

    def __init__(self, rows: Iterator[Record]) -> None:
        self._groups = groupby(rows, itemgetter("patron"))
        self._next: tuple[str, list[Record]] | None = None
        self._advance()

    def _advance(self) -> None:
        self._next = None
        for patron_id, rows in self._groups:
            self._next = (
                patron_id,
                [{k: v for k, v in row.items() if k != "patron"} for row in rows],
            )
            return

    def of(self, patron_id: str) -> list[Record]:
        """The rows of `patron_id`, asked for in order."""
        if self._next is None or self._next[0] != patron_id:
            return []
        rows = self._next[1]
        self._advance()
        return rows
