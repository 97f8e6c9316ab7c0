"""Each automatic cause from the wire to a message that staff answer and close (B64, C145).

Both stores. `JOUR` and `DATA` have no cause yet.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from desk import ask_11
from harness import LIBRARY, URL, ask_37, ask_63, running
from slow_disk import SlowDisk

from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.postgres.booking import Booking
from sip2gw.cli import main
from sip2gw.config import load_config

from .test_causes import DAY_S, SUPPORTING, block, lock_pin, look, refuse, shown

QUICK = SUPPORTING.replace("[server]", "[server]\nrequest_timeout_s = 1.0", 1)
EARLIER = "20260310    090000"
CAUSES = {
    "CARD": "1001B",
    "PINL": "door-1",
    "PINT": "door-1",
    "DOOR": "door-1",
    "SILE": "pay-2",
    "PAYR": "pay-1|R1",
}
"""What each is about, as far as it is known before; OFFL is an entry, PAYU a payment."""

Command = Callable[..., Any]


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> Any:
    """The database server; None for SQLite."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
async def gateway(server: Any, tmp_path: Path) -> AsyncIterator[Any]:
    if server is None:
        async with running(tmp_path, config=QUICK) as gateway:
            yield gateway
        return
    name = server.make_database()
    config = QUICK.replace(URL, server.url(name))
    async with running(tmp_path, config=config, records=LIBRARY) as gateway:
        yield gateway
    server.drop_database(name)


@pytest.fixture
def sip2gw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """A command as a shell would call it, beside the gateway; its records."""

    def call() -> int:
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    async def run(*arguments: object) -> list[dict[str, Any]]:
        given = [*map(str, arguments), "--config", str(tmp_path / "sip2gw.toml")]
        monkeypatch.setattr(sys, "argv", ["sip2gw", *given])
        capsys.readouterr()
        status = await asyncio.to_thread(call)
        out, err = capsys.readouterr()
        assert status == 0, err
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    return run


@asynccontextmanager
async def stalled(gateway: Any, server: Any) -> AsyncIterator[None]:
    """What is booked now nobody hears of in time."""
    if server is None:
        disk = SlowDisk(gateway.store)
        disk.hold()
        late = asyncio.ensure_future(_pass_the_deadline(gateway, disk))
        yield
        await late
        disk.release()
        return
    with ExitStack() as stall, pytest.MonkeyPatch.context() as patch:
        write = Booking._write

        async def stalling(self: Any, *values: Any) -> bool:
            stall.enter_context(server.frozen())
            return await write(self, *values)

        assert isinstance(gateway.store, PostgresStore)
        await gateway.store._fetch("SELECT 1")
        patch.setattr(Booking, "_write", stalling)
        yield


async def _pass_the_deadline(gateway: Any, disk: SlowDisk) -> None:
    """What the sweep does once a second."""
    await disk.committing()
    gateway.clock.advance(2)
    for line in list(gateway.app.server._lines.values()):
        line.enforce_deadlines(gateway.clock.monotonic())


async def pay_and_hear_nothing(gateway: Any, server: Any) -> None:
    till = await gateway.terminal("pay-1")
    await till.ask(ask_63("1005", "1005"))
    async with stalled(gateway, server):
        assert "not sure" in await till.ask(ask_37("1005", "1.00", pin="1005", bk="K1"))
    async with asyncio.timeout(20):
        while gateway.store.spooled():  # noqa: ASYNC110 -- the gateway settles it by itself
            await asyncio.sleep(0.01)


async def cause_all(gateway: Any, server: Any) -> None:
    """Everything that a person has to follow up."""
    await pay_and_hear_nothing(gateway, server)
    await gateway.terminal("pay-2")
    await look(gateway)
    gateway.clock.advance(DAY_S)  # and all lines are closed
    kiosk, till = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-1")
    desk, door = await gateway.terminal("desk-1"), await gateway.terminal("door-1")
    assert (await till.ask(ask_37("1004", "99.00", pin="1004", bk="R1"))).startswith("38N")
    await kiosk.ask(ask_11("NOPE", "1006", "1006", flags="NY", stamp=EARLIER))
    await desk.ask(block("1001B"))
    await lock_pin(door, "1010")
    await refuse(gateway, door, 2, "1009")
    await door.ask("2300120260310    120000AOHUB|AA1011|AC|ADwrong|")
    await door.ask("2300120260310    120000AOHUB|AA1011|AC|ADwrong|")
    await look(gateway)


async def test_each_cause_is_a_message_that_staff_answer_and_close(
    gateway: Any, server: Any, sip2gw: Command
) -> None:
    await cause_all(gateway, server)
    listed = await sip2gw("support", "list", "--json")
    assert {row["type"] for row in listed} == {"AU"}
    assert {row["status"] for row in listed} == {"A"}
    assert sorted(row["category"] for row in listed) == sorted([*CAUSES, "OFFL", "PAYU"])
    with gateway.store.snapshot() as connection:
        rows = connection.execute("SELECT category, object FROM support_message").fetchall()
    about = dict(map(tuple, rows))
    assert {name: about[name] for name in CAUSES} == CAUSES
    for row in listed:
        await sip2gw("support", "answer", row["id"], f"We saw to {row['category']}.")
        await sip2gw("support", "close", row["id"])
    assert await sip2gw("support", "list", "--open", "--json") == []
    assert {row["status"] for row in await sip2gw("support", "list", "--json")} == {"X"}
    await look(gateway)
    assert await sip2gw("support", "list", "--open", "--json") == [], "what is closed stays closed"


async def test_the_patron_of_a_message_sees_the_answer_at_the_kiosk_once(
    gateway: Any, sip2gw: Command
) -> None:
    kiosk = await gateway.terminal("kiosk-1")
    assert shown(await kiosk.ask(ask_63("1006", "1006"))) == []
    await sip2gw("support", "table", "add", "type", "QU", "--description", "Question")
    await sip2gw("support", "table", "add", "category", "BOOK", "--description", "Books")
    question = ("--type", "QU", "--category", "BOOK", "Where is my book?")
    await sip2gw("support", "open", "--patron", "1006", *question)
    (asked,) = await sip2gw("support", "list", "--json", "--open")
    await sip2gw("support", "answer", asked["id"], "It waits for you at the desk.")
    expected = ["Answer from the library: It waits for you at the desk."]
    assert shown(await kiosk.ask(ask_63("1006", "1006"))) == expected
    assert shown(await kiosk.ask(ask_63("1006", "1006"))) == []


def test_the_configuration_here_is_valid(tmp_path: Path) -> None:
    (tmp_path / "sip2gw.toml").write_text(QUICK)
    assert load_config(tmp_path / "sip2gw.toml").support.enabled
