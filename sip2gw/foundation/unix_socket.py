"""Unix sockets of a gateway: made for whom they are meant, at any path, removed at the end.

The path of a Unix socket may have 107 bytes; a longer one is reached through a descriptor of its
directory. A socket that a dead gateway left is replaced, that of a living one is not (C130).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATH_BYTES_MAX = 107
BACKLOG = 16
OWNER, OWNER_AND_GROUP = 0o600, 0o660
"""Who may connect."""
_TURN_TRIES, _TURN_EVERY_S = 20, 0.05
_ANSWERS_WITHIN_S = 1.0
"""A living gateway accepts at once: the kernel does it, unless too many wait already."""


class InUseError(OSError):
    """A living gateway listens there."""


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of `path` that is short enough for a socket, as long as the context lasts.

    Raises:
        OSError: there is no such directory.
    """
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def connect(path: Path, timeout_s: float) -> socket.socket:
    """A connection to the gateway that listens at `path`.

    Raises:
        OSError: nobody listens there, or it may not be spoken to.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        line.settimeout(timeout_s)
        with reachable(path) as name:
            line.connect(name)
    except BaseException:
        line.close()
        raise
    return line


class Place:
    """A socket of this gateway; blocks for moments, so it is for a thread.

    Args:
        key: the key of the configuration that names it.
        mode: who may connect.
    """

    def __init__(self, path: Path, key: str = "server.socket", mode: int = OWNER) -> None:
        self.path = path
        self._key, self._mode = key, mode
        self._made: tuple[int, int, int] | None = None
        """Identifies the file that we made."""

    def open(self) -> socket.socket:
        """Listen there.

        Raises:
            InUseError: a living gateway does already.
            OSError: it cannot be made; what is there is left as it is.
        """
        with _alone_in(self.path.parent):
            self._clear()
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                # Linux gives the file the mode of the socket, so it is never open to others.
                os.fchmod(listener.fileno(), self._mode)
                with reachable(self.path) as name:
                    listener.bind(name)
                    os.chmod(name, self._mode)  # the umask may have taken something away
                self._made = _identity(self.path)
                listener.listen(BACKLOG)
                listener.setblocking(False)
            except BaseException:
                listener.close()
                raise
        return listener

    def _clear(self) -> None:
        """Remove what a dead gateway left."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise FileExistsError(
                errno.EEXIST,
                f"exists already and is not a socket; remove it or change {self._key}",
                str(self.path),
            )
        try:
            connect(self.path, _ANSWERS_WITHIN_S).close()
        except ConnectionRefusedError:
            self.path.unlink()
            return
        except (TimeoutError, BlockingIOError):
            pass  # it is alive, but too busy to accept
        raise InUseError(errno.EADDRINUSE, "belongs to a gateway that is running", str(self.path))

    def adopt(self) -> None:
        """The file there was made by a gateway that left its socket to us, and is ours now."""
        with suppress(OSError):
            self._made = _identity(self.path)

    def is_ours(self) -> bool:
        """Whether a client that connects there reaches us."""
        with suppress(OSError):
            return self._made is not None and _identity(self.path) == self._made
        return False

    def remove(self) -> None:
        """Take the file away, if it is still ours."""
        if self.is_ours():
            with suppress(OSError):
                self.path.unlink()
        self._made = None


def _identity(path: Path) -> tuple[int, int, int]:
    """Device, inode and time of creation, because the number of a deleted inode is used again."""
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_ctime_ns


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Make two gateways that start together take turns."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(_TURN_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:  # somebody has it, or the file system has no locks; go on without
                time.sleep(_TURN_EVERY_S)
        yield
    finally:
        os.close(descriptor)
