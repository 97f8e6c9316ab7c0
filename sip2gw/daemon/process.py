"""What every process of a gateway needs of the system."""

from __future__ import annotations

import asyncio
import errno
import resource
from collections.abc import Awaitable, Callable

OnReady = Callable[[list[str], str], None]
"""Called with the addresses for terminals and that for HTTP."""

LEAVE_S = 2.0
"""How long hanging threads may delay the end of the process when everything else is done."""


def raise_file_limit() -> None:
    """Allow as many open sockets as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop if the extra is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def why_not_listening(error: OSError) -> str:
    """Which address cannot be listened at, why, and what to do."""
    to_do = {
        errno.EADDRINUSE: "; end the program that has it (`ss -ltnp` names it), or choose another",
        errno.EADDRNOTAVAIL: "; this machine does not have that address: choose one of its own",
        errno.EACCES: "; ports below 1024 need the right CAP_NET_BIND_SERVICE: choose another",
    }
    problem = error.strerror or type(error).__name__
    place = f"{error.filename}: " if error.filename else ""
    return f"cannot listen: {place}{problem}{to_do.get(error.errno or 0, '')}"


def repeated(
    work: Callable[[], Awaitable[None]], first_after_s: float, every_s: float
) -> asyncio.Task[None]:
    """A task that repeats `work` until it is cancelled; what that did not expect is logged, and it
    is due again."""
    loop = asyncio.get_running_loop()

    async def when_due() -> None:
        await asyncio.sleep(first_after_s)
        while True:
            try:
                await work()
            except Exception as problem:
                failure = {"message": "a recurring task failed", "exception": problem}
                loop.call_exception_handler(failure)
            await asyncio.sleep(every_s)

    return loop.create_task(when_due())
