"""Files that are there whole or not at all: written under another name, then given their own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from sip2gw.backend.saving.form import GZIP, BackupError

DRAFT = ".part"
_WRITTEN_AT_ONCE = 4 * 1024 * 1024
"""Bytes after which the disk gets them: a gateway's own writes must not wait for more (C114)."""
_NAMED_BY_TIME = re.compile(r"-\d{8}T\d{6}Z\.backup\.gz")


class _Steady(contextlib.AbstractContextManager["_Steady"]):
    """A file that is written to the disk bit by bit instead of all at the end."""

    def __init__(self, descriptor: int) -> None:
        self._stream = os.fdopen(descriptor, "wb", closefd=False)
        self._written = 0

    def write(self, data: bytes) -> int:
        """Write `data`; now and then wait for the disk."""
        self._stream.write(data)
        self._written += len(data)
        if self._written >= _WRITTEN_AT_ONCE:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Wait for the disk."""
        self._stream.flush()
        os.fdatasync(self._stream.fileno())
        self._written = 0

    def __exit__(self, *failure: object) -> None:
        self._stream.close()


@contextmanager
def drafting(file: Path, *, replace: bool, check: Callable[[Path], object]) -> Iterator[BinaryIO]:
    """A stream whose content is at `file` when the block has ended and `check` has found nothing
    wrong with the draft; for its owner's eyes only.

    A killed run leaves a draft, which the next one for the same file writes anew.

    Raises:
        BackupError: the file is there already and must not be replaced, or its directory is not
            there, or another process is writing it.
    """
    insist_on_directory(file.parent)
    if replace:
        _insist_on_backup(file)
    else:
        _insist_on_none(file)
    name = file.with_name(f"{file.name}{DRAFT}")
    descriptor = _locked(name)
    try:
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        with _Steady(descriptor) as stream:
            yield stream  # type: ignore[misc]  # what gzip needs of a file
            stream.flush()
        check(name)
        if replace:
            name.replace(file)
        else:
            publish(name, file)
        flush_directory(file.parent)
    except BaseException as error:
        name.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # such as a full disk
            error.filename = str(file)
        raise
    finally:
        os.close(descriptor)


def insist_on_directory(directory: Path) -> None:
    """What is to be written goes into a directory that is there.

    Raises:
        BackupError: it is not.
    """
    if not directory.is_dir():
        raise BackupError(f"{directory}: there is no such directory; make it, or name another")


def _insist_on_none(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise BackupError(
            f"{file}: already exists and was left unchanged; name another file, or add --force"
        )


def _insist_on_backup(file: Path) -> None:
    """Whoever mistypes the name must not lose the store, or a configuration."""
    if not file.exists():
        return
    if not file.is_file():
        raise BackupError(f"{file}: is no file; name one")
    with file.open("rb") as stream:
        beginning = stream.read(len(GZIP))
    if beginning not in (b"", GZIP):
        raise BackupError(
            f"{file}: is no backup and was left unchanged; --force replaces only backups, so name"
            " another file"
        )


def _locked(name: Path) -> int:
    """The draft `name`, ours alone."""
    while True:
        descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if name.exists() and os.path.samestat(os.fstat(descriptor), name.stat()):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise BackupError(f"{name}: another backup is being written there") from None
        os.close(descriptor)  # whoever had it has just finished


def publish(draft: Path, file: Path) -> None:
    """Give `draft` the name `file`, which nobody may have.

    Raises:
        BackupError: somebody has it.
    """
    try:
        os.link(draft, file)
    except FileExistsError:
        raise BackupError(f"{file}: somebody else has made it meanwhile") from None
    except OSError:
        # A file system without hard links.
        _insist_on_none(file)
        draft.rename(file)
    draft.unlink(missing_ok=True)


def flush_directory(directory: Path) -> None:
    """Make the names in it durable; not every file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# A directory of backups


def named_by_time(directory: Path, name: str, moment: datetime) -> Path:
    """The file of a backup that is made at `moment` of the gateway called `name`."""
    return directory / f"{name}-{moment:%Y%m%dT%H%M%SZ}.backup.gz"


def backups_in(directory: Path, name: str) -> list[Path]:
    """The backups of that gateway which were named so, the oldest first."""
    found = (file for file in directory.iterdir() if file.name.startswith(name))
    return sorted(file for file in found if _NAMED_BY_TIME.fullmatch(file.name.removeprefix(name)))


def rotate(directory: Path, name: str, keep: int) -> list[Path]:
    """Remove all but the newest `keep` backups, and drafts that nobody writes; the backups
    that are gone.
    """
    for draft in directory.glob(f"{name}-*.backup.gz{DRAFT}"):
        with contextlib.suppress(BackupError):
            os.close(_locked(draft))
            draft.unlink(missing_ok=True)
    gone = backups_in(directory, name)[:-keep]
    for file in gone:
        file.unlink(missing_ok=True)
    return gone
