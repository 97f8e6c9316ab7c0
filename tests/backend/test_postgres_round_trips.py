"""How often a message goes to the database and back: never more than twice (C72)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from harness import CONFIG, ask_23, ask_37, ask_63, running
from postgres import Server
from proxy import BreakableProxy, breakable

from sip2gw.backend.postgres import door_log
from sip2gw.backend.sql.members import activity

pytestmark = pytest.mark.no_cover

COUNTING_DOOR = """
[branches.SMALL]
hours = [ { days = ["tue"], from = "00:00", to = "24:00", state = "unstaffed" } ]
[profiles.counting]
kind = "door"
door = { capacity = 9 }
[terminals.door-counting]
profile = "counting"
branch = "SMALL"
password = "pw"
"""


@pytest.fixture
async def proxy(postgres: Server) -> AsyncIterator[BreakableProxy]:
    async with breakable(postgres.socket) as proxy:
        yield proxy


@pytest.fixture
async def gateway(
    postgres: Server, proxy: BreakableProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """A gateway that reaches its database through the proxy, and writes logs at its end only."""
    monkeypatch.setattr(door_log, "FLUSH_AFTER_S", 3600)
    monkeypatch.setattr(activity, "WRITE_AFTER_S", 3600)
    database = postgres.make_database()
    config = (CONFIG + COUNTING_DOOR).replace("sqlite:library.db", postgres.url(database))
    async with running(tmp_path, config=config) as gateway:
        if gateway.app.server._backend_check is not None:
            await gateway.app.server._backend_check  # or its connection comes back afterwards
        for pool in (gateway.store._pool, gateway.store._reads):
            pool._address = type(pool._address)(
                f"postgresql://postgres@{proxy.address}/{database}?sslmode=disable"
            )
            pool._drop_idle()
        yield gateway
    postgres.drop_database(database)


@pytest.mark.parametrize(
    ("login", "first", "second", "round_trips"),
    [
        ("door-1", ask_23("1001", "1001"), ask_23("1005", "1005"), 1),
        ("door-counting", ask_23("1001", "1001"), ask_23("1005", "1005"), 2),
        ("kiosk-1", ask_63("1001", "1001"), ask_63("1005", "1005"), 1),
        ("pay-1", ask_63("1001", "1001"), ask_63("1006", "1006"), 2),
        (
            "pay-1",
            ask_37("1004", "0.10", pin="1004", bk="K1"),
            ask_37("1004", "0.20", pin="1004", bk="K2"),
            2,
        ),
        (
            "pay-1",
            ask_37("1001", "0.10", pin="1001", bk="K1"),
            ask_37("1006", "0.20", pin="1006", bk="K2"),
            2,
        ),
        (
            "pay-2",
            ask_37("1001", "0.10", pin="1001", bk="K1", extra="ZD1002|"),
            ask_37("1006", "0.20", pin="1006", bk="K2", extra="ZD1005|"),
            2,
        ),
    ],
    ids=["door", "counting door", "63", "63 of a family", "own", "family", "separate"],
)
async def test_a_message_takes_so_many_round_trips(
    gateway: Any, proxy: BreakableProxy, login: str, first: str, second: str, round_trips: int
) -> None:
    """The second one, which meets prepared statements and a PIN that was verified lately."""
    desk = await gateway.terminal("desk-1")
    for card in ("1004", "1005", "1006"):
        await desk.ask(ask_63(card, card))
    terminal = await gateway.terminal(login)
    await terminal.ask(first)
    before = proxy.round_trips
    answer = await terminal.ask(second)
    await asyncio.sleep(0)
    assert answer[:3] in ("24 ", "64 ", "64Y", "38Y"), answer
    assert proxy.round_trips - before == round_trips


@pytest.mark.parametrize("number", ["1001", "4711"])
async def test_one_look_tells_what_we_know_of_a_card(
    gateway: Any, proxy: BreakableProxy, number: str
) -> None:
    """B34: whether or not somebody has it here."""
    await gateway.store.find_here(number)
    before = proxy.round_trips
    await gateway.store.find_here(number)
    assert proxy.round_trips - before == 1
