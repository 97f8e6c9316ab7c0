"""What a library system and we decided about the same patrons (B78, C126)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sip2gw.model import ObservedCount


def differences_first(counts: Iterable[ObservedCount]) -> list[ObservedCount]:
    """`counts`: those in which we disagree first, and of these the most frequent first."""
    return sorted(counts, key=lambda one: (one.theirs == one.ours, -one.count))


def observed_json(one: ObservedCount) -> dict[str, Any]:
    """One count with the keys of C126."""
    return {
        "terminal": one.terminal,
        "theirs": one.theirs,
        "ours": one.ours,
        "reason": one.reason,
        "count": one.count,
    }
