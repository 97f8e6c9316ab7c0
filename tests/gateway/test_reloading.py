"""A reload reads the file in a thread: terminals go on, and nothing gets out of order (C114)."""

import asyncio
import socket
import threading

import pytest
import pytest_asyncio
from harness import CONFIG, running

from sip2gw.config import load_config
from sip2gw.control import server
from sip2gw.control.messages import (
    Alive,
    Ping,
    Reload,
    Reloaded,
    encode,
    read_answer,
)
from sip2gw.daemon import reloading

STATUS = "9900302.00"
STOPPING = Reloaded(["the gateway is stopping"], [])
WITHIN_S = 30


class SlowReading:
    """`load_config`, that waits for its turn after it has read."""

    def __init__(self, load):
        self._load = load
        self.begun, self._turns = threading.Semaphore(0), threading.Semaphore(0)
        self.times = 0
        self.threads = set()

    def __call__(self, path):
        self.times += 1
        self.threads.add(threading.get_ident())
        config = self._load(path)
        self.begun.release()
        assert self._turns.acquire(timeout=WITHIN_S)
        return config

    async def has_begun(self):
        assert await asyncio.to_thread(self.begun.acquire, timeout=WITHIN_S)

    def go_on(self, times=1):
        self._turns.release(times)


@pytest.fixture
def reading(monkeypatch):
    slow = SlowReading(load_config)
    monkeypatch.setattr(reloading, "load_config", slow)
    yield slow
    slow.go_on(100)


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """What the service manager is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield manager


@pytest_asyncio.fixture
async def gateway(tmp_path, manager):
    async with running(tmp_path) as started:
        yield started


def told(manager):
    states = []
    while True:
        try:
            states.append(manager.recv(100).decode())
        except BlockingIOError:
            return states


def call_it(gateway, name):
    gateway.app.config.path.write_text(CONFIG.replace("Hub Library", name))


async def within(awaited):
    async with asyncio.timeout(WITHIN_S):
        return await awaited


async def test_terminals_go_on_while_the_file_is_read(gateway, reading, manager):
    kiosk = await gateway.terminal("kiosk-1")
    call_it(gateway, "New Library")
    asked = gateway.app.reload()
    await reading.has_begun()
    for _ in range(3):
        assert "AMHub Library|" in await kiosk.ask(STATUS)
    assert told(manager) == ["RELOADING=1"]
    assert not asked.done()
    reading.go_on()
    assert await within(asked) == Reloaded([], [])
    assert "AMNew Library|" in await kiosk.ask(STATUS)
    assert told(manager) == ["READY=1"]
    assert threading.get_ident() not in reading.threads


async def test_who_asks_during_a_reading_shares_the_next_one(gateway, reading, manager):
    call_it(gateway, "First")
    first = gateway.app.reload()
    assert gateway.app.reload() is first  # it has not begun
    await reading.has_begun()
    call_it(gateway, "Second")  # the one that runs has not seen it
    others = [gateway.app.reload() for _ in range(20)]
    reading.go_on()
    await within(first)
    assert gateway.app.config.institution.name == "First"
    await reading.has_begun()
    assert not any(one.done() for one in others)
    reading.go_on()
    assert [await within(one) for one in others] == [Reloaded([], [])] * 20
    assert gateway.app.config.institution.name == "Second"
    assert reading.times == 2
    assert told(manager) == ["RELOADING=1", "READY=1"] * 2


async def test_one_that_fails_changes_nothing_and_the_next_one_succeeds(gateway, reading, manager):
    call_it(gateway, '" nonsense')  # which never waits
    (problem,) = (await within(gateway.app.reload())).problems
    assert "is not valid TOML" in problem
    assert gateway.app.config.institution.name == "Hub Library"
    assert gateway.metrics.reload_ok is False
    call_it(gateway, "New Library")
    reading.go_on()
    assert (await within(gateway.app.reload())).problems == []
    assert gateway.metrics.reload_ok is True
    events = [line["event"] for line in gateway.logged() if line["event"].startswith("reload_")]
    assert events == ["reload_failed", "reload_done"]
    assert told(manager) == ["RELOADING=1", "READY=1"] * 2


async def test_a_fault_of_ours_ends_neither_reloading_nor_reload(gateway, monkeypatch, manager):
    with monkeypatch.context() as patched:
        patched.setattr(reloading, "build_site", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await within(gateway.app.reload())
    assert (await within(gateway.app.reload())).problems == []
    assert told(manager) == ["RELOADING=1", "READY=1"] * 2


async def test_a_stop_waits_for_no_reload_and_nothing_comes_of_it(tmp_path, reading, manager):
    async with running(tmp_path) as gateway:
        before = gateway.app.config
        call_it(gateway, "New Library")
        running_one = gateway.app.reload()
        await reading.has_begun()
        waiting = gateway.app.reload()
        gateway.app.drain()
        assert [await within(one) for one in (running_one, waiting)] == [STOPPING] * 2
        assert await within(gateway.app.reload()) == STOPPING
    reading.go_on()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert gateway.app.config is before
    assert reading.times == 1
    assert told(manager) == ["RELOADING=1", "STOPPING=1"]
    assert not [line for line in gateway.logged() if line["event"].startswith("reload_")]


# Through the control socket -----------------------------------------------------------------


@pytest_asyncio.fixture
async def connect(gateway):
    path = gateway.app.config.socket_path
    assert await gateway.app.operators.open_socket(path)
    writers = []

    async def connect():
        reader, writer = await asyncio.open_unix_connection(str(path))
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()


async def answer(reader):
    return read_answer(await within(reader.readline()))


async def test_other_peers_go_on_and_the_one_who_asked_gets_its_answers_in_order(
    gateway, reading, connect
):
    (ours, asking), (theirs, pinging) = await connect(), await connect()
    call_it(gateway, "New Library")
    asking.write(encode(Reload()) + encode(Ping()) + encode(Reload()))
    await reading.has_begun()
    asking.write(encode(Ping()))
    pinging.write(encode(Ping()))
    assert await answer(theirs) == Alive(ready=True)
    assert gateway.app.config.institution.name == "Hub Library"
    reading.go_on(2)
    assert await answer(ours) == Reloaded([], [])
    assert await answer(ours) == Alive(ready=True, reloads=1)
    assert await answer(ours) == Reloaded([], [])
    assert await answer(ours) == Alive(ready=True, reloads=2)
    assert reading.times == 2


async def test_who_leaves_meanwhile_gives_its_place_back(gateway, reading, connect):
    _, asking = await connect()
    asking.write(encode(Reload()))
    await reading.has_begun()
    asking.close()
    async with asyncio.timeout(WITHIN_S):
        while gateway.app.operators._control.lines:  # noqa: ASYNC110 -- it goes
            await asyncio.sleep(0.001)
    reading.go_on(2)
    assert (await within(gateway.app.reload())).problems == []


@pytest.mark.parametrize("floods", [False, True])
async def test_who_waits_is_not_silent_but_does_not_wait_for_ever(
    reading, connect, monkeypatch, floods
):
    monkeypatch.setattr(server, "SILENT_MAX_S", 0.02)
    monkeypatch.setattr(server, "ANSWER_WITHIN_S", 0.3)
    ours, asking = await connect()
    asking.write(encode(Reload()) * (2_000 if floods else 1))
    await reading.has_begun()
    await asyncio.sleep(0.1)
    assert not ours.at_eof()
    assert await within(ours.read()) == b""
    reading.go_on(2)  # else the end waits for the thread


async def test_a_fault_of_ours_is_told_to_who_asked(connect, monkeypatch):
    faults = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: faults.append(type(context["exception"]))
    )
    monkeypatch.setattr(reloading, "build_site", lambda *_: 1 / 0)
    ours, asking = await connect()
    asking.write(encode(Reload()) + encode(Ping()))
    assert "look in its log" in (await answer(ours)).problem
    assert await answer(ours) == Alive(ready=True)
    assert faults == [ZeroDivisionError]
