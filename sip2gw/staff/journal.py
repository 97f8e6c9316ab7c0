"""What was taken while the library system was away, as staff see it (B77, C157)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from sip2gw.staff.documents import Person

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.model.journal import JournalEntry


class JournalJson(TypedDict):
    """What was taken while the library system was away (C157)."""

    id: str
    time: str
    account: str
    terminal: str
    message: str
    item: str
    patron: Person
    state: str


JOURNAL_KEYS = tuple(JournalJson.__annotations__)


def journal_json(entry: JournalEntry, zone: tzinfo) -> JournalJson:
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
