"""For whom somebody may renew, where only our store knows who has authorised whom (B54, C122)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from sip2gw.handlers.base import Session
from sip2gw.handlers.patron import PresentedCard, identify
from sip2gw.handlers.upstream.behind import identifier_of, library_of
from sip2gw.handlers.upstream.passing import wrong_pin
from sip2gw.model import PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.relationships import may_renew_for, renewable_by
from sip2gw.policy.upstream.looking import is_loan_of
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.messages import PatronInformation, PatronInformationResponse
from sip2gw.protocol.timestamps import write_timestamp


class Authoriser(Struct, frozen=True):
    """Somebody whose loans the patron at the terminal may renew."""

    id: str
    charged_items: tuple[str, ...]
    """Their AU as it came; each begins with the item's number."""


async def authorisers_of(
    session: Session, number: str, pin: str | None
) -> AsyncIterator[Authoriser]:
    """Who has authorised the holder of card `number` to renew.

    The PIN is the holder's own: it is judged now, or was in this session (C64). A profile that
    requires none gets on without. The authoriser's PIN is nobody's business here.

    Raises:
        RefusedHereError: the PIN is wrong. It has gone up, and must not do so again (B74).
    """
    ours = await session.services.backend.find_by_card(number) if number else None
    if ours is None or not renewable_by(ours, session.terminal.relationships):
        return  # most have not been authorised, and then nobody is asked
    was_verified = session.is_verified(number)
    presented = await identify(session, number, pin, pin_required=False)
    if presented.pin in (PinState.WRONG, PinState.LOCKED):
        raise wrong_pin(session)
    record = presented.shown
    if record is None or not (was_verified or _has_shown_pin(session, presented)):
        return
    for authoriser in await _asked(session, record):
        yield authoriser


def _has_shown_pin(session: Session, presented: PresentedCard) -> bool:
    required = session.terminal.identification.pin_required
    return bool(presented.valid_password) or not required


async def _asked(session: Session, record: PatronRecord) -> list[Authoriser]:
    """Those of the authorisers who, by the library system's word, may be helped now."""
    terminal = session.terminal
    # A session of its own: whom we ask about now is not who stands at the terminal.
    aside = Session(session.services, terminal)
    try:
        asked = [
            await _authoriser(aside, record, authoriser_id)
            for authoriser_id in renewable_by(record, terminal.relationships)
        ]
    finally:
        library_of(session)[0].release(aside.lease)
    return [one for one in asked if one is not None]


async def _authoriser(
    aside: Session, record: PatronRecord, authoriser_id: str
) -> Authoriser | None:
    """The library system's word about one of them; None if they may not be helped now."""
    question = PatronInformation(
        transaction_date=write_timestamp(aside.now()),
        summary=frozenset({Summary.CHARGED}),
        patron_identifier=authoriser_id,
    )
    asked = await identifier_of(aside).ask(aside, question)
    said, relationships, today = asked.response, aside.terminal.relationships, aside.now().date()
    if (
        asked.record is None
        or not isinstance(said, PatronInformationResponse)
        or not may_renew_for(record, asked.record, relationships, today)
    ):
        return None
    return Authoriser(authoriser_id, said.charged_items)


def has_on_loan(authoriser: Authoriser, item_id: str) -> bool:
    """Whether the item is among their loans."""
    return any(is_loan_of(one, item_id) for one in authoriser.charged_items)
