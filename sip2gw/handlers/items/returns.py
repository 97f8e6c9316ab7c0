"""Checkin: 09.  (B57-B59, C44)"""

from __future__ import annotations

from collections.abc import Iterable

from sip2gw.backend.base import CirculationResult
from sip2gw.handlers import profile_fields
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.items.circulation import (
    NO_SECURITY,
    claim_of,
    note_active,
    order_for,
    refusal_texts,
)
from sip2gw.model.items import ItemRecord, Outcome
from sip2gw.policy.items.cases import CancellationCase, ReturnCase
from sip2gw.policy.items.decisions import CHECKIN, CirculationRequest, claimed
from sip2gw.policy.items.sorting import sort_bin
from sip2gw.protocol.messages import Checkin, CheckinResponse

OTHER_ALERT = "99"
NO_ALERT = "00"


async def checkin(session: Session, request: Checkin) -> Answer:
    """Answer a 09 with a 10.  Spec: SIP2 2.00, messages 09 and 10; B57-B59."""
    claim = claim_of(session, request)
    asked = claimed(CirculationRequest(now=session.now(), code=CHECKIN), claim)
    rules = session.terminal.circulation
    case = CancellationCase(asked, rules) if request.cancel else ReturnCase(asked, rules)
    order = order_for(session, CHECKIN, request.item_identifier, request, None, claim, case)
    result = await session.services.backend.circulate(order)
    loan = result.record.state.loan if result.record is not None else None
    note_active(session, loan.patron_id if loan is not None else None, result)
    return _checkin_answer(session, request, result)


def _checkin_answer(session: Session, request: Checkin, result: CirculationResult) -> Answer:
    response = CheckinResponse(
        transaction_date=session.now(),
        institution_id=session.terminal.institution_id,
        item_identifier=request.item_identifier,
    )
    if result.record is not None:
        _describe_returned(session, response, result.record)
    if result.done is None:
        assert result.refusal is not None
        if result.record is None:
            response.alert, response.alert_type = True, OTHER_ALERT
        response.screen_message = refusal_texts(session, result.refusal, None)
        return Answer(response, "refused", result.refusal.reason)
    assert result.record is not None
    _tell_return(session, response, result.record, result.done)
    return Answer(response, "ok", result.outcome)


def _describe_returned(session: Session, response: CheckinResponse, record: ItemRecord) -> None:
    """What the answer says about the item in any case."""
    item = record.item
    response.permanent_location = item.owner_branch or ""
    response.title_identifier = item.title
    response.magnetic_media = item.magnetic
    response.media_type = item.media_type
    response.item_properties = record.state.properties
    response.collection_code = getattr(item, session.terminal.presentation.cr_item_field)
    response.call_number = item.call_number
    if session.terminal.presentation.item_fields:
        response.extra_fields = profile_fields.item_fields(session, record)


def _tell_return(
    session: Session, response: CheckinResponse, record: ItemRecord, done: Outcome
) -> None:
    shown, rules = session.terminal.presentation, session.terminal.circulation
    response.ok = True
    response.resensitize = record.item.security_marker != NO_SECURITY
    response.transaction_date = done.time.astimezone(session.terminal.zone)
    response.patron_identifier = done.patron_id or None
    response.destination_location = done.destination
    if done.destination is None and shown.send_ct == "always":
        response.destination_location = ""
    response.sort_bin = sort_bin(rules.sort_rules, rules.branch, record, done)
    response.alert = done.alert is not None
    response.alert_type = done.alert
    if done.alert is None and shown.cv_on_success:
        response.alert_type = NO_ALERT
    if done.hold is not None:
        response.hold_patron_identifier = done.hold.patron_id
        response.hold_patron_name = profile_fields.holder_name(session, done.hold)
    if shown.show_checkin_message:
        place = (record.item.shelf, record.item.call_number)
        response.screen_message = where_it_belongs(
            session, done.destination, place, alerts=done.alert is not None
        )


def where_it_belongs(
    session: Session, destination: str | None, place_words: Iterable[str | None], *, alerts: bool
) -> tuple[str, ...]:
    """What staff who empty the bin must do with the item."""
    texts, language = session.services.texts, session.language("000")
    if destination is not None:
        branch = profile_fields.branch_name(session, destination)
        return (texts.text(language, "send_to", branch=branch),)
    if alerts:
        return (texts.text(language, "set_aside"),)
    place = " ".join(filter(None, place_words))
    return (texts.text(language, "shelve", place=place),) if place else ()
