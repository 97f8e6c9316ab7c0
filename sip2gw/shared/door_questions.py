"""What a library system answered to a door a moment ago (C122).

A reader that reads a card twice asks one question. In memory only, and bounded.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sip2gw.protocol.structs import Discreet, Hidden

QUESTIONS_MAX = 10_000

DoorQuestion = tuple[str, bytes]
"""A door, and a keyed digest of card and PIN."""


class _Answered(Discreet, Struct):
    answer: Hidden[Any]
    until_s: float


class DoorQuestions:
    """The last answers, by what was asked.

    They stand in two halves: those since the last turn, and those before it, which the next turn
    forgets. It comes as soon as all of them are over, or the first half is full; so none is looked
    at once more to be forgotten.
    """

    def __init__(self) -> None:
        self._lately: dict[DoorQuestion, _Answered] = {}
        self._before: dict[DoorQuestion, _Answered] = {}
        self._turn_at_s = 0.0
        self._longest_s = 0.0
        """The longest window so far."""

    def __len__(self) -> int:
        return len(self._lately) + len(self._before)

    def recall(self, question: DoorQuestion, now_s: float) -> Any | None:
        """The answer to the same question, if its time is not over at `now_s` (monotonic)."""
        answered = self._lately.get(question) or self._before.get(question)
        return answered.answer if answered is not None and now_s < answered.until_s else None

    def forget(self) -> None:
        """Ask each question anew."""
        self._lately, self._before = {}, {}

    def remember(self, question: DoorQuestion, answer: Any, now_s: float, window_s: float) -> None:
        """Keep `answer` for `window_s` seconds, if that is any time at all."""
        if not window_s:
            return
        if window_s > self._longest_s:
            self._longest_s = window_s
        if now_s >= self._turn_at_s or len(self._lately) >= QUESTIONS_MAX // 2:
            self._turn(now_s)
        self._lately[question] = _Answered(answer, now_s + window_s)

    def _turn(self, now_s: float) -> None:
        all_over = now_s >= self._turn_at_s + self._longest_s  # for none came after that turn
        self._before, self._lately = {} if all_over else self._lately, {}
        self._turn_at_s = now_s + self._longest_s
