"""What is told about one account: metrics, the log, and its line of `upstream status` (C157)."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Literal

from sip2gw.backend.system import (
    AnotherPatronAnsweredError,
    BadAnswerError,
    LibrarySystemError,
    NoAnswerError,
    NotAskedError,
)
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.registry import REQUESTS

Condition = Literal["up", "connecting", "away", "refused"]

_LATENCIES = 50


class _Labels(dict[bytes, str]):
    """The label of each command."""

    def __missing__(self, command: bytes) -> str:
        """That of commands which we do not know: terminals must not invent labels (C74)."""
        return "other"


_LABELS = _Labels((code.encode(), code) for code in REQUESTS)
_OUTCOMES: dict[type[LibrarySystemError], str] = {
    NotAskedError: "not_asked",
    NoAnswerError: "no_answer",
    BadAnswerError: "bad_answer",
    AnotherPatronAnsweredError: "bad_answer",
}


class Figures:
    """Counts, and says what changes."""

    def __init__(self, account: str, metrics: Metrics, log: Log) -> None:
        self._account = account
        self._numbers = metrics.upstream_numbers(account)
        self._log = log
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES)
        self._told: Condition = "connecting"

    def answered(self, body: bytes, seconds: float, *, is_ours: bool) -> None:
        """The request `body` was answered so many seconds after it was sent."""
        numbers = self._numbers
        numbers.requests[_LABELS[body[:COMMAND_WIDTH]], "ok"] += 1
        numbers.seconds.observe(seconds)
        if not is_ours:
            self._latencies_s.append(seconds)

    def failed(self, body: bytes, error: type[LibrarySystemError]) -> None:
        """The request `body` was not answered."""
        self._numbers.requests[_LABELS[body[:COMMAND_WIDTH]], _OUTCOMES[error]] += 1

    def measure(
        self, *, idle: int, busy: int, opening: int, breaker_open: bool, last_answer: float
    ) -> None:
        """The lines of this moment, and when the last answer came; 0: not since the start."""
        numbers = self._numbers
        numbers.idle, numbers.busy, numbers.opening = idle, busy, opening
        numbers.breaker_open, numbers.last_answer = breaker_open, last_answer

    def tell(self, condition: Condition, problem: str) -> None:
        """Log what has become of the account, if that is new, and why it is away."""
        if condition == self._told:
            return
        self._told = condition
        event, events = f"upstream_{condition}", self._log.events
        if condition == "away":
            events.warning(event, account=self._account, problem=problem)
        else:
            tell = events.info if condition == "up" else events.warning
            tell(event, account=self._account)

    @property
    def latency_ms(self) -> float | None:
        """The median of the last answers, to a tenth."""
        if not self._latencies_s:
            return None
        return round(statistics.median(self._latencies_s) * 1000, 1)
