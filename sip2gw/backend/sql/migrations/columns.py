"""Columns that many tables have."""

from __future__ import annotations


def flag(name: str, default: int = 0) -> str:
    """The declaration of a column that is 0 or 1."""
    return f"{name} INTEGER NOT NULL DEFAULT {default} CHECK ({name} IN (0, 1))"
