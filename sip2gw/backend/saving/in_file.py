"""A SQLite file as the source and the target of a backup."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.saving.drafts import flush_directory, publish
from sip2gw.backend.saving.form import BackupError
from sip2gw.backend.saving.putting import belong_to_directory
from sip2gw.backend.saving.taking import Source, merged
from sip2gw.backend.spool import read_spool
from sip2gw.backend.sqlite.database import SqliteConnection, draft, look_into
from sip2gw.backend.sqlite.place import beside
from sip2gw.backend.sqlite.reading import ReadingPlace

_FILES_OF_SQLITE = ("", "-wal", "-shm", "-journal")


@contextmanager
def source(path: Path, secret_file: Path | None) -> Iterator[Source]:
    """The store in `path` as it is at one moment; a gateway may be working on it.

    Raises:
        UnavailableError: there is none, or it cannot be read.
    """
    if not path.is_file():
        raise UnavailableError(f"{path}: there is no store; check store.url")
    spool, since = spool_of(path), datetime.now(UTC)
    before = read_spool(spool)
    try:
        with look_into(ReadingPlace(path).address) as connection:
            spooled = merged(before, read_spool(spool))
            secret_file = secret_file or beside(path, ".pin-secret")
            yield Source("sqlite", since, connection, spooled, secret_file)
    except sqlite3.Error as error:
        raise UnavailableError(f"{path}: the store cannot be read: {error}") from None


def spool_of(path: Path) -> Path:
    """The spool of the gateway on the store in `path`."""
    return Path(f"{os.path.realpath(path)}.spool")


@contextmanager
def new_store(path: Path) -> Iterator[SqliteConnection]:
    """A new store that is at `path` when the block has ended, whole; until then it has another
    name. No gateway can start there meanwhile.

    Raises:
        BackupError: something is there already.
        UnavailableError: nothing can be made there.
    """
    real = Path(os.path.realpath(path))
    try:
        with _alone_at(real):
            _insist_on_nothing(real)
            with _drafted(real) as connection:
                yield connection
    except OSError as error:
        raise UnavailableError(f"{error.filename or path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise UnavailableError(f"{path}: the store cannot be written: {error}") from None


def _insist_on_nothing(path: Path) -> None:
    for suffix in _FILES_OF_SQLITE:
        file = Path(f"{path}{suffix}")
        if file.exists():
            raise BackupError(
                f"{file}: is there already and was left unchanged; stop the gateway, move it away"
                " (with its -wal and -shm), then restore"
            )


@contextmanager
def _alone_at(path: Path) -> Iterator[None]:
    """Hold the lock that a gateway on this store would hold (`Place.lock`)."""
    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupError(
                f"{path}: a gateway or another restore is using it; stop it first"
            ) from None
        belong_to_directory(Path(f"{path}.lock"))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _drafted(path: Path) -> Iterator[SqliteConnection]:
    """The connection to a file that takes the place of `path` at the end; a killed restore leaves
    its draft, which the next one replaces.
    """
    name = Path(f"{path}.restoring")
    name.unlink(missing_ok=True)
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with closing(draft(name)) as connection:
            yield connection
            connection.execute("COMMIT")
        belong_to_directory(name)
        _flush(name)
        publish(name, path)
        flush_directory(path.parent)
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
