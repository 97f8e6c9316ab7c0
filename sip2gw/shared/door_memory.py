"""Short-lived memory of the doors of one process: passages and admissions (B40, B41).

In memory only, and bounded. A restart forgets it, and another gateway does not know it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct, field

from sip2gw.model import PatronRecord
from sip2gw.protocol.structs import Discreet, Hidden

PASSAGES_MAX = 10_000
PATRONS_MAX = 20_000
WRONG_PINS_MAX = 5
"""Number of wrong PINs in a row after which no PIN is right any more in an emergency."""


class Lead(Discreet, Struct, frozen=True):
    """A head of family who went in, as one of their children sees it."""

    card: Hidden[str]
    """Of the head."""
    badges: tuple[str, ...]
    """Those of the head that the door asked for."""
    at_s: float
    """Monotonic."""


class Passages:
    """The last granted passage of each card at each door, and who may follow (B41, C93, C142)."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], float] = {}
        self._earlier: dict[tuple[str, str], float] = {}
        """Those before the last `PASSAGES_MAX`, until there are as many again."""
        self._led: dict[tuple[str, str], Lead] = {}
        self._led_earlier: dict[tuple[str, str], Lead] = {}
        """By door and child; kept in the same way."""

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

    def end(self, terminal: str, card: str) -> bool:
        """Whatever `card` does at `terminal` next is a passage of its own.

        Returns:
            Whether one was remembered.
        """
        begun = self._begun.pop((terminal, card), None)
        return self._earlier.pop((terminal, card), begun) is not None

    def lead(self, terminal: str, children: Iterable[str], lead: Lead) -> None:
        """A head of family has been admitted at a door where `children` may follow (C142)."""
        for child in children:
            self._led[terminal, child] = lead
        if len(self._led) >= PASSAGES_MAX:
            self._led, self._led_earlier = {}, self._led

    def lead_of(
        self, terminal: str, child: str, card: str, now_s: float, window_s: float
    ) -> Lead | None:
        """The head whom `child`, who shows `card`, follows; None for nobody.

        The head's passage goes on, or that of a child who followed while it did.
        """
        lead = self._led.get((terminal, child)) or self._led_earlier.get((terminal, child))
        if lead is None:
            return None
        if now_s - lead.at_s < window_s and self.goes_on(terminal, lead.card, now_s, window_s):
            return lead
        return lead if self.goes_on(terminal, card, now_s, window_s) else None


class Snapshot(Protocol):
    """What is known of a patron at one moment."""

    @property
    def id(self) -> str:
        """The patron's."""


R = TypeVar("R", bound=Snapshot)


class AdmittedPatron(Discreet, Struct, Generic[R]):
    """A patron who was admitted, and the last that was seen of them."""

    record: R
    times_s: dict[tuple[str, str], float] = field(default_factory=dict)
    """When, by door and card; monotonic."""
    wrong_pins: int = 0
    """With whatever card, since the last right one (C99)."""
    pin_hash: Hidden[str | None] = None
    """A slow hash of the PIN that a library system found right last; our store has its own."""
    pin_digest: Hidden[bytes | None] = None
    """A keyed digest of the same PIN, which tells at once whether another one is it."""
    seen_s: float = 0.0
    """When `record` was seen; monotonic. Counts where several workers tell each other."""


class AdmissionsOf(Generic[R]):
    """Who was admitted where and when, for the time when the store is away (B40, C110).

    Only a decision made with the store adds to it; use does not make an admission younger. Whatever
    the gateway sees of an admitted patron later, at any terminal, is what an emergency decides on:
    blocks, bars, another PIN, its lock.
    """

    def __init__(self) -> None:
        self._patrons: OrderedDict[str, AdmittedPatron[R]] = OrderedDict()
        self._holders: dict[str, str] = {}
        """Card → patron, for each card that was admitted."""

    def __repr__(self) -> str:
        return f"<Admissions of {len(self._patrons)} patrons>"

    @property
    def is_empty(self) -> bool:
        """Whether nobody was admitted anywhere."""
        return not self._patrons

    def remember(self, terminal: str, card: str, record: R, now_s: float) -> None:
        """`card` has been admitted; the patron admitted longest ago makes room."""
        admitted = self._patrons.get(record.id)
        if admitted is None:
            admitted = self._patrons[record.id] = AdmittedPatron(record)
        admitted.record, admitted.wrong_pins = record, 0
        self._admit(admitted, terminal, card, now_s)
        if len(self._patrons) > PATRONS_MAX:
            self._drop(next(iter(self._patrons)))

    def _admit(self, admitted: AdmittedPatron[R], terminal: str, card: str, at_s: float) -> None:
        patron_id = admitted.record.id
        admitted.times_s[terminal, card] = at_s
        self._holders[card] = patron_id
        self._patrons.move_to_end(patron_id)

    def see(self, record: R, card: str = "", *, right: bool | None = None) -> None:
        """This is what is known of a patron now, who showed `card` if there was one; `right` says
        what a presented PIN was worth."""
        if self._holders.get(card, record.id) != record.id:
            self.miss(card)
        admitted = self._patrons.get(record.id)
        if admitted is not None:
            admitted.record = record
            if right is not None:
                self.note_pin(record.id, right=right)

    def miss(self, card: str) -> None:
        """Whoever was admitted with `card` has it no more: their admissions count nowhere."""
        holder = self._holders.get(card)
        if holder is not None:
            self.forget(holder)

    def note_pin(self, patron_id: str, *, right: bool) -> None:
        """A PIN was presented, and this is what it was worth; nothing else was seen."""
        admitted = self._patrons.get(patron_id)
        if admitted is not None:
            admitted.wrong_pins = 0 if right else admitted.wrong_pins + 1

    def note_lock(self, patron_id: str) -> None:
        """The PIN was seen to be locked: until it is right again it is answered so here, too."""
        while self.knows(patron_id) and not self.is_guessed_at(patron_id):
            self.note_pin(patron_id, right=False)

    def knows(self, patron_id: str) -> bool:
        """Whether the patron was admitted anywhere."""
        return patron_id in self._patrons

    def patrons(self) -> Sequence[str]:
        """All who were admitted, longest ago first."""
        return tuple(self._patrons)

    def known(self, patron_id: str) -> AdmittedPatron[R] | None:
        """All that is remembered of the patron."""
        return self._patrons.get(patron_id)

    def pin_hash(self, patron_id: str) -> str | None:
        """The slow hash of the PIN that is kept."""
        admitted = self._patrons.get(patron_id)
        return admitted.pin_hash if admitted is not None else None

    def pin_digest(self, patron_id: str) -> bytes | None:
        """The keyed digest of the PIN that is kept."""
        admitted = self._patrons.get(patron_id)
        return admitted.pin_digest if admitted is not None else None

    def keep_pin(self, patron_id: str, pin_hash: str, digest: bytes) -> None:
        """Remember the PIN of an admitted patron by its slow hash and a keyed digest (B40)."""
        admitted = self._patrons.get(patron_id)
        if admitted is not None:
            admitted.pin_hash, admitted.pin_digest = pin_hash, digest

    def forget_pin(self, patron_id: str) -> None:
        """The PIN that is kept is right no more (C110)."""
        admitted = self._patrons.get(patron_id)
        if admitted is not None:
            admitted.pin_hash = admitted.pin_digest = None

    def recall(self, terminal: str, card: str, now_s: float, max_age_s: float) -> R | None:
        """The holder of `card`, if it was admitted at `terminal` within `max_age_s` seconds."""
        admitted = self._patrons.get(self._holders.get(card, ""))
        if admitted is None:
            return None
        at = admitted.times_s.get((terminal, card))
        return admitted.record if at is not None and now_s - at <= max_age_s else None

    def holder(self, card: str) -> R | None:
        """What is known of the holder of `card`, if it was admitted anywhere at any time."""
        admitted = self._patrons.get(self._holders.get(card, ""))
        return admitted.record if admitted is not None else None

    def is_guessed_at(self, patron_id: str) -> bool:
        """Whether so many wrong PINs were seen since the last right one that the next one is
        answered like a locked one."""
        admitted = self._patrons.get(patron_id)
        return admitted is not None and admitted.wrong_pins >= WRONG_PINS_MAX

    def forget(self, patron_id: str) -> None:
        """The patron has been refused for what they are: earlier admissions count nowhere."""
        self._drop(patron_id)

    def _drop(self, patron_id: str) -> None:
        admitted = self._patrons.pop(patron_id, None)
        for _, card in admitted.times_s if admitted is not None else ():
            self._holders.pop(card, None)


Admissions = AdmissionsOf[PatronRecord]
"""Those of one process."""
