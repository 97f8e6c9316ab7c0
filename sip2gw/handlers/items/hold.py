"""Holds: 15 and 16.  (B60, C20, C27)"""

from __future__ import annotations

from sip2gw.backend.base import CirculationOrder, CirculationOutcome, CirculationResult
from sip2gw.handlers.base import Answer, Session, if_told
from sip2gw.handlers.items.circulation import (
    KEY_KEPT,
    early_refusal,
    reader_of,
    refusal_texts,
    transaction_key,
)
from sip2gw.handlers.patron import PresentedCard, identify
from sip2gw.model.items import ItemRecord, QueuedHold
from sip2gw.policy.items.cases import HoldCase
from sip2gw.policy.items.decisions import HOLD
from sip2gw.policy.items.holds import HoldRequest, is_available
from sip2gw.protocol.messages import Hold, HoldResponse
from sip2gw.protocol.timestamps import read_timestamp

ANY_COPY, SPECIFIC_COPY, ANY_COPY_AT_BRANCH = "2", "3", "4"
"""Hold types, BY.  Spec: SIP2 2.00, hold type."""

_SAID = {"+": "hold_placed", "*": "hold_changed", "-": "hold_removed"}


async def hold(session: Session, request: Hold) -> Answer:
    """Answer a 15 with a 16.  Spec: SIP2 2.00, messages 15 and 16."""
    presented = await identify(session, request.patron_identifier, request.patron_password)
    refused = early_refusal(presented)
    if refused is not None:
        return await _answer(
            session,
            request,
            presented,
            CirculationResult(CirculationOutcome.REFUSED, None, refusal=refused),
        )
    backend, now = session.services.backend, session.now()
    item_id = request.item_identifier
    if not item_id and request.title_identifier:
        item_id = await backend.copy_of_title(request.title_identifier)
    patron_id = presented.record.id if presented.record is not None else None
    order = CirculationOrder(
        code=HOLD,
        terminal=session.terminal.name,
        item_id=item_id or "",
        patron_id=patron_id,
        now=now,
        case=HoldCase(_asked(session, request), reader_of(session, presented)),
        key=hold_key(session, request, patron_id or ""),
        key_expires=now + KEY_KEPT,
    )
    result = await backend.circulate(order)
    return await _answer(session, request, presented, result)


def hold_key(session: Session, request: Hold, patron_id: str) -> str | None:
    """The key under which it is done once for `patron_id`; a retry finds it (C97)."""
    wanted = (
        request.hold_mode,
        request.hold_type,
        request.expiration_date,
        request.pickup_location,
        request.item_identifier,
    )
    said = "|".join(str(value or "") for value in wanted)
    return transaction_key(session, HOLD, patron_id, request.transaction_date, said)


def _asked(session: Session, request: Hold) -> HoldRequest:
    terminal = session.terminal
    if request.hold_type in (ANY_COPY, ANY_COPY_AT_BRANCH):
        any_copy = True
    else:
        any_copy = request.hold_type != SPECIFIC_COPY and not request.item_identifier
    raw = request.expiration_date
    return HoldRequest(
        now=session.now(),
        mode=request.hold_mode,
        any_copy=any_copy,
        pickup_branch=request.pickup_location or None,
        expires=read_timestamp(raw, terminal.zone) if isinstance(raw, str) else None,
        branches=terminal.branches,
        here=terminal.branch,
    )


async def _answer(
    session: Session, request: Hold, presented: PresentedCard, result: CirculationResult
) -> Answer:
    response = HoldResponse(
        transaction_date=session.now(),
        institution_id=session.terminal.institution_id,
        patron_identifier=presented.patron_id,
        item_identifier=request.item_identifier,
        title_identifier=request.title_identifier,
    )
    if result.refusal is not None:
        response.screen_message = refusal_texts(session, result.refusal, presented.shown)
        return Answer(response, "refused", result.refusal.reason, presented.number)
    assert result.record is not None
    assert result.done is not None
    assert result.done.hold is not None
    await _tell_hold(session, request, response, result.record, result.done.hold)
    return Answer(response, "ok", "", presented.number)


async def _tell_hold(
    session: Session,
    request: Hold,
    response: HoldResponse,
    record: ItemRecord,
    done: QueuedHold,
) -> None:
    terminal, now = session.terminal, session.now()
    response.ok = True
    response.title_identifier = record.item.title
    values: dict[str, int] = {}
    told = True
    if request.hold_mode != "-":
        placed = done if request.hold_mode == "+" else None  # there already when told again
        response.available = is_available(record, but_for=placed)
        response.expiration_date = done.expires and done.expires.astimezone(terminal.zone)
        response.pickup_location = done.pickup_branch
        queue = await if_told(session.services.backend.hold_queue(record, now))
        told = queue is not None
        if queue is not None:
            position = queue.index(done.id) + 1 if done.id in queue else len(queue)
            response.queue_position = str(position)
            values["position"] = position
    if not told:
        return
    language = session.language("000")
    key = _SAID[request.hold_mode]
    response.screen_message = (session.services.texts.text(language, key, **values),)
