"""What doors need is read at start, by a thread (C114)."""

import asyncio
import re
from contextlib import closing
from pathlib import Path

from harness import running

from sip2gw.backend.sql.records import load_by_card
from sip2gw.backend.sqlite.database import connect
from sip2gw.backend.sqlite.store import Store
from sip2gw.backend.sqlite.warming import CACHE_KIB, DOOR_TABLES, warm


def test_what_is_read_for_one_at_a_door_has_been_gone_through_before(store: Store) -> None:
    """Tables and indexes in the plans of the statements that a door asks."""
    with closing(connect(store.path, read_only=True)) as connection:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        assert load_by_card(connection, "C1") is not None
        connection.set_trace_callback(None)
        needed: set[str] = set()
        for statement in asked:
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                needed.update(re.findall(r"INDEX (\w+)", step))
        gone_through: list[str] = []
        connection.set_trace_callback(gone_through.append)
        rows = warm(connection)
        connection.set_trace_callback(None)
        counted = set(re.findall(r"INDEXED BY (\w+)", " ".join(gone_through)))
        sizes = [
            connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in DOOR_TABLES
        ]
    assert {"card_patron", "fee_patron", "ledger_entry_fee"} <= needed
    assert needed <= counted
    assert rows == sum(sizes)
    assert store.warm() == rows


def test_pages_that_are_read_once_are_not_kept(store: Store) -> None:
    """C136."""
    with closing(connect(store.path, read_only=True)) as connection:
        warm(connection)
        assert connection.execute("PRAGMA cache_size").fetchone() == (-CACHE_KIB,)


async def test_a_gateway_whose_store_cannot_be_warmed_says_so_and_serves(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        store = tmp_path / "library.db"
        elsewhere = store.rename(tmp_path / "elsewhere.db")
        await gateway.app.warm()
        elsewhere.rename(store)
        await gateway.app.warm()
        kiosk = await gateway.terminal("kiosk-1")
        async with asyncio.timeout(60):  # It may have noticed meanwhile that the file was gone.
            while not (await kiosk.ask("9900302.00")).startswith("98Y"):
                pass
    told = [(line["event"], line.get("operation")) for line in gateway.logged()]
    assert told.count(("backend_failed", "warm")) == 1
    assert told.count(("store_warmed", None)) == 1
