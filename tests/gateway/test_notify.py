"""What a service manager hears of us, and that nobody waits for one that does not listen (C114)."""

import os
import socket
from contextlib import suppress

import pytest

from sip2gw.daemon.notify import ServiceManager


class Manager:
    """Its end of the socket."""

    def __init__(self, address):
        self.environment = {"NOTIFY_SOCKET": address.replace("\0", "@"), "WATCHDOG_USEC": "1000000"}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)
        self._address = address

    def heard(self):
        said = []
        try:
            while True:
                said.append(self._socket.recv(100).decode())
        except BlockingIOError:
            return said

    def stuff(self):
        """Fill its socket, as happens when it reads no more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    other.sendto(b"STATUS=", self._address)

    def close(self):
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    address = str(tmp_path / "notify")
    manager = Manager(f"\0{address}" if request.param == "abstract" else address)
    yield manager
    manager.close()


@pytest.fixture
def told(manager):
    told = ServiceManager(manager.environment)
    yield told
    told.close()


def test_it_knows_whether_systemd_has_started_this_very_process():
    """Its children, a shell of the same session say, have the variable of their parent."""
    pid = os.getpid()
    for said, supervises in ((str(pid), True), (str(pid + 1), False), ("", False)):
        assert ServiceManager({"SYSTEMD_EXEC_PID": said}).supervises is supervises


def test_it_is_told_and_hears_twice_within_its_time_that_we_live(manager, told):
    told.tell("READY=1")
    told.tell_alive()
    assert manager.heard() == ["READY=1", "WATCHDOG=1"]
    assert told.interval_s == 0.5


def test_what_it_has_no_room_for_is_told_at_the_next_interval_the_last_state_only(manager, told):
    manager.stuff()
    told.tell("RELOADING=1")
    told.tell("READY=1")
    told.tell_alive()
    manager.heard()
    told.tell_alive()
    told.tell_alive()
    assert manager.heard() == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]


def test_a_state_that_is_told_at_once_replaces_one_that_could_not_be(manager, told):
    manager.stuff()
    told.tell("READY=1")
    manager.heard()
    told.tell("STOPPING=1")
    told.tell_alive()
    assert manager.heard() == ["STOPPING=1", "WATCHDOG=1"]


def test_one_without_a_watchdog_is_told_a_second_later(manager):
    del manager.environment["WATCHDOG_USEC"]
    told = ServiceManager(manager.environment)
    manager.stuff()
    told.tell("READY=1")
    manager.heard()
    told.tell_alive()
    told.close()
    assert manager.heard() == ["READY=1"]
    assert told.interval_s == 1.0


def test_one_that_wants_to_hear_seldom_is_still_told_soon_what_it_missed(manager):
    told = ServiceManager({**manager.environment, "WATCHDOG_USEC": "30000000"})
    told.close()
    assert told.interval_s == 1.0


def test_one_that_has_gone_and_none_at_all_do_no_harm(manager, told):
    manager.close()
    nobody = ServiceManager({})
    for one in (told, nobody):
        one.tell("READY=1")
        one.tell_alive()
    assert nobody.interval_s is None
