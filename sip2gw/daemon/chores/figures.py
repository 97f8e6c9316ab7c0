"""Figures that the gateway measures from time to time for the metrics (B67, C138).

Anything that may wait for a disk or a database runs in threads, never in the loop.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.foundation.clock import Clock, StepWatch
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log

COUNT_EVERY_S = 3600.0
"""How often patrons are counted, besides after each import."""


class StoreChore:
    """Keeps the store's figures: free disk space, last import, number of patrons."""

    def __init__(self, store: Library, metrics: Metrics, clock: Clock, log: Log) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._slow_reads = 0
        self.last_import: datetime | None = None
        """When library data was last imported; None: never, or nobody knows yet."""
        self._counted_at = float("-inf")
        self._counted_after: datetime | None = None
        """The import that the count includes."""

    async def look(self) -> None:
        """Update the figures; those that cannot be read stay as they were."""
        self._tell_slow_reads()
        try:
            self._metrics.disk_free_bytes = await self._store.disk_free_bytes()
            await self.look_for_import()
            await self._count(self.last_import)
        except BackendError as error:
            self._metrics.backend_errors["figures", error.kind] += 1
            self._log.events.warning("figures_failed", kind=error.kind, problem=str(error))

    async def look_for_import(self) -> None:
        """Find out when library data was last imported.

        Raises:
            BackendError: it stays as it was.
        """
        last = self.last_import = await self._store.last_import()
        self._metrics.last_import = last.timestamp() if last is not None else 0.0

    async def keep_import(self) -> None:
        """The same now and then; doors look at it, in every process (C138)."""
        with suppress(BackendError):  # it stays as it was, and whoever asks the store tells why
            await self.look_for_import()

    def _tell_slow_reads(self) -> None:
        new = self._store.slow_reads - self._slow_reads
        if new:
            self._slow_reads += new
            self._log.events.warning("slow_reads", reads=new)

    async def _count(self, last_import: datetime | None) -> None:
        now = self._clock.monotonic()
        if last_import == self._counted_after and now < self._counted_at + COUNT_EVERY_S:
            return
        self._metrics.patrons = await self._store.count_patrons()
        self._counted_at, self._counted_after = now, last_import


class ClockChore:
    """Counts and logs steps of the wall clock, on which hours, dates and receipts depend."""

    def __init__(self, metrics: Metrics, clock: Clock, log: Log) -> None:
        self._metrics = metrics
        self._watch = StepWatch(clock)
        self._log = log

    async def look(self) -> None:
        """Compare the wall clock with the monotonic clock; reads nothing else."""
        seconds = self._watch.step()
        if seconds:
            self._metrics.clock_steps += 1
            self._log.events.warning("clock_stepped", seconds=round(seconds, 3))
