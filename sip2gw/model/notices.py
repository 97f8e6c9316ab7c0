"""Notices to patrons: what the outbox keeps until it is delivered (B63, C162)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

KINDS = ("CAO", "CAE", "CAT", "CAJ", "LIMIT", "AGE", "END", "BADGE")
"""What a notice may say. CAO: another membership follows. CAE, CAT, CAJ: a membership, a temporary
one, one for the young ends. LIMIT: what is owed has reached the alert. AGE: a fee will soon have
been open for too long. END: the membership has ended. BADGE: a badge runs out."""

DAYS = frozenset({"until", "since", "day"})
"""Values that are days, `YYYY-MM-DD`: the last valid one, the first one, the day of something."""
AMOUNTS = frozenset({"owed", "limit", "fee"})
"""Values that are whole minor units: all that is owed, the limit, one fee."""
WORDS = frozenset({"membership", "next_membership", "badge", "days"})
"""Values that are said as they are: descriptions, and a number of days."""
VALUES = DAYS | AMOUNTS | WORDS


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell one patron, in words that are chosen when it is delivered.

    Raises:
        ValueError: the kind, or the name of a value, is not one of the closed lists.
    """

    kind: str
    """One of `KINDS`."""
    patron_id: str = field(repr=False)
    cause: str
    """What it is about, such as the last day of a period: there is at most one notice of a kind
    for each patron and cause."""
    values: Mapping[str, str] = field(repr=False)
    """What it says, by the names of `VALUES`."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no notice of kind {self.kind!r}")
        unknown = set(self.values) - VALUES
        if unknown:
            raise ValueError(f"a notice has no value {min(unknown)!r}")


class NoticeState(StrEnum):
    """How far a notice is."""

    WAITING = "waiting"
    """To be delivered, for the first time or again."""
    SENT = "sent"
    """Handed over, once."""
    FAILED = "failed"
    """Not taken for so long that it is no longer tried."""
    UNDELIVERABLE = "undeliverable"
    """The patron has no address, or is gone."""


class Channel(StrEnum):
    """How notices are delivered."""

    EMAIL = "email"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class KeptNotice:
    """A notice in the outbox, as staff see it."""

    id: str
    kind: str
    patron_id: str = field(repr=False)
    channel: Channel | None
    """None until it was tried."""
    to: str | None = field(repr=False)
    """The address that it was sent to; before that, the patron's."""
    state: NoticeState
    attempts: int
    created: datetime
    sent: datetime | None
    problem: str
    """Why the last attempt failed; empty if it did not."""
