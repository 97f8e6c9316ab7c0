"""A gateway on a PostgreSQL that stalls, over real sockets: "not sure" and its end (C98)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from harness import CONFIG, ask_37, running
from postgres import Server

from sip2gw.backend.attempts import AttemptState
from sip2gw.backend.postgres.booking import Booking

from .test_postgres_fence import WAITING, idle, trap, until

QUICK = CONFIG.replace("[server]", "[server]\nrequest_timeout_s = 1.0", 1)


@pytest.fixture
async def gateway(postgres: Server, tmp_path: Path) -> AsyncIterator[Any]:
    """A gateway that decides a request within a second."""
    database = postgres.make_database()
    config = QUICK.replace("sqlite:library.db", postgres.url(database))
    async with running(tmp_path, config=config) as gateway:
        gateway.url = postgres.url(database)
        yield gateway
    postgres.drop_database(database)


async def test_a_server_that_stalls_after_the_statement_was_sent(
    gateway: Any, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal is told "not sure"; its retry gets the truth, and so do the staff."""
    terminal = await gateway.terminal("pay-1")
    # A server that cannot even be connected to gets no statement, and then a no is certain.
    assert (await terminal.ask(ask_37("1005", "1.00", pin="1005", bk="K0"))).startswith("38Y")
    request = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
    await gateway.store._fetch("SELECT 1")  # there is a connection to write on
    with ExitStack() as stall:
        write = Booking._write

        async def stalled(self: Any, *values: Any) -> bool:
            stall.enter_context(postgres.frozen())
            return await write(self, *values)

        monkeypatch.setattr(Booking, "_write", stalled)
        answer = await terminal.ask(request)
        monkeypatch.undo()
        assert answer.startswith("38N")
        assert "not sure" in answer
        (open_one,) = gateway.store.spooled()
        assert gateway.app.metrics.payments["unknown", "own"] == 1
    async with asyncio.timeout(60):
        while gateway.store.spooled():  # the gateway settles it by itself
            await asyncio.to_thread(int)
    (shown,) = await asyncio.to_thread(gateway.store.reconciliations, open_one.time)
    assert shown.payment.id == open_one.id
    assert shown.state in (AttemptState.BOOKED, AttemptState.REFUSED)
    assert (await terminal.ask(request)).startswith("38Y")
    (shown,) = await asyncio.to_thread(gateway.store.reconciliations, open_one.time)
    assert shown.state is AttemptState.RESOLVED
    booked = await asyncio.to_thread(lambda: list(gateway.store.payments(status="booked")))
    assert [payment.bk for payment in booked] == ["K0", "K1"]


async def test_a_retry_is_not_sure_either_while_the_first_one_is_being_committed(
    gateway: Any,
) -> None:
    terminal = await gateway.terminal("pay-1")
    request = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
    other = ask_37("1004", "1.50", pin="1004", fee="D2", bk="K1")
    async with trap(gateway.url, "ledger_transaction") as trapped:
        first = asyncio.ensure_future(terminal.ask(request))
        await until(trapped, WAITING)
        (pid,) = await backends_at(trapped)
        os.kill(pid, signal.SIGSTOP)  # else the server's own time-out would end it
        try:
            assert "not sure" in await first
            assert "not sure" in await terminal.ask(request)
            assert (await terminal.ask(other)).startswith("38N")
        finally:
            os.kill(pid, signal.SIGCONT)
        await trapped.execute("SELECT pg_advisory_unlock(77)")
        await idle(trapped)
    assert (await terminal.ask(request)).startswith("38Y")
    booked = await asyncio.to_thread(lambda: list(gateway.store.payments(status="booked")))
    assert [payment.bk for payment in booked] == ["K1"]


async def backends_at(trapped: asyncpg.Connection) -> list[int]:
    """The processes that wait in the trap."""
    return [row[0] for row in await trapped.fetch(WAITING)]
