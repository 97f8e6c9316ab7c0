"""Numbers and nouns in sentences for people."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """`number` with its noun: `1 branch`, `2 branches`; the plural adds an s unless given."""
    return f"{number} {one if number == 1 else many or one + 's'}"
