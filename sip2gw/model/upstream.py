"""What a library system behind the gateway says of a patron, beside the facts (B72, C121)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from sip2gw.model.money import Minor
from sip2gw.protocol.fields import PatronFlag
from sip2gw.protocol.structs import Discreet, Hidden


class Until(StrEnum):
    """What their word about the end of the membership is worth (C121)."""

    UNMAPPED = "unmapped"
    """Nobody reads it out of their answers: their flag 0 is their word, at a door too."""
    KNOWN = "known"
    """It is `PatronRecord.membership_until`."""
    UNREADABLE = "unreadable"
    """Absent, or no date: valid for lending, refused at a door."""
    BY_FLAGS = "flags"
    """The same, but the configuration says that flag 0 is their word then."""


class Origin(Discreet, Struct, frozen=True):
    """What a patron's snapshot was made of, to make it anew when our part has changed (B77)."""

    facts: Hidden[Any]
    """What was read out of their answer; only who reads answers looks into it."""
    known_as: Hidden[str | None]
    """The number by which our store knew the patron then; None: it did not."""

    @property
    def known_here(self) -> bool:
        """Whether our store knew the patron."""
        return self.known_as is not None


class LibraryWord(Discreet, Struct, frozen=True):
    """What the library system itself has decided about a patron; it is never taken away (C121)."""

    flags: frozenset[PatronFlag]
    """The patron status, as it was said."""
    texts: Hidden[tuple[str, ...]] = ()
    """AF, as it was said."""
    until: Until = Until.UNMAPPED
    membership_known: bool = False
    """Whether the membership is known; unknown is not the same as none (C150)."""
    fee_amount: Hidden[Minor | None] = None
    """BV; None when it was not said or cannot be read: then their money flags decide (C150)."""
    money_flags: frozenset[PatronFlag] = frozenset()
    """Those of `flags` that are about money only, as the operator has declared (C123)."""
    money_texts: Hidden[tuple[str, ...]] = ()
    """Those of `texts` that say so."""
    origin: Hidden[Origin | None] = None
    """Of the snapshot that carries this word."""
    pending: tuple[str, ...] = ()
    """The ids of what was paid here before the answer, and the library system was not told yet:
    `PendingFee.id` (C124)."""
