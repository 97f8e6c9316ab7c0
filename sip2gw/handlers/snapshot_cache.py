"""What is derived from a snapshot once and kept with it (C62), and shared where it is the same."""

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
    """`value`, or the one equal to it that was given before.

    Most patrons have nothing against them, so of thousands the same is to be said. Shared, it stays
    in the processor's cache, which thousands of equal values do not. For values that tell nothing
    personal only, because they outlive the snapshot.
    """
    if len(_shared) >= SHARED_MAX:
        _shared.clear()
    return cast("H", _shared.setdefault(value, value))


def derived(record: PatronRecord, key: tuple[object, ...], make: Callable[[], T]) -> T:
    """What `make` makes of `record`, made once and kept with the snapshot under `key`.

    `key` says all that the value depends on besides the snapshot, the day above all, and nothing
    personal.
    """
    known = record.extra.get(key)
    if known is None:
        if len(record.extra) >= DERIVED_MAX:
            record.extra.clear()
        known = record.extra[shared(key)] = make()
    return cast("T", known)
