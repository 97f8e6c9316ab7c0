"""Two records of one person become one: what happens to each thing of the former one."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from msgspec import Struct

from sip2gw.model.notices import NoticeState
from sip2gw.model.support import SupportStatus
from sip2gw.protocol.structs import Discreet, Hidden


class MergeResult(StrEnum):
    """What becomes of one thing of the patron who is merged."""

    MOVED = "moved"
    """It belongs to the other patron now."""
    JOINED = "joined"
    """The other patron has the like; the two become one."""
    DROPPED = "dropped"
    """It is gone; the reason says why."""


class MergeStep(Struct, frozen=True):
    """One of them, for staff."""

    what: str
    """`card`, `badge`, `block`, `relationship`, `loan`, `hold`, `fee`, `message` (of customer
    support), `notice` (in the outbox), `pin` or a patron's key."""
    id: str
    result: MergeResult
    note: str = ""
    """As it will be, or why it is dropped."""


class OwnNotice(Struct, frozen=True):
    """A notice of one of the two in the outbox."""

    id: str
    kind: str
    cause: str
    state: NoticeState


class OwnMessage(Struct, frozen=True):
    """A message of customer support about one of the two."""

    id: int
    type: str
    category: str
    status: SupportStatus


class FoundPatron(Discreet, Struct, frozen=True):
    """A patron whom staff were looking for, with what tells namesakes apart."""

    id: str
    name: Hidden[str]
    birth_date: Hidden[date | None]
    home_branch: str | None
    cards: Hidden[tuple[str, ...]]
