"""What was taken while the library system was away, as staff see it (B77, C157)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.model.journal import JournalEntry

JOURNAL_KEYS = ("id", "time", "account", "terminal", "message", "item", "patron", "state")


def journal_json(entry: JournalEntry, zone: tzinfo) -> dict[str, str]:
    """An entry with the keys of C157."""
    return {
        "id": entry.id,
        "time": entry.time.astimezone(zone).isoformat(),
        "account": entry.account,
        "terminal": entry.terminal,
        "message": entry.message,
        "item": entry.item,
        "patron": entry.patron,
        "state": entry.state.value,
    }
