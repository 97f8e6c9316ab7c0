"""When a library system that is slow, but not away, has no time for one more request (B71, B77).

A brown-out: answers come, but late. Errors do not show it, so it is seen by how long answers take.
Whoever could not be answered in time anyhow is told so at once, and goes up nowhere: a request that
is sent and not answered would be one of which nobody knows whether it was done (C154).

A request that finds a free line always goes up. So it shows when the library system is quick again.

When a thousand terminals ask in one moment, an answer may lie in the socket while we read what they
ask. That time is ours, and passes with the crowd. So for who waits in the line it does not count;
only what is sent at the last moment must be read in time, too.
"""

from __future__ import annotations

import math

from msgspec import Struct

WEIGHT = 0.5
"""Of the last answer: after a few slow ones it is known, and after a few quick ones it is over."""
SAFETY = 1.2
"""An answer may take so much longer than usual. Without that, every other answer to what is sent at
the last moment would come too late."""
FORGOTTEN_AFTER_S = 30.0
"""What nobody has seen for so long says nothing about now."""


class Pace(Struct):
    """How long the answers of one account take."""

    usual_s: float = 0.0
    """Of the last answers until we had read them, the newer ones counting more."""
    their_usual_s: float = 0.0
    """The same without the time in which we worked for others."""
    their_last_s: float = 0.0
    """The same of the last one alone."""
    seen_at: float = -math.inf
    """When the last one came; monotonic."""

    def took(self, seconds: float, ours_s: float, now: float) -> None:
        """An answer took so many seconds, in which we worked for `ours_s`. One that never came is
        the breaker's matter."""
        theirs_s = self.their_last_s = seconds - ours_s if ours_s < seconds else 0.0
        # `_is_known`, but for the call: each answer comes here.
        if now - self.seen_at <= FORGOTTEN_AFTER_S:
            self.usual_s += WEIGHT * (seconds - self.usual_s)
            self.their_usual_s += WEIGHT * (theirs_s - self.their_usual_s)
        else:
            self.usual_s, self.their_usual_s = seconds, theirs_s
        self.seen_at = now

    def expected_s(self, now: float, busy_s: float = 0.0) -> float:
        """How long it will take until the next answer is read.

        Args:
            now: monotonic.
            busy_s: for so long every line but the free one has waited for its answer already, our
                work not counted. If the last answer took as long, it was no exception.
        """
        usual_s = self.usual_s if self._is_known(now) else 0.0
        return max(usual_s, min(self.their_last_s, busy_s))

    def theirs_s(self, now: float, busy_s: float) -> float:
        """How long the library system will take for the next answer.

        Args:
            now: monotonic.
            busy_s: for so long every line has waited for its answer already, our work not counted.
        """
        return max(self.their_usual_s if self._is_known(now) else 0.0, busy_s)

    def _is_known(self, now: float) -> bool:
        return now - self.seen_at <= FORGOTTEN_AFTER_S


def can_wait(ahead: int, lines: int, theirs_s: float, left_s: float) -> bool:
    """Whether a request can wait for its turn and still be answered in time.

    Args:
        ahead: so many requests wait before it.
        lines: so many are answered at a time.
        theirs_s: how long the library system takes for an answer.
        left_s: until its deadline.
    """
    turn_s = (ahead + 1) / lines * theirs_s
    return turn_s + SAFETY * theirs_s <= left_s


def can_be_sent(expected_s: float, left_s: float) -> bool:
    """Whether a request that has waited can still be answered in the time that is left."""
    return 0 < left_s >= SAFETY * expected_s
