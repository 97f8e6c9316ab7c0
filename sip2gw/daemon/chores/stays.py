"""Moves the ends of stays when the hours of their branch change meanwhile (C10, C139)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sip2gw.backend.base import Backend, BackendError
from sip2gw.foundation.clock import Clock
from sip2gw.handlers import TerminalView
from sip2gw.policy.hours.calendar import OpeningState
from sip2gw.policy.hours.stays import STAY_MAX
from sip2gw.serving.site import Site
from sip2gw.shared.today import Today

LATE = timedelta(seconds=1)
"""So long after it was to close a branch is not yet known to stay open (C139)."""


class StayChore:
    """Whoever is inside while staff keep the branch open for longer, or a reload does, stays
    inside until the new closing time.
    """

    def __init__(
        self, backend: Backend, today: Today, clock: Clock, site: Callable[[], Site]
    ) -> None:
        self._backend, self._today, self._clock, self._site = backend, today, clock, site
        self._closings: dict[str, datetime | None] = {}
        """Of each branch that counts people; None while it is closed, or open for days. A branch
        that is missing was not looked at before: the gateway has just begun."""
        self._looked: datetime | None = None

    async def look(self) -> None:
        """Move the stays of each branch that closes at another time than when we looked last."""
        now = self._clock.now()
        since, self._looked = self._looked or now, now
        views = {
            known.view.branch: known.view
            for known in self._site().by_name.values()
            if known.view.branch is not None and known.view.counts_inside
        }
        for branch, view in views.items():
            closing, before = self._closing(branch, view, now), self._closings.get(branch, now)
            # If it has been closed since, its next closing time concerns nobody who is inside.
            was_open = before is not None and before > now - LATE
            if was_open and closing is not None and closing != before:
                try:
                    await self._backend.move_stays(branch, since, closing)
                except BackendError:
                    self._looked = since
                    continue  # the next look tries again
            self._closings[branch] = closing

    def _closing(self, branch: str, view: TerminalView, now: datetime) -> datetime | None:
        if view.calendar is None:
            return None
        moment = self._today.state_at(branch, view.calendar, now)
        closing = moment.open_until
        if moment.state is OpeningState.CLOSED or closing is None or closing - now > STAY_MAX:
            return None
        return closing
