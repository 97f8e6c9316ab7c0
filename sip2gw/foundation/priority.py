"""Giving way to the gateway's event loop, with which other work may have to share a core.

Niceness says who gets how much of a core. It does not say who waits: on Linux since 6.6 whoever
computes keeps the core until its turn is over, up to some milliseconds, before somebody who wakes
up and has a lower niceness gets it. Since 6.12 a task may ask for turns of another length, and does
not keep the core from one that has asked for shorter ones, as the loop's usual ones are. So what
steps back asks for the longest. Its share stays as large as its niceness says, unlike that of
`SCHED_IDLE`, which would get next to nothing on a machine that others keep busy.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from typing import ClassVar

NICENESS = 10
"""How far whatever steps back yields to others, on Linux's scale."""
LONG_TURN_NS = 100_000_000
"""The longest turn that Linux grants."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The number of the system call, for which only new C libraries have a function."""


class _Attributes(ctypes.Structure):
    """Linux's `struct sched_attr`."""

    _fields_: ClassVar = [
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    ]


def step_back() -> None:
    """Let this thread, and those that it starts, wait for the gateway's event loop.

    From wherever the gateway was started: a lower niceness than its own only root may have, and the
    same would not wait for anybody.
    """
    thread = threading.get_native_id()
    own = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, own + NICENESS)  # Linux takes what is over 19 for 19
    _take_long_turns(os.getpriority(os.PRIO_PROCESS, thread))


def _take_long_turns(niceness: int) -> None:
    """Ask for long turns; an older Linux knows none, and elsewhere nobody is asked."""
    call = _SCHED_SETATTR.get(platform.machine())
    if call is None:
        return
    asked = _Attributes(
        size=ctypes.sizeof(_Attributes),
        policy=os.SCHED_OTHER,
        nice=niceness,
        runtime=LONG_TURN_NS,
    )
    # A no changes nothing: niceness counts all the same.
    ctypes.CDLL(None).syscall(call, 0, ctypes.byref(asked), 0)
