"""What the doors of one process remember for a while: passages, and admissions (B40, B41).

In memory only, and bounded. A restart forgets it, and another gateway does not know it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from sip2gw.model import PatronRecord

PASSAGES_MAX = 10_000
CARDS_MAX = 20_000
WRONG_PINS_MAX = 5
"""So many wrong PINs in a row, and a card is not admitted from memory any more."""


class Passages:
    """The last granted passage of each card at each door (B41, C93)."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], float] = {}
        self._earlier: dict[tuple[str, str], float] = {}
        """Those before the last `PASSAGES_MAX`, until there are as many again."""

    def goes_on(self, terminal: str, card: str, now_s: float, window_s: float) -> bool:
        """Whether a passage that began within the last `window_s` seconds is still this one."""
        begun = self._last((terminal, card))
        return begun is not None and now_s - begun < window_s

    def _last(self, passage: tuple[str, str]) -> float | None:
        begun = self._begun.get(passage)
        return self._earlier.get(passage) if begun is None else begun

    def begins(self, terminal: str, card: str, now_s: float, window_s: float) -> bool:
        """Note a passage at `now_s` (monotonic); False when it is part of an earlier one."""
        passage = (terminal, card)
        begun = self._last(passage)
        if begun is not None and now_s - begun < window_s:
            return False
        self._begun[passage] = now_s
        if len(self._begun) >= PASSAGES_MAX:
            self._begun, self._earlier = {}, self._begun
        return True

    def end(self, terminal: str, card: str) -> None:
        """Whatever `card` does at `terminal` next is a passage of its own."""
        self._begun.pop((terminal, card), None)
        self._earlier.pop((terminal, card), None)


@dataclass(slots=True)
class Admitted:
    """A card that was admitted, and what was known of its holder then."""

    record: PatronRecord
    times_s: dict[str, float] = field(default_factory=dict)
    """When, by door; monotonic."""
    wrong_pins: int = 0


class Admissions:
    """Which cards were admitted where and when, for the time when the store is away (B40).

    Only a decision made with the store adds to it; use does not make an admission younger.
    """

    def __init__(self) -> None:
        self._cards: OrderedDict[str, Admitted] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Admissions of {len(self._cards)} cards>"

    def remember(self, terminal: str, card: str, record: PatronRecord, now_s: float) -> None:
        """`card` has been admitted; the card admitted longest ago makes room."""
        admitted = self._cards.get(card)
        if admitted is None:
            admitted = self._cards[card] = Admitted(record)
        admitted.record, admitted.wrong_pins = record, 0
        admitted.times_s[terminal] = now_s
        self._cards.move_to_end(card)
        if len(self._cards) > CARDS_MAX:
            self._cards.popitem(last=False)

    def recall(
        self, terminal: str, card: str, now_s: float, max_age_s: float
    ) -> PatronRecord | None:
        """The holder of `card`, if it was admitted at `terminal` within `max_age_s` seconds."""
        admitted = self._cards.get(card)
        if admitted is None or admitted.wrong_pins >= WRONG_PINS_MAX:
            return None
        at = admitted.times_s.get(terminal)
        return admitted.record if at is not None and now_s - at <= max_age_s else None

    def note_pin(self, card: str, *, right: bool) -> None:
        """Count a wrong PIN; a right one starts a new count."""
        admitted = self._cards.get(card)
        if admitted is not None:
            admitted.wrong_pins = 0 if right else admitted.wrong_pins + 1

    def forget(self, card: str) -> None:
        """`card` has been refused for what it is: earlier admissions count nowhere."""
        self._cards.pop(card, None)
