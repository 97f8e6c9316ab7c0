"""The gateway's share in customer support: messages for what the store knows, and their figures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.config import Config
from sip2gw.control.messages import FollowedUp
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.staff.support import follow_up


class SupportChore:
    """Opens messages for what a person must follow up, and counts what is open (B64, C145).

    Any number of gateways may do so on one store.
    """

    def __init__(
        self, store: Library, config: Callable[[], Config], metrics: Metrics, clock: Clock, log: Log
    ) -> None:
        self._store = store
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._asked: set[asyncio.Task[FollowedUp]] = set()

    def look_now(self) -> asyncio.Task[FollowedUp]:
        """Look because staff are about to read the messages, who do not write themselves (C135)."""
        task = asyncio.get_running_loop().create_task(self._look_because_asked())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        return task

    async def _look_because_asked(self) -> FollowedUp:
        await self.look()
        return FollowedUp()

    async def look(self) -> None:
        """Open what is missing, then update the figures; on a failure they stay as they were."""
        config, now = self._config(), self._clock.now()
        try:
            opened = await follow_up(self._store, config, now)
            today = now.astimezone(config.zone).date()
            counts = await asyncio.to_thread(self._store.support_counts, today)
        except BackendError as error:
            self._metrics.backend_errors["support", error.kind] += 1
            self._log.events.warning("support_failed", kind=error.kind, problem=str(error))
        else:
            self._metrics.support_open = counts.open
            self._metrics.support_overdue = counts.overdue
            if opened:
                self._log.events.info("support_opened", messages=opened)
