"""PINs that nobody gave: right unless locked, and nothing is counted (B70, C171)."""

from __future__ import annotations

from datetime import datetime

from sip2gw.foundation.clock import Clock
from sip2gw.model import Card, FailedPins, PatronRecord
from sip2gw.policy.access import PinState


class AssumedPins:
    """Judges in the place of a `PinService`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def remembers(self, record: PatronRecord, card: Card, pin: str) -> bool:
        """Whatever is not locked was right a moment ago."""
        return not _failures(card).are_locked(self._clock.now())

    async def check(
        self,
        record: PatronRecord,
        card_number: str,
        pin: str | None,
        terminal: str,
        now: datetime,
        *,
        store_away: bool = False,
        at_door: bool = False,
    ) -> PinState:
        """A given PIN is right or locked; see `PinService.check`."""
        if not pin:
            return PinState.ABSENT
        card = record.card(card_number)
        is_locked = card is not None and _failures(card).are_locked(now)
        return PinState.LOCKED if is_locked else PinState.OK

    async def hold_back(self, terminal: str, now: datetime, began_s: float) -> None:
        """Nobody waits at a terminal."""


def _failures(card: Card) -> FailedPins:
    """What our store has counted for the holder of `card`."""
    return FailedPins(card.pin_failures, card.pin_locked_until)
