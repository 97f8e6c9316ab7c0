"""Changes by other processes are seen at the next request (C62); one daemon at a time."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.sqlite.cache import RecordCache, part_of
from sip2gw.backend.sqlite.place import StoreInUseError
from sip2gw.backend.sqlite.store import Store
from sip2gw.model import (
    Badge,
    Block,
    BlockType,
    Card,
    CardHere,
    DoorEntry,
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


async def test_what_the_lists_say_of_a_number_that_nobody_has_is_looked_up_once(
    store: Store, tmp_path: Path
) -> None:
    """B34: until anything changes; a command may bar the number, or give it to somebody."""
    statements: list[str] = []
    assert await store.find_here("777") == CardHere()
    await asyncio.sleep(0)
    store._reads.connection.set_trace_callback(statements.append)
    assert await store.find_here("777") == CardHere()
    assert len(statements) == 1, "but for the store's version"
    command, bar = open_library(tmp_path, role="command"), DoorEntry("bar", "*", "777")
    await command.put_door_entry(bar)
    await asyncio.sleep(0)
    assert await store.find_here("777") == CardHere(None, (bar,))
    load(command, {"kind": "patron", "id": "777", "name": "Eve"})
    await command.close()
    await asyncio.sleep(0)
    holder = (await store.find_here("777")).holder
    assert holder is not None
    assert holder.door_entries == (bar,)


async def test_our_own_change_of_the_lists_is_seen(store: Store) -> None:
    bar = DoorEntry("bar", "*", "777")
    for expected in ((bar,), ()):
        await store.find_here("777")
        if expected:
            await store.put_door_entry(bar)
        else:
            await store.remove_door_entry("bar", "*", "777")
        assert (await store.find_here("777")).listed == expected


async def test_no_more_numbers_are_remembered_than_snapshots(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip2gw.backend.sqlite.store.RECORDS_CACHED_MAX", 2)
    for number in ("771", "772", "773"):
        await store.find_here(number)
    assert [*store._strangers] == ["773"]


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


async def changed_by(tmp_path: Path, *changes: Callable[[Store], Awaitable[Any]]) -> None:
    """Each by one process for staff, all at once."""
    command = open_library(tmp_path, role="command")
    await asyncio.gather(*(change(command) for change in changes))
    await command.close()
    await asyncio.sleep(0)


def block(patron_id: str) -> Callable[[Store], Awaitable[Any]]:
    made = Block(BlockType.GENERAL, "by staff", None, "staff")
    return lambda store: store.set_block(patron_id, made)


def lift(patron_id: str) -> Callable[[Store], Awaitable[Any]]:
    return lambda store: store.lift_blocks(patron_id, frozenset({"staff", "import"}))


def define(code: str) -> Callable[[Store], Awaitable[Any]]:
    badge = Badge(code, code)
    return lambda store: store.define_badge(badge)


async def sources(store: Store, patron_id: str) -> list[str]:
    record = await store.find_patron(patron_id)
    assert record is not None
    return [one.source for one in record.blocks]


async def test_a_change_by_staff_keeps_the_snapshots_of_others(
    store: Store, tmp_path: Path
) -> None:
    """Otherwise each one over REST would make the gateway read everybody again."""
    before = {it: await store.find_patron(it) for it in ("P1", "P2", "P3")}
    assert len({part_of(it) for it in before}) == 3
    await changed_by(tmp_path, block("P1"))
    assert await store.find_patron("P3") is before["P3"]
    assert "staff" in await sources(store, "P1")
    for change in (lift("P1"), block("P2")):  # neither of which is missed at the next look
        await changed_by(tmp_path, change)
    assert await store.find_patron("P3") is before["P3"]
    assert await store.find_patron("P2") is not before["P2"]
    assert await sources(store, "P1") == []


async def test_what_may_concern_anybody_drops_all(store: Store, tmp_path: Path) -> None:
    for changes in (
        [(define("B1"),)],
        [(block("P1"), define("B2"))],  # in one transaction
        [(define("B3"),), (block("P1"),)],  # one after the other, before the next look
    ):
        other = await store.find_patron("P3")
        for at_once in changes:
            await changed_by(tmp_path, *at_once)
        assert await store.find_patron("P3") is not other


async def test_who_shares_a_part_is_read_again(store: Store, tmp_path: Path) -> None:
    """A part says that some of its patrons have changed, not which."""
    twin = next(f"T{at}" for at in count() if part_of(f"T{at}") == part_of("P3"))
    load(store, {"kind": "patron", "id": twin, "name": "Twin"})
    await asyncio.sleep(0)
    before = [await store.find_patron(it) for it in ("P3", "P2")]
    await changed_by(tmp_path, block(twin))
    assert await store.find_patron("P3") is not before[0]
    assert await store.find_patron("P2") is before[1]


async def test_a_write_looks_for_changes_itself(store: Store, tmp_path: Path) -> None:
    """In its transaction nobody else can write any more (C60)."""
    before = {it: await store.find_patron(it) for it in ("P1", "P2")}
    command = open_library(tmp_path, role="command")
    await block("P1")(command)
    await store.set_block("P3", Block(BlockType.GENERAL, "", None, "terminal"))
    assert store._cache.by_id("P1") is None
    assert store._cache.by_id("P2") is before["P2"]
    await define("B9")(command)
    await store.set_block("P3", Block(BlockType.GENERAL, "x", None, "terminal"))
    assert store._cache.by_id("P2") is None
    await command.close()


async def test_a_process_for_staff_sees_what_the_gateway_has_written(
    store: Store, tmp_path: Path
) -> None:
    """The one for HTTP lives as long as the gateway, which tells nobody of its own writes."""
    command = open_library(tmp_path, role="command")
    assert "terminal" not in await sources(command, "P1")
    assert await command.failed_pins(["91"]) == [FailedPins()]
    await store.set_block("P1", Block(BlockType.GENERAL, "", None, "terminal"))
    await store.record_guess("91", NOW, 5, NOW)
    assert "terminal" in await sources(command, "P1")
    assert await command.failed_pins(["91"]) == [FailedPins(1)]
    await command.close()


@pytest.mark.parametrize("is_dropped", [False, True])
def test_what_is_read_while_a_part_changes_is_not_kept(is_dropped: bool) -> None:
    """It may have been read before the change."""
    cache = RecordCache(2)
    underway = cache.begin()
    if is_dropped:
        cache.evict_parts([part_of("P2")])
    cache.end(underway, PatronRecord("P1", "", cards=(Card("P1"),)))
    assert (cache.by_id("P1") is None) == is_dropped


def test_a_part_forgets_who_has_gone() -> None:
    cache = RecordCache(1)
    for _ in range(2):
        for patron_id in ("P1", "P2", "P2"):
            cache.add(PatronRecord(patron_id, "", cards=(Card(patron_id),)))
    cache.evict_parts([part_of("P1")])
    assert cache.by_id("P2") is not None
    cache.evict_parts([part_of("P2")])
    assert len(cache) == 0
    assert cache.by_card("P2") is None
    cache.add(PatronRecord("P1", "", cards=(Card("P1"),)))
    cache.clear()
    cache.evict_parts([part_of("P1")])
    assert len(cache) == 0


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
