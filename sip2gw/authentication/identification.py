"""The holder of a card and the worth of its PIN, as our own store knows them (B18-B20, B40,
C99).
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sip2gw.handlers.base import Identified, Session
from sip2gw.model import Card, CardState, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.money.payments import PaymentFacts

_OK, _REPLACED = PinState.OK, CardState.REPLACED
"""By name: Python 3.11 takes 0.1 µs to find a member of an enumeration, and each request asks."""


class PinJudge(Protocol):
    """Says what PINs are worth: a `PinService`, or whoever takes its place in an explanation."""

    def remembers(self, record: PatronRecord, card: Card, pin: str) -> bool:
        """See `PinService.remembers`."""
        ...

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
        """See `PinService.check`."""
        ...

    async def hold_back(self, terminal: str, now: datetime, began_s: float) -> None:
        """See `PinService.hold_back`."""
        ...


class StoreIdentifier:
    """Finds patrons in the store and has a `PinJudge` verify their PINs.

    The memory of admissions learns of every patron found (C110).
    """

    def __init__(self, pins: PinJudge) -> None:
        self._pins = pins

    async def identify(self, session: Session, number: str, pin: str | None) -> Identified:
        """Find the holder of a card; suspends only when the PIN was not verified recently."""
        services = session.services
        began_s = services.clock.monotonic()
        record = await services.backend.find_by_card(number) if number else None
        card = record.card(number) if record is not None else None
        # Here and below, not in one function: each request asks, and a call costs it 0.1 µs.
        if (
            pin
            and record is not None
            and card is not None
            and card.state is not _REPLACED
            and self._pins.remembers(record, card, pin)
        ):
            services.admissions.see(record, number, right=True)
            return Identified(record, card, _OK)
        state = await self._verify(session, record, card, number, pin, began_s)
        return Identified(record, card, state)

    async def find(self, session: Session, number: str) -> tuple[PatronRecord | None, Card | None]:
        """Find the holder of a card; no PIN is looked at."""
        record = await session.services.backend.find_by_card(number) if number else None
        admissions = session.services.admissions
        if record is None:
            admissions.miss(number)
            return None, None
        admissions.see(record, number)
        return record, record.card(number)

    async def identify_payer(
        self, session: Session, number: str, pin: str | None
    ) -> tuple[PaymentFacts | None, Card | None, PinState]:
        """The same with the debtors, who are all found at once."""
        services = session.services
        began_s = services.clock.monotonic()
        facts = await services.backend.find_payer(number) if number else None
        record = facts.payer if facts is not None else None
        card = record.card(number) if record is not None else None
        if (
            pin
            and record is not None
            and card is not None
            and card.state is not _REPLACED
            and self._pins.remembers(record, card, pin)
        ):
            services.admissions.see(record, number, right=True)
            return facts, card, _OK
        return facts, card, await self._verify(session, record, card, number, pin, began_s)

    async def _verify(
        self,
        session: Session,
        record: PatronRecord | None,
        card: Card | None,
        number: str,
        pin: str | None,
        began_s: float,
    ) -> PinState:
        """Let `pin` be judged. A failing answer leaves a whole number of slots after `began_s`,
        before the card was looked for: how long that took must not tell whether there is one (C99).
        """
        admissions = session.services.admissions
        if record is None:
            admissions.miss(number)
        else:
            admissions.see(record, number)
        if record is None or card is None or card.state is _REPLACED:
            if pin and session.terminal.identification.wrong_pin_hides_card:
                await self._hold_back(session, began_s)
            return PinState.ABSENT
        # What the PIN is worth is noted where it is judged; this may be too late to hear of it.
        session.note_pin(number, PinState.WRONG if pin else PinState.ABSENT)
        return await self._check(session, record, number, pin, began_s)

    async def verify_without_store(
        self, session: Session, record: PatronRecord, number: str, pin: str | None
    ) -> PinState:
        """Verify `pin` against the hash seen last; a wrong one is counted in memory (B40)."""
        began_s = session.services.clock.monotonic()
        return await self._check(session, record, number, pin, began_s, store_away=True)

    async def _check(
        self,
        session: Session,
        record: PatronRecord,
        number: str,
        pin: str | None,
        began_s: float,
        *,
        store_away: bool = False,
    ) -> PinState:
        now, terminal = session.services.clock.now(), session.terminal
        at_door = terminal.is_door
        state = await self._pins.check(
            record, number, pin, terminal.name, now, store_away=store_away, at_door=at_door
        )
        if state in (PinState.WRONG, PinState.LOCKED):
            await self._hold_back(session, began_s)
        return state

    async def _hold_back(self, session: Session, began_s: float) -> None:
        """Send the failing answer at a moment that reveals nothing (C99)."""
        now = session.services.clock.now()
        await self._pins.hold_back(session.terminal.name, now, began_s)
