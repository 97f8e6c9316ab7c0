"""Threads that exist before they are needed (C114).

Code that starts a thread waits until the thread has begun; on a busy machine this takes as long as
others keep the processors. So the event loop starts no threads while it serves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

SHARED_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""For all that goes to a thread and has no pool of its own; as many as asyncio would have."""


def ready_pool(
    threads: int, name: str, initializer: Callable[[], object] | None = None
) -> ThreadPoolExecutor:
    """A pool of `threads`, all of which have begun; it never starts others."""
    pool = ThreadPoolExecutor(threads, name, initializer)
    all_there = Barrier(threads)
    for begun in [pool.submit(all_there.wait) for _ in range(threads)]:
        begun.result()
    return pool
