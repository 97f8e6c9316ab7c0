"""What staff have changed of the branches' hours, as the store said last (C139)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sip2gw.model import CalendarChange
from sip2gw.policy.hours.calendar import BranchCalendar, CalendarMoment
from sip2gw.policy.hours.today import ChangedHours


class Today:
    """The last change of each branch, and what its hours are under it.

    A door looks here with each request, and nobody asks the store meanwhile. So a branch that was
    closed stays closed while the store is away.
    """

    def __init__(self) -> None:
        self._changes: dict[str, CalendarChange] = {}
        self._hours: dict[str, ChangedHours] = {}

    def learn(self, changes: Iterable[CalendarChange]) -> list[CalendarChange]:
        """Take over the last change of each branch; returns those that are news."""
        told = {change.branch: change for change in changes}
        news = [one for branch, one in told.items() if self._changes.get(branch) != one]
        for change in news:
            self._hours.pop(change.branch, None)
        self._changes = told
        return news

    def state_at(self, branch: str, calendar: BranchCalendar, moment: datetime) -> CalendarMoment:
        """What `branch` is at `moment`; `calendar` are its configured hours."""
        change = self._changes.get(branch)
        if change is None:
            return calendar.state_at(moment)
        hours = self._hours.get(branch)
        if hours is None or hours.calendar is not calendar:
            hours = self._hours[branch] = ChangedHours(calendar, change)
        return hours.state_at(moment)
