"""Numbers and nouns in sentences for people."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, one: str, many: str | None = None) -> str:
    """`number` with its noun: `1 branch`, `2 branches`; the plural adds an s unless given."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def meant(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` if one of the `known` names is like `name`, else nothing."""
    from difflib import get_close_matches  # only when there is an error

    close = get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""


def nobody_has(number: str) -> str:
    """That no patron can be named like this, and how to find the one who is meant."""
    return f"no patron has the id or card {number}; `patron find` finds people by their name"
