"""Today's opening hours: staff close a branch now, or open it without staff (C139)."""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from sip2gw.model import AS_CONFIGURED, CalendarChange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sip2gw.backend.library import Library
    from sip2gw.config import Branch, Config
    from sip2gw.policy.hours.calendar import OpeningState


_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}")


class ChangeJson(TypedDict):
    """What staff have changed of a branch's hours; null and empty: nothing."""

    since: str | None
    until: str | None
    reason: str
    user: str


class PastChangeJson(ChangeJson):
    """A change that staff made."""

    branch: str
    state: str


class BranchJson(ChangeJson):
    """A branch as it is now."""

    branch: str
    name: str
    state: str
    open_until: str | None
    changed: bool


def today_at(text: str, now: datetime) -> datetime | None:
    """The time HH:MM of the day of `now`; one that comes twice, when clocks go back, is the next.

    Returns:
        None where `text` is no time of a day.

    Raises:
        ValueError: it looks like one, but no day has it.
    """
    from sip2gw.config.types import parse_minute

    if not _CLOCK.fullmatch(text):
        return None
    minute = parse_minute(text)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first = midnight + timedelta(minutes=minute)
    return first if first.timestamp() > now.timestamp() else first.replace(fold=1)


def new_change(
    branch: Branch, state: OpeningState, span: tuple[datetime, datetime], reason: str, user: str
) -> CalendarChange:
    """What `user` changes of the hours of `branch`, in UTC, where hours of a night do not come
    twice.
    """
    since, until = (moment.astimezone(UTC) for moment in span)
    return CalendarChange(branch.code, state.value, since, until, reason.strip(), user)


async def change_hours(store: Library, change: CalendarChange) -> None:
    """Close or open a branch from now on, instead of any earlier change there.

    Raises:
        RefusedError: it would have ended already.
    """
    from sip2gw.backend.base import RefusedError

    if change.until <= change.since:
        raise RefusedError(
            f"branch {change.branch} was left as it is: the end that was given is past;"
            " give a later one"
        )
    await store.change_calendar(change)


async def end_change(store: Library, branch: str, user: str, now: datetime) -> None:
    """Let the configured hours of `branch` hold again.

    Raises:
        RefusedError: they do already.
    """
    from sip2gw.backend.base import RefusedError

    changes = {one.branch: one for one in await store.calendar_changes()}
    if branch not in changes or now >= changes[branch].until:
        raise RefusedError(f"branch {branch} has its configured hours already")
    await store.change_calendar(CalendarChange(branch, AS_CONFIGURED, now, now, "", user))


async def branches(store: Library, config: Config, now: datetime) -> list[BranchJson]:
    """Every branch as it is now, and what staff have changed so that it is."""
    changes = {one.branch: one for one in await store.calendar_changes()}
    return [
        _branch_json(branch, changes.get(code), now) for code, branch in config.branches.items()
    ]


def changes_json(store: Library, branch: Branch) -> Iterator[PastChangeJson]:
    """All changes of a branch's hours that staff ever made, oldest first."""
    for change in store.calendar_history(branch.code):
        yield {"branch": branch.code, "state": change.state, **_change_json(change, branch)}


def _branch_json(branch: Branch, change: CalendarChange | None, now: datetime) -> BranchJson:
    from sip2gw.policy.hours.today import state_then

    shown = change if change is not None and now < change.until else None
    moment = state_then(branch.calendar, [shown] if shown is not None else [], now)
    open_until = moment.open_until
    return {
        "branch": branch.code,
        "name": branch.name,
        "state": moment.state,
        "open_until": open_until.astimezone(branch.zone).isoformat() if open_until else None,
        "changed": shown is not None,
        **(_change_json(shown, branch) if shown is not None else _UNCHANGED),
    }


def _change_json(change: CalendarChange, branch: Branch) -> ChangeJson:
    return {
        "since": change.since.astimezone(branch.zone).isoformat(),
        "until": change.until.astimezone(branch.zone).isoformat(),
        "reason": change.reason,
        "user": change.user,
    }


_UNCHANGED: ChangeJson = {"since": None, "until": None, "reason": "", "user": ""}
