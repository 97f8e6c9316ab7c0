"""The hours of a branch while staff have closed it or opened it by hand (C139).

Such a change goes before the whole configured calendar, its exceptions included, until it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sip2gw.model import AS_CONFIGURED, CalendarChange
from sip2gw.policy.hours.calendar import BranchCalendar, CalendarMoment, OpeningState


class ChangedHours:
    """The configured hours of a branch under the last change of staff's."""

    def __init__(self, calendar: BranchCalendar, change: CalendarChange) -> None:
        self.calendar = calendar
        self.change = change
        self._told = _while_it_lasts(calendar, change)

    def state_at(self, moment: datetime) -> CalendarMoment:
        """What the branch is at `moment` (aware), which is not before the change."""
        if self._told is not None and moment < self.change.until:
            return self._told
        return self.calendar.state_at(moment)


def _while_it_lasts(calendar: BranchCalendar, change: CalendarChange) -> CalendarMoment | None:
    """What holds until the change ends; None for the configured hours.

    If the configured hours go on when a branch that staff opened is to close, it stays open.
    """
    if change.state == AS_CONFIGURED:
        return None
    state = OpeningState(change.state)
    if state is OpeningState.CLOSED:
        return CalendarMoment(state, None, change)
    then = calendar.state_at(change.until)
    ends = change.until if then.state is OpeningState.CLOSED else then.open_until
    return CalendarMoment(state, ends, change)


def state_then(
    calendar: BranchCalendar, changes: Iterable[CalendarChange], moment: datetime
) -> CalendarMoment:
    """What a branch was at `moment`, by all `changes` of it, in their order."""
    last = None
    for change in changes:
        if change.since <= moment:
            last = change
    return (
        calendar.state_at(moment) if last is None else ChangedHours(calendar, last).state_at(moment)
    )
