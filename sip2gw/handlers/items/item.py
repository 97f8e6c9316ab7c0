"""Item information and item status update: 17 and 19.  (B60, C27)"""

from __future__ import annotations

from sip2gw.backend.base import CirculationOrder
from sip2gw.handlers import profile_fields
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.items.circulation import KEY_KEPT, due_text, refusal_texts
from sip2gw.model import TEXT_CHARACTERS_MAX, ItemStatus, format_amount
from sip2gw.model.items import ItemRecord
from sip2gw.policy.items.cases import PropertiesCase
from sip2gw.policy.items.decisions import CHECKOUT_FEE_TYPE, checkout_fee, refusal
from sip2gw.policy.reasons import CirculationReason
from sip2gw.protocol.messages import (
    ItemInformation,
    ItemInformationResponse,
    ItemStatusUpdate,
    ItemStatusUpdateResponse,
)

OTHER_MARKER = "00"
NO_FEE_TYPE = "01"

_OTHER, _AVAILABLE, _CHARGED, _HOLD_SHELF = "01", "03", "04", "08"
_BY_STATUS = {
    ItemStatus.IN_PROCESS: "06",
    ItemStatus.IN_TRANSIT: "10",
    ItemStatus.LOST: "12",
    ItemStatus.MISSING: "13",
}
_GONE = frozenset({ItemStatus.LOST, ItemStatus.MISSING})
"""Told of an item also while it stands on somebody's account."""


def circulation_status(record: ItemRecord) -> str:
    """Where the item is.  Spec: SIP2 2.00, circulation status."""
    status = record.state.status
    if record.state.loan is not None and status not in _GONE:
        return _CHARGED
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if is_set_aside(record):
        return _HOLD_SHELF
    return _AVAILABLE if record.item.for_loan else _OTHER


def is_set_aside(record: ItemRecord) -> bool:
    """Whether this very copy waits on the shelf for somebody."""
    hold = record.next_hold
    return hold is not None and hold.ready and hold.item_id == record.item.id


async def item_information(session: Session, request: ItemInformation) -> Answer:
    """Answer a 17 with a 18.  Spec: SIP2 2.00, messages 17 and 18."""
    backend, now = session.services.backend, session.now()
    record = await backend.find_item(request.item_identifier, now)
    response = ItemInformationResponse(
        transaction_date=now, item_identifier=request.item_identifier
    )
    if record is None:
        unknown = refusal(CirculationReason.UNKNOWN_ITEM)
        response.screen_message = refusal_texts(session, unknown, None)
        return Answer(response, "refused", unknown.reason)
    queue = () if record.next_hold is None else await backend.hold_queue(record, now)
    response.hold_queue_length = str(len(queue))
    _fill(session, response, record)
    if session.terminal.presentation.item_fields:
        response.extra_fields = profile_fields.item_fields(session, record)
    return Answer(response)


def _fill(session: Session, response: ItemInformationResponse, record: ItemRecord) -> None:
    item, state = record.item, record.state
    response.circulation_status = circulation_status(record)
    response.security_marker = item.security_marker or OTHER_MARKER
    response.item_identifier = item.id
    response.title_identifier = item.title
    response.owner = item.owner_branch
    response.permanent_location = item.owner_branch
    response.current_location = state.current_branch or item.owner_branch
    response.media_type = item.media_type
    response.item_properties = state.properties
    if state.loan is not None:
        response.due_date = due_text(session, state.loan.due)
    if is_set_aside(record) and record.next_hold is not None:
        expires = record.next_hold.expires
        response.hold_pickup_date = expires and expires.astimezone(session.terminal.zone)
    fee = checkout_fee(item)
    response.fee_type = CHECKOUT_FEE_TYPE if fee else NO_FEE_TYPE
    if fee:
        response.currency_type = session.terminal.currency
        response.fee_amount = format_amount(fee, session.terminal.currency)


async def item_status_update(session: Session, request: ItemStatusUpdate) -> Answer:
    """Answer a 19 with a 20: store the properties.  Spec: SIP2 2.00, messages 19 and 20."""
    now, properties = session.now(), request.item_properties[:TEXT_CHARACTERS_MAX]
    order = CirculationOrder(
        code=request.code,
        terminal=session.terminal.name,
        item_id=request.item_identifier,
        patron_id=None,
        now=now,
        case=PropertiesCase(properties, now),
        key_expires=now + KEY_KEPT,
    )
    result = await session.services.backend.circulate(order)
    response = ItemStatusUpdateResponse(
        transaction_date=now, item_identifier=request.item_identifier
    )
    if result.refusal is not None or result.record is None:
        unknown = result.refusal or refusal(CirculationReason.UNKNOWN_ITEM)
        response.screen_message = refusal_texts(session, unknown, None)
        return Answer(response, "refused", unknown.reason)
    response.ok = True
    response.title_identifier = result.record.item.title
    response.item_properties = properties
    return Answer(response)
