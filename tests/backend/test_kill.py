"""kill -9 while payments are booked: whatever was acknowledged is there exactly once (B46)."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .library import load, open_library

ROUNDS = 3

PAYING = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sip2gw.backend.base import Allocation, PaymentOrder
from sip2gw.backend.store import open_store
from sip2gw.model import PaymentLine

NOW = datetime(2026, 3, 10, tzinfo=UTC)

def order(key):
    return PaymentOrder("cash-1", key, "c", "P1", 1, "EUR", "00", key, NOW, NOW + timedelta(days=9))

def decide(facts):
    return Allocation((PaymentLine("F1", "P1", "own", 1),), ("Thank you",))

async def client(store, first):
    for number in range(first, 100_000, 4):
        result = await store.book_payment(order(f"{sys.argv[2]}-{number}"), decide)
        print(result.payment.bk, flush=True)

async def main():
    store = open_store(Path(sys.argv[1]), role="daemon", currency="EUR")
    await asyncio.gather(*(client(store, first) for first in range(4)))

asyncio.run(main())
"""


def acknowledged_until_killed(path: Path, name: str, after: int) -> list[str]:
    """Run the paying process, kill it when `after` payments were acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", PAYING, str(path), name], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    keys = [process.stdout.readline().strip() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    keys += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    return keys


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_acknowledged_payments_survive_exactly_once(tmp_path: Path, seed: int) -> None:
    store = open_library(tmp_path)
    load(
        store,
        {"kind": "patron", "id": "P1", "name": "Ann"},
        {"kind": "fee", "id": "F1", "patron": "P1", "amount": "9000", "created": "2026-01-01"},
    )
    await store.close()
    after = random.Random(seed).randint(1, 120)
    acknowledged = acknowledged_until_killed(store.path, f"BK{seed}", after)
    store = open_library(tmp_path)
    booked = [payment.bk for payment in store.payments()]
    record = await store.find_patron("P1")
    problems = store.self_check()
    await store.close()
    assert len(acknowledged) >= after
    assert len(set(booked)) == len(booked)
    assert set(acknowledged) <= set(booked)
    assert record is not None
    assert record.fees[0].owed == 900_000 - len(booked)
    assert problems == []
