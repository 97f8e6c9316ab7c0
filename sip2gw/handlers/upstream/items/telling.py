"""A library system's answer about items as the terminal's profile likes it.

Rules: B59, B73, C33, C42, C86, C112, C153. What is not named here leaves as it came.
"""

from __future__ import annotations

from typing import Any

from sip2gw.handlers import profile_fields
from sip2gw.handlers.base import Session
from sip2gw.handlers.items.circulation import due_text
from sip2gw.handlers.items.returns import where_it_belongs
from sip2gw.handlers.upstream.overlay import tell_money, unknown_fields
from sip2gw.policy.items.elsewhere import (
    NO_ALERT,
    alerts,
    collection_code,
    read_due,
    said_of,
)
from sip2gw.policy.items.sorting import bin_for
from sip2gw.protocol.messages import (
    CheckinResponse,
    HoldResponse,
    ItemInformationResponse,
    ItemStatusUpdateResponse,
    LoanResponse,
    RenewAllResponse,
)

ItemResponse = (
    LoanResponse
    | CheckinResponse
    | HoldResponse
    | ItemInformationResponse
    | ItemStatusUpdateResponse
    | RenewAllResponse
)
_WITH_CUSTOM_FIELDS = (LoanResponse, CheckinResponse, ItemInformationResponse)


def tell(session: Session, response: ItemResponse) -> None:
    """Make the library system's `response` ours."""
    response.transaction_date = session.now()
    if not isinstance(response, ItemInformationResponse | ItemStatusUpdateResponse):
        response.institution_id = session.terminal.institution_id
    if isinstance(response, LoanResponse | HoldResponse):
        response.patron_identifier = session.as_scanned(response.patron_identifier)
    if isinstance(response, LoanResponse | ItemInformationResponse):
        _tell_due(session, response)
        tell_money(response, session.terminal.currency)
    custom: profile_fields.ExtraFields = []
    if isinstance(response, _WITH_CUSTOM_FIELDS) and response.title_identifier:
        custom = _custom_fields(session, response)
    if isinstance(response, CheckinResponse):
        _tell_return(session, response)
    theirs = unknown_fields(session, response, frozenset(tag for tag, _ in custom))
    response.extra_fields = [*theirs, *custom]


def _tell_due(session: Session, response: LoanResponse | ItemInformationResponse) -> None:
    """AH in the profile's form where theirs can be read."""
    due = read_due(response.due_date or "", session.terminal.zone)
    if due is not None:
        response.due_date = due_text(session, due)


def _tell_return(session: Session, response: CheckinResponse) -> None:
    """What a sorter, and who empties it, need to know about an item that was taken back."""
    shown, rules = session.terminal.presentation, session.terminal.circulation
    if response.hold_patron_name is not None:
        response.hold_patron_name = profile_fields.waiting_name(
            session, response.hold_patron_identifier or "", response.hold_patron_name
        )
    ours = bin_for(rules.sort_rules, rules.branch, lambda field: said_of(response, field))
    response.collection_code = collection_code(response, shown.cr_item_field)
    response.alert = alerts(response)
    if not response.ok:
        return
    if ours is not None:
        response.sort_bin = ours
    destination = response.destination_location or None
    response.destination_location = destination
    if destination is None and shown.send_ct == "always":
        response.destination_location = ""
    if not response.alert:
        response.alert_type = NO_ALERT if shown.cv_on_success else None
    if shown.show_checkin_message:
        place = (response.call_number,)
        said = where_it_belongs(session, destination, place, alerts=response.alert)
        response.screen_message = (*response.screen_message, *said)


def _custom_fields(
    session: Session, response: LoanResponse | CheckinResponse | ItemInformationResponse
) -> profile_fields.ExtraFields:
    """The profile's own fields, as far as the answer says what they are made of."""
    said: Any = response
    is_return = isinstance(response, CheckinResponse)
    is_shown = isinstance(response, ItemInformationResponse)
    values = {
        "item": said.item_identifier,
        "title": said.title_identifier,
        "media_type": said.media_type,
        "material": said.collection_code if is_return else None,
        "call_number": said.call_number if is_return else None,
        "owner_branch": said.permanent_location if is_return or is_shown else None,
        "current_branch": said.current_location if is_shown else None,
    }
    return profile_fields.fields_about_item(session, values)
