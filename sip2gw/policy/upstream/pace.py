"""When a library system that is slow, but not away, has no time for one more request (B71, B77).

A brown-out: answers come, but late. Errors do not show it, so it is seen by how long answers take.
Whoever could not be answered in time anyhow is told so at once, and goes up nowhere: a request that
is sent and not answered would be one of which nobody knows whether it was done (C154).

A request that finds a free line always goes up. So it shows when the library system is quick again.
"""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT = 0.5
"""Of the last answer: after a few slow ones it is known, and after a few quick ones it is over."""
SAFETY = 1.2
"""An answer may take so much longer than usual. Without that, every other answer to what is sent at
the last moment would come too late."""
FORGOTTEN_AFTER_S = 30.0
"""What nobody has seen for so long says nothing about now."""


@dataclass(slots=True)
class Pace:
    """How long the answers of one account take."""

    usual_s: float = 0.0
    """Of the last answers, the newer ones counting more."""
    seen_at: float = 0.0
    """When the last one came; monotonic."""

    def took(self, seconds: float, now: float) -> None:
        """An answer took so many seconds. One that never came is the breaker's matter."""
        before_s = self.usual_s if now - self.seen_at <= FORGOTTEN_AFTER_S else 0.0
        self.usual_s = before_s + WEIGHT * (seconds - before_s) if before_s else seconds
        self.seen_at = now

    def expected_s(self, now: float, busy_s: float = 0.0) -> float:
        """How long the next answer will take.

        Args:
            now: monotonic.
            busy_s: for so long every line has waited for its answer already.
        """
        usual_s = self.usual_s if now - self.seen_at <= FORGOTTEN_AFTER_S else 0.0
        return max(usual_s, busy_s)


def can_wait(ahead: int, lines: int, expected_s: float, left_s: float) -> bool:
    """Whether a request can wait for its turn and still be answered in time.

    Args:
        ahead: so many requests wait before it.
        lines: so many are answered at a time.
        expected_s: how long an answer takes.
        left_s: until its deadline.
    """
    turn_s = (ahead + 1) / lines * expected_s
    return turn_s + SAFETY * expected_s <= left_s


def can_be_sent(expected_s: float, left_s: float) -> bool:
    """Whether a request that has waited can still be answered in the time that is left."""
    return 0 < left_s >= SAFETY * expected_s
