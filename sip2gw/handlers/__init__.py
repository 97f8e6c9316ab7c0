"""Which function answers which request; what is missing here is refused, and 98 says so (B13)."""

from __future__ import annotations

from sip2gw.handlers import door, fee, information, item, lending, patron, returns, status
from sip2gw.handlers.base import Answer, Handler, Services, Session, TerminalView
from sip2gw.protocol.messages import (
    BlockPatron,
    Checkin,
    Checkout,
    EndPatronSession,
    FeePaid,
    ItemInformation,
    PatronEnable,
    PatronInformation,
    PatronStatusRequest,
    Renew,
    RenewAll,
    Request,
    ScStatus,
)

HANDLERS: dict[type[Request], Handler] = {
    ScStatus: status.sc_status,
    PatronStatusRequest: patron.patron_status,
    PatronInformation: information.patron_information,
    BlockPatron: patron.block_patron,
    PatronEnable: patron.patron_enable,
    EndPatronSession: patron.end_session,
    FeePaid: fee.fee_paid,
    ItemInformation: item.item_information,
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

SUPPORTED_CODES = frozenset(request.code for request in HANDLERS)
"""Request codes that this program answers usefully."""

__all__ = [
    "DOOR_HANDLERS",
    "HANDLERS",
    "SUPPORTED_CODES",
    "Answer",
    "Handler",
    "Services",
    "Session",
    "TerminalView",
]
