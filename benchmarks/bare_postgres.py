"""The bare booking loop: `python -m benchmarks.bare_postgres URL SECONDS WORKERS CONNECTIONS`.

Workers that do nothing but book: read what a payment is decided on, write the payment, with the
gateway's own two statements on asyncpg. No terminals, no protocol, no patrons by card, no decision,
no log. The cards come on stdin, one a line; prints how many payments were booked a second.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import sys
import time
from collections.abc import Iterator

import asyncpg

from sip2gw.backend.ids import new_id
from sip2gw.backend.postgres.booking import BOOK, FACTS

_TIME = "2026-03-02T10:15:00.000000+00:00"
_EXPIRES = "2036-03-02T10:15:00.000000+00:00"
_FEES = 16
"""Where the fees stand in a row of `FACTS`, and in each of them id and what is owed."""
_FEE_ID, _OWED = 0, 3


async def _book(connection: asyncpg.Connection, card: str, key: str) -> None:
    (row,) = await connection.fetch(FACTS, card, "bare", key)
    (fee,) = row[_FEES]
    till, fee_account = "till:bare:00", f"fee:{fee[_FEE_ID]}"
    payment = (new_id(), _TIME, card, 1, "EUR", "00", key, "booked", "[]", card)
    booked = await connection.fetchval(
        BOOK,
        row[0],
        [card],
        f"{fee[_FEE_ID]} {fee[_OWED]}",
        *("bare", key, "content", _EXPIRES),
        *payment,
        *([fee_account, till], [-1, 1], [fee[_FEE_ID], None], [card, card], ["own", "own"]),
    )
    if not booked:
        raise RuntimeError("another was faster")


async def _work(pool: asyncpg.Pool, cards: list[str], tag: str, deadline: float) -> int:
    """Book one payment after the other, each of another card; how many."""
    numbers: Iterator[int] = itertools.count()
    for number in numbers:
        if time.monotonic() >= deadline:
            return number
        async with pool.acquire() as connection:
            await _book(connection, cards[number % len(cards)], f"{tag}-{number}")
    raise AssertionError("counting never ends")


async def _measure(url: str, seconds: float, workers: int, connections: int) -> float:
    cards = sys.stdin.read().split()
    async with asyncpg.create_pool(url, min_size=connections, max_size=connections) as pool:
        start = time.monotonic()
        booked = await asyncio.gather(
            *(
                _work(pool, cards[number::workers], secrets.token_hex(6), start + seconds)
                for number in range(workers)
            )
        )
        return sum(booked) / (time.monotonic() - start)


def main() -> None:
    """Book, and tell the rate."""
    url, seconds, workers, connections = sys.argv[1:]
    print(asyncio.run(_measure(url, float(seconds), int(workers), int(connections))))


if __name__ == "__main__":
    main()
