"""Changes by other processes are seen at the next request (C62); one daemon at a time."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from orders import decided_by

from sip2gw.backend.sqlite.cache import RecordCache
from sip2gw.backend.sqlite.place import StoreInUseError
from sip2gw.backend.sqlite.store import Store
from sip2gw.model import (
    Block,
    BlockType,
    Card,
    FailedPins,
    PatronRecord,
)

from .library import LIBRARY, load, open_library, order, pay_fee

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

COMMAND = """
import asyncio, sys
from pathlib import Path
from sip2gw.backend.sqlite.store import open_sqlite
from sip2gw.model import Block, BlockType

async def main():
    store = open_sqlite(Path(sys.argv[1]), role="command", access="write", currency="EUR")
    await store.set_block("P1", Block(BlockType.GENERAL, "by staff", None, "staff"))
    await store.close()

asyncio.run(main())
"""


async def test_a_command_in_another_process_is_seen_at_the_next_request(store: Store) -> None:
    assert await store.find_by_card("C1") is not None
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", COMMAND, str(store.path)], check=True
    )
    record = await store.find_by_card("C1")
    assert record is not None
    assert [block.source for block in record.blocks] == ["import", "staff"]


async def test_a_payment_by_a_command_is_seen(store: Store, tmp_path: Path) -> None:
    await store.find_by_card("C1")
    command = open_library(tmp_path, role="command")
    await command.book_payment(decided_by(order(amount=250), pay_fee("F1", 250)))
    await command.close()
    record = await store.find_by_card("C1")
    assert record is not None
    assert [fee.id for fee in record.fees] == ["F2"]


async def test_an_import_beside_the_daemon_is_seen(store: Store, tmp_path: Path) -> None:
    await store.find_by_card("C1")
    command = open_library(tmp_path, role="command")
    load(command, {"kind": "patron", "id": "P1", "name": "New Name"})
    await command.close()
    record = await store.find_by_card("P1")
    assert record is not None
    assert record.name == "New Name"
    assert await store.find_by_card("C1") is None


async def test_a_membership_that_a_command_defines_or_changes_is_seen(
    store: Store, tmp_path: Path
) -> None:
    command = open_library(tmp_path, role="command")
    descriptions = []
    for description in ("Youth", "Young people"):
        load(
            command,
            {"kind": "membership", "code": "777", "description": description, "type": 4},
        )
        await asyncio.sleep(0)
        defined = await store.find_membership("777")
        assert defined is not None
        descriptions.append(defined.description)
    await command.close()
    assert descriptions == ["Youth", "Young people"]


async def test_a_wrong_pin_that_another_process_counts_is_seen(
    store: Store, tmp_path: Path
) -> None:
    assert await store.failed_pins(["91"]) == [FailedPins()]
    command = open_library(tmp_path, role="command")
    await command.record_guess("91", NOW, 5, NOW)
    await command.close()
    await asyncio.sleep(0)
    assert await store.failed_pins(["91"]) == [FailedPins(1)]


async def test_requests_of_one_turn_share_one_look_at_the_version(store: Store) -> None:
    statements: list[str] = []
    store._reads.connection.set_trace_callback(statements.append)
    for _ in range(3):
        await store.find_by_card("P1")
        await store.find_patron("P1")
    assert sum("store_version" in statement for statement in statements) == 1
    await asyncio.sleep(0)
    await store.find_by_card("P1")
    assert sum("store_version" in statement for statement in statements) == 2


async def test_the_daemons_own_writes_keep_other_snapshots(store: Store) -> None:
    other = await store.find_by_card("P3")
    await store.set_block("P1", Block(BlockType.GENERAL, "", None, "terminal"))
    assert await store.find_by_card("P3") is other


async def test_a_second_daemon_is_refused_until_the_first_has_gone(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(StoreInUseError, match="another sip2gw serves this store"):
        open_library(tmp_path)
    await store.close()
    again = open_library(tmp_path)
    await again.close()


async def test_commands_work_beside_a_daemon(store: Store, tmp_path: Path) -> None:
    first, second = (open_library(tmp_path, role="command") for _ in range(2))
    assert await first.find_patron("P1") == await second.find_patron("P1")
    await first.close()
    await second.close()


def test_the_cache_is_bounded() -> None:
    cache = RecordCache(2)
    for number in range(4):
        cache.add(PatronRecord(f"P{number}", "", cards=(Card(f"P{number}"), Card(f"C{number}"))))
    assert len(cache) == 2
    assert cache.by_card("C1") is None
    assert cache.by_card("C3") is cache.by_id("P3")
    cache.evict(["P3", "nobody"])
    assert cache.by_card("C3") is None
    cache.clear()
    assert len(cache) == 0


async def test_a_new_snapshot_forgets_cards_that_are_gone() -> None:
    cache = RecordCache(10)
    cache.add(PatronRecord("P1", "", cards=(Card("P1"), Card("OLD"))))
    cache.add(PatronRecord("P1", "", cards=(Card("P1"),)))
    assert cache.by_card("OLD") is None


async def test_the_library_may_be_loaded_twice_from_two_stores(tmp_path: Path) -> None:
    """Two imports one after the other in two commands are one library."""
    for _ in range(2):
        command = open_library(tmp_path, role="command")
        assert load(command, *LIBRARY).applied
        await command.close()
