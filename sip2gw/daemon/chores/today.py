"""Learns from the store what staff change of today's hours (C139)."""

from __future__ import annotations

from sip2gw.backend.base import Backend, BackendError
from sip2gw.foundation.clock import Clock
from sip2gw.model import AS_CONFIGURED
from sip2gw.monitoring.telemetry import Log
from sip2gw.shared.today import Today

LOOK_EVERY_S = 0.5
"""One small read each time, so a door knows a change within a second, and no request waits."""


class TodayChore:
    """Keeps `Today` as the store has it; a store that fails changes nothing."""

    def __init__(self, backend: Backend, today: Today, clock: Clock, log: Log) -> None:
        self._backend = backend
        self._today = today
        self._clock = clock
        self._log = log

    async def look(self) -> None:
        """Learn what is new, and log it unless it has ended."""
        try:
            changes = await self._backend.calendar_changes()
        except BackendError:
            return  # the watch over the backend tells
        now = self._clock.now()
        for change in self._today.learn(changes):
            if change.until >= now or change.state == AS_CONFIGURED:
                self._log.events.info(
                    "hours_changed",
                    branch=change.branch,
                    state=change.state,
                    until=change.until.isoformat(),
                )
