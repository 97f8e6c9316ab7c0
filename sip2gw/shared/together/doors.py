"""What a worker's doors remember, and what it hears of the others' (B40, B41, C93, C110, C142)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from sip2gw.model import PatronRecord
from sip2gw.shared.door_memory import AdmissionsOf, AdmittedPatron, Lead, Passages, Snapshot
from sip2gw.shared.together.courier import Courier
from sip2gw.shared.together.messages import (
    Admitted,
    AdmittedAgain,
    KnownPatron,
    Led,
    PassagesChanged,
    PinSeen,
    Refused,
    Seen,
)
from sip2gw.shared.together.sealing import seal, unseal

REFUSED_MAX = 1_000
"""Refusals that an admission, told later but made before them, does not undo."""

R = TypeVar("R", bound=Snapshot)

PassageChange = tuple[tuple[str, str], float | None]
"""A door and a card, and when it was admitted there; None: its passage is over."""

_changes = msgspec.msgpack.Decoder(list[PassageChange]).decode


def passages_changed(changes: list[PassageChange]) -> PassagesChanged:
    """The message for all of these, in the order in which they happened."""
    return PassagesChanged(msgspec.msgpack.encode(changes))


class JointPassages(Passages):
    """A worker's; the others hear of each, within moments."""

    def __init__(self, courier: Courier) -> None:
        super().__init__()
        self._courier = courier

    def begins(self, terminal: str, card: str, now_s: float, window_s: float) -> bool:
        """See `Passages`."""
        begins = super().begins(terminal, card, now_s, window_s)
        if begins:
            self._tell_change(((terminal, card), now_s))
        return begins

    def end(self, terminal: str, card: str) -> bool:
        """See `Passages`."""
        was_known = super().end(terminal, card)
        if was_known:
            self._tell_change(((terminal, card), None))
        return was_known

    def _tell_change(self, change: PassageChange) -> None:
        self._courier.add(passages_changed, change)

    def lead(self, terminal: str, children: Iterable[str], lead: Lead) -> None:
        """See `Passages`."""
        led = list(children)
        super().lead(terminal, led, lead)
        told = Led(terminal, led, lead.card, list(lead.badges), lead.at_s)
        self._courier.tell(told, can_wait=True)

    def take_changed(self, told: PassagesChanged) -> None:
        """Passages have begun or ended elsewhere."""
        begins, end = super().begins, super().end
        for (terminal, card), at_s in _changes(told.changes):
            if at_s is None:
                end(terminal, card)
            else:
                begins(terminal, card, at_s, 0)

    def take_led(self, told: Led) -> None:
        """A head of family was admitted elsewhere."""
        super().lead(told.terminal, told.children, Lead(told.card, tuple(told.badges), told.at_s))


class ToldAdmissions(AdmissionsOf[R]):
    """Admissions, as they are told by others, in whatever order that arrives.

    Of two records the one that was seen last counts, and of a refusal and an admission likewise.
    So all who have been told the same know the same.
    """

    def __init__(self, opened: Callable[[str, bytes], R]) -> None:
        """`opened` makes a record of a patron's id and what was sealed."""
        super().__init__()
        self._opened = opened
        self._refused_s: OrderedDict[str, float] = OrderedDict()

    def take_admitted(self, told: Admitted) -> None:
        """A patron was admitted."""
        door = (told.terminal, told.card, told.at_s)
        self._take(told.patron_id, told.at_s, told.record, [door])

    def take_admitted_again(self, told: AdmittedAgain) -> None:
        """Patrons were admitted; nothing else of them is news."""
        for patron_id, terminal, card, at_s in told.admissions:
            known = self._patrons.get(patron_id)
            if known is None:
                continue  # refused meanwhile; or only one worker knows, see `SEALED_BYTES_MAX`
            told_s = known.times_s.get((terminal, card), 0)
            if at_s > max(told_s, self._refused_s.get(patron_id, 0)):
                self._admit(known, terminal, card, at_s)

    def take_seen(self, told: Seen) -> None:
        """This is known of a patron now."""
        self._take(told.patron_id, told.at_s, told.record, [])

    def take_known(self, told: KnownPatron) -> None:
        """All that is remembered of a patron."""
        known = self._take(told.patron_id, told.at_s, told.record, told.admitted)
        if known is not None:
            known.wrong_pins = told.wrong_pins

    def _take(
        self, patron_id: str, seen_s: float, data: bytes, doors: Iterable[tuple[str, str, float]]
    ) -> AdmittedPatron[R] | None:
        since_s = self._refused_s.get(patron_id, 0)
        known = self._patrons.get(patron_id)
        told_s = known.times_s if known is not None else {}
        doors = [door for door in doors if door[2] > max(since_s, told_s.get(door[:2], 0))]
        if known is None and not (data and doors):
            return None  # refused meanwhile; or only one worker knows, see `SEALED_BYTES_MAX`
        if known is None or (data and seen_s >= known.seen_s):
            record = self._opened(patron_id, data)
        else:
            record, seen_s = known.record, known.seen_s
        for terminal, card, at_s in doors:
            super().remember(terminal, card, record, at_s)
        known = self._patrons[patron_id]
        known.record, known.seen_s = record, seen_s
        return known

    def take_pin(self, told: PinSeen) -> None:
        """What a PIN was worth."""
        super().note_pin(told.patron_id, right=told.right)

    def take_refused(self, told: Refused) -> None:
        """A patron was refused for what they are: only later admissions count."""
        self.note_refused(told.patron_id, told.at_s)
        known = self._patrons.get(told.patron_id)
        if known is None:
            return
        later = [(*door, at_s) for door, at_s in known.times_s.items() if at_s > told.at_s]
        self._drop(told.patron_id)
        for terminal, card, at_s in later:
            super().remember(terminal, card, known.record, at_s)
            self._patrons[told.patron_id].seen_s = known.seen_s

    def note_refused(self, patron_id: str, at_s: float) -> None:
        """Admissions until `at_s` count nowhere."""
        self._refused_s[patron_id] = at_s
        self._refused_s.move_to_end(patron_id)
        if len(self._refused_s) > REFUSED_MAX:
            self._refused_s.popitem(last=False)


class JointAdmissions(ToldAdmissions[PatronRecord]):
    """A worker's; the others hear of whatever changes."""

    def __init__(self, courier: Courier, monotonic: Callable[[], float]) -> None:
        super().__init__(lambda patron_id, data: unseal(data))
        self._courier = courier
        self._monotonic = monotonic

    def remember(self, terminal: str, card: str, record: PatronRecord, now_s: float) -> None:
        """See `Admissions`."""
        is_news = self._is_news(record) or self._patrons[record.id].wrong_pins
        super().remember(terminal, card, record, now_s)
        if not is_news:
            self._courier.add(AdmittedAgain, (record.id, terminal, card, now_s))
            return
        self._patrons[record.id].seen_s = now_s
        data = self._sealed(record, now_s)
        if data:
            told = Admitted(record.id, terminal, card, now_s, data)
            self._courier.tell(told, can_wait=True)

    def see(self, record: PatronRecord, card: str = "", *, right: bool | None = None) -> None:
        """See `Admissions`."""
        known = self._patrons.get(record.id)
        if known is not None and self._is_news(record):
            known.seen_s = now_s = self._monotonic()
            data = self._sealed(record, now_s)
            if data:
                self._courier.tell(Seen(record.id, now_s, data))
        super().see(record, card, right=right)

    def note_pin(self, patron_id: str, *, right: bool) -> None:
        """See `Admissions`."""
        known = self._patrons.get(patron_id)
        if known is None or (not known.wrong_pins if right else self.is_guessed_at(patron_id)):
            return
        super().note_pin(patron_id, right=right)
        self._courier.tell(PinSeen(patron_id, right))

    def forget(self, patron_id: str) -> None:
        """See `Admissions`."""
        if self.knows(patron_id):
            super().forget(patron_id)
            self._tell_refused(patron_id, self._monotonic())

    def take_refused(self, told: Refused) -> None:
        """See `ToldAdmissions`. What counts nevertheless may be known here only."""
        super().take_refused(told)
        message = known_patron(told.patron_id, self._patrons.get(told.patron_id), seal)
        if message is not None:
            self._courier.tell(message)

    def _is_news(self, record: PatronRecord) -> bool:
        known = self._patrons.get(record.id)
        return known is None or (known.record is not record and known.record != record)

    def _sealed(self, record: PatronRecord, now_s: float) -> bytes:
        """`record` for the others; if it is too long they are to know nothing of the patron."""
        data = seal(record)
        if not data:
            self._tell_refused(record.id, now_s)
        return data

    def _tell_refused(self, patron_id: str, now_s: float) -> None:
        self.note_refused(patron_id, now_s)
        self._courier.tell(Refused(patron_id, now_s))


def known_patron(
    patron_id: str, known: AdmittedPatron[R] | None, sealed: Callable[[R], bytes]
) -> KnownPatron | None:
    """All that is remembered of a patron, if it can be told."""
    data = sealed(known.record) if known is not None else b""
    if known is None or not data:
        return None
    doors = [(*door, at_s) for door, at_s in known.times_s.items()]
    return KnownPatron(patron_id, known.seen_s, data, doors, known.wrong_pins)
