"""Files that people name are read at once, or refused: nobody waits for a pipe or a device."""

import os
import socket
from pathlib import Path

import pytest

from sip2gw.config.reading import open_file, read_file


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_bytes(b"what it says")
    return file


def test_a_file_is_read_whole_or_as_far_as_it_is_wanted(secret: Path) -> None:
    assert read_file(secret) == b"what it says"
    assert read_file(secret, 4) == b"what"


def test_a_link_to_a_file_is_as_good_as_the_file(secret: Path) -> None:
    link = secret.with_name("link")
    link.symlink_to(secret)
    assert read_file(link) == b"what it says"


def test_a_file_on_a_descriptor_is_read(secret: Path) -> None:
    """`--config /dev/stdin < FILE`."""
    with secret.open("rb") as given:
        assert read_file(Path(f"/dev/fd/{given.fileno()}")) == b"what it says"


def test_a_pipe_that_the_program_was_given_is_read_to_its_end() -> None:
    """`--config <(…)`, where what writes may need a moment."""
    reading, writing = os.pipe()
    try:
        with open_file(Path(f"/dev/fd/{reading}")) as given:
            assert os.get_blocking(given.fileno())
            os.write(writing, b"what it says")
            os.close(writing)
            assert given.read() == b"what it says"
    finally:
        os.close(reading)


@pytest.mark.parametrize("has_writer", [False, True])
def test_a_named_pipe_is_refused_though_somebody_may_write_to_it(
    tmp_path: Path, has_writer: bool
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR) if has_writer else None
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="it is a pipe or a device; name a regular file") as refused:
        open_file(pipe)
    assert refused.value.filename == str(pipe)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    if held is not None:
        os.close(held)


def test_a_device_is_refused() -> None:
    with pytest.raises(OSError, match="it is a pipe or a device"):
        open_file(Path("/dev/zero"))


def test_what_the_system_refuses_it_refuses_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        open_file(tmp_path)
    with pytest.raises(FileNotFoundError, match="No such file"):
        open_file(tmp_path / "none")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="No such device"):
            open_file(tmp_path / "socket")
