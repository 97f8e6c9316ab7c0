"""The process for HTTP is started, looked after, started again and ended (C130)."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from harness import running

from sip2gw.config import Address
from sip2gw.foundation import children
from sip2gw.foundation.children import restart_after
from sip2gw.monitoring.telemetry import Log, Redactor
from sip2gw.web import __main__ as program
from sip2gw.web import process
from sip2gw.web.process import LogRelay, WebProcess

LOOPBACK = Address("127.0.0.1", 0)


class Told:
    """A log, and what it was told."""

    def __init__(self):
        self._stream = io.BytesIO()
        self.log = Log(self._stream, Redactor(b"x" * 32))

    def lines(self):
        self.log.close()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def told():
    return Told()


class Line:
    """The gateway's end, which notices when the other one is gone."""

    heard: Any = 0
    answering = False

    def __init__(self, line):
        self.ended = asyncio.get_running_loop().create_future()
        self._line = line
        asyncio.get_running_loop().add_reader(line, self._end)

    def _end(self):
        asyncio.get_running_loop().remove_reader(self._line)
        self._line.close()
        self.ended.set_result(None)

    def close(self):
        if not self.ended.done():
            self._end()


class Gateway:
    """Adopts whatever comes."""

    async def adopt(self, line):
        return Line(line)


def runs(code):
    """A process that does something else."""

    def spawn(listener, line, log):
        return subprocess.Popen(
            [sys.executable, "-c", code, str(line.fileno())], stderr=log, pass_fds=[line.fileno()]
        )

    return spawn


@asynccontextmanager
async def kept_running(told, restarts):
    http = WebProcess(Gateway(), told.log, lambda: restarts.append(1))
    await http.start(LOOPBACK)
    try:
        yield http
    finally:
        async with asyncio.timeout(60):
            await http.stop()


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- whatever it is
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.1), (2, 0.2), (3, 0.4), (7, 5.0), (1_000_000, 5.0)]
)
def test_each_failure_in_a_row_is_waited_for_twice_as_long(failures, seconds):
    assert restart_after(failures) == pytest.approx(seconds)


async def test_an_address_that_is_taken_is_named(told):
    with process.bind(LOOPBACK) as listener:
        taken = Address(*listener.getsockname())
        with pytest.raises(OSError, match="in use") as problem:
            await WebProcess(Gateway(), told.log, lambda: None).start(taken)
    assert problem.value.filename == str(taken)


async def test_one_that_ends_is_started_again(told, monkeypatch):
    monkeypatch.setattr(children, "RESTART_AFTER_S", 0.01)
    monkeypatch.setattr(process, "_spawn", runs("raise SystemExit(3)"))
    restarts: list[Any] = []
    async with kept_running(told, restarts):
        await until(lambda: len(restarts) == 2)
    ended = [line for line in told.lines() if line["event"] == "http_ended"]
    assert [line["status"] for line in ended][:2] == [3, 3]
    assert [line["again_in_s"] for line in ended][:2] == [0.01, 0.02]


async def test_one_that_has_lived_well_begins_anew(told, monkeypatch):
    monkeypatch.setattr(children, "RESTART_AFTER_S", 0.01)
    monkeypatch.setattr(process, "LIVED_S", 0.0)
    monkeypatch.setattr(process, "_spawn", runs(""))
    restarts: list[Any] = []
    async with kept_running(told, restarts):
        await until(lambda: len(restarts) == 2)
    assert {line["again_in_s"] for line in told.lines()} == {0.01}


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (OSError(24, "Too many open files"), "Too many open files"),
        (RuntimeError("can't start new thread"), "RuntimeError"),
    ],
)
async def test_when_it_cannot_be_started_it_is_tried_again(told, monkeypatch, problem, status):
    monkeypatch.setattr(children, "RESTART_AFTER_S", 0.01)

    def spawn(*handed):
        raise problem

    monkeypatch.setattr(process, "_spawn", spawn)
    restarts: list[Any] = []
    async with kept_running(told, restarts):
        await until(lambda: len(restarts) == 2)
    assert told.lines()[0]["status"] == status


async def test_one_that_does_not_leave_is_killed(told, monkeypatch):
    monkeypatch.setattr(process, "LEAVE_WITHIN_S", 0.05)
    monkeypatch.setattr(process, "_spawn", runs("import time; time.sleep(600)"))
    async with kept_running(told, []) as http:
        await until(lambda: http._process is not None)
        child = http._process
    assert child.returncode == -signal.SIGKILL
    assert told.lines() == []


async def test_it_can_be_stopped_before_it_has_begun_and_while_it_waits(told, monkeypatch):
    http = WebProcess(Gateway(), told.log, lambda: None)
    await http.stop()
    monkeypatch.setattr(children, "RESTART_AFTER_S", 60)
    monkeypatch.setattr(process, "_spawn", runs(""))
    async with kept_running(told, []) as http:
        await until(lambda: http._line is not None and http._line.ended.done())
    async with kept_running(told, []):
        pass  # it has not even been spawned


async def test_one_that_begins_while_it_is_stopped_ends_too(told, monkeypatch):
    monkeypatch.setattr(process, "LEAVE_WITHIN_S", 0.05)
    monkeypatch.setattr(process, "_spawn", runs("import time; time.sleep(600)"))
    async with kept_running(told, []) as http:
        assert http._line is None
    assert http._process is None
    assert told.lines() == []


@pytest.mark.parametrize(
    ("heard", "after"),
    [
        (0, 6),  # it has hardly begun
        (1, 3),
    ],
)
async def test_one_that_takes_no_turns_is_killed_and_started_again(told, monkeypatch, heard, after):
    monkeypatch.setattr(children, "RESTART_AFTER_S", 0.01)
    monkeypatch.setattr(process, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(process, "STUCK_AFTER", 3)
    monkeypatch.setattr(process, "BEGUN_AFTER", 6)
    monkeypatch.setattr(process, "_spawn", runs("import time; time.sleep(600)"))
    adopt = Gateway.adopt
    restarts: list[Any] = []

    async def adopt_one(self, line):
        adopted = await adopt(self, line)
        adopted.heard = heard
        return adopted

    monkeypatch.setattr(Gateway, "adopt", adopt_one)
    async with kept_running(told, restarts):
        await until(lambda: len(restarts) == 1)
    stuck, ended = told.lines()[:2]
    assert (stuck["event"], stuck["looks"]) == ("http_stuck", after)
    assert (ended["event"], ended["status"]) == ("http_ended", -signal.SIGKILL)


@pytest.mark.parametrize("lives", ["it speaks", "it waits for an answer"])
async def test_one_that_speaks_or_waits_for_an_answer_lives(told, monkeypatch, lives):
    looks = []

    class Lives(Line):
        answering = lives == "it waits for an answer"

        @property
        def heard(self):
            looks.append(1)
            return len(looks) if lives == "it speaks" else 1

    async def adopt(self, line):
        return Lives(line)

    monkeypatch.setattr(process, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(process, "STUCK_AFTER", 3)
    monkeypatch.setattr(process, "BEGUN_AFTER", 3)
    monkeypatch.setattr(process, "LEAVE_WITHIN_S", 0.05)
    monkeypatch.setattr(process, "_spawn", runs("import time; time.sleep(600)"))
    monkeypatch.setattr(Gateway, "adopt", adopt)
    async with kept_running(told, []):
        await until(lambda: len(looks) > 50)
    assert told.lines() == []


# Its log ------------------------------------------------------------------------------------


async def test_its_events_are_events_of_the_gateways_log(told):
    relay = LogRelay(told.log)
    relay.data_received(b'{"time":"then","event":"uncaught","level":"error","exce')
    relay.data_received(b'ption":"KeyError"}\n\n')
    (line,) = told.lines()
    assert line.pop("time") != "then"
    assert line == {
        "event": "uncaught",
        "level": "error",
        "exception": "KeyError",
        "process": "http",
    }


@pytest.mark.parametrize(
    "said", [b"Traceback 4711\n", b"{}\n", b"[]\n", b'{"event":"x","level":4711}\n', b"4" * 20_000]
)
async def test_what_is_no_event_is_counted_and_not_told(told, said):
    LogRelay(told.log).data_received(said)
    (line,) = told.lines()
    assert line["event"] == "http_output"
    assert "4711" not in json.dumps(line)
    assert line["bytes"] == len(said.rstrip(b"\n"))


async def test_it_cannot_flood_the_log(told):
    LogRelay(told.log).data_received(b'{"event":"x","level":"info"}\n' * 10_000)
    assert len(told.lines()) <= 2 * process.LOG_LINES_PER_SECOND_MAX


# The program itself -------------------------------------------------------------------------


@pytest.fixture
def sockets():
    listener = process.bind(LOOPBACK)
    ours, theirs = socket.socketpair()
    with ours:
        yield ours, (listener.detach(), theirs.detach())


def test_the_program_serves_until_the_gateway_has_gone(sockets):
    ours, handed = sockets
    threading.Timer(0.1, ours.shutdown, (socket.SHUT_RDWR,)).start()
    assert program.main(handed[0], handed[1]) == 0


def test_a_package_that_is_missing_is_an_event(sockets, monkeypatch, capfd):
    _, handed = sockets
    monkeypatch.setitem(sys.modules, "sip2gw.web.serving", None)
    assert program.main(handed[0], handed[1]) == 1
    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["problem"]) == ("crashed", "cannot import sip2gw.web.serving")


STARTS_IT = """
import socket, sys, time
from sip2gw.web.process import _spawn
listener, line = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
print(_spawn(listener, line, 2).pid, flush=True)
time.sleep(60)
"""


def seen(pid):
    """State and niceness of a process; a "Z" of one that has only not been buried."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return "Z", 0
    return fields[0], int(fields[16])


async def test_it_does_not_outlive_a_gateway_that_is_killed_even_if_it_cannot_see_that(sockets):
    """Its listener would keep the address busy, and the gateway could not be started again."""
    _, handed = sockets  # nobody hangs up: the gateway's end of the channel is open here
    own = os.getpriority(os.PRIO_PROCESS, 0)
    gateway = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTS_IT, *map(str, handed)),
        stdout=subprocess.PIPE,
        pass_fds=handed,
    )
    assert gateway.stdout is not None
    child = int(await gateway.stdout.readline())
    try:
        await until(lambda: seen(child)[1] > own)  # it has begun, and imports
        gateway.kill()
        await until(lambda: seen(child)[0] == "Z")
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        await gateway.wait()


def test_it_ends_at_once_when_the_gateway_died_before_it_began(sockets):
    _, handed = sockets
    another = os.getppid()
    child = children.start_module("sip2gw.web", (*handed, another), handed)
    try:
        assert child.wait(20) == 0  # although the channel to the gateway is open
    finally:
        child.kill()


def test_the_gateway_imports_nothing_of_it():
    code = (
        "import sys, sip2gw.daemon.app, sip2gw.cli.app;"
        "print([m for m in ('starlette', 'uvicorn', 'prometheus_client') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert shown.stdout == b"[]\n"


async def test_a_whole_gateway_answers_over_http(tmp_path):
    async with running(tmp_path, operators=True) as gateway:
        host, _, port = gateway.admin.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(20):
            answer = (await reader.read()).decode()
        writer.close()
    assert answer.startswith("HTTP/1.1 200 OK")
    assert "sip2gw_build_info" in answer
    assert f"process_max_fds {os.sysconf('SC_OPEN_MAX')}.0" in answer
