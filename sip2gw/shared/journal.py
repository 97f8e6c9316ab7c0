"""What a gateway knows of the off-line journal without asking the store (B77).

In memory only; the store is what counts, for all gateways.
"""

from __future__ import annotations


class JournalSeen:
    """Whether anything may be in it, for when the store cannot be asked."""

    def __init__(self) -> None:
        self._open: int | None = None

    def look(self, waiting: int) -> None:
        """So many entries wait now."""
        self._open = waiting

    def add(self) -> None:
        """One more waits, until the next look."""
        self._open = (self._open or 0) + 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing waited at the last look; not so before the first."""
        return self._open == 0
