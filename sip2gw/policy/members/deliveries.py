"""When a notice that was not taken is tried again, and where notices can go at all (B63, C162)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

FIRST_GAP = timedelta(minutes=1)
LAST_GAP = timedelta(hours=4)
_DOUBLINGS_MAX = 8

_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
"""Plain addresses only: no quotes, no comments, nothing that could end a header or a command."""
_ADDRESS_CHARACTERS_MAX = 254


def gap(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts: a minute, then twice as long each time."""
    return min(FIRST_GAP * (1 << min(attempts - 1, _DOUBLINGS_MAX)), LAST_GAP)


def next_try(
    attempts: int, first_try: datetime, now: datetime, longest: timedelta
) -> datetime | None:
    """When to try again after so many failed attempts, or None: it is given up.

    The last attempt comes `longest` after the first.
    """
    last = first_try + longest
    return None if now >= last else min(now + gap(attempts), last)


def is_address(text: str) -> bool:
    """Whether e-mail can be sent to `text`, a plain address without a name."""
    return len(text) <= _ADDRESS_CHARACTERS_MAX and _ADDRESS.fullmatch(text) is not None


def masked(address: str) -> str:
    """`address` so that it only shows that there is one: `a***@e***`."""
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}***@{domain[:1]}***"
