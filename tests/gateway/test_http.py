"""The HTTP side keeps within its limits, whatever its clients do (C114)."""

import errno
import socket
import threading
import urllib.request
from contextlib import contextmanager, suppress
from socketserver import TCPServer

import pytest
from prometheus_client import CollectorRegistry

from sip2gw import admin
from sip2gw.admin import AdminServer
from sip2gw.config import Address


class Side:
    """A listening HTTP side, and what it told of faults."""

    def __init__(self, is_alive):
        self.told = []
        self._server = AdminServer(CollectorRegistry(), lambda: True, is_alive, self.told.append)
        host, _, port = self._server.start(Address("127.0.0.1", 0)).rpartition(":")
        self.address = (host, int(port))

    def connect(self, sent=b""):
        client = socket.create_connection(self.address, timeout=10)
        client.sendall(sent)
        return client

    def get(self, path):
        with self.connect(f"GET {path} HTTP/1.0\r\n\r\n".encode()) as client:
            return answer(client)

    def stop(self):
        self._server.stop()


def answer(client):
    """All that it says, until it hangs up."""
    said = b""
    with suppress(ConnectionError):
        while data := client.recv(4096):
            said += data
    return said.decode()


@contextmanager
def listening(is_alive=lambda: True):
    side = Side(is_alive)
    try:
        yield side
    finally:
        side.stop()


@pytest.fixture
def hasty(monkeypatch):
    """No request may take longer than a moment."""
    monkeypatch.setattr(admin, "REQUEST_TIMEOUT_S", 0.2)
    monkeypatch.setattr(admin, "LOOK_EVERY_S", 0.02)


def test_so_many_are_answered_at_a_time_and_the_next_one_is_told_to_come_later():
    go_on = threading.Event()
    with listening(lambda: go_on.wait(20)) as side:
        slow = [side.connect(b"GET /livez HTTP/1.0\r\n\r\n") for _ in range(admin.REQUESTS_MAX)]
        assert side.get("/readyz").startswith("HTTP/1.0 503 Service Unavailable\r\n")
        threads = [t for t in threading.enumerate() if "process_request" in t.name]
        assert len(threads) <= admin.REQUESTS_MAX
        go_on.set()
        assert all("200 OK" in answer(client) for client in slow)
        assert "200 OK" in side.get("/readyz")
        for client in slow:
            client.close()


def test_nobody_holds_a_thread_by_sending_a_byte_now_and_then(hasty):
    with listening() as side, side.connect(b"GET /livez HTTP/1.0\r\n") as client:
        client.settimeout(0.01)
        with suppress(ConnectionError):
            for _ in range(1000):
                client.sendall(b"X")
                with suppress(TimeoutError):
                    if client.recv(100) == b"":
                        break
            else:
                pytest.fail("it is still listened to")
        assert "200 OK" in side.get("/livez")


def test_nobody_holds_a_thread_by_half_a_request(hasty):
    with listening() as side:
        clients = [side.connect(b"GET /metr") for _ in range(3 * admin.REQUESTS_MAX)]
        for client in clients:
            answer(client)  # each is hung up on
            client.close()
        assert "200 OK" in side.get("/readyz")


def test_of_a_request_without_end_only_the_beginning_is_read():
    endless = b"GET /livez HTTP/1.0\r\nX: " + b"a" * admin.REQUEST_BYTES_MAX
    with listening() as side, side.connect(endless) as client:
        assert answer(client).startswith("HTTP/1.0 200 OK")


def test_who_hangs_up_leaves_no_trace_on_standard_error(capfd):
    with listening() as side:
        for sent in (b"", b"GET", b"GET /metrics HTTP/1.0\r\n\r\n", b"\x16\x03\x01\0\xff", b"\r\n"):
            client = side.connect(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()  # a reset
        assert "200 OK" in side.get("/livez")
    assert capfd.readouterr().err == ""
    assert side.told == []


def test_a_fault_of_ours_is_told_and_answered(capfd):
    def fail():
        raise KeyError("4711")

    with listening(fail) as side:
        assert "500 Internal Server Error" in side.get("/livez")
        assert [type(error) for error in side.told] == [KeyError]
    assert capfd.readouterr().err == ""


def test_without_descriptors_it_waits_before_it_accepts_again(monkeypatch):
    accept, tries, waited = TCPServer.get_request, [], []

    def get_request(self):
        if len(tries) < 3:
            tries.append(self)
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    monkeypatch.setattr(TCPServer, "get_request", get_request)
    with listening() as side:
        monkeypatch.setattr(side._server._server._closing, "wait", waited.append)
        assert "200 OK" in side.get("/livez")
    assert waited == [admin.ACCEPT_RETRY_S] * 3
    assert [error.errno for error in side.told] == [errno.EMFILE] * 3


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_says_where_it_listens(host):
    server = AdminServer(CollectorRegistry(), lambda: True, lambda: True, print)
    address = server.start(Address(host, 0))
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
            assert response.status == 200
    finally:
        server.stop()
