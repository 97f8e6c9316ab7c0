"""Notices to patrons: what the outbox keeps until it is delivered (B63, C162)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from sip2gw.protocol.structs import Discreet, Hidden

SAYS: Mapping[str, tuple[str, ...]] = {
    "CAO": ("membership", "next_membership", "until"),
    "CAE": ("membership", "until"),
    "CAT": ("membership", "until"),
    "CAJ": ("membership", "until"),
    "LIMIT": ("owed", "limit"),
    "AGE": ("owed", "day"),
    "END": ("membership", "until"),
    "BADGE": ("badge", "until"),
}
"""What each kind of notice says, by the names of its values.

CAO: a membership ends and another follows. CAE, CAT, CAJ: a membership, a temporary one, one for
the young will end. LIMIT: what is owed has reached the amount at which patrons are alerted, and may
not exceed the limit. AGE: from a day on, fees will have been open for too long. END: the membership
has ended. BADGE: a badge will end. `membership` and `badge` are descriptions."""

DAYS = frozenset({"until", "day"})
"""Values that are days, `YYYY-MM-DD`; `until` is the last valid one."""
AMOUNTS = frozenset({"owed", "limit"})
"""Values that are whole minor units."""


class Notice(Discreet, Struct, frozen=True):
    """One thing to tell one patron, in words that are chosen when it is delivered.

    Raises:
        ValueError: the kind, or the names of the values, are not those of `SAYS`.
    """

    kind: str
    """One of `SAYS`."""
    patron_id: Hidden[str]
    cause: str
    """What it is about, such as the last day of a period: there is at most one notice of a kind
    for each patron and cause."""
    values: Hidden[Mapping[str, str]]
    """What it says: each value that `SAYS` has for its kind, and no other."""

    def __post_init__(self) -> None:
        names = SAYS.get(self.kind)
        if names is None:
            raise ValueError(f"there is no notice of kind {self.kind!r}")
        if set(names) != set(self.values):
            raise ValueError(f"a notice of kind {self.kind} says {', '.join(names)}")


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


class KeptNotice(Discreet, Struct, frozen=True):
    """A notice in the outbox, as staff see it."""

    id: str
    kind: str
    patron_id: Hidden[str]
    channel: Channel | None
    """None until it was tried."""
    to: Hidden[str | None]
    """The address that it was sent to; before that, the patron's."""
    state: NoticeState
    attempts: int
    created: datetime
    sent: datetime | None
    problem: str
    """Why the last attempt failed; empty if it did not."""


class Delivery(Discreet, Struct, frozen=True):
    """A notice that one process is delivering, with what is known about the patron now."""

    id: str
    """The same at each attempt."""
    lease: str
    """Which attempt this is, among those of all processes."""
    kind: str
    patron_id: Hidden[str]
    values: Hidden[Mapping[str, str]]
    created: datetime
    attempts: int
    """This one included."""
    first_try: datetime
    message_id: str
    """Of the e-mail, the same at each attempt."""
    known: bool
    """Whether the patron is in the store."""
    name: Hidden[str]
    email: Hidden[str | None]
    language: str | None


class Result(Discreet, Struct, frozen=True):
    """What became of a `Delivery`."""

    state: NoticeState
    """Waiting: it is tried again."""
    problem: str = ""
    """Why it was not sent; names nobody."""
    to: Hidden[str | None] = None
    """The address that it was sent to."""
    next_try: datetime | None = None
