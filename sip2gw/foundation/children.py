"""Starting other processes of this program, how soon after one has failed, and their end."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import sip2gw

RESTART_AFTER_S = 0.1
"""Seconds to wait after the first failure; each further failure doubles them."""
RESTART_AFTER_MAX_S = 5.0
LIVED_S = 10.0
"""After a process has lived this long, its next failure counts as the first."""

_PR_SET_PDEATHSIG = 1


def restart_after(failures: int) -> float:
    """Seconds to wait after `failures` failures in a row."""
    return float(min(RESTART_AFTER_S * 2 ** min(failures - 1, 16), RESTART_AFTER_MAX_S))


def cpu_ticks(pid: int) -> int:
    """How long the process has computed, in the kernel's ticks; 0 if it has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            user, system = stat.read().rpartition(b")")[2].split()[11:13]
    except OSError:
        return 0
    return int(user) + int(system)


def start_module(
    module: str, arguments: Iterable[object], handed: Iterable[int], *, stderr: int | None = None
) -> subprocess.Popen[bytes]:
    """Start `python -m module` with these descriptors; blocks until the program is loaded.

    Ctrl-C must reach only the gateway, which then stops the process. The process needs the
    gateway's session: Linux shares a core among sessions first (sched_autogroup), and niceness has
    no effect between sessions.
    """
    path = [str(Path(sip2gw.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(  # noqa: S603 -- this very program
        [sys.executable, "-P", "-m", module, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=tuple(handed),
        process_group=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
    )


def end_with(parent: int) -> None:
    """From now on this process is killed when process `parent`, which has started it, dies (C130).

    It need not take its turns for that: it may still import, or be stopped. If `parent` has died
    already, it ends at once.

    Linux kills it when the very thread that has started it ends. So that must be one that lives as
    long as the gateway, as those of an event loop's pool do.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit()
