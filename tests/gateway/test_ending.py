"""The end comes in time whatever hangs, and says what it gave up (B66, C114)."""

import asyncio
import io
import json
import subprocess
import sys
import time

import pytest
from harness import ask_37, running

from sip2gw.daemon.ending import Ending
from sip2gw.monitoring.telemetry import Log, Redactor


@pytest.fixture
def told():
    """An ending, and the lines it has logged once the log is closed."""
    stream = io.BytesIO()
    log = Log(stream, Redactor(b"x" * 32))
    ending = Ending(log)

    def lines():
        ending.tell()
        log.close()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return ending, lines


async def test_what_hangs_is_given_up_and_the_rest_still_ends(told):
    ending, lines = told
    ended = []

    async def end():
        ended.append("store")

    async def hang():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("told to stop")
                return

    await ending.part("http", 0.01, hang())
    await ending.part("store", 10, end())
    await asyncio.sleep(0)
    assert sorted(ended) == ["store", "told to stop"]
    assert ending.given_up == ["http"]
    incomplete, stopped = lines()
    assert (incomplete["event"], incomplete["level"]) == ("stop_incomplete", "error")
    assert incomplete["given_up"] == ["http"]
    assert stopped["event"] == "stopped"


async def test_what_fails_is_logged_and_given_up(told):
    ending, lines = told

    async def fail():
        raise OSError("4711")

    await ending.part("store", 10, fail())
    failed, _, _ = lines()
    assert (failed["event"], failed["part"], failed["exception"]) == (
        "stop_failed",
        "store",
        "OSError",
    )
    assert ending.given_up == ["store"]


async def test_a_clean_end_says_so_only(told):
    ending, lines = told
    await ending.part("store", 10, asyncio.sleep(0))
    assert [line["event"] for line in lines()] == ["stopped"]


async def test_a_gateway_gives_up_a_store_that_does_not_close(tmp_path, monkeypatch):
    monkeypatch.setattr("sip2gw.daemon.terminals.STORE_CLOSE_S", 0.05)
    async with running(tmp_path) as gateway:
        close = gateway.store.close
        monkeypatch.setattr(gateway.store, "close", asyncio.Event().wait)
        assert await gateway.app.stop() == ["store"]
        monkeypatch.undo()
        await close()


async def test_a_request_that_outlasts_the_drain_is_given_up(tmp_path, monkeypatch):
    async with running(tmp_path) as gateway:
        pay = await gateway.terminal("pay-1")
        began, forever = asyncio.Event(), asyncio.Event()

        async def hang(*given):
            began.set()
            await forever.wait()

        monkeypatch.setattr(gateway.store, "book_payment", hang)
        await pay.send(ask_37("1004", "0.10", pin="1004", bk="K1"))
        await began.wait()
        config = gateway.app.gateway.site.config.server
        object.__setattr__(config, "drain_timeout_s", 0.05)
        monkeypatch.setattr("sip2gw.daemon.terminals.DRAIN_MARGIN_S", 20)
        gateway.app.server.monotonic = time.monotonic
        assert await gateway.app.stop() == ["requests"]


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("threading.Thread(target=threading.Event().wait).start()", 3),  # hangs, and is not waited
        ("raise SystemExit(0)", 0),
    ],
)
def test_a_thread_that_hangs_does_not_hold_up_the_end(program, status):
    code = (
        "import threading; from sip2gw.daemon.ending import leave_within; "
        f"leave_within(0.1 if {status} else 60, {status}); {program}"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    assert done.returncode == status
