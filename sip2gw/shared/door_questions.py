"""What a library system answered to a door a moment ago (C122).

A reader that reads a card twice asks one question. In memory only, and bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

QUESTIONS_MAX = 10_000


@dataclass(slots=True)
class _Answered:
    answer: Any = field(repr=False)
    until_s: float


class DoorQuestions:
    """The last answers, under keyed digests of door, card and PIN."""

    def __init__(self) -> None:
        self._answered: OrderedDict[bytes, _Answered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answered)

    def recall(self, question: bytes, now_s: float) -> Any | None:
        """The answer to the same question, if its time is not over at `now_s` (monotonic)."""
        answered = self._answered.get(question)
        return answered.answer if answered is not None and now_s < answered.until_s else None

    def forget(self) -> None:
        """Ask each question anew."""
        self._answered.clear()

    def remember(self, question: bytes, answer: Any, now_s: float, window_s: float) -> None:
        """Keep `answer` for `window_s` seconds; what is over is forgotten now."""
        self._answered[question] = _Answered(answer, now_s + window_s)
        self._answered.move_to_end(question)
        while self._answered:
            oldest = next(iter(self._answered.values()))
            if oldest.until_s > now_s and len(self._answered) <= QUESTIONS_MAX:
                return
            self._answered.popitem(last=False)
