"""When to believe a terminal that says that something has already happened. (B57, C106, C125)"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

BELIEVED_AFTER = timedelta(minutes=2)
"""What is younger happens now: a terminal that was off line needs longer than that."""
EARLIEST = timedelta(days=400)
LATEST = timedelta(days=1)
"""How far behind or ahead of our clock a date may be; a terminal's clock may be wrong."""
DUE_LATEST = timedelta(days=3_653)
"""Ten years."""


class Doubt(StrEnum):
    """What else staff should know, in the words of a review."""

    DATE = "date_ignored"
    DUE_DATE = "due_date_ignored"


class Claim(Struct, frozen=True):
    """A terminal's claim, with no block `Y`, that something has already happened."""

    believed: bool
    """It is done whatever speaks against it; else it is judged like any other request."""
    moment: datetime | None = None
    """When it happened; None: as if now."""
    due: datetime | None = None
    """The due date that the terminal gave the patron."""
    doubts: tuple[Doubt, ...] = ()


Said = Sequence[datetime | None]
"""Dates that a terminal gave, the best first; None is one that names no moment."""


def judge_claim(now: datetime, *, accepted: bool, dates: Said, due: Said) -> Claim:
    """What to make of a no block `Y`.

    Args:
        now: by our clock.
        accepted: whether the profile accepts such claims at all.
        dates: when it happened.
        due: until when the item was lent.
    """
    usable = [one for one in dates if _between(now - EARLIEST, one, now + LATEST)]
    usable_due = [one for one in due if _between(now, one, now + DUE_LATEST)]
    doubts = []
    if len(usable) < len(dates):
        doubts.append(Doubt.DATE)
    if len(usable_due) < len(due):
        doubts.append(Doubt.DUE_DATE)
    believed = accepted and any(one and one < now - BELIEVED_AFTER for one in dates)
    if not believed:
        return Claim(believed=False, doubts=tuple(doubts))
    return Claim(True, next(iter(usable), None), next(iter(usable_due), None), tuple(doubts))


def usable_due(now: datetime, said: datetime | None) -> datetime | None:
    """The due date that a terminal says it gave, if it can be one: many terminals fill the field
    with the moment of the request (C125)."""
    return said if said != now and _between(now, said, now + DUE_LATEST) else None


def _between(first: datetime, moment: datetime | None, last: datetime) -> bool:
    return moment is not None and first <= moment <= last
