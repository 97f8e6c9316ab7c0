"""Threads that exist before they are needed (C114).

Code that starts a thread waits until the thread has begun; on a busy machine this takes as long as
others keep the processors. So the event loop starts no threads while it serves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

SHARED_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""For all that goes to a thread and has no pool of its own; as many as asyncio would have."""
NICENESS = 10
"""How far a thread that steps back yields to others, on Linux's scale."""


def ready_pool(
    threads: int, name: str, initializer: Callable[[], object] | None = None
) -> ThreadPoolExecutor:
    """A pool of `threads`, all of which have begun; it never starts others."""
    pool = ThreadPoolExecutor(threads, name, initializer)
    all_there = Barrier(threads)
    for begun in [pool.submit(all_there.wait) for _ in range(threads)]:
        begun.result()
    return pool


def step_back() -> None:
    """Let this thread's work wait for that of the gateway's event loop.

    From wherever the gateway was started: a lower niceness than its own only root may have, and the
    same would not wait for anybody.
    """
    thread = threading.get_native_id()
    own = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, own + NICENESS)  # Linux takes what is over 19 for 19
