"""How many requests somebody may make: buckets that fill up again."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

KEPT_MAX = 10_000


class _Bucket(Struct):
    left: float
    seen: float


class Rates:
    """A bucket for each name.

    Args:
        per_second: how fast a bucket fills up.
        burst: how much is in a full one.
        clock: seconds.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float]) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: dict[str, _Bucket] = {}

    def wait_of(self, name: str) -> float:
        """Seconds until the next request of `name` may be answered; 0: now."""
        bucket = self._filled(name)
        return 0.0 if bucket.left >= 1 else (1 - bucket.left) / self._per_second

    def take(self, name: str) -> None:
        """Count a request."""
        self._filled(name).left -= 1

    def _filled(self, name: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.pop(name, None) or _Bucket(self._burst, now)
        more = (now - bucket.seen) * self._per_second
        bucket.left, bucket.seen = min(self._burst, bucket.left + more), now
        self._buckets[name] = bucket  # the one used last is the last
        if len(self._buckets) > KEPT_MAX:
            del self._buckets[next(iter(self._buckets))]
        return bucket
