"""Time as the gateway sees it: whole seconds, one conversion per second and zone; and instants, to
tell what came first."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo


class Clock:
    """The wall clock in any zone, a monotonic one for time-outs, and how long this thread has
    worked (CPU); all can be injected."""

    def __init__(
        self,
        epoch: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        self.epoch = epoch
        self.monotonic = monotonic
        self.worked = worked
        self._second = -1
        self._log_second = -1
        self._log_prefix = ""
        self._moments: dict[tzinfo, datetime] = {}
        self._later: dict[tuple[tzinfo, int], datetime] = {}

    def now(self, zone: tzinfo = UTC) -> datetime:
        """This second in `zone`, aware. Within one second the same object is returned, so that
        what is derived from it (the stamp on the wire) is derived once."""
        second = int(self.epoch())
        if second != self._second:
            self._second = second
            self._moments.clear()
            self._later.clear()
        moment = self._moments.get(zone)
        if moment is None:
            moment = self._moments[zone] = datetime.fromtimestamp(second, zone)
        return moment

    def instant(self) -> datetime:
        """This very moment, in UTC."""
        return datetime.fromtimestamp(self.epoch(), UTC)

    def in_days(self, days: int, zone: tzinfo = UTC) -> datetime:
        """This second in `zone`, some days later; also the same object within one second."""
        now = self.now(zone)
        later = self._later.get((zone, days))
        if later is None:
            later = self._later[zone, days] = now + timedelta(days=days)
        return later

    def log_text(self, epoch: float) -> str:
        """The moment `epoch` as log lines write it: UTC, milliseconds."""
        second = int(epoch)
        if second != self._log_second:
            self._log_second = second
            moment = datetime.fromtimestamp(self._log_second, UTC)
            self._log_prefix = moment.strftime("%Y-%m-%dT%H:%M:%S.")
        return f"{self._log_prefix}{int((epoch - second) * 1000):03d}Z"


STEP_S = 1.0
"""A difference from the monotonic clock that no slewing makes between two looks."""


class StepWatch:
    """Notices that the wall clock was set.

    A machine that slept counts too, because only one of the two clocks runs meanwhile.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = self._difference()

    def step(self) -> float:
        """Seconds by which the wall clock has jumped since the last look, forward or backward; 0.0
        if that is at most `STEP_S`."""
        before, self._ahead = self._ahead, self._difference()
        jumped = self._ahead - before
        return jumped if abs(jumped) > STEP_S else 0.0

    def _difference(self) -> float:
        return self._clock.epoch() - self._clock.monotonic()


def fixed_clock(moment: datetime) -> Clock:
    """A clock that stands still at `moment` (tests, `explain --at`)."""
    epoch = moment.timestamp()
    return Clock(lambda: epoch, lambda: epoch)
