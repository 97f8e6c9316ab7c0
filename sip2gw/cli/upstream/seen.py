"""What was seen on the lines to a library system, and what to try next; no I/O (B80).

Library systems lock an account after some wrong logins, so a refused login is never tried a second
time in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from sip2gw.config.tables.upstream import Account
from sip2gw.protocol.checksum import (
    character_checksum_matches,
    checksum_matches,
    split_trailer,
)
from sip2gw.protocol.codec import parse_response_body
from sip2gw.protocol.errors import ProtocolError
from sip2gw.protocol.line.matching import ANYTHING, Asked
from sip2gw.protocol.message import Response
from sip2gw.protocol.messages import AcsStatus, LoginResponse, RequestScResend
from sip2gw.protocol.registry import REQUESTS
from sip2gw.protocol.structs import Discreet, Hidden, Opaque
from sip2gw.protocol.wire import WireFormat

Order = Literal["login", "status_first", "none"]
_OTHER_ORDER: dict[Order, Order] = {"login": "status_first", "status_first": "login"}


class Verdict(StrEnum):
    """What came of one request."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """The answer to a login is 940."""
    AGAIN = "again"
    """96: it could not read the request."""
    SEQUENCE = "sequence"
    """An answer of the right type, but with the sequence number of another request."""
    UNEXPECTED = "unexpected"
    """SIP2, but another answer."""
    FOREIGN = "foreign"
    """Something that is not SIP2."""
    ENDLESS = "endless"
    """A message without an end."""
    SILENT = "silent"
    CLOSED = "closed"


Checksum = Literal["none", "bytes", "characters", "either", "wrong", "misnumbered"]
"""`either`: the text is all ASCII, so bytes and characters give the same sum. `misnumbered`: the
sequence number beside it is that of another request."""


class Exchange(Opaque, Struct, frozen=True):
    """A request, and the frame that came; it may hold personal data, so `repr` shows nothing."""

    code: str
    """Of the request."""
    sequence: bytes
    """AY of the request; empty without one."""
    frame: bytes = b""
    seconds: float = 0.0
    failure: Literal[Verdict.SILENT, Verdict.CLOSED, Verdict.ENDLESS] | None = None
    """Why there is no frame."""
    asked: Asked = ANYTHING
    """Whom the request was about."""

    def answer(self, wire: WireFormat) -> Response | None:
        """The answer as a message; None when it is none."""
        try:
            return parse_response_body(split_trailer(self.frame).body, wire)
        except ProtocolError:
            return None

    @property
    def verdict(self) -> Verdict:
        """What came of it; the encoding does not matter."""
        if self.failure is not None:
            return self.failure
        answer = self.answer(_ANY_ENCODING)
        if answer is None:
            return Verdict.FOREIGN
        if isinstance(answer, RequestScResend):
            return Verdict.AGAIN
        if not isinstance(answer, REQUESTS[self.code].response):
            return Verdict.UNEXPECTED
        if self.sequence and split_trailer(self.frame).sequence not in (b"", self.sequence):
            return Verdict.SEQUENCE
        if isinstance(answer, LoginResponse) and not answer.ok:
            return Verdict.REFUSED
        return Verdict.ANSWERED

    @property
    def is_about_another(self) -> bool:
        """Whether the answer is about another number (AA) than was asked (C151)."""
        return self.verdict is Verdict.ANSWERED and not self.asked.is_answered_by(
            split_trailer(self.frame).body
        )

    def checksum(self, wire: WireFormat) -> Checksum:
        """What kind of checksum the answer carries."""
        trailer = split_trailer(self.frame)
        if not trailer.has_checksum:
            return "none"
        if self.verdict is Verdict.SEQUENCE:
            return "misnumbered"
        if checksum_matches(trailer.summed, trailer.digits):
            return "either" if trailer.summed.isascii() else "bytes"
        if character_checksum_matches(wire.text.decode(trailer.summed), trailer.digits):
            return "characters"
        return "wrong"


_ANY_ENCODING = WireFormat()


class Tls(Struct, frozen=True):
    """TLS as it was agreed."""

    version: str
    name: str
    """Of the certificate: its first name, or its subject."""
    until: datetime | None


class Attempt(Discreet, Struct, frozen=True):
    """One connection: in which order it logged in, and how far it came."""

    order: Order
    checksums: bool
    exchanges: Hidden[tuple[Exchange, ...]] = ()
    unreachable: str = ""
    """Why there was no connection; what to do is in it too."""
    tls: Tls | None = None

    @property
    def last(self) -> Exchange | None:
        """The exchange that decided."""
        return self.exchanges[-1] if self.exchanges else None

    @property
    def works(self) -> bool:
        """Whether it is logged in and has its 98."""
        return bool(self.exchanges) and all(
            one.verdict is Verdict.ANSWERED for one in self.exchanges
        )

    @property
    def refused(self) -> bool:
        """Whether the login was refused."""
        return self.last is not None and self.last.verdict is Verdict.REFUSED


def next_attempt(
    order: Order, checksums: bool, tried: Sequence[Attempt]
) -> tuple[Order, bool] | None:
    """The next order and use of checksums to try; None when it works or nothing else is worth it.

    First as configured, then in the other order, then both with the checksums switched.
    """
    if tried and (tried[-1].works or tried[-1].unreachable or _is_no_sip2(tried[-1])):
        return None
    refused = {one.order for one in tried if one.refused}
    asks_again = {one.checksums for one in tried if one.last and one.last.verdict is Verdict.AGAIN}
    done = {(one.order, one.checksums) for one in tried}
    orders = (order,) if order == "none" else (order, _OTHER_ORDER[order])
    for sums in (checksums, not checksums):
        for one in orders:
            if one not in refused and sums not in asks_again and (one, sums) not in done:
                return one, sums
    return None


def _is_no_sip2(attempt: Attempt) -> bool:
    last = attempt.last
    return last is not None and last.verdict in (Verdict.FOREIGN, Verdict.ENDLESS)


class Seen(Discreet, Struct, frozen=True):
    """All that was seen of one account."""

    account: Hidden[Account]
    tried: tuple[Attempt, ...]
    summed: Hidden[Exchange | None] = None
    """A 99 with a checksum, where the attempt that works had none."""
    card: Hidden[tuple[Exchange, ...]] = ()
    """63, and 23 if the 63 was not answered."""
    line_ends: tuple[bytes, ...] = ()
    """What ended their messages."""

    @property
    def working(self) -> Attempt | None:
        """The attempt that works."""
        return next((one for one in self.tried if one.works), None)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Those of the attempt that works, and the later ones."""
        working = self.working
        of_working = working.exchanges if working is not None else ()
        return (*of_working, *self.card, *((self.summed,) if self.summed is not None else ()))

    @property
    def status(self) -> AcsStatus | None:
        """Their last 98: before the login they may say less."""
        for one in reversed(self.exchanges):
            answer = one.answer(self.wire())
            if isinstance(answer, AcsStatus):
                return answer
        return None

    def wire(self, encoding: str | None = None) -> WireFormat:
        """How the account's messages are read."""
        return WireFormat(encoding=encoding or self.account.encoding)
