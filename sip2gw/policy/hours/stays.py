"""How long people are inside: when a stay ends by itself, and who was there when (B42, C10, C57).

A stay begins with a granted passage in and ends with the patron's next passage out. A patron who
passes no door on the way out counts as gone at closing time, or at midnight if the branch does not
close within a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time, timedelta

from msgspec import Struct

from sip2gw.model import CalendarChange, Passage
from sip2gw.policy.hours.calendar import BranchCalendar, CalendarMoment
from sip2gw.policy.hours.today import state_then
from sip2gw.protocol.structs import Discreet, Hidden

STAY_MAX = timedelta(hours=24)


def stay_end(entered: datetime, calendar: CalendarMoment) -> datetime:
    """When a stay that begins at `entered` (in the branch's zone) ends by itself.

    At closing time; at the coming midnight of the branch when it is closed now (a pass) or closes
    more than `STAY_MAX` from now.
    """
    closing = calendar.open_until
    if closing is not None and closing - entered <= STAY_MAX:
        return closing
    tomorrow = entered.date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), entered.tzinfo).astimezone(UTC)


def stay_end_under(
    calendar: BranchCalendar, changes: Sequence[CalendarChange], entered: datetime
) -> datetime:
    """The same with all that staff have changed of the hours, before and after (C139).

    Who is inside when staff change the closing time stays until the new one.
    """
    zone = calendar.zone
    end = stay_end(entered.astimezone(zone), state_then(calendar, changes, entered))
    for change in changes:
        then = state_then(calendar, changes, change.since)
        if entered < change.since < end and then.open_until is not None:
            end = stay_end(change.since.astimezone(zone), then)
    return end


class Stay(Discreet, Struct, frozen=True):
    """From a passage in to the end."""

    patron_id: Hidden[str]
    entered: datetime
    left: datetime
    seen_leaving: bool
    """False when it ended, or will end, by itself."""


def stays_of(passages: Iterable[Passage], ends: Callable[[datetime], datetime]) -> list[Stay]:
    """The stays behind `passages` (oldest first), in the order of their beginning.

    Args:
        passages: granted ones of one branch.
        ends: when a stay that begins then ends by itself.
    """
    inside: dict[str, Stay] = {}
    stays = []
    for passage in passages:
        stay = inside.get(passage.patron_id)
        goes_on = stay is not None and passage.time < stay.left
        if passage.direction == "out":
            inside.pop(passage.patron_id, None)
            if stay is not None and goes_on:
                stays.append(Stay(stay.patron_id, stay.entered, passage.time, True))
            elif stay is not None:
                stays.append(stay)
        elif not goes_on:
            if stay is not None:
                stays.append(stay)
            end = ends(passage.time)
            inside[passage.patron_id] = Stay(passage.patron_id, passage.time, end, False)
    return sorted([*stays, *inside.values()], key=lambda stay: (stay.entered, stay.patron_id))


def between(stays: Iterable[Stay], since: datetime, until: datetime) -> list[Stay]:
    """Those of `stays` that overlap the half-open span."""
    return [stay for stay in stays if stay.entered < until and stay.left > since]
