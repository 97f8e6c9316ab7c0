"""Values derived from a snapshot: kept as long as it is (C62), and shared if equal."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from sip2gw.model import PatronRecord

DERIVED_MAX = 32
"""Derived values kept with one snapshot; yesterday's and other branches' go first come."""
SHARED_MAX = 2_000

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)

_shared: dict[Any, Any] = {}


def shared(value: H) -> H:
    """`value`, or an equal one that was given before.

    Most patrons have no obstacles, so the same is said about thousands. A shared value stays in the
    processor's cache; thousands of equal ones do not. Only for values with nothing personal in
    them, because they outlive the snapshot.
    """
    if len(_shared) >= SHARED_MAX:
        _shared.clear()
    return cast("H", _shared.setdefault(value, value))


def recalled(record: PatronRecord, key: tuple[object, ...]) -> Any:
    """What `derived` keeps under `key`, or None; for where a `make` would cost more than the look,
    because it needs much of what is around it."""
    values: dict[tuple[object, ...], Any] | None = getattr(record, "kept", None)
    return values.get(key) if values is not None else None


def derived(record: PatronRecord, key: tuple[object, ...], make: Callable[[], T]) -> T:
    """What `make` makes of `record`, made once and kept under `key` as long as the snapshot is.

    `key` says all that the value depends on besides the snapshot, the day above all, and nothing
    personal.
    """
    values: dict[tuple[object, ...], Any] | None = getattr(record, "kept", None)
    if values is None:
        values = record.kept = {}
    known = values.get(key)
    if known is None:
        if len(values) >= DERIVED_MAX:
            values.clear()
        known = values[shared(key)] = make()
    return cast("T", known)
