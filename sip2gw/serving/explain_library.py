"""What a library system says about a card, asked for an explanation: without a PIN, and once.

It is asked about those as well for whom the card's holder may pay; what it says of them is only
used as the terminal would use it, and never shown.
"""

from __future__ import annotations

from dataclasses import replace

from sip2gw.authentication.pending import as_if_told
from sip2gw.authentication.snapshots import Snapshots
from sip2gw.handlers.base import Asked, Session
from sip2gw.handlers.upstream.behind import library_of
from sip2gw.handlers.upstream.overlay import withheld_fields
from sip2gw.model import Card, CardState, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.payments import PaymentFacts
from sip2gw.policy.upstream.facts import says_nothing
from sip2gw.policy.upstream.questions import going_up
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.describe import describe_frame
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)
from sip2gw.protocol.wire import UNCUT, WireFormat

PatronRequest = PatronStatusRequest | PatronInformation
PatronResponse = PatronStatusResponse | PatronInformationResponse


class AskedForExplanation:
    """A `LibraryIdentifier` that sends no PIN and assumes that it is right; nothing is counted."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        """By card; the first is the one that is explained."""
        self.answer: tuple[str, ...] = ()
        """What the library system answered about that one, line by line; empty while nobody has
        asked it."""

    async def ask(self, session: Session, request: PatronRequest) -> Asked:
        """Ask without the PIN of `request`; the first answer serves for all questions about a
        card."""
        number = request.patron_identifier
        if number not in self._asked:
            self._asked[number] = await self._ask(session, request)
        return self._asked[number]

    async def identify(
        self, session: Session, number: str, pin: str | None
    ) -> tuple[PatronRecord | None, Card | None, PinState]:
        """The holder, with the right PIN."""
        asked = await self.ask(session, _question(session, number))
        return asked.record, asked.card, asked.pin

    async def find(self, session: Session, number: str) -> tuple[PatronRecord | None, Card | None]:
        """The holder, without a PIN."""
        asked = await self.ask(session, _question(session, number))
        return asked.record, asked.card

    async def identify_payer(
        self, session: Session, number: str, pin: str | None
    ) -> tuple[PaymentFacts | None, Card | None, PinState]:
        """No payment is explained."""
        raise NotImplementedError

    async def verify_without_store(
        self, session: Session, record: PatronRecord, number: str, pin: str | None
    ) -> PinState:
        """Nor any decision without the library system."""
        raise NotImplementedError

    async def _ask(self, session: Session, request: PatronRequest) -> Asked:
        library, manner = library_of(session)
        number, text = request.patron_identifier, session.terminal.wire.text
        up = going_up(
            replace(request, patron_password=None),
            manner.institution,
            text,
            manner.text,
            knows_fw_b=manner.knows_fw_b,
        )
        if up is None:
            return Asked(None, None, PinState.ABSENT, None)
        answer = await library.ask(manner.account, session.terminal.name, up)
        assert isinstance(answer, PatronStatusResponse | PatronInformationResponse)
        if not self._asked:
            self.answer = _lines(session, answer)
        if says_nothing(answer, with_pin=False):
            return Asked(None, None, PinState.ABSENT, answer)
        answer, _ = await as_if_told(session, replace(request, patron_password=None), answer)
        ours = await session.services.backend.find_by_card(number)
        record = await Snapshots().of(session, number, ours, answer)
        card = record.card(number)
        is_good = card is not None and card.state is not CardState.REPLACED
        return Asked(record, card, PinState.OK if is_good else PinState.ABSENT, answer)


def _question(session: Session, number: str) -> PatronRequest:
    """What a door asks."""
    library, manner = library_of(session)
    offered = library.offers(manner.account)
    asks_63 = manner.offers_information and (offered is None or "63" in offered)
    kind = PatronInformation if asks_63 else PatronStatusRequest
    return kind(patron_identifier=number)


def _lines(session: Session, answer: PatronResponse) -> tuple[str, ...]:
    """`answer` as `sip2gw decode` shows it, without the personal fields that the terminal would not
    be shown either."""
    withheld = withheld_fields(session)
    wire = WireFormat(
        encoding="utf-8", keeps_bytes=True, value_bytes_max=UNCUT, hidden_fields=withheld
    )
    _, manner = library_of(session)
    unknown = [
        (tag, wire.text.encode(manner.text.decode(value)))
        for tag, value in answer.extra_fields
        if tag not in withheld
    ]
    return tuple(describe_frame(serialise(replace(answer, extra_fields=unknown), wire), wire))
