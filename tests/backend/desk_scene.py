"""What random lending is played with: a small library, terminals and their clocks, requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .desk_model import Copy, Terminal
from .library import NOW

COPIES = {
    "A1": Copy("TA", per_day=5),
    "A2": Copy("TA", renewals_max=1, per_day=20),
    "A3": Copy("TA", owner="EAST", place="EAST", days=7),
    "FEE": Copy("TF", costs=150),
    "REF": Copy("TR", for_loan=False),
}
TERMINALS = {
    "kiosk": Terminal("MAIN"),
    "strict": Terminal("MAIN", renews_by_11=False),
    "sorter": Terminal("MAIN", takes_anything=True),
    "east": Terminal("EAST", takes_anything=True),
}
READERS = {"P1": 0, "P2": 2, "P3": 3, "BAD": 0}
"""How many loans each may have."""
HOLDS = {"P1": 0, "P2": 1, "P3": 3, "BAD": 0}

BRANCHES = (None, "MAIN", "EAST")
REASONS = {
    *("unknown_card", "unknown_item", "not_for_loan", "on_hold", "charged_to_other"),
    *("already_charged", "not_charged", "blocked", "item_limit", "renewal_limit", "fee"),
    *("nothing_to_cancel", "already_held", "no_such_hold", "hold_limit", "hold_ready", "expired"),
}
MET = {
    *REASONS,
    *("11 done", "09 done", "29 done", "15+ done", "15- done", "15* done"),
    *("cancel 11 done", "cancel 09 done", "repeated", "renewed by 11", "late", "for somebody"),
}
"""What a long run must have come across."""
AFRESH = {"11 afresh", "09 afresh", "29 afresh", "15+ afresh", "15- afresh", "15* afresh"} | {
    *("cancel 11 afresh", "cancel 09 afresh"),
}
"""What a long run with odd clocks must have judged afresh, because it was not so any more."""

Clock = Callable[[datetime, int], datetime]
"""What a terminal takes for the time, and how often it was set wrong until then."""

RIGHT: Clock = lambda now, jumps: now  # noqa: E731 -- with its type
ODD_CLOCKS: Mapping[str, Clock] = {
    "constant": lambda now, jumps: NOW,
    "coarse": lambda now, jumps: now.replace(second=0),
    "jumping": lambda now, jumps: NOW + timedelta(days=7 * jumps % 3, seconds=now.second % 3),
    "backward": lambda now, jumps: NOW - (now - NOW) / 20,
}


def records() -> list[dict[str, Any]]:
    """The library at the beginning, as a file says it."""
    lines: list[dict[str, Any]] = []
    for number, (name, most) in enumerate(READERS.items(), 100):
        code = str(number)
        kind = {"kind": "membership", "code": code, "description": code, "type": 0}
        lines.append({**kind, "max_items": most, "max_holds": HOLDS[name]})
        status = {"status": 8} if name == "BAD" else {}
        lines.append({"kind": "patron", "id": name, "name": name, "membership": code, **status})
    for item, it in COPIES.items():
        lines.append(
            {
                "kind": "item",
                "id": item,
                "title": f"Title {item}",
                "title_id": it.title,
                "owner_branch": it.owner,
                "current_branch": it.place,
                "for_loan": it.for_loan,
                "loan_days": it.days,
                "max_renewals": it.renewals_max,
                "checkout_fee": f"{it.costs / 100:.2f}",
                "overdue_fee_per_day": f"{it.per_day / 100:.2f}",
            }
        )
    return lines


@dataclass(frozen=True)
class Request:
    """What a terminal sends."""

    code: str
    terminal: str
    reader: str | None
    item: str
    date: datetime
    """By the clock of the terminal."""
    agreed: bool = False
    happened: datetime | None = None
    cancels: bool = False
    mode: str = ""
    any_copy: bool = False
    pickup: str | None = None
    expires: datetime | None = None

    @property
    def name(self) -> str:
        """For the count of what happened."""
        return f"{'cancel ' if self.cancels else ''}{self.code}{self.mode}"

    @property
    def key(self) -> str:
        """What makes it the same request."""
        said = (self.agreed, self.happened is not None, self.cancels)
        hold = (self.mode, self.any_copy, self.pickup, self.expires)
        return "|".join(map(str, (self.terminal, self.code, self.reader, self.date, said, hold)))
