"""What the workers have told lately, for one that begins later (B41, C131)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import msgspec

KEPT_S = 3_600.0
"""The longest passage window that can be configured."""
KEPT_BYTES_MAX = 1_000_000
"""Some 20,000 passages: two generations of what a worker remembers."""


class ToldLately:
    """Messages as they were passed on, in their order. Nobody reads them here."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._told: deque[tuple[float, msgspec.Raw]] = deque()
        self._bytes = 0

    def keep(self, message: msgspec.Raw) -> None:
        """Remember `message`; the oldest make room."""
        self._told.append((self._monotonic(), message))
        self._bytes += len(memoryview(message))
        while self._bytes > KEPT_BYTES_MAX:
            _, oldest = self._told.popleft()
            self._bytes -= len(memoryview(oldest))

    def __iter__(self) -> Iterator[msgspec.Raw]:
        """Those of the last `KEPT_S` seconds, the oldest first."""
        since_s = self._monotonic() - KEPT_S
        return (message for at_s, message in self._told if at_s >= since_s)
