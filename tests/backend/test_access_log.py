"""The door log (B42, C65)."""

from datetime import timedelta

import pytest

from sip2gw.backend.store import Store
from sip2gw.backend.store import access_log as access_log_module
from sip2gw.backend.store.access_log import AccessLog
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


async def test_the_newest_rows_are_listed_newest_last(store: Store) -> None:
    rows = [row(minutes) for minutes in range(5)]
    for entry in rows:
        store.log_access(entry)
    await store.ping()
    assert store.access_rows(limit=2) == rows[3:]
    span = store.access_rows(since=rows[1].time, until=rows[3].time)
    assert span == rows[1:3]


async def test_rows_are_filtered(store: Store) -> None:
    rows = [row(0), row(1, branch="EAST"), row(2, terminal="door-2"), row(3, reason="closed")]
    for entry in rows:
        store.log_access(entry)
    await store.ping()
    assert store.access_rows(branch="EAST") == [rows[1]]
    assert store.access_rows(terminal="door-2") == [rows[2]]
    assert store.access_rows(reason="closed") == [rows[3]]


async def test_identities_are_erased_and_rows_kept(store: Store) -> None:
    """B42, C76."""
    store.log_access(row(0))
    store.log_access(row(10))
    await store.ping()
    assert await store.erase_access_identities(NOW + timedelta(minutes=10)) == 1
    assert [entry.patron_id for entry in store.access_rows()] == [None, "P1"]


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
