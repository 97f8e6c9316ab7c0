"""The door log (B42, C65)."""

import asyncio
from datetime import timedelta

import pytest

from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.postgres import door_log as doorlog_module
from sip2gw.backend.sql import door_log as access_log_module
from sip2gw.backend.sql.door_log import AccessLog
from sip2gw.backend.sqlite.store import Store
from sip2gw.model import AccessRow

from .library import NOW, open_library


def row(minutes: int = 0, **changed: str) -> AccessRow:
    """A decision at the main door."""
    values = {"branch": "MAIN", "terminal": "door-1", "reason": "granted"} | changed
    return AccessRow(
        time=NOW + timedelta(minutes=minutes),
        decision="granted" if values["reason"] == "granted" else "refused",
        mode="normal",
        checks="card=ok pin=ok",
        patron_id="P1",
        **values,
    )


async def written(library: Library) -> None:
    """Have the queued rows written without waiting for the timer."""
    if isinstance(library, PostgresStore):
        await library._door_log._write()
    else:
        await library.ping()


async def test_rows_go_along_with_the_next_commit(store: Store) -> None:
    store.log_access(row())
    await store.ping()
    assert store.access_rows() == [row()]


async def test_rows_are_written_soon_without_any_other_write(store: Store) -> None:
    """C65: the timer's work, without waiting for the timer."""
    store.log_access(row())
    store._flush_log()
    await store.ping()
    assert store.access_rows() == [row()]


async def test_rows_are_written_when_the_store_is_closed(store: Store) -> None:
    store.log_access(row())
    await store.close()
    again = open_library(store.path.parent, role="command")
    assert again.access_rows() == [row()]
    await again.close()


async def test_rows_are_written_within_a_second_on_postgresql(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C65: the delay is a quarter of a second; here it is none."""
    monkeypatch.setattr(doorlog_module, "FLUSH_AFTER_S", 0.0)
    for minutes in range(3):
        postgres_store.log_access(row(minutes))
    rows: list[AccessRow] = []
    async with asyncio.timeout(30):
        while len(rows) < 3:
            rows = await asyncio.to_thread(postgres_store.access_rows)
    assert rows == [row(0), row(1), row(2)]


async def test_rows_outlive_a_database_that_is_away(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorlog_module, "FLUSH_AFTER_S", 60.0)
    entries = [row(minutes) for minutes in range(3)]
    for entry in entries[:2]:
        postgres_store.log_access(entry)
    with postgres_store.own_connection() as connection:
        connection.execute("ALTER TABLE access_log RENAME TO gone")
        assert not await postgres_store._door_log._write()
        connection.execute("ALTER TABLE gone RENAME TO access_log")
    postgres_store.log_access(entries[2])
    assert await postgres_store._door_log._write()
    assert await asyncio.to_thread(postgres_store.access_rows) == entries


async def test_the_newest_rows_are_listed_newest_last(library: Library) -> None:
    rows = [row(minutes) for minutes in range(5)]
    for entry in rows:
        library.log_access(entry)
    await written(library)
    assert library.access_rows(limit=2) == rows[3:]
    span = library.access_rows(since=rows[1].time, until=rows[3].time)
    assert span == rows[1:3]


async def test_rows_before_another_follow_each_other(library: Library) -> None:
    """Pages that lead back; rows of one moment are told apart by their ids."""
    rows = [row(minute, terminal=f"door-{n}") for n, minute in enumerate((0, 1, 1, 1, 2))]
    for entry in rows:
        library.log_access(entry)
    await written(library)
    for limit in (1, 2, 3):
        found: list[AccessRow] = []
        before = None
        while page := library.access_rows(limit=limit, before=before):
            found = page + found
            assert len(found) <= len(rows)
            before = page[0].time, page[0].id
        assert found == rows


async def test_rows_are_filtered(library: Library) -> None:
    rows = [row(0), row(1, branch="EAST"), row(2, terminal="door-2"), row(3, reason="closed")]
    for entry in rows:
        library.log_access(entry)
    await written(library)
    assert library.access_rows(branch="EAST") == [rows[1]]
    assert library.access_rows(terminal="door-2") == [rows[2]]
    assert library.access_rows(reason="closed") == [rows[3]]


async def test_identities_are_erased_and_rows_kept(library: Library) -> None:
    """B42, C76."""
    library.log_access(row(0))
    library.log_access(row(10))
    await written(library)
    assert await library.erase_access_identities(NOW + timedelta(minutes=10)) == 1
    assert [entry.patron_id for entry in library.access_rows()] == [None, "P1"]


def test_waiting_rows_are_bounded_and_the_oldest_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_log_module, "ROWS_WAITING_MAX", 3)
    log = AccessLog()
    taken = [row(minutes) for minutes in range(3)]
    log.add(row(3))
    log.put_back(taken)
    assert log.take() == [row(1), row(2), row(3)]
    assert log.take() == []
