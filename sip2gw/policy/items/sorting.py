"""Which bin of a sorter a returned item goes to.  (B59)"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from sip2gw.model.items import ItemRecord, Outcome

SortField = Literal[
    "item", "title_id", "material", "media_type", "owner_branch", "shelf", "call_number",
    "attachment", "destination", "alert_type",
]  # fmt: skip
"""What a rule may look at: the item, and what became of its return."""
Comparator = Literal["eq", "ne", "lt", "le", "gt", "ge"]
Look = Callable[[SortField], str | None]
"""Tells what is known of an item and its return."""
ANY_BRANCH = "*"

_COMPARE: dict[Comparator, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}

_FIELDS: dict[SortField, Callable[[ItemRecord, Outcome], str | None]] = {
    "item": lambda record, done: record.item.id,
    "title_id": lambda record, done: record.item.title_id,
    "material": lambda record, done: record.item.material,
    "media_type": lambda record, done: record.item.media_type,
    "owner_branch": lambda record, done: record.item.owner_branch,
    "shelf": lambda record, done: record.item.shelf,
    "call_number": lambda record, done: record.item.call_number,
    "attachment": lambda record, done: record.item.attachment,
    "destination": lambda record, done: done.destination,
    "alert_type": lambda record, done: done.alert,
}


class SortRule(Struct, frozen=True):
    """One line of a sorter's table."""

    branch: str
    """Where the item is returned; `ANY_BRANCH` is everywhere."""
    field: SortField
    """What is not known is empty."""
    comparator: Comparator
    """Numbers are compared as numbers, everything else as text; what is empty has no order."""
    value: str
    bin: str

    def fits(self, branch: str | None, look: Look) -> bool:
        """Whether this rule matches the item of which `look` tells."""
        if self.branch not in (ANY_BRANCH, branch):
            return False
        found = look(self.field) or ""
        compare = _COMPARE[self.comparator]
        if not found and self.comparator not in ("eq", "ne"):
            return False
        if _is_number(found) and _is_number(self.value):
            return compare(int(found), int(self.value))
        return compare(found, self.value)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def sort_bin(
    rules: tuple[SortRule, ...], branch: str | None, record: ItemRecord, done: Outcome
) -> str | None:
    """The bin of the first rule that matches the return `done` at `branch`, or None."""
    return bin_for(rules, branch, lambda field: _FIELDS[field](record, done))


def bin_for(rules: tuple[SortRule, ...], branch: str | None, look: Look) -> str | None:
    """The same for a return of which `look` tells what is known."""
    return next((rule.bin for rule in rules if rule.fits(branch, look)), None)
