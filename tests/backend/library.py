"""A small library for the tests, and what they do with it."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from orders import Decide, saying, settling

from sip2gw.backend.base import BackendError, PaymentOrder
from sip2gw.backend.database import Connection
from sip2gw.backend.library import Library
from sip2gw.backend.loading.importing import ImportReport, ImportSettings, import_files
from sip2gw.backend.loading.pins import PinHashing
from sip2gw.backend.postgres import PostgresStore, open_postgres
from sip2gw.backend.sqlite.database import connect
from sip2gw.backend.sqlite.store import Store, open_sqlite
from sip2gw.config import Config, load_config
from sip2gw.model import PaymentLine
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason

NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Brussels")

LIBRARY: list[dict[str, Any]] = [
    {
        "kind": "membership",
        "code": "201",
        "description": "Adult",
        "type": 2,
        "minimum_age": 18,
        "maximum_age": 99,
        "max_items": 20,
        "max_fees_self_service": "5.00",
        "alert_amount": "4.00",
    },
    {"kind": "membership", "code": "101", "description": "Child", "type": 0},
    {"kind": "badge", "code": "ONBE", "name": "Open library", "branches": ["MAIN", "EAST"]},
    {"kind": "badge", "code": "STUD", "name": "Study room", "active": False},
    {
        "kind": "patron",
        "id": "P1",
        "name": "Ann Maes",
        "pin": "1234",
        "birth_date": "1980-02-29",
        "membership": "201",
        "membership_from": "2025-01-01",
        "membership_until": "2026-12-31",
        "home_branch": "MAIN",
        "language": "nl",
        "cards": [{"number": "C1"}, {"number": "OLD1", "state": "replaced"}],
        "badges": ["STUD", {"code": "ONBE", "from": "2026-01-01", "branches": ["MAIN"]}],
        "blocks": [{"type": "general", "note": "ask", "until": "2026-05-01"}],
        "notices": ["A book was found"],
        "house_rules_accepted": "2026-01-02",
        "fee_limit": "7.50",
    },
    {
        "kind": "patron",
        "id": "P2",
        "name": "Bob Maes",
        "membership": "101",
        "cards": [{"number": "P2", "state": "lost"}],
    },
    {"kind": "patron", "id": "P3", "name": "Cleo Peeters", "membership": "201"},
    {"kind": "relationship", "type": "head_of_family", "from": "P1", "to": "P2"},
    {
        "kind": "relationship",
        "type": "authorisation",
        "from": "P3",
        "to": "P1",
        "functions": ["pay", "renew"],
        "confirmed": False,
    },
    {"kind": "item", "id": "I1", "title": "Reinaert", "title_id": "T1"},
    {"kind": "item", "id": "I2", "title": "Tijl", "title_id": "T2", "overdue_fee_per_day": "0.10"},
    {
        "kind": "loan",
        "item": "I1",
        "patron": "P1",
        "checked_out": "2026-03-01",
        "due": "2026-03-22",
        "renewals": 1,
    },
    {
        "kind": "hold",
        "id": "H1",
        "patron": "P1",
        "title_id": "T2",
        "placed": "2026-03-02T10:00:00",
        "ready": True,
        "pickup_branch": "MAIN",
        "expires": "2026-04-01",
    },
    {"kind": "fee", "id": "F2", "patron": "P1", "amount": "1.20", "created": "2026-02-01"},
    {
        "kind": "fee",
        "id": "F1",
        "patron": "P1",
        "amount": "2.50",
        "created": "2026-02-01",
        "description": "Late",
        "item": "I1",
        "type": "01",
    },
    {
        "kind": "fee",
        "id": "F3",
        "patron": "P2",
        "amount": "10.00",
        "paid": "4.00",
        "created": "2026-01-01",
        "status": "R",
        "arrangement_date": "2026-06-01",
    },
    {
        "kind": "fee",
        "id": "F4",
        "patron": "P2",
        "amount": "1.00",
        "paid": "1.00",
        "created": "2026-01-01",
    },
]
"""A head of family (P1) with a child (P2) and an authoriser (P3)."""


def quick_hash(secret: bytes, pin: str) -> str:
    """Not a hash: tests must not spend tens of milliseconds for each PIN."""
    return f"$argon2id$v=19$m=8,t=1,p=1$c2FsdA${pin[::-1]}"


def quick_verify(secret: bytes, pin_hash: str, pin: str) -> bool:
    """The counterpart of `quick_hash`."""
    return pin_hash == quick_hash(secret, pin)


SETTINGS = ImportSettings(
    currency="EUR", zone=ZONE, now=NOW, hashing=PinHashing(quick_hash, quick_verify)
)


def stream_of(*lines: dict[str, Any] | str | bytes) -> io.BytesIO:
    """Lines of an import: records, texts or raw bytes."""
    return io.BytesIO(b"".join(_bytes(line) + b"\n" for line in lines))


def _bytes(line: dict[str, Any] | str | bytes) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode()


def load(
    store: Library,
    *lines: dict[str, Any] | str | bytes,
    settings: ImportSettings = SETTINGS,
    dry_run: bool = False,
) -> ImportReport:
    """Import `lines` as a file called `data.jsonl`."""
    return import_files(
        store, [("data.jsonl", stream_of(*lines))], settings=settings, dry_run=dry_run
    )


def configured(directory: Path, url: str, currency: str = "EUR") -> Config:
    """A configuration in `directory` whose store is `url`."""
    file = directory / "sip2gw.toml"
    institution = f'[institution]\nid = "HUB"\nname = "Hub"\ncurrency = "{currency}"\n'
    file.write_text(f'{institution}[store]\nurl = "{url}"\n')
    return load_config(file)


def open_library(directory: Path, role: Any = "daemon", access: Any = "make") -> Store:
    """The store in `directory`."""
    return open_sqlite(directory / "library.db", role=role, access=access, currency="EUR")


def open_postgres_library(url: str, role: Any = "daemon", **limits: Any) -> PostgresStore:
    """The store in the database `url`; its spool is gone when it is closed."""
    with TemporaryDirectory() as directory:
        limits.setdefault("spool_file", Path(directory) / "spool")
        limits.setdefault("access", "make")
        return open_postgres(url, password=None, role=role, currency="EUR", **limits)


@contextmanager
def unguarded(store: Library) -> Iterator[Connection]:
    """A connection on which references are not checked."""
    if isinstance(store, Store):
        with closing(connect(store.path)) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            yield connection
    else:
        with store.own_connection() as connection:
            connection.execute("SET session_replication_role = replica")
            yield connection


REFUSALS = (sqlite3.IntegrityError, BackendError)
"""How the two databases refuse a statement of ours."""


def content(store: Library) -> dict[str, list[Any]]:
    """Every row of every table, to see that nothing has changed."""
    with store.snapshot() as connection:
        names = connection.execute(connection.dialect.table_names)
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            for (name,) in names.fetchall()
        }


def order(key: str = "BK1", amount: int = 100, **changed: Any) -> PaymentOrder:
    """A payment by P1 at a kiosk."""
    values: dict[str, Any] = {
        "terminal": "cash-1",
        "key": key,
        "content": f"P1|{amount}|EUR|00||",
        "payer_id": "P1",
        "amount": amount,
        "currency": "EUR",
        "payment_type": "00",
        "bk": key,
        "now": NOW,
        "key_expires": NOW + timedelta(days=30),
        "case": settling(),
        "texts": saying("Thank you"),
    }
    return PaymentOrder(**(values | changed))


def pay_fee(fee_id: str, amount: int = 100, relation: str = "own") -> Decide:
    """A decision: settle `amount` of `fee_id`, wherever among the facts it is; else refuse."""

    def decide(facts: PaymentFacts) -> PaymentPlan | PaymentRefusalReason:
        for record in (facts.payer, *facts.debtors):
            for fee in record.fees:
                if fee.id == fee_id and fee.owed >= amount:
                    line = PaymentLine(fee.id, record.id, relation, amount)
                    return PaymentPlan((line,), 0)
        return PaymentRefusalReason.OVERPAYMENT

    return decide
