"""Which gateway hands its sockets over, to whom, and in which order starts follow (B89, C109).

With real processes: `tests/e2e/test_handover.py`.
"""

import asyncio
import os
import socket
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from harness import CONFIG, running
from msgspec.structs import replace

from sip2gw.config import load_config
from sip2gw.control import lending
from sip2gw.control.client import Control, RefusedError
from sip2gw.control.messages import Lend, Lent, Ping, TakeOver
from sip2gw.daemon import signals
from sip2gw.daemon.handover import succession
from sip2gw.daemon.handover.sockets import SocketError
from sip2gw.daemon.handover.succession import Succession, SuccessionError, file_of


class Follower:
    """A start of the configuration of a gateway that runs in the test."""

    def __init__(self, config, inherited=()):
        self.said: list[str] = []
        self.start = Succession(config, inherited, self.said.append)

    async def take(self):
        async with self.start as start:
            return await start.take()


@asynccontextmanager
async def ending(app):
    """A gateway that can be told to end, and does so as in `App.run`; its configuration."""
    await app.operators.open_socket(app.config.socket_path)

    async def end():
        await app._stopping.wait()
        await app.stop()

    until = asyncio.create_task(end())
    yield app.config
    app.drain()
    await until


@pytest_asyncio.fixture
async def config(gateway):
    async with ending(gateway.app) as config:
        yield config


def asked(config, *requests):
    """What the gateway answers to them, and how many sockets come with it."""
    with Control(config.socket_path) as control:
        answers = [control.ask(request, 10) for request in requests]
        for sock in control.sockets:
            sock.close()
        return answers, len(control.sockets)


async def test_sockets_are_lent_and_the_gateway_serves_on(gateway, config):
    answers, sockets = await asyncio.to_thread(asked, config, Ping(), Lend(file_of(config)))
    assert (answers[1], sockets) == (Lent(1), 1)
    kiosk = await gateway.terminal("kiosk-1")
    assert (await kiosk.ask("9900302.00")).startswith("98Y")


async def test_a_follower_gets_the_sockets_when_the_store_is_free(gateway, config):
    follower = Follower(config)
    found = await follower.take()
    assert found is await follower.start.take(), "once and for all"
    (bound,) = found.terminals
    with bound.sock as sock:
        assert sock.getsockname() == gateway.address
        assert follower.said == [f"sip2gw: taking over from process {os.getpid()}\n"]
        assert follower.start.taken_from == os.getpid()
        assert gateway.store._closed
        assert not config.socket_path.exists(), "the follower makes its own"
        (told,) = [line for line in gateway.logged() if line["event"] == "handed_over"]
        assert told["to"] == os.getpid()


async def test_the_file_of_a_unix_socket_stays_and_is_the_followers(tmp_path):
    both = CONFIG.replace('"127.0.0.1:0"]', '"127.0.0.1:0", "unix:sip2"]')
    async with running(tmp_path, config=both) as gateway, ending(gateway.app) as config:
        tcp, unix = (await Follower(config).take()).terminals
        tcp.close()
        assert (tmp_path / "sip2").exists()
        unix.close()
        assert not (tmp_path / "sip2").exists()


async def test_a_gateway_that_is_frozen_is_named(tmp_path, monkeypatch):
    """Otherwise the start would complain of an address that is in use, by whomever."""
    monkeypatch.setattr(succession, "ANSWER_WITHIN_S", 0.01)
    path = tmp_path / "sip2gw.toml"
    path.write_text(CONFIG)
    config = load_config(path)
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(config.socket_path))
        frozen.listen()
        with pytest.raises(SuccessionError, match=rf"process {os.getpid()} holds .* \(kill \d+;"):
            await Follower(config).take()


async def test_an_address_that_is_not_configured_any_more_is_closed(tmp_path):
    """Otherwise terminals would connect there, and wait for ever."""
    both = CONFIG.replace('"127.0.0.1:0"]', '"127.0.0.1:0", "127.0.0.2:0"]')
    async with running(tmp_path, config=both) as gateway, ending(gateway.app) as config:
        _, old = gateway.app.acceptor.addresses
        follower = Follower(replace(config, listeners=config.listeners[:1]))
        found = await follower.take()
        host, _, port = old.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))
        found.close()


async def test_what_systemd_hands_over_in_vain_is_closed(config):
    stray = socket.create_server(("127.0.0.2", 0))
    with pytest.raises(SocketError, match="which neither"):
        await Follower(config, [stray]).take()
    assert stray.fileno() == -1


async def test_another_configuration_that_names_the_same_socket_gets_nothing(gateway, config):
    """Both gateways serve; the second has no control socket."""
    other = replace(config, path=config.path.with_name("other.toml"))
    other.path.write_text(config.path.read_text())
    follower = Follower(other)
    (sock,) = (await follower.take()).terminals
    with sock.sock as sock:
        assert sock.getsockname() != gateway.address
    assert follower.said == []
    assert follower.start.taken_from is None
    assert "another configuration" in await refusal(config, TakeOver(file_of(other)))
    assert not gateway.app._stopping.is_set()


async def refusal(config, request):
    with pytest.raises(RefusedError) as refused:
        await asyncio.to_thread(asked, config, request)
    return str(refused.value)


async def test_a_gateway_that_systemd_has_started_is_left_to_systemd(gateway, config):
    gateway.app._manager.supervises = True
    with pytest.raises(SuccessionError, match="does not hand over: systemd has started it; rest"):
        await Follower(config).take()
    assert "systemctl restart" in await refusal(config, TakeOver(file_of(config)))
    assert not gateway.app._stopping.is_set()


async def test_more_sockets_than_can_travel_are_not_begun_with(config, monkeypatch):
    monkeypatch.setattr(lending, "SOCKETS_MAX", 0)
    assert "more than 0 sockets; stop it first" in await refusal(config, Lend(file_of(config)))


async def test_a_gateway_that_ends_is_waited_for(gateway, config):
    kiosk = await gateway.terminal("kiosk-1")
    gateway.app.drain()
    follower = Follower(config)
    taking = asyncio.create_task(follower.take())
    assert await kiosk.ended()
    (sock,) = (await taking).terminals
    sock.close()
    assert follower.start.taken_from is None
    assert gateway.store._closed


async def test_who_ends_already_is_not_taken_over_again(gateway, config):
    gateway.app._stopping.set()
    assert "is ending already" in await refusal(config, TakeOver(file_of(config)))


async def test_starts_take_turns(config, monkeypatch):
    first, second = Follower(config), Follower(config)
    async with first.start:
        waiting = asyncio.create_task(second.take())
        while not second.said:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0.001)
        assert second.said == ["sip2gw: waiting for another start of this configuration\n"]
        assert not waiting.done()
    for sock in (await waiting).terminals:
        sock.close()
    monkeypatch.setattr(succession, "TURN_WITHIN_S", 0.0)
    third = Follower(config)
    async with third.start:
        assert third.start._turn is None, "not for ever: it may be somebody else's lock"


async def test_who_is_told_to_stop_does_not_wait_for_the_other(gateway, config, monkeypatch):
    """SIGTERM while the old one still finishes its requests."""
    handing_over, told = asyncio.Event(), gateway.app.hand_over

    def hand_over(pid):
        handing_over.set()
        return 3600.0

    monkeypatch.setattr(gateway.app, "hand_over", hand_over)
    taking = asyncio.create_task(Follower(config).take())
    await handing_over.wait()
    monkeypatch.setattr(signals, "stop_was_asked_for", lambda: True)
    for sock in (await taking).terminals:
        sock.close()
    told(0)
