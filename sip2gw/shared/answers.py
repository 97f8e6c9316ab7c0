"""Which of staff's answers this process has shown, until the store knows it as well (C145)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

PATRONS_MAX = 10_000
"""Of so many patrons an answer waits to be noted as shown; others see theirs at another visit."""


class ShownAnswers:
    """Answers that were shown, by patron. Used in one event loop."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, ...]] = {}

    def take(self, patron_id: str, answers: Iterable[str], at_most: int) -> list[str]:
        """Those of `answers` to show now, in their order: from here on they count as shown."""
        shown = self._shown.get(patron_id, ())
        if not shown and len(self._shown) >= PATRONS_MAX:
            return []
        new = [answer for answer in dict.fromkeys(answers) if answer not in shown][:at_most]
        if new:
            self._shown[patron_id] = (*shown, *new)
        return new

    def waiting(self) -> Mapping[str, Sequence[str]]:
        """What the store has to hear of: what each patron was shown."""
        return dict(self._shown)

    def written(self, patron_id: str, answers: Sequence[str]) -> None:
        """The store knows that the patron was shown these `answers`."""
        left = tuple(one for one in self._shown.pop(patron_id, ()) if one not in answers)
        if left:
            self._shown[patron_id] = left
