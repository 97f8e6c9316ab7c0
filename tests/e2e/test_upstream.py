"""Two real gateways, one in front of the other, which is killed and comes back (B40, B71, B77)."""

import asyncio
import signal
import socket
import time
from contextlib import asynccontextmanager

import pytest
from behind import DIALECTS, badges_of, config_behind, config_in_front
from harness import CONFIG, LIBRARY, STAMP, ask_23, ask_63, without_http
from proofs.process import GatewayProcess, prepare

STATUS = "9900402.00"
END = f"35{STAMP}AOHUB|AA1001|AC|"
IN_TIME_S = 8
"""Requests end after 5 s at the latest; the terminals are told to wait 10 s (B17)."""
DIALECT = DIALECTS["UTF-8 without checksums"]
FRONT = CONFIG.replace(
    'require_badges = ["ONBE"], minimum_age = 16', 'require_badges = ["ONBE"], emergency = true'
)


@pytest.fixture
def free_address():
    """An address at which the library system can be restarted."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()


@pytest.fixture
def gateway(tmp_path, watch):
    """Prepares a gateway with a configuration and a library."""

    @asynccontextmanager
    async def preparing(name, config, records, *, http=False):
        (tmp_path / name).mkdir()
        config = config if http else without_http(config)
        file = await prepare(tmp_path / name, config, records)
        async with GatewayProcess(file, program=watch.program()) as process:
            await process.start()
            yield process

    return preparing


async def asked(terminal, request):
    """The answer, which comes in time."""
    async with asyncio.timeout(IN_TIME_S):
        return await terminal.ask(request)


async def _shows_it_away(front):
    _, page = await front.http("/metrics")
    return 'upstream_breaker_open{account="default"} 1' in page


async def test_terminals_are_answered_while_the_library_system_is_gone_and_then_as_before(
    gateway, free_address
):
    host, port = free_address
    rear_config = config_behind(DIALECT, CONFIG).replace(
        'listen = ["127.0.0.1:0"]', f'listen = ["{host}:{port}"]', 1
    )
    front_config = config_in_front(DIALECT, free_address, FRONT)
    async with (
        gateway("behind", rear_config, LIBRARY) as rear,
        gateway("front", front_config, badges_of(LIBRARY), http=True) as front,
    ):
        kiosk, door = await front.terminal("kiosk-1"), await front.terminal("door-1")
        assert (await asked(kiosk, STATUS)).startswith("98Y")
        known = await asked(kiosk, ask_63("1001", "1001"))
        assert "AEAnna Peeters|" in known
        admitted = await asked(door, ask_23("1001", "1001"))
        assert admitted.startswith("24              001")
        await asyncio.sleep(2)  # the PIN is hashed in the background (B40)

        await rear.kill()
        refused = await asked(kiosk, ask_63("1001", "1001"))
        assert refused.startswith("64YYYY")
        assert "Anna" not in refused
        assert (await asked(kiosk, STATUS)).startswith("98NNNNNY000")
        assert (await asked(kiosk, END)).startswith("36Y")
        # Who was admitted before still is, with the right PIN; nobody else.
        assert (await asked(door, ask_23("1001", "1001"))).startswith("24              001")
        assert (await asked(door, ask_23("1001", "9999"))).startswith("24Y")
        assert (await asked(door, ask_23("1006", "1006"))).startswith("24YYYY")
        assert (await front.http("/readyz"))[0] == 200  # only the library system is away (C157)
        async with asyncio.timeout(30):
            while not await _shows_it_away(front):  # a page may be some moments old
                await asyncio.to_thread(time.sleep, 0.1)

        await rear.start()
        async with asyncio.timeout(30):
            while not (await asked(kiosk, STATUS)).startswith("98Y"):  # noqa: ASYNC110 -- a process
                await asyncio.sleep(0.1)
        again = await asked(kiosk, ask_63("1001", "1001"))
        assert again[43:] == known[43:]  # but for the moment
        assert (await asked(door, ask_23("1006", "1006"))).startswith("24 ")
        assert await front.stop() == 0


async def test_terminals_are_answered_in_time_while_the_library_system_hangs(gateway, free_address):
    host, port = free_address
    rear_config = config_behind(DIALECT, CONFIG).replace(
        'listen = ["127.0.0.1:0"]', f'listen = ["{host}:{port}"]', 1
    )
    async with (
        gateway("behind", rear_config, LIBRARY) as rear,
        gateway("front", config_in_front(DIALECT, free_address, FRONT), ()) as front,
    ):
        kiosk, other = await front.terminal("kiosk-1"), await front.terminal("pay-1")
        await asked(kiosk, ask_63("1001", "1001"))
        rear.signal(signal.SIGSTOP)
        refused = await asyncio.gather(
            *(asked(terminal, ask_63("1001", "1001")) for terminal in (kiosk, other))
        )
        rear.signal(signal.SIGCONT)
        assert all(answer.startswith("64YYYY") for answer in refused)
        async with asyncio.timeout(30):
            while "Anna" not in await asked(kiosk, ask_63("1001", "1001")):
                pass


async def test_a_gateway_starts_and_stops_in_time_while_the_library_system_is_away(
    gateway, free_address
):
    async with gateway("front", config_in_front(DIALECT, free_address, FRONT), ()) as front:
        kiosk = await front.terminal("kiosk-1")
        assert (await asked(kiosk, STATUS)).startswith("98N")
        assert (await asked(kiosk, ask_63("1001", "1001"))).startswith("64YYYY")
        async with asyncio.timeout(IN_TIME_S):
            assert await front.stop() == 0
