"""What is known about payments that were refused (B100, C104)."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from sip2gw.protocol.structs import Discreet, Hidden


class RefusedPayment(Discreet, Struct, frozen=True):
    """A refused 37, as staff see it (B100, C104); it never contains a PIN."""

    time: datetime
    """In the zone of the branch, whose day is that of the limit."""
    terminal: str
    payer: Hidden[str]
    """The card as scanned; once it is written, the patron's id if somebody has the card."""
    amount: str
    """A plain decimal with the decimals of `currency`; what could not be read is as it was sent."""
    currency: str
    """As read: in capitals, the library's own if none was sent."""
    payment_type: str
    bk: str
    reason: str
    """A `PaymentRefusalReason`, a kind of failure (C74) or `unreadable`."""


class RefusedPaymentsMore(Struct, frozen=True):
    """How many of a terminal's refused payments of one day were only counted (C104)."""

    time: datetime
    """Of the last one."""
    terminal: str
    count: int
