"""How a warning names many places."""

from __future__ import annotations

from collections.abc import Iterable

NAMED_MAX = 5
"""So many places are named; a gateway may have thousands of terminals."""


def places(names: Iterable[str]) -> str:
    """`names` as a list; if there are many, the first of them and how many more."""
    known = list(names)
    more = len(known) - NAMED_MAX
    return ", ".join(known[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
