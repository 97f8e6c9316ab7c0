"""Signals that come before the loop can hear them: noted, and minded once it runs.

By default SIGHUP and SIGTERM would kill a gateway that has only begun to import its modules, and
Ctrl-C would print where it was. So this is the first that `sip2gw serve` imports, and it imports
next to nothing itself.
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
    """While it lasts these signals are noted, until somebody else hears them; for the main thread.

    It ends with none noted, and with all as it was before.
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
    """Whether the process was told to end before it could hear it."""
    return not _noted.isdisjoint(STOP)


def hear(
    loop: AbstractEventLoop, on_stop: Callable[[], object], on_reload: Callable[[], object]
) -> None:
    """Hear signals in `loop` from now on, and those that were noted before."""
    for number, act in ((RELOAD, on_reload), *((number, on_stop) for number in STOP)):
        loop.add_signal_handler(number, act)
        if number in _noted:
            loop.call_soon(act)
