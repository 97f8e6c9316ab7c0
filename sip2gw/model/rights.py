"""Who may ask for what without being a terminal: named tokens, and the audit log (B83)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct


class Role(StrEnum):
    """What a token is good for (C176)."""

    VIEW = "view"
    """Figures, payments, log and lists, without persons."""
    STAFF = "staff"
    """Patrons too: payments, badges, support."""
    ADMIN = "admin"
    """Everything: site, terminals, tokens, audit."""
    SELF = "self"
    """Self-service of patrons, for a library's own website; nothing else."""


class Token(Struct, frozen=True):
    """A named token. The token itself is nowhere: the store has a digest of it."""

    name: str
    role: Role
    created: datetime | None
    """None: it stands in the configuration."""
    expires: datetime | None = None
    """The first moment at which it is not good any more."""
    networks: tuple[str, ...] = ()
    """Where it may come from; empty: from everywhere."""
    last_used: datetime | None = None
    """To the minute."""


Source = Literal["command", "rest"]
AuditOutcome = Literal["begun", "done", "rehearsed", "refused", "failed"]
"""What was begun and has no end in the log: nobody knows what became of it. What was rehearsed was
only looked at, and nothing was changed."""


class Act(Struct, frozen=True):
    """What somebody is about to read or change."""

    time: datetime
    who: str
    """The token's name, or that of the account that gives the command."""
    role: Role
    source: Source
    action: str
    """The words of the command that does it; the same by REST."""
    object: str = ""
    """The payment, message, terminal or token that it is about, by its id or name; for what patrons
    agree on, also the functions and who acts."""
    patron: str = ""
    """The id, or any card, of the patron that it is about."""
    address: str = ""
    """The IP address it came from; none for a command."""


class AuditEntry(Struct, frozen=True):
    """A line of the audit log: who read or changed what about whom, from where, and when."""

    id: str
    act: Act
    outcome: AuditOutcome
