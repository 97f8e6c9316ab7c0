"""Connections that wait for their next use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sip2gw.backend.base import Role, UnavailableError
from sip2gw.backend.idle import KEPT_OPEN, Idle
from sip2gw.backend.sqlite.database import SqliteConnection, connect
from sip2gw.backend.sqlite.store import Store

from .library import open_library


class Rig:
    """A table with one column, and all connections that were opened to it."""

    def __init__(self, path: Path, kept_max: int) -> None:
        self.opened: list[SqliteConnection] = []
        self.idle = Idle(self.open, kept_max, sqlite3.Error)
        self.path = path

    def open(self) -> SqliteConnection:
        self.opened.append(connect(self.path))
        return self.opened[-1]

    def is_open(self, number: int) -> bool:
        try:
            self.opened[number].execute("SELECT 1")
        except sqlite3.ProgrammingError:
            return False
        return True


@pytest.fixture
def rig_of(tmp_path: Path) -> Callable[[int], Rig]:
    def make(kept_max: int) -> Rig:
        rig = Rig(tmp_path / "x.db", kept_max)
        with connect(rig.path) as connection:
            connection.execute("CREATE TABLE x (y)")
        return rig

    return make


def test_the_one_that_was_used_last_is_used_again(rig_of: Callable[[int], Rig]) -> None:
    rig = rig_of(2)
    with rig.idle.lent() as first, rig.idle.lent() as second:
        assert first is not second
    with rig.idle.lent() as again:
        assert again is first
    assert len(rig.opened) == 2


def test_no_more_are_kept_than_allowed(rig_of: Callable[[int], Rig]) -> None:
    rig = rig_of(1)
    with rig.idle.lent(), rig.idle.lent():
        pass
    assert [rig.is_open(number) for number in range(2)] == [False, True]


def test_none_may_be_kept(rig_of: Callable[[int], Rig]) -> None:
    rig = rig_of(0)
    with rig.idle.lent():
        pass
    assert not rig.is_open(0)


@pytest.mark.parametrize("error", [None, KeyError, GeneratorExit])
def test_what_was_not_committed_is_undone(
    rig_of: Callable[[int], Rig], error: type[BaseException] | None
) -> None:
    """Also when the caller fails, or reads no more of a list."""
    rig = rig_of(1)
    try:
        with rig.idle.lent() as connection:
            connection.execute("BEGIN")
            connection.execute("INSERT INTO x VALUES (1)")
            if error is not None:
                raise error
    except (KeyError, GeneratorExit):
        pass
    with rig.idle.lent() as again:
        assert again is connection
        assert not again.in_transaction
        assert again.execute("SELECT * FROM x").fetchall() == []


def test_one_that_failed_is_not_lent_again(rig_of: Callable[[int], Rig]) -> None:
    rig = rig_of(1)
    with pytest.raises(sqlite3.OperationalError), rig.idle.lent() as connection:
        connection.execute("SELECT * FROM nothing")
    assert not rig.is_open(0)
    with rig.idle.lent() as another:
        assert another is not connection


def test_after_the_end_none_waits(rig_of: Callable[[int], Rig]) -> None:
    rig = rig_of(2)
    with rig.idle.lent():
        with rig.idle.lent():
            pass
        rig.idle.close()
        assert [rig.is_open(number) for number in range(2)] == [True, False]
    assert not rig.is_open(0)


@pytest.mark.parametrize(("role", "kept"), [("command", KEPT_OPEN), ("daemon", 0)])
async def test_only_a_process_for_staff_keeps_some(
    store: Store, tmp_path: Path, role: Role, kept: int
) -> None:
    await store.close()
    opened = open_library(tmp_path, role=role)
    with opened.snapshot() as first:
        pass
    with opened.snapshot() as second:
        assert second.execute("SELECT COUNT(*) FROM patron").fetchone() == (3,)
    assert (first is second) == (kept > 0)
    with opened.warm_connection() as first, opened.own_connection() as own:
        assert own is not first
    with opened.warm_connection() as second:
        assert (first is second) == (kept > 0)
    await opened.close()
    with pytest.raises(sqlite3.ProgrammingError):
        second.execute("SELECT 1")


async def test_each_snapshot_sees_its_own_moment(store: Store, tmp_path: Path) -> None:
    command = open_library(tmp_path, role="command")
    names = "SELECT name FROM patron WHERE id = 'P1'"
    for name in ("Early", "Late"):
        with store.own_connection() as connection:
            connection.execute("UPDATE patron SET name = ? WHERE id = 'P1'", (name,))
        with command.snapshot() as seen:
            assert seen.execute(names).fetchone() == (name,)
    await command.close()


async def test_a_store_whose_file_has_gone_lends_none(store: Store, tmp_path: Path) -> None:
    command = open_library(tmp_path, role="command")
    with command.snapshot(), command.warm_connection():
        pass
    store.path.rename(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError), command.snapshot():
        pytest.fail("read")
    with pytest.raises(UnavailableError), command.warm_connection():
        pytest.fail("written")
    (tmp_path / "elsewhere").rename(store.path)
    await command.close()
