"""Two gateways over real sockets on one database: no state in the one that the other needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from desk import DESK_CONFIG, DESK_LIBRARY, ask_11, ask_29, ask_65
from harness import CONFIG, LIBRARY, ask_23, ask_37, ask_63, running
from postgres import Server

from sip2gw.authentication import pins
from sip2gw.foundation.hashing import verify_pin

pytestmark = pytest.mark.no_cover


@pytest.fixture
async def gateways(postgres: Server, tmp_path: Path) -> AsyncIterator[list[Any]]:
    """Two gateways with the same configuration."""
    async with two_gateways(postgres, tmp_path, CONFIG, LIBRARY) as started:
        yield started


@pytest.fixture
async def desks(postgres: Server, tmp_path: Path) -> AsyncIterator[list[Any]]:
    """The same with items to lend."""
    async with two_gateways(postgres, tmp_path, DESK_CONFIG, DESK_LIBRARY) as started:
        yield started


@asynccontextmanager
async def two_gateways(
    postgres: Server, directory: Path, config: str, records: list[dict[str, Any]]
) -> AsyncIterator[list[Any]]:
    database = postgres.make_database()
    shared = config.replace("sqlite:library.db", postgres.url(database))
    async with AsyncExitStack() as stack:
        started = []
        for name in ("first", "second"):
            (directory / name).mkdir()
            gateway = running(directory / name, config=shared, records=records)
            started.append(await stack.enter_async_context(gateway))
        yield started
    postgres.drop_database(database)


async def test_a_payment_retried_at_another_host_is_booked_once(gateways: list[Any]) -> None:
    """B46: the same 38, from a gateway that has never seen the first request."""
    first, second = [await gateway.terminal("pay-1") for gateway in gateways]
    request = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
    answer = await first.ask(request)
    assert answer.startswith("38Y")
    assert await second.ask(request) == answer
    assert len(await asyncio.to_thread(lambda: list(gateways[0].store.payments()))) == 1


async def test_duplicates_at_both_hosts_at_once_get_the_same_answer(gateways: list[Any]) -> None:
    first, second = [await gateway.terminal("pay-1") for gateway in gateways]
    for number in range(10):
        request = ask_37("1004", "0.10", pin="1004", bk=f"K{number}")
        one, other = await asyncio.gather(first.ask(request), second.ask(request))
        assert one.startswith("38Y")
        # Only the text on what is still to pay may be older in neither: it is the first one's.
        assert one == other
    assert await asyncio.to_thread(gateways[0].store.self_check) == []


async def test_what_one_changes_the_other_sees_at_its_next_request(gateways: list[Any]) -> None:
    """C62: a paid debt opens the door in the other building."""
    kiosk, pay = await gateways[0].terminal("kiosk-1"), await gateways[1].terminal("pay-1")
    assert (await kiosk.ask(ask_23("1004", "1004"))).startswith("24YY Y")
    assert (await pay.ask(ask_37("1004", "12.50", pin="1004"))).startswith("38Y")
    assert (await kiosk.ask(ask_23("1004", "1004"))).startswith("24    ")


async def test_wrong_pins_at_both_hosts_count_together(gateways: list[Any]) -> None:
    """C19: five in all, wherever."""
    kiosks = [await gateway.terminal("kiosk-1") for gateway in gateways]
    for number in range(5):
        assert "CQN" in await kiosks[number % 2].ask(ask_63("1001", "0000"))
    for kiosk in kiosks:
        assert "CQN" in await kiosk.ask(ask_63("1001", "1001"))


async def test_parallel_guesses_at_both_hosts_do_not_outrun_the_lock(
    gateways: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C19: each gateway has at most one guess at a card under way, so one too many at two."""
    guesses: list[str] = []

    def counting(secret: bytes, pin_hash: str, pin: str) -> bool:
        guesses.append(pin)
        return verify_pin(secret, pin_hash, pin)

    monkeypatch.setattr(pins, "verify_pin", counting)
    logins = ("kiosk-1", "pay-1", "pay-2", "pay-3", "desk-1", "door-1", "door-facts")
    terminals = [await gateway.terminal(login) for gateway in gateways for login in logins]
    answers = await asyncio.gather(
        *(terminal.ask(ask_23("1001", f"{number:04}")) for number, terminal in enumerate(terminals))
    )
    assert all("CQN" in answer for answer in answers)
    assert 5 <= len(guesses) <= 5 + len(gateways) - 1
    assert "CQN" in await terminals[0].ask(ask_23("1001", "1001"))


async def test_a_door_writes_its_log(gateways: list[Any]) -> None:
    """B42, C65; written at the latest when the gateway ends."""
    door = await gateways[0].terminal("door-1")
    assert "BLY" in await door.ask(ask_23("1001", "1001"))
    await gateways[0].store._door_log._write()
    (row,) = await asyncio.to_thread(gateways[1].store.access_rows)
    assert (row.terminal, row.decision) == ("door-1", "granted")


async def test_loans_of_authorisers_are_told_and_renewed_at_either_host(desks: list[Any]) -> None:
    """B54: `renewals_of_authorisers`; what cannot be renewed any more is not offered."""
    first, second = [await gateway.terminal("helper-1") for gateway in desks]
    charged = ask_63("1020", "1020", summary="  Y       ")
    assert "|AUIVO1|" in await first.ask(charged)
    assert "|AUIVO2|" not in await first.ask(charged)
    renewed = await first.ask(ask_29("ABIVO1", "1020", "1020", flags="YN"))
    assert renewed.startswith("301Y")
    assert await second.ask(ask_29("ABIVO1", "1020", "1020", flags="YN")) == renewed
    assert (await second.ask(ask_29("ABIVO2", "1020", "1020", flags="YN"))).startswith("300")
    alone = ask_29("ABIVO1", "1020", "1020", stamp="20260310    121500")
    assert (await second.ask(alone)).startswith("300")
    assert (await second.ask(ask_11("FREE1", "1020", "1020"))).startswith("121N")
    all_of_them = await first.ask(ask_65("1020", "1020"))
    assert all_of_them.startswith("6610002")
    assert {"BMIVO1", "BMFREE1"} <= set(all_of_them.split("|"))
    assert "|AUIVO1|" not in await second.ask(charged)  # renewed twice, as often as allowed
    assert await asyncio.to_thread(desks[0].store.self_check) == []
