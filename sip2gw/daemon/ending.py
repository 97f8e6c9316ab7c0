"""Ends the process in time even if something hangs: each part has a time limit."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable

from sip2gw.monitoring.telemetry import Log


class Ending:
    """Ends one part after the other, and remembers those it had to abandon."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.given_up: list[str] = []

    async def part(self, name: str, within_s: float, work: Awaitable[object]) -> None:
        """Wait for `work` for at most `within_s` seconds; a failure is logged."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=within_s)
        if not done:
            task.cancel()
            self.given_up.append(name)
        elif not task.cancelled() and (error := task.exception()) is not None:
            self._log.events.error("stop_failed", part=name, exc_info=error)
            self.given_up.append(name)

    def tell(self) -> None:
        """Log how it went."""
        if self.given_up:
            self._log.events.error("stop_incomplete", given_up=self.given_up)
        self._log.events.info("stopped")


def leave_within(seconds: float, status: int) -> threading.Timer:
    """End the process with `status` after `seconds`, unless it has ended or the timer is cancelled.

    At its end Python waits for threads that nothing can interrupt, such as the look-up of a name or
    a write to a hanging disk.
    """
    timer = threading.Timer(seconds, os._exit, (status,))
    timer.daemon = True
    timer.start()
    return timer
