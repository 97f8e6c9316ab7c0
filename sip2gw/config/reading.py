"""Reading the files of a configuration, and those that it names."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_file(path: Path) -> BinaryIO:
    """`path`, open for reading; nobody has to wait for what a named pipe or a device may say.

    A pipe that this program was given, as by `--config /dev/stdin` and `--config <(…)`, is read.

    Raises:
        OSError: it cannot be read, or is no regular file; `strerror` says what to do then.
    """
    return open(path, "rb", opener=_open_at_once)


def read_file(path: Path, at_most: int = -1) -> bytes:
    """The first `at_most` bytes of `path`, or all; raises as `open_file` does."""
    with open_file(path) as file:
        return file.read(at_most)


def _open_at_once(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if _may_keep_waiting(descriptor):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a pipe or a device; name a regular file", path)
    os.set_blocking(descriptor, True)
    return descriptor


def _may_keep_waiting(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode):
        # One without a name, `pipe:[…]`, has somebody at its other end already.
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("/")
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
