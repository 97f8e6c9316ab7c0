"""What a library system answered to a door a moment ago (C122).

A reader that reads a card twice asks one question. In memory only, and bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from msgspec import Struct

from sip2gw.protocol.structs import Discreet, Hidden

QUESTIONS_MAX = 10_000
FORGOTTEN_EVERY_S = 1.0
"""How often is forgotten what is over, as long as more comes."""

DoorQuestion = tuple[str, bytes]
"""A door, and a keyed digest of card and PIN."""


class _Answered(Discreet, Struct):
    answer: Hidden[Any]
    until_s: float


class DoorQuestions:
    """The last answers, by what was asked."""

    def __init__(self) -> None:
        self._answered: OrderedDict[DoorQuestion, _Answered] = OrderedDict()
        self._forget_at_s = 0.0

    def __len__(self) -> int:
        return len(self._answered)

    def recall(self, question: DoorQuestion, now_s: float) -> Any | None:
        """The answer to the same question, if its time is not over at `now_s` (monotonic)."""
        answered = self._answered.get(question)
        return answered.answer if answered is not None and now_s < answered.until_s else None

    def forget(self) -> None:
        """Ask each question anew."""
        self._answered.clear()

    def remember(self, question: DoorQuestion, answer: Any, now_s: float, window_s: float) -> None:
        """Keep `answer` for `window_s` seconds, if that is any time at all."""
        if not window_s:
            return
        self._answered[question] = _Answered(answer, now_s + window_s)
        self._answered.move_to_end(question)
        if now_s >= self._forget_at_s or len(self._answered) > QUESTIONS_MAX:
            self._forget_at_s = now_s + FORGOTTEN_EVERY_S
            self._forget_over(now_s)

    def _forget_over(self, now_s: float) -> None:
        """Forget what is over, and what there is no room for."""
        while self._answered:
            oldest = next(iter(self._answered.values()))
            if oldest.until_s > now_s and len(self._answered) <= QUESTIONS_MAX:
                return
            self._answered.popitem(last=False)
