"""A disk that can be made full, slow or failing under running processes, see `faulty_disk.c`.

`gcc` compiles the library that is preloaded; where there is none, `build` says so by returning
None, and whoever needs such a disk does without.
"""

from __future__ import annotations

import errno
import mmap
import shutil
import subprocess
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import NamedTuple

SOURCE = Path(__file__).with_name("faulty_disk.c")
_SWITCHES = Struct("=9I")


class Hits(NamedTuple):
    """How often the faults of one kind of file took effect."""

    flushes_failed: int
    writes_refused: int
    flushes_delayed: int
    pages_delayed: int = 0


class Files:
    """The switches of one kind of file; all are off at first."""

    def __init__(self, switches: mmap.mmap, offset: int) -> None:
        self._switches, self._offset = switches, offset

    def fail(
        self, *, flush: bool = False, full: bool = False, delay_s: float = 0, error: int = errno.EIO
    ) -> None:
        """Turn on what is named and everything else off.

        Args:
            flush: flushes fail with `error`.
            full: no file can get longer.
            delay_s: what each flush takes in addition, seconds.
            error: the `errno` of failing flushes.
        """
        values = _SWITCHES.unpack_from(self._switches, self._offset)
        _SWITCHES.pack_into(
            self._switches,
            self._offset,
            error if flush else 0,
            int(full),
            round(delay_s * 1000),
            *values[3:],
        )

    def cool(self, page_s: float) -> None:
        """Each page of a database is on the disk only, and takes `page_s` when it is read next."""
        *values, _, cold, delayed = _SWITCHES.unpack_from(self._switches, self._offset)
        page = (round(page_s * 1000), cold + 1, delayed)
        _SWITCHES.pack_into(self._switches, self._offset, *values, *page)

    def heal(self) -> None:
        """Turn everything off."""
        self.fail()
        self.cool(0)

    @property
    def hits(self) -> Hits:
        """What took effect so far."""
        *_, failed, refused, flushes, _, _, pages = _SWITCHES.unpack_from(
            self._switches, self._offset
        )
        return Hits(failed, refused, flushes, pages)


class FaultyDisk:
    """The preloaded library with its switches, in a directory that other users may enter, too."""

    def __init__(self, library: Path, switches: Path) -> None:
        self.environment = {"LD_PRELOAD": str(library), "FAULTY_DISK": str(switches)}
        """What a process needs that is to have such a disk."""
        with switches.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), 2 * _SWITCHES.size)
        self.store = Files(self._mapped, 0)
        """The files of the store."""
        self.spool = Files(self._mapped, _SWITCHES.size)
        """The spool of what is unknown while the store cannot be written."""

    def heal(self) -> None:
        """Turn all faults off."""
        self.store.heal()
        self.spool.heal()

    def close(self) -> None:
        """Let go of the switches."""
        self._mapped.close()

    def __enter__(self) -> FaultyDisk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def build(directory: Path) -> FaultyDisk | None:
    """Compile the library into `directory`; None where there is no gcc."""
    if shutil.which("gcc") is None:
        return None
    directory.chmod(0o755)
    library, switches = directory / "faulty_disk.so", directory / "faulty_disk.switches"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"],
        check=True,
        timeout=60,
    )
    switches.write_bytes(bytes(2 * _SWITCHES.size))
    switches.chmod(0o666)
    return FaultyDisk(library, switches)
