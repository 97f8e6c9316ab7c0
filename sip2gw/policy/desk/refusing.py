"""Which doors refuse everybody (B64, C145)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from msgspec import Struct

from sip2gw.policy.reasons import Reason

REFUSING_FOR = timedelta(hours=1)
"""Over so long a time decisions are looked at, and so often at most a door counts once more."""
REFUSED_AT_LEAST = 5
"""Fewer people may all have been refused rightly."""
RIGHTLY_REFUSED = frozenset({Reason.CLOSED, Reason.TOO_LATE})
"""A branch that is closed refuses everybody, and rightly: these decisions do not count."""


class DoorDecisions(Struct, frozen=True):
    """How many of a door's decisions had one result."""

    door: str
    branch: str
    granted: bool
    reason: str
    count: int


class RefusingDoor(Struct, frozen=True):
    """A door that refused everybody, at least `REFUSED_AT_LEAST` times."""

    door: str
    branch: str
    reasons: tuple[tuple[str, int], ...]
    """Each with how often, the most frequent first."""

    @property
    def refused(self) -> int:
        """How often it refused."""
        return sum(count for _, count in self.reasons)


def refusing_doors(decisions: Iterable[DoorDecisions]) -> list[RefusingDoor]:
    """The doors that refused everybody by these `decisions`, in the order of their names."""
    branches: dict[str, str] = {}
    reasons: dict[str, Counter[str]] = {}
    admitting = set()
    for one in decisions:
        if one.granted:
            admitting.add(one.door)
        elif one.reason not in RIGHTLY_REFUSED:
            branches[one.door] = one.branch
            reasons.setdefault(one.door, Counter())[one.reason] += one.count
    found = (
        RefusingDoor(door, branches[door], tuple(counts.most_common()))
        for door, counts in sorted(reasons.items())
        if door not in admitting
    )
    return [door for door in found if door.refused >= REFUSED_AT_LEAST]
