"""kill -9 while payments are booked: whatever was acknowledged is there exactly once (B46)."""

import asyncio
import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from postgres import Server

from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.backend.loading.importing import import_files
from sip2gw.backend.sql.money.ledger import payments
from sip2gw.backend.sql.records import load_account

from .library import SETTINGS, configured, content, load, open_library, open_postgres_library

ROUNDS = 3

PAYING = """
import asyncio, sys, tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sip2gw.backend.base import PaymentOrder
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.policy.money.debts import PaymentRules
from sip2gw.policy.money.payments import PaymentCase
from sip2gw.texts import Catalogue
from sip2gw.texts.payments import PaymentTexts

NOW = datetime(2026, 3, 10, tzinfo=UTC)

def order(key, payer):
    until = NOW + timedelta(days=9)
    fee, rules = payer.replace("P", "F"), PaymentRules(True, True)
    case = PaymentCase(fee, payer, False, True, NOW.date(), None, rules)
    texts = PaymentTexts(Catalogue({}), "en", "EUR", False)
    return PaymentOrder("cash-1", key, "c", payer, 1, "EUR", "00", key, NOW, until, case, texts)

async def client(store, first):
    for number in range(first, 100_000, 4):
        wanted = order(f"{sys.argv[2]}-{number}", f"P{number % 4}")
        result = await store.book_payment(wanted)
        print(result.payment.bk, flush=True)

async def main():
    with tempfile.TemporaryDirectory() as directory:
        await pay(Path(directory) / "sip2gw.toml")

async def pay(file):
    institution = '[institution]\\nid = "HUB"\\nname = "Hub"\\ncurrency = "EUR"\\n'
    file.write_text(f'{institution}[store]\\nurl = "{sys.argv[1]}"\\n')
    store = open_backend(load_config(file), "daemon").store
    await asyncio.gather(*(client(store, first) for first in range(4)))

asyncio.run(main())
"""


LINES = [
    {"kind": kind, **line}
    for number in range(4)
    for kind, line in (
        ("patron", {"id": f"P{number}", "name": "Ann"}),
        (
            "fee",
            {
                "id": f"F{number}",
                "patron": f"P{number}",
                "amount": "9000",
                "created": "2026-01-01",
            },
        ),
    )
]


class Paying:
    """A process that books payments and tells which were acknowledged."""

    def __init__(self, url: str, name: str) -> None:
        command = [sys.executable, "-c", PAYING, url, name]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.acknowledged: list[str] = []

    def read(self, count: int) -> None:
        """Wait for `count` more acknowledgements."""
        assert self._process.stdout is not None
        self.acknowledged += [self._process.stdout.readline().strip() for _ in range(count)]

    def kill(self) -> None:
        """SIGKILL, and read what was said before."""
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGKILL)
        rest = self._process.stdout.readlines()
        self.acknowledged += [line.strip() for line in rest if line.endswith("\n")]
        self._process.wait()
        self._process.stdout.close()


def insist_on_books(library: Library, acknowledged: set[str]) -> None:
    """Each acknowledged payment once, none twice, and balances that are their sums.

    At one moment: PostgreSQL may still be finishing what the killed one had sent.
    """
    with library.snapshot() as connection:
        booked = [payment.bk for payment in payments(connection)]
        records = [load_account(connection, f"P{number}") for number in range(4)]
    assert library.self_check() == []
    assert len(set(booked)) == len(booked)
    assert acknowledged <= set(booked)
    owed = sum(record.fees[0].owed for record in records if record is not None)
    assert owed == 4 * 900_000 - len(booked)


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_acknowledged_payments_survive_exactly_once(tmp_path: Path, seed: int) -> None:
    store = open_library(tmp_path)
    load(store, *LINES)
    await store.close()
    paying = Paying(f"sqlite:{store.path}", f"BK{seed}")
    paying.read(random.Random(seed).randint(1, 120))
    paying.kill()
    store = open_library(tmp_path)
    insist_on_books(store, set(paying.acknowledged))
    await store.close()


async def test_two_gateways_with_the_same_keys_book_each_once_when_one_is_killed(
    postgres: Server,
) -> None:
    """Both ask for every key; the one that is left goes on."""
    database, seed = postgres.make_database(), random.Random(1)
    url = postgres.url(database)
    store = open_postgres_library(url, role="command")
    load(store, *LINES)
    first, second = Paying(url, "BK"), Paying(url, "BK")
    first.read(seed.randint(1, 60))
    second.read(seed.randint(1, 60))
    first.kill()
    second.read(30)
    second.kill()
    insist_on_books(store, {*first.acknowledged, *second.acknowledged})
    await store.close()
    postgres.drop_database(database)


IMPORTING = """
import os, signal, sys
from pathlib import Path
from sip2gw.backend.factory import open_backend
from sip2gw.backend.loading.importing import import_files
from sip2gw.backend.sql.money.ledger import payments
from sip2gw.backend.sql.records import load_account
from sip2gw.backend.loading.plan import Plan
sys.path[:0] = [sys.argv[2], f"{sys.argv[2]}/support"]
from backend.library import SETTINGS, configured

def die(plan, *arguments):
    os.kill(os.getpid(), signal.SIGKILL)

Plan.write_rest = die
lines = Path(sys.argv[3])
store = open_backend(configured(lines.parent, sys.argv[1]), "command").store
import_files(store, [lines], settings=SETTINGS)
"""


def test_an_import_that_is_killed_while_it_writes_leaves_the_old_state(
    tmp_path: Path, postgres: Server
) -> None:
    """B69, C63: nothing has to be cleaned up, and the same import then works."""
    lines = tmp_path / "data.jsonl"
    more = ({"kind": "patron", "id": f"N{number}", "name": "New"} for number in range(500))
    lines.write_text("".join(json.dumps(line) + "\n" for line in more))
    postgres_url = postgres.url(postgres.make_database())
    for url in (f"sqlite:{tmp_path / 'library.db'}", postgres_url):
        store = open_backend(configured(tmp_path, url), "command", "make").store
        load(store, *LINES)
        before = content(store)
        command = [sys.executable, "-c", IMPORTING, url, str(Path(__file__).parents[1]), str(lines)]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert content(store) == before
        assert import_files(store, [lines], settings=SETTINGS).applied
        assert len(content(store)["patron"]) == len(LINES) // 2 + 500
        assert store.self_check() == []
        asyncio.run(store.close())
