"""How the answers of one library system are to be read: presets and keys, as data (C121, C158)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec import field as attribute

from sip2gw.protocol.fields import PatronFlag

FeeFormat = Literal["none", "standard", "av_koha", "av_evergreen", "gossip"]
"""How AV is read; `none` and `standard` read BV only (C150)."""

DATE_FORMATS = ("%Y%m%d", "%Y%m%d    %H%M%S", "%Y-%m-%d")
"""Tried in this order where a date has no format of its own."""

BY_FLAGS = "flags"
"""The `default` of `membership_until` that takes flag 0 as their word (C121)."""


DATES = ("birth_date", "membership_until")
"""Facts that are dates."""
WORDS = ("membership", "badges", "home_branch")
"""Facts that are words, theirs or ours."""


class Fact(Struct, frozen=True):
    """One fact, and the field of a 64 or 24 that says it. What does not fit is unknown."""

    field: str
    """The tag."""
    formats: tuple[str, ...] = DATE_FORMATS
    """Of a date, for `strptime`."""
    length: int | None = None
    """Cut to so many characters before anything is read."""
    map: Mapping[str, str] = attribute(default_factory=dict)
    """Their words to ours; a word that is missing here becomes `default`, or itself if the map is
    empty."""
    default: str | None = None
    """For what the map does not know; None: unknown."""


class MoneyDenials(Struct, frozen=True):
    """Which of their denials are about money, as the operator declares (C123)."""

    flags: frozenset[PatronFlag]
    af: re.Pattern[str]
    af_not: re.Pattern[str] | None = None
    """If any AF matches this, nothing is about money only."""


class FactRules(Struct, frozen=True):
    """The declared mapping of one account; a fact without a rule is never said (C121)."""

    birth_date: Fact | None = None
    membership_until: Fact | None = None
    membership: Fact | None = None
    badges: Fact | None = None
    home_branch: Fact | None = None
    fees: FeeFormat = "standard"
    denials_by_money: MoneyDenials | None = None

    def mapped(self) -> dict[str, Fact]:
        """The facts that are said by a field, by name; dates come first."""
        found = {name: getattr(self, name) for name in (*DATES, *WORDS)}
        return {name: fact for name, fact in found.items() if fact is not None}
