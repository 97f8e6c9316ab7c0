"""The HTTP side keeps within its limits, whatever its clients do (C114, C130)."""

import asyncio
import errno
import io
import json
import socket
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.responses import PlainTextResponse

from sip2gw.config import Address
from sip2gw.control.messages import (
    Alive,
    Ping,
    encode,
    read_request,
)
from sip2gw.monitoring.telemetry import Log, Redactor
from sip2gw.web import serving
from sip2gw.web.api import timely
from sip2gw.web.api.timely import UNTIL
from sip2gw.web.process import bind
from sip2gw.web.serving import serve

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


class Side:
    """A listening HTTP side, the gateway that it asks, and its log."""

    def __init__(self, address, gateway, log, stream):
        self.address, self.gateway = address, gateway
        self._log, self._stream = log, stream
        self.pings = 0
        self.silent = asyncio.Event()
        self.silent.set()

    async def connect(self, sent=b""):
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(sent)
        return reader, writer

    async def get(self, path, version="1.0"):
        reader, writer = await self.connect(f"GET {path} HTTP/{version}\r\n\r\n".encode())
        try:
            return await everything(reader)
        finally:
            writer.close()

    async def answer_pings(self):
        """Be the gateway."""
        loop = asyncio.get_running_loop()
        while line := await loop.sock_recv(self.gateway, 4096):
            await self.silent.wait()
            for request in line.splitlines():
                assert read_request(request) == Ping()
                self.pings += 1
                await loop.sock_sendall(self.gateway, encode(Alive(ready=True)))

    def logged(self):
        self._log.sink.close()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


async def everything(reader):
    """All that it says, until it hangs up."""
    said = b""
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            while data := await reader.read(4096):
                said += data
    return said.decode()


@asynccontextmanager
async def listening():
    listener = bind(Address("127.0.0.1", 0))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = io.BytesIO()
    log = Log(stream, Redactor(b"x" * 32))
    side = Side(listener.getsockname(), ours, log, stream)
    serving_it = asyncio.create_task(serve(listener, theirs, log))
    answering = asyncio.create_task(side.answer_pings())
    try:
        yield side
    finally:
        answering.cancel()
        ours.close()
        async with asyncio.timeout(60):
            await serving_it
        log.close()


@pytest.fixture
def hasty(monkeypatch):
    """No request may take longer than a moment."""
    monkeypatch.setattr(serving, "REQUEST_TIMEOUT_S", 0.2)


async def test_it_answers_one_after_the_other_on_one_connection():
    async with listening() as side:
        reader, writer = await side.connect(LIVEZ * 3)
        for _ in range(3):
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            await reader.readuntil(b"ok\n")
        writer.close()


async def test_each_answer_gives_its_connection_time_for_another(monkeypatch):
    given, give = [], serving.Connection._give_time

    def noting(self):
        given.append(1)
        give(self)

    monkeypatch.setattr(serving.Connection, "_give_time", noting)
    async with listening() as side:
        reader, writer = await side.connect(LIVEZ)
        await reader.readuntil(b"ok\n")
        assert len(given) == 2  # when it was accepted, and now
        writer.close()


async def test_it_ends_when_the_gateway_has_gone():
    async with listening() as side:
        await side.get("/livez")
        reader, writer = await side.connect()
        side.gateway.shutdown(socket.SHUT_RDWR)
        assert await everything(reader) == ""
        writer.close()


async def test_the_gateway_hears_of_it_though_nobody_asks(monkeypatch):
    monkeypatch.setattr(serving, "TELL_EVERY_S", 0.01)
    async with listening() as side:
        async with asyncio.timeout(60):
            while side.pings < 3:  # noqa: ASYNC110 -- whenever they come
                await asyncio.sleep(0.005)


async def test_nobody_holds_a_connection_by_sending_a_byte_now_and_then(hasty):
    async with listening() as side:
        reader, writer = await side.connect(b"GET /livez HTTP/1.0\r\n")
        ended = asyncio.create_task(everything(reader))
        while not ended.done():
            writer.write(b"X")
            await asyncio.sleep(0.01)
        assert await ended == ""
        assert "200 OK" in await side.get("/livez")
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /metr", LIVEZ[:-2], b"\r\n"])
async def test_nobody_holds_one_by_half_a_request(hasty, sent):
    async with listening() as side:
        clients = [await side.connect(sent) for _ in range(50)]
        for reader, writer in clients:
            await everything(reader)  # each is hung up on
            writer.close()
        assert "200 OK" in await side.get("/livez")


async def test_nobody_holds_one_that_has_been_answered(monkeypatch):
    monkeypatch.setattr(serving, "KEEP_ALIVE_S", 0.05)
    async with listening() as side:
        reader, writer = await side.connect(LIVEZ)
        assert "200 OK" in await everything(reader)
        writer.close()


async def test_so_many_connections_are_open_at_a_time(monkeypatch):
    monkeypatch.setattr(serving, "CONNECTIONS_MAX", 5)
    monkeypatch.setattr(serving, "OF_ONE_ADDRESS", 1)
    monkeypatch.setattr(serving, "RESERVED", 0)
    async with listening() as side:
        idle = [await side.connect(b"G") for _ in range(4)]
        last = await side.connect(LIVEZ)
        assert await last[0].readline() == b"HTTP/1.1 200 OK\r\n"
        idle.append(last)
        assert (await side.get("/livez")).startswith("HTTP/1.1 503 Service Unavailable\r\n")
        for _, writer in idle:
            writer.close()
        async with asyncio.timeout(60):
            while "503" in await side.get("/livez"):
                pass


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_of_a_request_that_is_too_long_only_the_beginning_is_read(end):
    long = b"GET /livez HTTP/1.0\r\nX: " + b"a" * (4 * serving.REQUEST_BYTES_MAX)
    async with listening() as side:
        reader, writer = await side.connect(long + end)
        assert (await everything(reader)).startswith("HTTP/1.1 400 Bad Request")
        writer.close()


async def test_a_request_has_one_end():
    """Otherwise a proxy before us may see another request in what we take for a body."""
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    async with listening() as side:
        reader, writer = await side.connect(LIVEZ[:-2] + both + LIVEZ)
        said = await everything(reader)
        writer.close()
    assert said.startswith("HTTP/1.1 400 Bad Request")
    assert said.count("HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("total", "own", "refused"),
    [
        (64, 64, False),
        (65, 65, True),  # a quarter of all
        (192, 64, False),
        (193, 3, True),  # what is left is for those who have hardly any
        (193, 2, False),
        (256, 1, False),
        (257, 1, True),
    ],
)
def test_one_address_leaves_room_for_others(total, own, refused):
    assert serving.is_too_many(total, own) is refused


async def test_half_requests_from_one_address_keep_nobody_else_out(monkeypatch):
    monkeypatch.setattr(serving, "CONNECTIONS_MAX", 12)
    async with listening() as side:
        halves = [await side.connect(b"GET /metr") for _ in range(3)]
        refused = [await side.connect(LIVEZ) for _ in range(10)]
        for reader, writer in refused:
            assert "503" in await everything(reader)
            writer.close()
        reader, writer = await asyncio.open_connection(*side.address, local_addr=("127.0.0.2", 0))
        writer.write(LIVEZ)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        for _, one in [*halves, (reader, writer)]:
            one.close()


HOSTILE = [
    b"",
    b"GET",
    LIVEZ,
    b"\x16\x03\x01\0\xff",
    b"\r\n",
    b"GET /livez HTTP/9.9\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n\r\n",  # without a host
    b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%00%ff/../.. HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc",
    LIVEZ[:-2] + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"A" * 100_000,
    LIVEZ * 200,
]


@pytest.mark.parametrize("reset", [True, False])
async def test_the_hostile_and_those_who_hang_up_leave_no_trace(capfd, reset):
    async with listening() as side:
        for sent in HOSTILE * 3:
            _, writer = await side.connect(sent)
            if reset:
                line = writer.get_extra_info("socket")
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.close()
            await asyncio.sleep(0)
        assert "200 OK" in await side.get("/livez")
        assert side.logged() == []
    assert capfd.readouterr().err == ""


async def test_a_fault_of_ours_is_told_and_answered(capfd, monkeypatch):
    def fail(ask, api):
        async def app(scope, receive, send):
            raise KeyError("4711")

        return app

    monkeypatch.setattr(serving, "application", fail)
    async with listening() as side:
        assert "500 Internal Server Error" in await side.get("/livez")
        (told,) = side.logged()
    assert (told["event"], told["exception"]) == ("library_message", "KeyError")
    assert "4711" not in json.dumps(told)
    assert capfd.readouterr().err == ""


async def test_without_descriptors_it_waits_before_it_accepts_again(monkeypatch):
    accept, tries = socket.socket.accept, []

    def fail(listener):
        tries.append(1)
        raise OSError(errno.EMFILE, "Too many open files")

    async with listening() as side:
        await side.get("/livez")
        monkeypatch.setattr(socket.socket, "accept", fail)
        waiting = asyncio.create_task(side.get("/livez"))
        await asyncio.sleep(0.3)
        assert len(tries) == 1
        monkeypatch.setattr(socket.socket, "accept", accept)
        assert "200 OK" in await waiting
        (told,) = side.logged()
    assert (told["event"], told["problem"]) == ("resources_exhausted", "Too many open files")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_listens_on_both_kinds_of_address(host):
    with bind(Address(host, 0)) as listener:
        assert listener.getsockname()[0] == host


def test_an_address_that_is_taken_is_refused():
    with (
        bind(Address("127.0.0.1", 0)) as listener,
        pytest.raises(OSError, match="already in use"),
    ):
        bind(Address("127.0.0.1", listener.getsockname()[1]))


async def test_each_request_knows_until_when_it_can_be_answered(monkeypatch):
    """Also the second one on a connection, for which time begins anew."""
    loop, seen = asyncio.get_running_loop(), []

    async def app(scope, receive, send):
        seen.append(scope[UNTIL])
        await PlainTextResponse("ok\n")(scope, receive, send)

    monkeypatch.setattr(serving, "application", lambda ask, api: app)
    before = loop.time()
    async with listening() as side:
        reader, writer = await side.connect(LIVEZ * 2)
        for _ in range(2):
            await reader.readuntil(b"ok\n")
        after = loop.time()
        writer.close()
    first, second = (until - serving.REQUEST_TIMEOUT_S for until in seen)
    assert before <= first < second <= after


async def test_rest_says_in_time_that_nothing_was_done(monkeypatch):
    """Here there is no time at all, and the gateway says nothing."""
    monkeypatch.setattr(timely, "SPARE_S", serving.REQUEST_TIMEOUT_S)
    async with listening() as side:
        side.silent.clear()
        head = b"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n"
        reader, writer = await side.connect(head + b"Content-Length: 0\r\n\r\n")
        said = await reader.readuntil(b"}")
        writer.close()
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"nothing was done" in said
