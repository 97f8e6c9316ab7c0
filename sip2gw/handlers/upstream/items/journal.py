"""Loans and returns that are taken off line while the library system is away.

Rules: B77, C42, C98, C106, C125, C154. Only what certainly never arrived there is taken: it is
written into our store, answered, and goes up later (`daemon.chores.replaying`).
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial

from sip2gw.backend.attempts import sending_of
from sip2gw.backend.base import BackendError, HungUpError, OutcomeUnknownError
from sip2gw.backend.ids import new_id
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.items.circulation import due_text, order_key
from sip2gw.handlers.upstream.behind import identifier_of, library_of
from sip2gw.handlers.upstream.items.telling import tell
from sip2gw.handlers.upstream.passing import in_their_manner, refuse_here
from sip2gw.model import CardHere, CardState
from sip2gw.model.journal import JournalEntry, Kept
from sip2gw.policy.access import PinState, is_barred, lists_here
from sip2gw.policy.items.offline import Claim, usable_due
from sip2gw.policy.items.sorting import bin_for
from sip2gw.policy.obstacles import active_blocks
from sip2gw.policy.reasons import CirculationReason
from sip2gw.policy.upstream.journal import (
    Borrower,
    Journalled,
    carried_of,
    obstacle_to_lending,
)
from sip2gw.policy.upstream.questions import given_pin
from sip2gw.protocol.messages import Checkin, CheckinResponse, Checkout, CheckoutResponse
from sip2gw.protocol.timestamps import read_timestamp, write_timestamp

TAKEN = "taken_off_line"
"""The reason in the log, and the key of the screen text."""


async def take_off_line(
    session: Session, request: Journalled, claim: Claim | None
) -> Answer | None:
    """Take a 11 or 09 that certainly did not reach the library system.

    Returns:
        The answer, also when it is a no; None if nothing may be taken here, or too much waits.

    Raises:
        OutcomeUnknownError: nobody knows what became of the same request before, or the deadline
            passed while it was being written.
        BackendError: it could not be written.
    """
    if not session.terminal.rights.accept_offline or not request.item_identifier:
        return None
    if isinstance(request, Checkout):
        reason = await _obstacle(session, request)
        if reason is not None:
            return refuse_here(session, request, reason)
    due = _due(session, request)
    entry = _entry(session, request, claim, due)
    if session.services.sendings.may_be_done(sending_of(entry)):
        # It waits for its turn, so nobody has looked yet whether it went up before (C98).
        raise OutcomeUnknownError("nobody knows yet what became of the first request")
    kept = await _write(session, entry)
    if kept is Kept.FULL:
        return None
    return _tell_taken(session, request, due)


async def _obstacle(session: Session, request: Checkout) -> CirculationReason | None:
    """Why the loan is refused all the same."""
    number, terminal = request.patron_identifier, session.terminal
    pin, state = given_pin(request.patron_password), PinState.ABSENT
    if pin is not None:
        state = await identifier_of(session).judge_alone(session, number, pin)
    elif session.is_verified(number):
        state = PinState.OK
    here = await session.services.backend.find_here(number)
    record = here.holder
    card = record.card(number) if record is not None else None
    return obstacle_to_lending(
        Borrower(
            number=number,
            card=card.state if card is not None else CardState.ACTIVE,
            is_blocked=_is_blocked(session, number, here),
            pin_is_wrong=state in (PinState.WRONG, PinState.LOCKED),
            pin_is_right=state is PinState.OK,
            pin_required=terminal.identification.pin_required,
        )
    )


def _is_blocked(session: Session, number: str, here: CardHere) -> bool:
    """Whether our store or the configuration blocks or bars the patron."""
    terminal, today = session.terminal, session.now().date()
    record, listed, cards = here.holder, here.listed, frozenset((number,))
    if record is not None:
        listed, cards = record.door_entries, cards.union(card.number for card in record.cards)
    bars, _ = lists_here(listed, terminal.branch or "")
    is_blocked = record is not None and bool(active_blocks(record, today))
    return is_blocked or is_barred((*terminal.bars, *bars), cards, today)


def _due(session: Session, request: Journalled) -> datetime | None:
    """The terminal's own due date (C125)."""
    if isinstance(request, Checkin):
        return None
    return usable_due(session.now(), read_timestamp(request.nb_due_date, session.terminal.zone))


def _entry(
    session: Session, request: Journalled, claim: Claim | None, due: datetime | None
) -> JournalEntry:
    """What is written down of `request`."""
    terminal, now = session.terminal, session.services.clock.now()
    _, manner = library_of(session)
    patron = request.patron_identifier if isinstance(request, Checkout) else ""
    key = order_key(session, request, patron) or ""
    up = in_their_manner(session, request)
    if read_timestamp(request.transaction_date, terminal.zone) is None:
        up.transaction_date = write_timestamp(session.now(), manner.date_zone)
    if isinstance(up, Checkout) and due is None:
        up.nb_due_date = ""
    believed = claim.moment if claim is not None and claim.believed else None
    # A clock that is ahead must not put it behind what happens to the item next.
    return JournalEntry(
        id=new_id(),
        time=now,
        happened=min(believed or now, now),
        account=manner.account,
        terminal=terminal.name,
        message=request.code,
        item=request.item_identifier,
        patron=patron,
        key=key,
        request=carried_of(up),
    )


async def _write(session: Session, entry: JournalEntry) -> Kept:
    """Write it down, durably, whoever waits for it.

    After the deadline nobody can say no any more: it may be written, and then it goes up (C98).
    """
    services = session.services
    writing = asyncio.ensure_future(services.backend.add_to_journal(entry))
    services.journal.add()
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError as error:
        is_told = not isinstance(error, HungUpError)
        ended = partial(_note_end, session, entry, writing, is_told=is_told)
        services.afterwards.do(session.terminal.name, ended)
        if not is_told:
            raise
        raise OutcomeUnknownError("the deadline passed while it was being written") from None


async def _note_end(
    session: Session, entry: JournalEntry, writing: asyncio.Future[Kept], *, is_told: bool
) -> None:
    """A terminal that was told "not sure" about what is not in the journal: staff see it."""
    try:
        is_written = await writing is not Kept.FULL
    except BackendError:
        is_written = False
    if is_told and not is_written:
        await session.services.backend.note_sending(sending_of(entry))


def _tell_taken(session: Session, request: Journalled, due: datetime | None) -> Answer:
    """Yes, with what is known: the item and the patron as they were said, and no title."""
    response: CheckoutResponse | CheckinResponse
    item = request.item_identifier
    if isinstance(request, Checkout):
        response = CheckoutResponse(
            ok=True,
            desensitize=True,
            patron_identifier=request.patron_identifier,
            item_identifier=item,
        )
        number = request.patron_identifier
    else:
        response = CheckinResponse(ok=True, resensitize=True, item_identifier=item)
        number = ""
    tell(session, response)
    if isinstance(response, CheckoutResponse):
        response.due_date = due_text(session, due)
    else:
        _tell_unknown(session, response)
    text = session.services.texts.text(session.language("000"), TAKEN)
    response.screen_message = (text, *response.screen_message)
    return Answer(response, "ok", TAKEN, number)


def _tell_unknown(session: Session, response: CheckinResponse) -> None:
    """Nobody knows whether somebody waits for the item, or where it belongs. So neither CV nor CT
    says that it may go to the shelf, and only rules about its number choose the bin (B59)."""
    rules = session.terminal.circulation
    of_item = tuple(rule for rule in rules.sort_rules if rule.field == "item")
    response.sort_bin = bin_for(of_item, rules.branch, lambda _: response.item_identifier)
    response.alert_type = response.destination_location = None
