"""Notes signals that arrive before the loop runs, and obeys them once it does.

By default SIGHUP and SIGTERM would kill a gateway that is still importing its modules, and Ctrl-C
would print a traceback. So `sip2gw serve` imports this module first, and it imports hardly anything
itself.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from types import FrameType

STOP = (signal.SIGTERM, signal.SIGINT)
RELOAD = signal.SIGHUP

_noted: set[int] = set()


@contextmanager
def noted_early() -> Iterator[None]:
    """Note these signals until `hear` takes over; to be used in the main thread.

    At the end nothing is noted any more, and the earlier handlers are back.
    """
    before = {number: signal.signal(number, _note) for number in (*STOP, RELOAD)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _noted.clear()


def _note(number: int, frame: FrameType | None) -> None:
    _noted.add(number)


def stop_was_asked_for() -> bool:
    """Whether the process was told to stop before the loop ran."""
    return not _noted.isdisjoint(STOP)


def hear(
    loop: AbstractEventLoop, on_stop: Callable[[], object], on_reload: Callable[[], object]
) -> None:
    """Handle signals in `loop` from now on, including those noted before."""
    for number, act in ((RELOAD, on_reload), *((number, on_stop) for number in STOP)):
        loop.add_signal_handler(number, act)
        if number in _noted:
            loop.call_soon(act)
