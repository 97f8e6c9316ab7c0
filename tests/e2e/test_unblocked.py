"""Nobody who does not listen holds up the terminals: log, service manager, newcomers (C114)."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import time
from contextlib import contextmanager

import pytest
from faulty_disk import build
from harness import CONFIG, LIBRARY, Terminal, ask_23, ask_37, ask_63
from proofs.process import READY_TIMEOUT_S, ROOT, prepare
from watched import Watchdog

from sip2gw.foundation.threads import ready_pool

STATUS = "9900302.00"
DRAIN_S = 10
MACHINE_IS_BUSY_S = 10
"""More than that takes no part of the end on a machine that has other things to do."""


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request, tmp_path):
    """The variables of a process with that loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
        return {}
    hidden = tmp_path / "without"
    hidden.mkdir()
    (hidden / "uvloop.py").write_text("raise ImportError\n")
    return {"PYTHONPATH": f"{hidden}:{ROOT}"}


async def test_exhausted_descriptors_and_a_full_log_stop_nobody_who_is_there(start, loop):
    async with start(environment=loop, http=True) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        gateway.stuff_log()
        with gateway.exhausted():
            waiting = await gateway.connect()
            host, _, port = gateway.admin.rpartition(":")
            scraping = await gateway.connect((host, int(port)))
            used = gateway.cpu_s
            async with asyncio.timeout(60):
                for _ in range(10):
                    assert (await kiosk.ask(STATUS)).startswith("98Y")
                    await asyncio.sleep(0.1)
            assert gateway.cpu_s - used < 0.5  # it does not try again and again
        newcomer = await gateway.terminal("pay-1")
        assert (await newcomer.ask(STATUS)).startswith("98Y")
        waiting.close()
        scraping.close()
        gateway.read_log_again()
        assert await gateway.stop() == 0
        assert gateway.other_output == []
        if loop:
            assert gateway.events("resources_exhausted")[0]["problem"] == "Too many open files"


@pytest.fixture
def manager(tmp_path):
    """A service manager's end of its socket, `tmp_path / "notify"`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


async def test_nobody_holds_the_loop(start, loop, tmp_path, manager, watch):
    """With a full log and notify socket, a name server that hangs, a held lock, no descriptors."""
    notify = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000"}
    async with start(environment=loop | notify, names=False, http=True) as gateway:
        kiosk, pay = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-1")
        gateway.stuff_log()
        other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await pay.send(ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1"))
        with gateway.exhausted():
            waiting = await gateway.connect()
            async with asyncio.timeout(20):
                for _ in range(20):
                    assert (await kiosk.ask(STATUS)).startswith("98")
                    await asyncio.sleep(0.05)
        other.execute("ROLLBACK")
        other.close()
        waiting.close()
        assert (await pay.read()).startswith("38Y")
        await gateway.stop()
    assert watch.report.read_text() == ""  # it has watched


PAGE_S = 0.1
"""What a page of the store takes that is not in the kernel's memory."""


def held_by_pages(watch):
    """The times when two pages may have held the loop; one is too little to be told from a busy
    machine."""
    return [hold for hold in watch.holds() if float(hold.split()[0]) > 1.1 * PAGE_S]


async def test_a_slow_disk_holds_up_who_needs_it_and_others_once(start, watch, tmp_path):
    """The first slow read holds the loop; then a door, a kiosk and a till need cold pages."""
    disk = build(tmp_path)
    if disk is None:
        pytest.skip("gcc compiles what makes the disk slow")
    with disk:
        async with start(
            environment=disk.environment, may_hold="the first read that is slow holds it"
        ) as gateway:
            names = ("desk-1", "kiosk-1", "door-1", "pay-1")
            idle, kiosk, door, pay = [await gateway.terminal(name) for name in names]
            assert (await door.ask(ask_23("1001", "1001"))).startswith("24 ")
            paid = await pay.ask(ask_37("1010", "0.50", pin="1010", fee="H1", bk="K0"))
            assert paid.startswith("38Y")  # with the door's row: nothing is left to be written

            disk.store.cool(PAGE_S)
            assert (await kiosk.ask(ask_63("1002", "1002"))).startswith("64")
            async with asyncio.timeout(60):
                while not held_by_pages(watch):  # noqa: ASYNC110 -- a file
                    await asyncio.sleep(0.01)
            assert disk.store.hits.pages_delayed

            disk.store.cool(PAGE_S)
            slow = [
                asyncio.ensure_future(door.ask(ask_23("1005", "1005"))),
                asyncio.ensure_future(kiosk.ask(ask_63("1006", "1006"))),
                asyncio.ensure_future(
                    pay.ask(ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1"))
                ),
            ]
            for _ in range(5):
                assert (await idle.ask(STATUS)).startswith("98Y")
            assert not any(answer.done() for answer in slow)
            answers = await asyncio.gather(*slow)
            assert [answer[:3] for answer in answers] == ["24Y", "64 ", "38Y"]
            assert await gateway.stop() == 0
        assert len(held_by_pages(watch)) == 1


def run(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@contextmanager
def watchdog():
    """The holds that it finds of the loop of this process, and an event for the first."""
    holds, seen = [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def note(seconds, where):
        holds.append((seconds, where))
        loop.call_soon_threadsafe(seen.set)

    watching = Watchdog(loop, note)
    try:
        yield holds, seen
    finally:
        watching.stop()


@pytest.mark.parametrize("hold", [time.sleep, run])
async def test_the_watchdog_sees_who_holds_the_loop(hold):
    with watchdog() as (holds, seen):
        await asyncio.sleep(0.05)
        hold(1)
        async with asyncio.timeout(60):
            await seen.wait()
    ((seconds, where),) = holds
    assert seconds > 0.25  # of what the machine gave to others nothing counts
    assert "test_unblocked.py" in where


async def test_the_watchdog_does_not_mind_a_thread_that_wants_the_interpreter():
    asyncio.get_running_loop().set_default_executor(ready_pool(3, "busy"))  # to start one holds
    with watchdog() as (holds, _):
        busy = asyncio.gather(*(asyncio.to_thread(run, 0.3) for _ in range(3)))
        while not busy.done():  # noqa: ASYNC110 -- it takes turns
            await asyncio.sleep(0.001)
        await busy
    assert holds == []


async def test_the_watchdog_does_not_mind_that_all_was_stopped(start, watch):
    async with start() as gateway:
        for _ in range(5):
            gateway.signal(signal.SIGSTOP)
            await asyncio.sleep(0.2)
            gateway.signal(signal.SIGCONT)
            await asyncio.sleep(0.05)
        assert await gateway.stop() == 0
    assert watch.holds() == []


async def test_it_serves_and_ends_without_standard_error(tmp_path, manager):
    """`serve 2>&-`."""
    port = free_port()
    listen = CONFIG.replace('["127.0.0.1:0"]', f'["127.0.0.1:{port}"]')
    config = await prepare(tmp_path, listen, LIBRARY)
    process = await asyncio.create_subprocess_shell(
        f'exec "{sys.executable}" -m sip2gw serve --config "{config}" 2>&-',
        env={**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(tmp_path / "notify")},
    )
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            assert await asyncio.get_running_loop().sock_recv(manager, 100) == b"READY=1"
        kiosk = Terminal(*await asyncio.open_connection("127.0.0.1", port))
        assert (await kiosk.ask(STATUS)).startswith("98Y")
        kiosk.close()
    finally:
        process.terminate()
        status = await process.wait()
    assert status == 0


async def test_it_ends_in_time_while_another_process_holds_the_lock(start, tmp_path):
    """A payment, a door row and a refused payment wait for it; the store cannot be closed well."""
    async with start() as gateway:
        pay, door = await gateway.terminal("pay-1"), await gateway.terminal("door-1")
        other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24 ")
        await pay.send(ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1"))
        async with asyncio.timeout(DRAIN_S + 8 + MACHINE_IS_BUSY_S):
            assert await gateway.stop() == 1
        other.close()
        (incomplete,) = gateway.events("stop_incomplete")
        assert incomplete["given_up"] == ["store"]


async def test_a_log_that_nobody_reads_does_not_hold_up_the_end(start):
    async with start() as gateway:
        gateway.stuff_log()
        async with asyncio.timeout(5 + MACHINE_IS_BUSY_S):
            assert await gateway.stop() == 0
