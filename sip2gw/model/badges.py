"""What staff do with badges: assignments, their terms, and who changed them when and why (B65)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct


class BadgeTerms(Struct, frozen=True):
    """When and where an assignment of a badge counts; by default always and everywhere (B22)."""

    valid_from: date | None = None
    valid_until: date | None = None
    """Whole days, inclusive."""
    branches: tuple[str, ...] = ()
    """Empty is every branch of the badge."""


class BadgeWish(Struct, frozen=True):
    """One patron who is to have a badge."""

    card: str
    """The patron's id or any card."""
    terms: BadgeTerms = BadgeTerms()
    place: str = ""
    """File and line that say so, for messages; empty when no file does."""
    problem: str = ""
    """Why the line says nothing that can be done; empty when it does."""


class BadgeAction(StrEnum):
    """What became of one assignment of a badge."""

    ASSIGNED = "assigned"
    CHANGED = "changed"
    """The patron had it already, with other terms."""
    UNASSIGNED = "unassigned"


class BadgeChange(Struct, frozen=True):
    """One change of one assignment, as the history keeps it (B65)."""

    action: BadgeAction
    code: str
    patron_id: str
    terms: BadgeTerms = BadgeTerms()
    """As they are since; for one that was taken away, as they were."""


@dataclass(frozen=True, slots=True)
class BadgeEvent:
    """A `BadgeChange`, and who made it when and why."""

    time: datetime
    user: str
    """The system's name of the account that gave the command, or the name of the token."""
    change: BadgeChange
    reason: str
    source: str
    """`staff`, `import` or `merge`."""
    id: str = field(default="", compare=False)
    """Of all changes that were made at once; orders those of one moment."""


class Deed(Struct, frozen=True):
    """Who changes something, when and why."""

    user: str
    """The system's name of the account that gives the command, or the name of the token."""
    time: datetime
    reason: str = ""
