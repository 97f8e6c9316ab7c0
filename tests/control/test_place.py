"""The control socket's file: for the owner, at any path, of one living gateway (C130)."""

import os
import socket
import stat
from contextlib import suppress

import pytest

from sip2gw.foundation.unix_socket import (
    PATH_BYTES_MAX,
    InUseError,
    Place,
    connect,
)


def test_only_the_owner_may_use_it_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        listener = Place(tmp_path / "x.control").open()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.control").stat().st_mode) == 0o600
    listener.close()


@pytest.mark.parametrize("length", [PATH_BYTES_MAX, PATH_BYTES_MAX + 1, 300])
def test_it_is_found_at_any_path(tmp_path, length):
    room = length - len(os.fsencode(tmp_path / "d" / "sip2gw.control")) + 1
    directory = tmp_path / ("d" * max(room, 1))
    directory.mkdir()
    place = Place(directory / "sip2gw.control")
    with place.open() as listener, connect(place.path, 5) as client:
        accepted, _ = listener.accept()
        client.sendall(b"x")
        assert accepted.recv(1) == b"x"
        accepted.close()
    place.remove()
    assert list(directory.iterdir()) == []


def test_what_a_dead_gateway_left_is_replaced(tmp_path):
    path = tmp_path / "x.control"
    Place(path).open().close()
    assert path.exists()
    with Place(path).open(), connect(path, 5):
        pass


def test_that_of_a_living_gateway_is_not(tmp_path):
    path = tmp_path / "x.control"
    with Place(path).open() as listener:
        second = Place(path)
        with pytest.raises(InUseError, match="belongs to a gateway that is running"):
            second.open()
        second.remove()
        with connect(path, 5):
            listener.accept()[0].close()


def test_one_with_so_many_waiting_that_it_cannot_be_reached_is_alive_too(tmp_path, monkeypatch):
    path = tmp_path / "x.control"
    monkeypatch.setattr("sip2gw.foundation.unix_socket._ANSWERS_WITHIN_S", 0.1)
    with Place(path).open():
        waiting = []
        with suppress(OSError):
            while True:
                waiting.append(connect(path, 0.1))
        with pytest.raises(InUseError):
            Place(path).open()
        for line in waiting:
            line.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "x.control"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="not a socket"):
        Place(path).open()
    assert path.read_text() == "mine"


def test_the_socket_of_a_successor_is_not_removed(tmp_path):
    path = tmp_path / "x.control"
    first = Place(path)
    first.open().close()
    second = Place(path)
    with second.open():
        first.remove()
        assert path.exists()


@pytest.mark.parametrize("path", ["missing/x.control", "x" * 300])
def test_where_there_can_be_none_there_is_none(tmp_path, path):
    with pytest.raises(OSError):  # noqa: PT011 -- whatever the system calls it
        Place(tmp_path / path).open()


def test_nobody_is_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        connect(tmp_path / "x.control", 5)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "x.control"))
    with pytest.raises(ConnectionRefusedError):
        connect(tmp_path / "x.control", 5)
