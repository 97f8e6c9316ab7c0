"""Where a store's file is: one daemon for it, whatever path leads there, and no other.

SQLite keeps a log (`-wal`) and its index (`-shm`) beside the file, under the file's name. A process
that comes through a symbolic link gets the same two, because SQLite follows it. A process that
comes through another name of the file (a hard link) would get a separate log, and the two would
overwrite each other.

The file itself is only looked at by its name, never opened here: closing any descriptor of it
would drop the locks that SQLite holds on it for the whole process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.sql.standing import HOW_TO_MAKE, NoStoreError

_FILES_OF_SQLITE = ("", "-wal", "-shm")

_Identity = tuple[int, int]
"""Device and inode."""


class StoreInUseError(BackendError):
    """Another daemon serves the same store."""

    kind = "conflict"


class Place:
    """The place of one store's file.

    Args:
        path: as it was given; links in it are followed.
        make: whether an empty file is made if there is none.

    Raises:
        NoStoreError: there is none, and none is to be made.
        UnavailableError: there cannot be a store.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self.path = Path(os.path.realpath(path))
        """The file itself."""
        self.address: Path | str = self.path
        """By which SQLite opens it."""
        self.problem: str | None = None
        """What was wrong when it was last looked at, None for nothing."""
        self._given = path
        self._found: dict[Path, _Identity] = {}
        try:
            if make:
                _make_file(self.path)
            self._insist_on_file()
            self._insist_on_its_name()
            self._found[self.path] = _identity(self.path)
        except OSError as error:
            raise UnavailableError(f"{path}: {error.strerror}") from None

    def beside(self, suffix: str) -> Path:
        """A file of ours next to the store: by the path given if it is there, else by the file."""
        return beside(self._given, suffix)

    def lock(self) -> int:
        """Be the only daemon on this store until the descriptor is closed or the process ends.

        Raises:
            StoreInUseError: there is another.
            UnavailableError: nobody can hold a lock there.
        """
        try:
            descriptor = os.open(self._lock_file, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise UnavailableError(f"{self._lock_file}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StoreInUseError(
                f"{self._given}: another sip2gw serves this store; stop it first, or give this one"
                " its own"
            ) from None
        return descriptor

    def remember(self) -> None:
        """From now on the files that SQLite has just opened are expected here.

        Raises:
            UnavailableError: it may have opened another one.
        """
        self.insist()
        self._found = {path: _identity(path) for path in self._expected()}

    def insist(self) -> None:
        """Look whether they are still here; a few microseconds, but the disk may make it wait.

        Raises:
            UnavailableError: they are not, so nobody would ever find what is written now.
        """
        self.problem = next(filter(None, map(self._problem_of, self._found)), None)
        self.insist_as_last_seen()

    def insist_as_last_seen(self) -> None:
        """The same by the result of the last look, without waiting for anything."""
        if self.problem is not None:
            failure = UnavailableError(self.problem)
            failure.add_note(self.problem)
            raise failure

    def free_bytes(self) -> int:
        """What the file system of the store's file still takes from us.

        Raises:
            UnavailableError: there is no such file.
        """
        try:
            return shutil.disk_usage(self.path).free
        except OSError as error:
            raise UnavailableError(f"{self.path}: {error.strerror}") from None

    @property
    def _lock_file(self) -> Path:
        return Path(f"{self.path}.lock")

    def _expected(self) -> list[Path]:
        return [self._given, *(Path(f"{self.path}{suffix}") for suffix in _FILES_OF_SQLITE)]

    def _problem_of(self, path: Path) -> str | None:
        try:
            is_same = _identity(path) == self._found[path]
        except OSError as error:
            return (
                f"{path}: {error.strerror}; the store is not where it was opened: put it back, or"
                " restart the gateway"
            )
        if is_same:
            return None
        return f"{path}: another file has taken its place; restart the gateway to serve that one"

    def _insist_on_file(self) -> None:
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError:
            raise NoStoreError(f"{self._given} does not exist; {HOW_TO_MAKE}") from None
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(0, "is a directory")

    def _insist_on_its_name(self) -> None:
        """A file with several names is opened under the one by which a daemon has served it."""
        if os.stat(self.path).st_nlink > 1 and not self._lock_file.exists():
            raise UnavailableError(
                f"{self._given}: the file has other names too (hard links), and under each its"
                " latest changes would be kept apart; use the name that it was first served by,"
                " or remove the others"
            )


def beside(store: Path, suffix: str) -> Path:
    """A file of ours next to `store`: by that path if it is there, else by the file behind it."""
    given = Path(f"{store}{suffix}")
    return given if given.exists() else Path(f"{os.path.realpath(store)}{suffix}")


def _make_file(path: Path) -> None:
    """Make an empty file that only its owner may read; an existing one is left alone, unopened."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _identity(path: Path) -> _Identity:
    found = os.stat(path)
    return found.st_dev, found.st_ino
