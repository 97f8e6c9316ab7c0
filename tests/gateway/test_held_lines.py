"""A terminal that comes from another worker: its first request waits, its login does not (C131)."""

import asyncio
from types import SimpleNamespace

import pytest
from harness import CONFIG, HANGS_S, ask_23, running

LOGIN = b"9300CNkiosk-1|COpw|\r"


async def turns():
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def until(gateway):
    """What the first request after each login waits for."""
    until = asyncio.get_running_loop().create_future()
    gateway.app.server._connected.settled = lambda line: until
    return until


def the_line(gateway):
    (line,) = gateway.app.server._lines.values()
    return line


async def test_the_94_leaves_and_the_first_request_waits(gateway, until):
    kiosk = await gateway.terminal("kiosk-1")
    assert the_line(gateway)._transport.is_reading()
    await kiosk.send(ask_23("1001"))
    await turns()
    assert gateway.metrics.requests["23", "kiosk", "ok"] == 0
    until.set_result(None)
    assert (await kiosk.read()).startswith("24")


async def test_even_if_both_come_at_once(gateway, until):
    kiosk = await gateway.connect()
    await kiosk.send(LOGIN + ask_23("1001").encode() + b"\r")
    assert await kiosk.read() == "941"
    await turns()
    assert gateway.metrics.requests["23", "kiosk", "ok"] == 0
    # It would keep two pieces (C137).
    assert not the_line(gateway)._transport.is_reading()
    until.set_result(None)
    assert (await kiosk.read()).startswith("24")
    await turns()
    assert the_line(gateway)._transport.is_reading()


async def test_what_is_settled_already_is_not_waited_for(gateway, until):
    until.set_result(None)
    kiosk = await gateway.terminal("kiosk-1")
    assert (await kiosk.ask(ask_23("1001"))).startswith("24")


async def test_a_later_request_waits_for_nothing(gateway, until):
    kiosk = await gateway.terminal("kiosk-1")
    until.set_result(None)
    for _ in range(2):
        assert (await kiosk.ask(ask_23("1001"))).startswith("24")
    assert the_line(gateway)._until is None


async def test_a_terminal_that_need_not_log_in_waits_as_well(tmp_path):
    """B94, C134."""
    config = CONFIG.replace(
        '[terminals.kiosk-1]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n',
        '[terminals.kiosk-1]\nprofile = "kiosk"\nbranch = "MAIN"\n'
        'login_required = false\nnetworks = ["127.0.0.0/8"]\n',
    )
    async with running(tmp_path, config=config) as gateway:
        until = asyncio.get_running_loop().create_future()
        gateway.app.server._connected.settled = lambda line: until
        kiosk = await gateway.connect()
        await kiosk.send(ask_23("1001"))
        await turns()
        assert the_line(gateway).terminal_name == "kiosk-1"
        assert gateway.metrics.requests["23", "kiosk", "ok"] == 0
        until.set_result(None)
        assert (await kiosk.read()).startswith("24")


async def test_it_waits_no_longer_than_a_request_may_take(gateway, until):
    kiosk = await gateway.terminal("kiosk-1")
    await kiosk.send(ask_23("1001"))
    await turns()
    for seconds in (gateway.app.config.server.request_timeout_s, 0.1):
        gateway.app.server._sweep()
        assert not until.done()
        gateway.clock.advance(seconds)
    gateway.app.server._sweep()
    assert (await kiosk.read()).startswith("24")
    assert until.cancelled()


async def test_a_terminal_that_hangs_up_meanwhile_is_forgotten(gateway, until):
    kiosk = await gateway.terminal("kiosk-1")
    kiosk.close()
    await asyncio.wait((until,), timeout=HANGS_S)
    assert until.cancelled()
    assert not gateway.app.server._lines


async def test_a_line_that_is_to_close_waits_for_nothing(gateway, until):
    """What was held back has not begun, and never does."""
    kiosk = await gateway.terminal("kiosk-1")
    await kiosk.send(ask_23("1001"))
    await turns()
    line = the_line(gateway)
    resting = line.at_rest()
    line.close_when_done("kicked")
    assert resting.done()
    assert await kiosk.ended()
    assert until.cancelled()
    assert gateway.metrics.requests["23", "kiosk", "ok"] == 0


async def test_at_the_end_nothing_is_waited_for_either(gateway, until):
    """A worker whose parent was killed is never told that all is settled."""
    kiosk = await gateway.terminal("kiosk-1")
    async with asyncio.timeout(HANGS_S):
        await gateway.app.server.stop()
    assert await kiosk.ended()


async def test_a_line_that_closes_is_at_rest_before_its_terminal_has_read_everything(
    gateway, until
):
    await gateway.terminal("kiosk-1")
    line = the_line(gateway)
    transport = line._transport
    line._transport = SimpleNamespace(is_closing=lambda: False, close=lambda: None)
    resting = line.at_rest()
    line.close_when_done("replaced")
    until.set_result(None)
    await turns()
    assert resting.done()
    transport.close()


async def test_a_line_is_at_rest_unless_a_request_runs(gateway, until):
    until.set_result(None)
    await gateway.terminal("kiosk-1")
    assert the_line(gateway).at_rest().done()


async def test_a_line_is_at_rest_when_its_terminal_has_hung_up(gateway, until):
    kiosk = await gateway.terminal("kiosk-1")
    line = the_line(gateway)
    resting = [line.at_rest(), line.at_rest()]
    kiosk.close()
    async with asyncio.timeout(HANGS_S):
        await asyncio.gather(*resting)
    assert line.at_rest().done()
