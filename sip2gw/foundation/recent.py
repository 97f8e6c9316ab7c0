"""A memory of what was needed lately, which forgets by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

KEPT_S = 300.0
"""After so many seconds without anybody asking for it a value is forgotten, at the latest."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, for use in a running loop.

    They stand in two halves: what was needed since the last turn, and what was needed before it. A
    turn forgets the second half. It comes every half of `KEPT_S`, by one timer for all values, and
    as soon as the first half is full.
    """

    __slots__ = ("_before", "_half", "_lately", "_timer")

    def __init__(self, limit: int) -> None:
        """There are never more than `limit` values."""
        self._half = max(1, limit // 2)
        self._lately: dict[K, V] = {}
        self._before: dict[K, V] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._lately) + len(self._before)

    def get(self, key: K) -> V | None:
        """The value of `key`, if it has not been forgotten."""
        value = self._lately.get(key)
        if value is None and (value := self._before.pop(key, None)) is not None:
            self.keep(key, value)
        return value

    def keep(self, key: K, value: V) -> None:
        """Remember `value`."""
        self._before.pop(key, None)
        if len(self._lately) >= self._half and key not in self._lately:
            self._before, self._lately = self._lately, {}
        self._lately[key] = value
        if self._timer is None:
            self._wait()

    def clear(self) -> None:
        """Forget all."""
        self._lately, self._before = {}, {}

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(KEPT_S / 2, self._turn)

    def _turn(self) -> None:
        self._before, self._lately = self._lately, {}
        self._timer = None
        if self._before:
            self._wait()
