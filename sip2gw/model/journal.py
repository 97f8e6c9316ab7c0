"""Loans and returns that were taken off line and wait for the library system (B77, C125)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from sip2gw.protocol.structs import Discreet, Hidden

OPEN_MAX = 10_000
"""So many entries may wait for one account: no library lends more in a night."""

Value = str | bool | None
"""Of a field of a request."""


class EntryState(StrEnum):
    """How far an entry has come; the words that staff see (C157)."""

    OPEN = "open"
    """It has not gone up, or a gateway that handed it over has died before the answer (C154)."""
    DONE = "done"
    CONFLICT = "conflict"
    """The library system refused it: staff must decide."""
    UNKNOWN = "unknown"
    """It went up and was not answered: it does not go up again by itself (C98)."""


class Kept(StrEnum):
    """What became of a request that was to be put into the journal."""

    NEW = "new"
    KNOWN = "known"
    """The last entry about the item is the same request: the terminal asks again."""
    FULL = "full"
    """Too much waits for the account, so nothing was written."""


class JournalEntry(Discreet, Struct, frozen=True):
    """A 11 or 09 that the library system has yet to hear of. No PIN is ever in it."""

    id: str
    """Ids sort by the time at which they were given."""
    time: datetime
    """When the terminal told us, by our clock."""
    happened: datetime
    """The same, or earlier where the terminal said so and is believed; the order of going up."""
    account: str
    """At the library system."""
    terminal: str
    message: str
    """Code of the request: 11 or 09."""
    item: str
    patron: Hidden[str]
    """AA as it goes up; empty in a return."""
    key: Hidden[str]
    """Under which it is done once (C69); empty where the terminal gave no date."""
    request: Hidden[Mapping[str, Value]]
    """Its other fields as they go up, by the names of the message's attributes."""
    state: EntryState = EntryState.OPEN
    tries: int = 0
    """How often it was handed over. More than once only after a gateway has died (C154)."""


class Waiting(Struct, frozen=True):
    """What waits for one account, of one message."""

    account: str
    message: str
    count: int
    oldest: str
    """Id of the entry that has waited longest."""
    since: datetime
    """When the terminal told us of it."""
