"""The questions that handlers have about a card, put as questions to a library system (B72, C121).

Each of them is one 63 or 23. Whoever really asks it, and whoever only explains what would come of
it, differs in `ask` alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Sequence

from msgspec.structs import replace

from sip2gw.authentication.pending import as_if_told
from sip2gw.authentication.snapshots import reading_of, snapshot_of
from sip2gw.backend.base import Backend
from sip2gw.handlers.base import Asked, Identified, Session
from sip2gw.model import Card, CardHere, CardState, PatronRecord
from sip2gw.model.shares import PendingFee
from sip2gw.policy.access import PinState
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.upstream.fees import fee_list_of
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)
from sip2gw.protocol.timestamps import TimestampCache

Question = PatronStatusRequest | PatronInformation
LibraryAnswer = PatronStatusResponse | PatronInformationResponse

_REPLACED = CardState.REPLACED
_NO_LIST: frozenset[Summary] = frozenset()
_DATES = TimestampCache("local")
"""All questions within a second have the same."""


class Asking:
    """Answers handlers by what `ask` was told."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @abstractmethod
    async def ask(self, session: Session, request: Question, *, twice: bool = True) -> Asked:
        """What is known of a card and its PIN; see `LibraryIdentifier.ask`.

        Args:
            session: who asks.
            request: what goes up.
            twice: whether the same is asked again although it was a moment ago.
        """

    def identify(self, session: Session, number: str, pin: str | None) -> Awaitable[Identified]:
        """Find the holder of a card, and whether `pin` is right, by a question of our own."""
        return self.ask(session, question_of(session, number, pin), twice=False)

    async def find(self, session: Session, number: str) -> tuple[PatronRecord | None, Card | None]:
        """Find the holder of a card; no PIN goes up. A card of which nothing says that it is valid
        is nobody's (B36)."""
        asked = await self.ask(session, question_of(session, number, None), twice=False)
        is_valid = asked.response is not None and asked.response.valid_patron
        return asked.record, asked.card if is_valid else None

    async def identify_payer(
        self, session: Session, number: str, pin: str | None
    ) -> tuple[PaymentFacts | None, Card | None, PinState]:
        """The same with their fee list. Whom they may pay for must be asked about, each apart."""
        question = question_of(session, number, pin, with_fees=True)
        asked = await self.ask(session, question)
        facts = PaymentFacts(asked.record, ()) if asked.record is not None else None
        return facts, asked.card, asked.pin

    async def _told(
        self,
        session: Session,
        request: Question,
        here: CardHere,
        state: PinState,
        answer: LibraryAnswer,
    ) -> tuple[Asked, PatronRecord]:
        """What an answer that says something tells of the holder, with what we know laid over it
        (C124), and their record."""
        number = request.patron_identifier
        manner = session.terminal.upstream
        assert manner is not None
        reading = reading_of(answer, number, manner)
        pending: Sequence[PendingFee] = ()
        if reading.may_owe:
            pending = await session.services.backend.pending_fees(reading.patron_id)
        if pending:
            answer = await as_if_told(session, request, answer, pending)
            reading = reading_of(answer, number, manner)
        record = await snapshot_of(session, reading, here, answer)
        if pending and record.word is not None:
            ids = tuple(fee.id for fee in pending)
            record = replace(record, word=replace(record.word, pending=ids))
        return as_asked(record, number, state, answer), record


def as_asked(record: PatronRecord, number: str, state: PinState, answer: LibraryAnswer) -> Asked:
    """What an answer tells of the holder `record` of card `number`."""
    card = record.card(number)
    if card is not None and card.state is _REPLACED:
        state = PinState.ABSENT  # as on our own store; only we may know it (B21)
    return Asked(record, card, state, answer)


def told_nothing(
    number: str,
    here: CardHere,
    state: PinState,
    answer: LibraryAnswer | None,
    *,
    is_unknown: bool,
) -> Asked:
    """Nothing but whether there is such a card, which a locked PIN must not change."""
    if is_unknown:
        return Asked(here.holder, None, state, answer)
    record = here.holder or PatronRecord(
        number, "", cards=(Card(number),), door_entries=here.listed
    )
    return Asked(record, record.card(number), state, answer)


def question_of(
    session: Session, number: str, pin: str | None, *, with_fees: bool = False
) -> Question:
    """A 63 for no list or for the fees, or a 23 where that is not offered."""
    library, manner = session.services.library, session.terminal.upstream
    assert library is not None
    assert manner is not None
    offered = library.offers(manner.account)
    is_offered = offered is None or PatronInformation.code in offered
    date = _DATES.render(session.now())
    if not (is_offered and manner.offers_information):
        return PatronStatusRequest(
            transaction_date=date,
            institution_id=manner.institution,
            patron_identifier=number,
            patron_password=pin,
        )
    return PatronInformation(
        transaction_date=date,
        summary=frozenset({fee_list_of(manner.facts)}) if with_fees else _NO_LIST,
        institution_id=manner.institution,
        patron_identifier=number,
        patron_password=pin,
    )
