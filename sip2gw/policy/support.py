"""How messages of customer support move on, and by when (B64, C145, C163)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sip2gw.model.support import SupportStatus
from sip2gw.policy.calendar import BranchCalendar


def _statuses(letters: str) -> frozenset[SupportStatus]:
    return frozenset(map(SupportStatus, letters))


CLOSED_STATUSES = _statuses("XYZ")

TRANSITIONS: Mapping[SupportStatus, frozenset[SupportStatus]] = {
    SupportStatus.OPEN: _statuses("BCDXZ"),
    SupportStatus.SENT: _statuses("CDXZ"),
    SupportStatus.AT_CUSTOMER: _statuses("DXYZ"),
    SupportStatus.AT_LIBRARY: _statuses("CXZ"),
    SupportStatus.CLOSED_BY_LIBRARY: _statuses("A"),
    SupportStatus.CLOSED_BY_REPORTER: _statuses("A"),
    SupportStatus.CLOSED: _statuses("A"),
}
"""What may follow what (C145); from a closed status to open is reopening."""


def may_follow(before: SupportStatus, after: SupportStatus) -> bool:
    """Whether a message may go from `before` to `after`."""
    return after in TRANSITIONS[before]


def status_when_answered(before: SupportStatus, has_patron: bool) -> SupportStatus | None:
    """What an answer of the library makes of an open message; None: a closed one takes none.

    With a patron the message waits for them, even if it did so before. Without one nobody is going
    to respond: the answer is kept, and the status stays.
    """
    if before in CLOSED_STATUSES:
        return None
    return SupportStatus.AT_CUSTOMER if has_patron else before


@dataclass(frozen=True, slots=True)
class OpeningDays:
    """The days that preferred response and processing times count (C163)."""

    calendars: Mapping[str, BranchCalendar]
    """By code of the branch, in the order of the configuration."""
    zone: ZoneInfo
    """The institution's: whose date it is where there is no branch at all."""

    def due(self, now: datetime, days: int, branch: str | None = None) -> date:
        """The last of `days` opening days that begin tomorrow; with 0 days today.

        Staffed or not, a day counts when the branch opens on it. An unknown branch is taken for
        none, and then the first branch counts. Where no weekly hours are given, which would mean
        always closed, plain days count.
        """
        calendar = self.calendars.get(branch) if branch is not None else None
        if calendar is None:
            calendar = next(iter(self.calendars.values()), BranchCalendar(zone=self.zone))
        day = now.astimezone(calendar.zone).date()
        if not calendar.opens_weekly:
            return day + timedelta(days=days)
        while days:
            day += timedelta(days=1)
            days -= calendar.opens_on(day)
        return day
