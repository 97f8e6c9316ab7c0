"""What goes wrong at PostgreSQL, in the words of the port and without anybody's data."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from orders import decided_by

from sip2gw.backend.base import BackendError, OutcomeUnknownError, UnavailableError
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.postgres import store as store_module
from sip2gw.backend.postgres.failures import ConflictError, as_backend_error
from sip2gw.backend.postgres.pool import CONNECTIONS_MAX
from sip2gw.model import Block, BlockType

from .contract import entry
from .library import open_postgres_library, order, pay_fee


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError("10.0.0.7"), "unavailable"),
        (TimeoutError(), "unavailable"),
        (asyncpg.AdminShutdownError("x"), "unavailable"),
        (asyncpg.TooManyConnectionsError("x"), "unavailable"),
        (asyncpg.DiskFullError("x"), "unavailable"),
        (asyncpg.QueryCanceledError("x"), "unavailable"),
        (asyncpg.ReadOnlySQLTransactionError("x"), "unavailable"),
        (asyncpg.InvalidPasswordError("x"), "unavailable"),
        (asyncpg.DeadlockDetectedError("x"), "conflict"),
        (asyncpg.SerializationError("x"), "conflict"),
        (asyncpg.CheckViolationError("Ann Maes"), "bug"),
        (asyncpg.UndefinedTableError("Ann Maes"), "bug"),
    ],
)
def test_kinds(error: Exception, kind: str) -> None:
    """C74."""
    told = as_backend_error(error)
    assert told.kind == kind
    assert "Maes" not in str(told)
    assert "10.0.0.7" not in str(told)


async def test_a_refusal_names_the_constraint_and_no_value(postgres_store: PostgresStore) -> None:
    with pytest.raises(BackendError) as caught:
        await postgres_store.set_block("90001234", Block(BlockType.GENERAL))
    assert "block_patron_id_fkey" in str(caught.value)
    assert "90001234" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_what_takes_too_long_is_cancelled(postgres_url: str) -> None:
    """A payment waits for an import, but not for ever; then nothing has been changed."""
    store = open_postgres_library(postgres_url, timeout_s=3.0)
    with store.own_connection() as importing:
        for statement in importing.dialect.begin_write:
            importing.execute(statement)
        with pytest.raises(UnavailableError):
            await store.book_payment(decided_by(order(), pay_fee("F1")))
    assert (await store.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "booked"
    await store.close()


async def test_a_request_given_up_leaves_no_connection_behind(postgres_url: str) -> None:
    """The gateway's own deadline cancels; the next request gets a sound connection."""
    store = open_postgres_library(postgres_url, connections_max=1)
    with store.own_connection() as importing:
        for statement in importing.dialect.begin_write:
            importing.execute(statement)
        waiting = asyncio.ensure_future(store.book_payment(decided_by(order(), pay_fee("F1"))))
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while not importing.execute(WAITING_FOR_LOCK).fetchone():
                await asyncio.to_thread(int)
        waiting.cancel()
        with pytest.raises(OutcomeUnknownError):
            await waiting
        assert await store.lift_blocks("P1", frozenset({"nobody"})) == 0
    await store.close()


async def test_a_door_does_not_wait_behind_payments_that_hold_all_connections(
    postgres_url: str,
) -> None:
    """C114: fifteen of them wait for an import."""
    store = open_postgres_library(postgres_url)
    with store.own_connection() as importing:
        for statement in importing.dialect.begin_write:
            importing.execute(statement)
        payments = [
            asyncio.ensure_future(
                store.book_payment(decided_by(order(f"BK{number}", 10), pay_fee("F1", 10)))
            )
            for number in range(15)
        ]
        async with asyncio.timeout(60):
            while len(importing.execute(WAITING_FOR_LOCK).fetchall()) < CONNECTIONS_MAX:
                await asyncio.to_thread(int)
            assert await store.find_by_card("P1") is not None
            wanted = entry("P1")
            assert (await store.enter_branch(wanted)).others == 0
            assert (await store.presence(entry("P2"))).others == 1
            await store.leave_branch(wanted.branch, "P1")
            await store.ping()
            assert not any(payment.done() for payment in payments)
    assert {(await payment).outcome for payment in payments} == {"booked"}
    await store.close()


WAITING_FOR_LOCK = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


async def test_rivals_that_always_win_are_a_conflict(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retries are bounded; nothing is booked."""
    monkeypatch.setattr("sip2gw.backend.postgres.booking.BOOK", "SELECT $1::bigint < 0")
    monkeypatch.setattr("sip2gw.backend.postgres.booking._values", lambda order, payment: ())
    monkeypatch.setattr("sip2gw.backend.postgres.booking._guard", lambda *read: ())
    with pytest.raises(ConflictError):
        await postgres_store.book_payment(decided_by(order(), pay_fee("F1")))
    assert await asyncio.to_thread(lambda: list(postgres_store.payments())) == []


def test_locks_without_effect_are_noticed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "HOLD_PROBE", "SELECT 1")
    with pytest.raises(BackendError, match="advisory locks have no effect"):
        open_postgres_library(postgres_url)


async def test_durability_does_not_depend_on_the_servers_default(
    postgres_store: PostgresStore, postgres_url: str
) -> None:
    """Invariant 16: `38Y` only after the payment is durable."""
    with postgres_store.own_connection() as connection:
        name = connection.execute("SELECT current_database()").fetchone()
        assert name is not None
        connection.execute(f"ALTER DATABASE {name[0]} SET synchronous_commit = off")
    with postgres_store.own_connection() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
