"""Whether a terminal has been silent for so long that somebody should look at it (B64, C145).

Terminals ask for the status every few minutes even when nobody uses them. A library may switch them
off while it is closed, so time on a day on which the branch does not open does not count.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

from sip2gw.policy.hours.calendar import BranchCalendar

SILENT_FOR = timedelta(days=1)


class SilentTerminal(Struct, frozen=True):
    """A terminal that has sent nothing since it was `heard` last."""

    terminal: str
    heard: datetime
    branch: str | None


def is_silent(heard: datetime, now: datetime, calendar: BranchCalendar | None) -> bool:
    """Whether a terminal that was `heard` last has been silent for a day in all that counts.

    Args:
        heard: when its last message came.
        now: the time of asking, aware like `heard`.
        calendar: of its branch. Without one, or without weekly hours, every day counts.
    """
    if calendar is None or not calendar.opens_weekly:
        return now - heard >= SILENT_FOR
    counted, begins = timedelta(), heard.astimezone(UTC)
    while begins < now and counted < SILENT_FOR:
        day = begins.astimezone(calendar.zone).date()
        ends = min(_midnight_after(day, calendar), now)
        if calendar.opens_on(day):
            counted += ends - begins
        begins = ends
    return counted >= SILENT_FOR


def _midnight_after(day: date, calendar: BranchCalendar) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), calendar.zone).astimezone(UTC)
