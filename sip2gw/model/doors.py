"""Doors: who may pass, who did, and what is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from msgspec import Struct

from sip2gw.protocol.structs import Discreet, Hidden

OBSERVED = "observed"
"""The mode of a decision that was only compared with a library system's: nobody passed by it."""

EVERY_BRANCH = "*"
"""Stands in a `DoorEntry` for all branches."""

AS_CONFIGURED = "as_configured"
"""The state of a `CalendarChange` that only ends the one before it, and ends as it begins."""


class DoorEntry(Discreet, Struct, frozen=True):
    """A card on a bar or pass list that the store keeps for all gateways (C10, C11)."""

    kind: str
    """`bar` or `pass`."""
    branch: str
    """The branch whose doors it concerns, or `EVERY_BRANCH`."""
    card: Hidden[str]
    valid_until: date | None = None
    """The last day; None is until removed."""
    weekdays: frozenset[int] = frozenset(range(7))
    """Days on which a pass holds, 0 is Monday; a bar holds on all."""
    start_minute: int = 0
    end_minute: int = 24 * 60
    """Hours of a pass, half-open; an end at or before the start is on the next day."""
    note: Hidden[str] = ""
    """For the staff; never sent."""


class CalendarChange(Struct, frozen=True):
    """What staff made of a branch's hours for a while; the last one of a branch counts (C139)."""

    branch: str
    state: str
    """`closed`, `unstaffed`, or `AS_CONFIGURED`."""
    since: datetime
    until: datetime
    """From this instant on the configured hours hold again."""
    reason: str
    """For staff; never sent to a terminal."""
    user: str
    """Who changed it."""


class Presence(Struct, frozen=True):
    """Who is inside a branch when a patron comes: how many others, and whether the patron (C10)."""

    others: int
    """Other patrons inside."""
    inside: bool
    """Whether the patron went in before, by another passage, and neither went out nor stayed beyond
    the end."""
    again: bool = False
    """Whether the patron went in by this same passage: a card that was read twice (B41)."""


class Passage(Discreet, Struct, frozen=True):
    """One granted passage of a known patron through a door, in or out."""

    time: datetime
    patron_id: Hidden[str]
    direction: str


@dataclass(slots=True)
class AccessRow:
    """One decision at a door as it is stored (B42, C65)."""

    time: datetime
    branch: str
    terminal: str
    decision: str
    """`granted` or `refused`."""
    reason: str
    mode: str
    """`normal`, `emergency`, `facts`, `accompanied` or `OBSERVED` (C74, C142)."""
    checks: str
    """`name=result` pairs in check order, blank-separated."""
    patron_id: str | None
    """Kept until erasure; shown as a pseudonym (C76)."""
    direction: str = "in"
    theirs: str = ""
    """What a library system decided, where we only observe: `granted` or `refused` (B78)."""
    id: str = field(default="", compare=False)
    """Once it is stored."""


class ObservedCount(Struct, frozen=True):
    """How often a library system said one thing at a terminal, and we would have said another."""

    terminal: str
    theirs: str
    ours: str
    """As `theirs`: `granted` or `refused`."""
    reason: str
    """Ours."""
    count: int


class DoorCount(Struct, frozen=True):
    """How many decisions of one reason a branch's doors made in one minute (C96)."""

    minute: datetime
    branch: str
    reason: str
    count: int


class Reveal(Struct, frozen=True):
    """A record that somebody asked for the names of people who were inside (C76)."""

    time: datetime
    user: str
    """The system's name of the account that asked."""
    branch: str
    since: datetime
    until: datetime
    people: int
    """How many were told."""
