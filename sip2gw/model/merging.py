"""Two records of one person become one: what happens to each thing of the former one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from sip2gw.model.notices import NoticeState
from sip2gw.model.support import SupportStatus


class MergeResult(StrEnum):
    """What becomes of one thing of the patron who is merged."""

    MOVED = "moved"
    """It belongs to the other patron now."""
    JOINED = "joined"
    """The other patron has the like; the two become one."""
    DROPPED = "dropped"
    """It is gone; the reason says why."""


@dataclass(frozen=True, slots=True)
class MergeStep:
    """One of them, for staff."""

    what: str
    """`card`, `badge`, `block`, `relationship`, `loan`, `hold`, `fee`, `message` (of customer
    support), `notice` (in the outbox), `pin` or a patron's key."""
    id: str
    result: MergeResult
    note: str = ""
    """As it will be, or why it is dropped."""


@dataclass(frozen=True, slots=True)
class OwnNotice:
    """A notice of one of the two in the outbox."""

    id: str
    kind: str
    cause: str
    state: NoticeState


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """A message of customer support about one of the two."""

    id: int
    type: str
    category: str
    status: SupportStatus


@dataclass(frozen=True, slots=True)
class FoundPatron:
    """A patron whom staff were looking for, with what tells namesakes apart."""

    id: str
    name: str = field(repr=False)
    birth_date: date | None = field(repr=False)
    home_branch: str | None
    cards: tuple[str, ...] = field(repr=False)
