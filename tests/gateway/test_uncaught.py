"""What nobody catches is a log event without what it quotes; a flood is summed up (C78, C114)."""

import asyncio
import errno
import gc
import io
import json
import logging
import threading
import warnings
from contextlib import contextmanager
from typing import Any

import pytest

from sip2gw.monitoring.telemetry import Log, Redactor
from sip2gw.monitoring.uncaught import told_to

PIN = "4711"


class Told:
    """A log that hears of it."""

    def __init__(self):
        self._stream = io.BytesIO()
        self.log = Log(self._stream, Redactor(b"x" * 32))

    @contextmanager
    def listening(self, loop):
        try:
            with told_to(self.log, loop):
                yield self
        finally:
            self.log.close()

    @property
    def lines(self):
        """Once the log is closed; nothing of it holds the PIN."""
        text = self._stream.getvalue().decode()
        assert PIN not in text
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def told():
    return Told()


def fail(given=PIN):
    raise ValueError(given)


async def test_a_callback_that_fails(told):
    loop = asyncio.get_running_loop()
    with told.listening(loop):
        loop.call_soon(fail, PIN)  # asyncio says "Exception in callback fail('4711') at …"
        await asyncio.sleep(0)
    (line,) = told.lines
    assert (line["event"], line["level"], line["where"]) == ("uncaught", "error", "loop")
    assert line["said"].startswith("Exception in callback fail")
    assert line["exception"] == "ValueError"
    assert line["frames"][-1].endswith(" fail")


async def test_a_loop_that_cannot_accept_says_what_has_run_out(told):
    loop = asyncio.get_running_loop()
    with told.listening(loop):
        loop.call_exception_handler(
            {
                "message": "socket.accept() out of system resource",
                "exception": OSError(errno.EMFILE, "Too many open files"),
            }
        )
    (line,) = told.lines
    assert line["event"] == "resources_exhausted"
    assert line["problem"] == "Too many open files"
    assert line["said"] == "socket.accept() out of system resource"


async def test_a_thread_a_destructor_a_warning_and_a_library(told, monkeypatch):
    class Leaky:
        def __del__(self):
            fail()

    gc.collect()  # or what other tests have left is heard of, too
    with told.listening(asyncio.get_running_loop()):
        thread = threading.Thread(target=fail, name="worker")
        thread.start()
        thread.join()
        Leaky()
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning(UserWarning(PIN), UserWarning, "some.py", 7)
        try:
            fail()
        except ValueError:
            logging.getLogger("some.library").exception("it was %s", PIN)
    thread, destructor, warning, library = told.lines
    assert (thread["where"], thread["thread"], thread["exception"]) == (
        "thread",
        "worker",
        "ValueError",
    )
    assert (destructor["where"], destructor["object"]) == ("unraisable", "function")
    assert (warning["event"], warning["category"], warning["place"]) == (
        "python_warning",
        "UserWarning",
        "some.py:7",
    )
    assert (library["event"], library["logger"], library["severity"], library["exception"]) == (
        "library_message",
        "some.library",
        "error",
        "ValueError",
    )
    assert "test_uncaught.py:" in library["place"]


async def test_a_flood_is_summed_up_and_the_next_second_tells_again(told):
    loop = asyncio.get_running_loop()
    with told.listening(loop):
        for _ in range(1000):
            loop.call_exception_handler({"message": "no", "exception": OSError(errno.EMFILE, "")})
        told.log.stranger("login_refused")  # has an allowance of its own
        told.log.sum_up()
        loop.call_exception_handler({"message": "no", "exception": OSError(errno.EMFILE, "")})
    events = [line["event"] for line in told.lines]
    exhausted = ["resources_exhausted"]
    assert events == exhausted * 5 + ["login_refused", "lines_summed_up"] + exhausted
    assert told.lines[6]["lines"] == {"resources_exhausted OSError": 995}


async def test_afterwards_everything_is_as_before(told):
    def hooks():
        return (threading.excepthook, warnings.showwarning, logging.getLogger().handlers[:])

    before, loop = hooks(), asyncio.get_running_loop()
    with told.listening(loop):
        pass
    assert hooks() == before
    assert loop.get_exception_handler() is None


class Trickle(io.RawIOBase):
    """Takes three bytes at a time, and sometimes nothing, as a full pipe does."""

    def __init__(self):
        self.taken = b""
        self.whole = threading.Event()
        self._turn = 0

    def writable(self):
        return True

    def write(self, data):
        self._turn += 1
        if self._turn % 5 == 0:
            return None
        self.taken += bytes(data[:3])
        if self.taken.endswith(b"\n"):
            self.whole.set()
        return min(3, len(data))


def test_the_log_is_whole_however_little_its_reader_takes_at_a_time():
    stream: Any = Trickle()
    log = Log(stream, Redactor(b"x" * 32))
    log.sink.write(b"0123456789")
    assert stream.whole.wait(10)
    log.close()
    assert stream.taken == b"0123456789\n"
