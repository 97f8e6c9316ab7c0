"""A file for attempts of unknown outcome while the store cannot be written (C98).

A fixed number of slots of fixed size, filled with zeros when the file is made and overwritten in
place ever after: noting an attempt needs no space and no change to the file system. A slot has a
checksum, so a slot that was half written when the machine stopped does not count; its terminal got
no answer. Dropped entries are overwritten without waiting for the disk: an entry that comes back
after a crash is settled once more, which changes nothing.

The file holds what the store holds, card numbers too, but no PIN. Only its owner may read it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import msgspec

from sip2gw.backend.attempts import (
    UnknownAttempt,
    UnknownCirculation,
    UnknownPayment,
    UnknownSending,
)

SLOT_BYTES = 4096
SLOTS = 256

_HEAD = struct.Struct(">4sII")
"""Mark, bytes of the entry, checksum of the entry."""
_MARK = b"S2GU"
_EMPTY = bytes(SLOT_BYTES)
_KINDS: dict[str, type[UnknownAttempt]] = {
    "payment": UnknownPayment,
    "circulation": UnknownCirculation,
    "sending": UnknownSending,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_encode = msgspec.msgpack.encode


class SpoolError(Exception):
    """The spool cannot be used; the text says why."""


class NoRoomError(SpoolError):
    """All slots are taken, or the entry is longer than a slot."""


class Spool:
    """One spool file, of one gateway. Every method waits for the disk: not for the loop's thread.

    Used by one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._slots: dict[str, int] = {}
        """Where each entry lies, by the id of its attempt."""
        self._free = list(reversed(range(SLOTS)))

    def open(self) -> list[UnknownAttempt]:
        """Make the file if need be and lock it for this process; returns its entries.

        Raises:
            SpoolError: it cannot be made or read, or another gateway has it.
        """
        try:
            self._file = _open(self.path)
            content = os.pread(self._file, SLOTS * SLOT_BYTES, 0)
        except BlockingIOError:
            raise SpoolError(
                f"{self.path}: another gateway holds it; give each gateway a store.spool_file of"
                " its own"
            ) from None
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from None
        entries = dict(_entries(content))
        self._slots = {known.id: slot for slot, known in entries.items()}
        self._free = [slot for slot in reversed(range(SLOTS)) if slot not in entries]
        return list(entries.values())

    def put(self, attempt: UnknownAttempt) -> None:
        """Note `attempt`; durable when this returns. Noting it again writes it again.

        Raises:
            SpoolError: it was not noted.
        """
        self._place(attempt)
        self._flush()

    def put_all(self, attempts: Iterable[UnknownAttempt]) -> list[str]:
        """Note those for which there is room, with one wait for the disk; the ids of these.

        Raises:
            SpoolError: the disk failed, and none of them is noted for certain.
        """
        noted = []
        for attempt in attempts:
            with contextlib.suppress(NoRoomError):
                self._place(attempt)
                noted.append(attempt.id)
        self._flush()
        return noted

    def _place(self, attempt: UnknownAttempt) -> None:
        entry = _encode((_NAMES[type(attempt)], attempt))
        if len(entry) > SLOT_BYTES - _HEAD.size:
            raise NoRoomError(f"{self.path}: an entry of {len(entry)} bytes does not fit")
        data = _HEAD.pack(_MARK, len(entry), crc32(entry)) + entry
        data = data.ljust(SLOT_BYTES, b"\0")
        known = self._slots.get(attempt.id)
        if known is not None:
            self._write(known, data)
            return
        self._write(self._first_free(), data)
        self._slots[attempt.id] = self._free.pop()

    def _first_free(self) -> int:
        if not self._free:
            raise NoRoomError(f"{self.path}: all {SLOTS} slots are taken")
        return self._free[-1]

    def drop(self, attempt_ids: Iterable[str]) -> None:
        """Free the slots of settled attempts; unknown ids do not matter.

        Raises:
            SpoolError: they are not free yet.
        """
        for attempt_id in attempt_ids:
            slot = self._slots.get(attempt_id)
            if slot is not None:
                self._write(slot, _EMPTY)
                self._free.append(self._slots.pop(attempt_id))

    def take_over(self, path: Path) -> list[UnknownAttempt] | None:
        """Move here what is in the spool at `path`, and remove that; returns what was in it.

        None: somebody still uses it. After a crash in between an entry is in both; it is then
        settled twice, which changes nothing.

        Raises:
            SpoolError: the disk failed, or there is no room; the file stays as it is.
        """
        other = Spool(path)
        try:
            found = other.open()
        except SpoolError:
            return None
        try:
            if len(self.put_all(found)) < len(found):
                raise NoRoomError(f"{self.path}: no room for what is in {path}")
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"{path}: {error.strerror}") from None
        finally:
            other.close()
        return found

    def check(self) -> None:
        """Prove that an attempt could be noted.

        Raises:
            SpoolError: it could not.
        """
        self._write(self._first_free(), _EMPTY)
        self._flush()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, slot: int, data: bytes) -> None:
        if self._file is None:
            raise SpoolError(f"{self.path}: not open")
        try:
            written = os.pwrite(self._file, data, slot * SLOT_BYTES)
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from None
        if written != len(data):
            raise SpoolError(f"{self.path}: a slot was written halfway")

    def _flush(self) -> None:
        if self._file is None:
            raise SpoolError(f"{self.path}: not open")
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from None


def as_row(attempt: UnknownAttempt) -> tuple[str, str]:
    """`attempt` for a backup: its kind and its JSON."""
    return _NAMES[type(attempt)], msgspec.json.encode(attempt).decode()


def of_row(kind: str, text: str) -> UnknownAttempt:
    """The attempt that `as_row` has written.

    Raises:
        ValueError: it is none.
    """
    if kind not in _KINDS:
        raise ValueError("no such kind of attempt")
    return msgspec.json.decode(text, type=_KINDS[kind])


def spool_of_worker(path: Path, worker: int) -> Path:
    """The spool of a worker of the gateway whose spool is at `path`; that of the first is there."""
    return path.with_name(f"{path.name}.{worker}") if worker else path


def spools_beside(path: Path, first: int = 1) -> list[Path]:
    """The files that the workers from `first` on have made beside the spool at `path`."""
    found = []
    with contextlib.suppress(OSError):
        for one in path.parent.iterdir():
            name, _, number = one.name.rpartition(".")
            if name == path.name and number.isascii() and number.isdigit():
                found.append((int(number), one))
    return [one for number, one in sorted(found) if number >= first]


def read_spools(path: Path) -> list[UnknownAttempt]:
    """The entries in the spools of all workers of a gateway that may be running."""
    return [known for one in (path, *spools_beside(path)) for known in read_spool(one)]


def read_spool(path: Path) -> list[UnknownAttempt]:
    """The entries in the spool of a gateway that may be running; none without a file."""
    try:
        return list(dict(_entries(path.read_bytes())).values())
    except OSError:
        return []


def _open(path: Path) -> int:
    """The file at its full size, locked for us.

    Raises:
        OSError: somebody else has it, or it cannot be made.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(descriptor).st_size
        if size < SLOTS * SLOT_BYTES:
            _fill(descriptor, size)
            _flush_directory(path.parent)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _fill(descriptor: int, size: int) -> None:
    """Write zeros, not a hole: overwriting them later takes no space."""
    start = size - size % SLOT_BYTES
    for slot in range(start // SLOT_BYTES, SLOTS):
        data = _EMPTY
        while data:
            data = data[os.pwrite(descriptor, data, (slot + 1) * SLOT_BYTES - len(data)) :]
    os.fsync(descriptor)


def _flush_directory(directory: Path) -> None:
    """Make the file's name durable; not every file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _entries(content: bytes) -> Iterable[tuple[int, UnknownAttempt]]:
    for slot in range(len(content) // SLOT_BYTES):
        start = slot * SLOT_BYTES
        mark, size, checksum = _HEAD.unpack_from(content, start)
        entry = content[start + _HEAD.size : start + SLOT_BYTES][:size]
        if mark == _MARK and len(entry) == size and crc32(entry) == checksum:
            name, raw = msgspec.msgpack.decode(entry, type=tuple[str, msgspec.Raw])
            yield slot, msgspec.msgpack.decode(raw, type=_KINDS[name])
