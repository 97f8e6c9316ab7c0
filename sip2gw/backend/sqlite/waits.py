"""Distinguishing a disk that makes a thread wait from a busy machine (C114).

A thread that took long has done one of four things. It ran, or it was ready and others had the
processor: the kernel counts both. It waited for the disk: then the kernel has read blocks on its
behalf, for all disks and file systems that keep count. Or it waited for Python's interpreter lock:
that is a wait of at most one switch interval, then another and another, and only a little longer if
the thread with the lock waits for a processor. So without counted blocks only waits far longer than
that are due to the disk.

Looking at the kernel's numbers for a thread costs 1.5 µs. If the kernel keeps none, no read is ever
found to be slow.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import NamedTuple

SLOW_S = 0.005
"""A read that waited longer than this for the disk is a slow one."""

_SCHEDSTAT = "/proc/thread-self/schedstat"
_SCHEDSTAT_BYTES_MAX = 100
_INTERVALS = 10
"""So many switch intervals no wait for the interpreter lock takes, one with another."""


class Account(NamedTuple):
    """What the kernel has counted for a thread since it began."""

    busy_s: float
    """It ran, or was ready to run and had to wait for a processor."""
    waits: int
    """How often it waited for anything else."""
    blocks: int
    """What it read from a disk, in blocks of 512 bytes."""


def waited_for_disk(wall_s: float, before: Account, after: Account) -> bool:
    """Whether more than `SLOW_S` of `wall_s` went by waiting for a disk.

    What the thread did between `before` and the beginning of `wall_s` is counted in its favour.
    """
    busy_s = after.busy_s - before.busy_s
    waited_s = wall_s - busy_s
    if waited_s <= SLOW_S:
        return False
    if after.blocks > before.blocks:
        return True
    waits = after.waits - before.waits
    return waits > 0 and waited_s > max(busy_s, waits * _INTERVALS * sys.getswitchinterval())


class Accounts:
    """The account of the one thread that looks at it, whichever looks first."""

    def __init__(self) -> None:
        self._file: int | None = None

    def look(self) -> Account | None:
        """As of now; None where the kernel does not tell, or has no descriptor left for us."""
        try:
            if self._file is None:
                self._file = os.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
            ran, ready, *_ = os.pread(self._file, _SCHEDSTAT_BYTES_MAX, 0).split()
        except (OSError, ValueError):
            return None
        used = resource.getrusage(resource.RUSAGE_THREAD)
        return Account((int(ran) + int(ready)) / 1e9, used.ru_nvcsw, used.ru_inblock)

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
