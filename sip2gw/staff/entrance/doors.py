"""Door decisions, and who was inside (B42, C57, C76, C96)."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, NotRequired

from typing_extensions import TypedDict

from sip2gw.model import Reveal
from sip2gw.staff.documents import Person

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.config import Branch, Config
    from sip2gw.model import AccessRow, DoorCount
    from sip2gw.monitoring.telemetry import Redactor
    from sip2gw.policy.hours.stays import Stay


class DecisionJson(TypedDict):
    """A decision at a door (C21)."""

    time: str
    branch: str
    terminal: str
    decision: str
    reason: str
    mode: str
    checks: dict[str, str]
    patron: Person


class HourJson(TypedDict):
    """How often one reason was given at a branch within an hour."""

    branch: str
    hour: str
    reason: str
    count: int


class StayJson(TypedDict):
    """Somebody who was inside."""

    patron: Person
    branch: str
    entered: str
    left: str
    seen_leaving: bool
    name: NotRequired[Person]


RevealJson = TypedDict(
    "RevealJson",
    {"time": str, "user": str, "branch": str, "from": str, "to": str, "people": int},
)
"""Somebody who asked for the names of those inside."""


def decision_json(row: AccessRow, zone: tzinfo, redactor: Redactor) -> DecisionJson:
    """A decision with the keys of C21, and the pseudonym of the patron (C76)."""
    return {
        "time": row.time.astimezone(zone).isoformat(),
        "branch": row.branch,
        "terminal": row.terminal,
        "decision": row.decision,
        "reason": row.reason,
        "mode": row.mode,
        "checks": dict(_checks(row.checks)),
        "patron": redactor.pseudonym(row.patron_id or ""),
    }


@lru_cache(maxsize=256)
def _checks(told: str) -> dict[str, str]:
    """What each check said; most decisions of a door say the same."""
    return dict(check.split("=", 1) for check in told.split())


async def patron_in_log(store: Library, card: str | None, patron: str | None) -> str | None:
    """The id under which the door log knows a patron, or the holder of a card; None for neither.

    Whom only a library system knows is in it under the number that it said.
    """
    holder = await store.find_by_card(card) if card is not None else None
    return holder.id if holder is not None else card or patron


def counts_by_hour(counts: Iterable[DoorCount], config: Config) -> list[HourJson]:
    """Counts by branch, local hour and reason; an hour that occurs twice is listed twice."""
    hours: Counter[tuple[str, str, str]] = Counter()
    for entry in counts:
        known = config.branches.get(entry.branch)
        local = entry.minute.astimezone(known.zone if known is not None else config.zone)
        hour = local.replace(minute=0).isoformat()
        hours[entry.branch, hour, entry.reason] += entry.count
    return [
        {"branch": branch, "hour": hour, "reason": reason, "count": count}
        for (branch, hour, reason), count in sorted(hours.items())
    ]


def stays_between(store: Library, branch: Branch, since: datetime, until: datetime) -> list[Stay]:
    """The people inside a branch at any moment of the span."""
    from sip2gw.policy.hours.stays import (
        STAY_MAX,
        between,
        stay_end_under,
        stays_of,
    )

    changes = store.calendar_history(branch.code)

    def ends(entered: datetime) -> datetime:
        return stay_end_under(branch.calendar, changes, entered)

    # A patron who went in before the span may still be inside, and may go out after it.
    passages = store.passages(branch.code, since - STAY_MAX, until + STAY_MAX)
    return between(stays_of(passages, ends), since, until)


def stay_json(stay: Stay, branch: Branch, redactor: Redactor) -> StayJson:
    """A stay under the pseudonym of the patron (C76)."""
    return {
        "patron": redactor.pseudonym(stay.patron_id),
        "branch": branch.code,
        "entered": stay.entered.astimezone(branch.zone).isoformat(),
        "left": stay.left.astimezone(branch.zone).isoformat(),
        "seen_leaving": stay.seen_leaving,
    }


async def write_down_reveal(
    store: Library,
    stays: Iterable[Stay],
    branch: Branch,
    span: tuple[datetime, datetime],
    user: str,
    now: datetime,
) -> int:
    """Record for good that `user` asks for the names behind `stays`, before showing them (C76).

    Returns:
        The number of people.
    """
    people = len({stay.patron_id for stay in stays})
    await store.add_reveal(Reveal(now, user, branch.code, *span, people))
    return people


async def put_names(store: Library, stays: Sequence[Stay], told: Sequence[StayJson]) -> None:
    """Put ids and names into `told`, one record for each of `stays`."""
    for stay, record in zip(stays, told, strict=True):
        holder = await store.find_patron(stay.patron_id)
        record["patron"] = stay.patron_id
        record["name"] = holder.name if holder is not None else ""


def reveal_json(reveal: Reveal, zone: tzinfo) -> RevealJson:
    """A request for names: who asked, and for which people."""
    return {
        "time": reveal.time.astimezone(zone).isoformat(),
        "user": reveal.user,
        "branch": reveal.branch,
        "from": reveal.since.astimezone(zone).isoformat(),
        "to": reveal.until.astimezone(zone).isoformat(),
        "people": reveal.people,
    }
