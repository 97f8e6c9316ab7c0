"""What a library system and we decided about the same patrons (B78, C126)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sip2gw.model import ObservedCount


class ObservedJson(TypedDict):
    """How often a library system said one thing, and we would have said another (C126)."""

    terminal: str
    theirs: str
    ours: str
    reason: str
    count: int


def observed_order(one: ObservedCount) -> tuple[bool, int, str, str, str, str]:
    """What tells in which order counts are listed, and each from all others."""
    return one.theirs == one.ours, -one.count, one.terminal, one.theirs, one.ours, one.reason


def differences_first(counts: Iterable[ObservedCount]) -> list[ObservedCount]:
    """`counts`: those in which we disagree first, and of these the most frequent first."""
    return sorted(counts, key=observed_order)


def observed_json(one: ObservedCount) -> ObservedJson:
    """One count with the keys of C126."""
    return {
        "terminal": one.terminal,
        "theirs": one.theirs,
        "ours": one.ours,
        "reason": one.reason,
        "count": one.count,
    }
