"""A process for staff on PostgreSQL keeps some connections open for their next use (B84)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.idle import KEPT_OPEN
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.postgres import session as sessions

from .library import open_postgres_library

PID = "SELECT pg_backend_pid()"
NAMES = "SELECT name FROM patron WHERE id = 'P1'"


@pytest.fixture
async def desk(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = open_postgres_library(postgres_url, role="command")
    yield store
    await store.close()


def looks_as(store: PostgresStore) -> int:
    """The process of the server that a look at the store was answered by."""
    with store.snapshot() as connection:
        (pid,) = connection.execute(PID).fetchone() or ()
    return int(pid)


async def server_processes(url: str) -> set[int]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1",
        connection.get_server_pid(),
    )
    await connection.close()
    return {row["pid"] for row in rows}


async def test_the_next_look_takes_the_same_connection_and_sees_a_moment_of_its_own(
    desk: PostgresStore,
) -> None:
    first = looks_as(desk)
    with desk.own_connection() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE patron SET name = 'Late' WHERE id = 'P1'")
        connection.execute("COMMIT")
    with desk.snapshot() as seen:
        assert seen.execute(PID).fetchone() == (first,)
        assert seen.execute(NAMES).fetchone() == ("Late",)


async def test_a_gateway_keeps_none(postgres_store: PostgresStore) -> None:
    assert looks_as(postgres_store) != looks_as(postgres_store)


@pytest.mark.parametrize("error", [None, KeyError])
async def test_what_was_not_committed_is_undone(
    desk: PostgresStore, error: type[Exception] | None
) -> None:
    try:
        with desk.warm_connection() as first:
            first.execute("BEGIN")
            first.execute("UPDATE patron SET name = 'Nobody' WHERE id = 'P1'")
            if error is not None:
                raise error
    except KeyError:
        pass
    with desk.warm_connection() as again:
        assert again is first
        assert not again.in_transaction
        assert again.execute(NAMES).fetchone() != ("Nobody",)


async def test_one_that_the_store_has_refused_something_is_not_used_again(
    desk: PostgresStore,
) -> None:
    """A statement that was prepared before a table changed fails as long as it is kept."""
    with pytest.raises(BackendError), desk.warm_connection() as first:
        first.execute("SELECT * FROM nothing")
    with desk.warm_connection() as another:
        assert another is not first


async def test_a_server_that_was_restarted_costs_nobody_an_answer(
    desk: PostgresStore, postgres_url: str
) -> None:
    before = looks_as(desk)
    with desk.own_connection() as connection:
        connection.execute("SELECT pg_terminate_backend(?)", (before,))
    assert looks_as(desk) != before


async def test_a_server_that_has_fallen_silent_is_left_and_reached_anew(
    desk: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = looks_as(desk)
    monkeypatch.setattr(sessions, "ALIVE_WITHIN_S", 0.0)
    assert looks_as(desk) != before


async def test_so_many_are_kept_and_none_after_the_end(postgres_url: str) -> None:
    store = open_postgres_library(postgres_url, role="command")
    before = await server_processes(postgres_url)

    def look(count: int) -> None:
        if count:
            with store.snapshot() as connection:
                connection.execute(PID).fetchone()
                look(count - 1)

    await asyncio.to_thread(look, KEPT_OPEN + 2)
    assert len(await server_processes(postgres_url) - before) == KEPT_OPEN
    await store.close()
    assert await server_processes(postgres_url) == set()
    with pytest.raises(UnavailableError), store.snapshot():
        pytest.fail("read")
