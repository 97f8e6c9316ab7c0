"""Which function answers which request; what is missing here is refused, and 98 says so (B13)."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from sip2gw.backend.system import BadAnswerError, NoAnswerError
from sip2gw.handlers import (
    door,
    fee,
    information,
    patron,
    refusal,
    status,
)
from sip2gw.handlers.base import (
    Answer,
    Failing,
    Handler,
    Services,
    Session,
    Standpoint,
    TerminalView,
)
from sip2gw.handlers.items import (
    hold,
    item,
    lending,
    returns,
)
from sip2gw.handlers.upstream import blocks, observing
from sip2gw.handlers.upstream import door as upstream_door
from sip2gw.handlers.upstream import patron as upstream_patron
from sip2gw.handlers.upstream import session as upstream_session
from sip2gw.handlers.upstream import status as upstream_status
from sip2gw.handlers.upstream.items import circulation as upstream_items
from sip2gw.handlers.upstream.items import renewals
from sip2gw.handlers.upstream.money import payment as upstream_payment
from sip2gw.handlers.vendors import gossip, wise
from sip2gw.protocol.dialect import DialectName, MoneyLines
from sip2gw.protocol.message import UnknownRequest
from sip2gw.protocol.messages import (
    BlockPatron,
    Checkin,
    Checkout,
    EndPatronSession,
    FeePaid,
    Hold,
    ItemInformation,
    ItemStatusUpdate,
    PatronEnable,
    PatronInformation,
    PatronStatusRequest,
    Renew,
    RenewAll,
    Request,
    ScStatus,
)
from sip2gw.protocol.registry import REQUESTS

HANDLERS: dict[type[Request], Handler] = {
    ScStatus: status.sc_status,
    PatronStatusRequest: patron.patron_status,
    PatronInformation: information.patron_information,
    BlockPatron: patron.block_patron,
    PatronEnable: patron.patron_enable,
    EndPatronSession: patron.end_session,
    FeePaid: fee.fee_paid,
    ItemInformation: item.item_information,
    ItemStatusUpdate: item.item_status_update,
    Hold: hold.hold,
    Checkout: lending.checkout,
    Checkin: returns.checkin,
    Renew: lending.renew,
    RenewAll: lending.renew_all,
}
"""For every kind of terminal."""

DOOR_HANDLERS: dict[type[Request], Handler] = {
    **HANDLERS,
    PatronStatusRequest: door.patron_status,
    PatronInformation: door.patron_information,
}
"""For profiles of kind `door`."""

UPSTREAM_HANDLERS: dict[type[Request], Handler] = {
    ScStatus: upstream_status.sc_status,
    PatronStatusRequest: upstream_patron.patron,
    PatronInformation: upstream_patron.patron,
    EndPatronSession: upstream_session.end_session,
    FeePaid: upstream_payment.fee_paid,
    BlockPatron: blocks.block_patron,
    PatronEnable: blocks.patron_enable,
    ItemInformation: upstream_items.item,
    ItemStatusUpdate: upstream_items.item,
    Hold: upstream_items.item,
    Checkout: upstream_items.checkout,
    Checkin: upstream_items.checkin,
    Renew: renewals.renew,
    RenewAll: renewals.renew_all,
}
"""For terminals that a library system answers."""

UPSTREAM_DOOR_HANDLERS: dict[type[Request], Handler] = {
    **UPSTREAM_HANDLERS,
    PatronStatusRequest: upstream_door.patron_status,
    PatronInformation: upstream_door.patron_information,
}
"""The same for profiles of kind `door`."""

OBSERVED_HANDLERS: dict[type[Request], Handler] = {
    **dict.fromkeys((*REQUESTS.values(), UnknownRequest), observing.pass_on),
    PatronStatusRequest: observing.pass_on_and_compare,
    PatronInformation: observing.pass_on_and_compare,
}
"""For profiles that are only observed: every request (C153). The login never comes here."""

DIALECT_HANDLERS: dict[DialectName, dict[type[Request], Handler]] = {
    "standard": {},
    "wise": {MoneyLines: wise.money_lines},
    "gossip": {
        PatronInformation: gossip.patron_information,
        FeePaid: gossip.fee_paid,
    },
}
"""What a dialect adds to `HANDLERS` or answers in its own way (B55)."""


Family = Literal["store", "upstream", "observed"]
"""Who answers: we, on our store; a library system, with what we know laid over it; or it alone,
while we only observe (B78)."""


def handlers_of(
    kind: str, dialect: DialectName, family: Family = "store"
) -> dict[type[Request], Handler]:
    """The handlers for profiles of `kind` in `dialect`; a door answers as a door in each."""
    if family == "upstream":
        return UPSTREAM_DOOR_HANDLERS if kind == "door" else UPSTREAM_HANDLERS
    if family == "observed":
        return OBSERVED_HANDLERS
    own = DIALECT_HANDLERS[dialect]
    if kind == "door":
        return {**own, **DOOR_HANDLERS} if own else DOOR_HANDLERS
    return {**HANDLERS, **own} if own else HANDLERS


FAILING: dict[type[Request], Failing] = {
    FeePaid: Failing(
        unknown_text_key="unknown_outcome",
        count=fee.count_failed,
        keep=refusal.keep_refused_payment,
    ),
}
"""What follows where a request fails, for every kind of terminal."""

_DOOR = Failing(without_backend=door.decide_without_backend, undecided=door.end_undecided)

DOOR_FAILING: dict[type[Request], Failing] = {
    **FAILING,
    PatronStatusRequest: _DOOR,
    PatronInformation: _DOOR,
}
"""For profiles of kind `door`."""

_UPSTREAM_DOOR = replace(_DOOR, without_backend=upstream_door.decide_without_library)

UPSTREAM_DOOR_FAILING: dict[type[Request], Failing] = {
    **DOOR_FAILING,
    PatronStatusRequest: _UPSTREAM_DOOR,
    PatronInformation: _UPSTREAM_DOOR,
}
"""The same in front of a library system."""

_UNANSWERED = Failing(unknown_after=(NoAnswerError, BadAnswerError))

OBSERVED_FAILING: dict[type[Request], Failing] = {
    **dict.fromkeys((Checkout, Checkin, Renew, RenewAll, Hold), _UNANSWERED),
    FeePaid: replace(_UNANSWERED, unknown_text_key="unknown_outcome"),
}
"""For profiles that are only observed: nothing is noted, counted or kept of what went up, but
nobody is told to try again what may be done (C59)."""


def failing_of(kind: str, family: Family = "store") -> dict[type[Request], Failing]:
    """What follows where a request fails, for profiles of `kind`."""
    if family == "observed":
        return OBSERVED_FAILING
    if kind != "door":
        return FAILING
    return UPSTREAM_DOOR_FAILING if family == "upstream" else DOOR_FAILING


SUPPORTED_CODES = frozenset(
    request.code for table in (HANDLERS, *DIALECT_HANDLERS.values()) for request in table
)
"""Request codes that this program answers usefully."""

__all__ = [
    "DIALECT_HANDLERS",
    "DOOR_FAILING",
    "DOOR_HANDLERS",
    "FAILING",
    "HANDLERS",
    "OBSERVED_FAILING",
    "OBSERVED_HANDLERS",
    "SUPPORTED_CODES",
    "UPSTREAM_DOOR_HANDLERS",
    "UPSTREAM_HANDLERS",
    "Answer",
    "Failing",
    "Family",
    "Handler",
    "Services",
    "Session",
    "Standpoint",
    "TerminalView",
    "failing_of",
    "handlers_of",
]
