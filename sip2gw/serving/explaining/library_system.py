"""What a library system says about a card and an item, asked for an explanation.

No PIN goes up, nothing is counted, and nothing is done there: what would change something is only
noted (B70). It is asked about those as well for whom the card's holder may pay; what it says of
them is only used as the terminal would use it, and never shown.
"""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from sip2gw.authentication.asking import Asking, Question, question_of, told_nothing
from sip2gw.backend.base import Backend
from sip2gw.backend.system import Lease, LibrarySystem, NotAskedError, Sent
from sip2gw.handlers.base import Asked, Send, Session
from sip2gw.handlers.upstream.behind import is_offered, library_of
from sip2gw.handlers.upstream.overlay import withheld_fields
from sip2gw.handlers.upstream.passing import RefusedHereError, pass_on
from sip2gw.model import Card, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.upstream.facts import deny_doubtful, says_nothing
from sip2gw.policy.upstream.questions import given_pin, going_up, spelling
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.describe import describe_frame
from sip2gw.protocol.message import Message, Request, Response
from sip2gw.protocol.messages import (
    ItemInformation,
    ItemInformationResponse,
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)
from sip2gw.protocol.timestamps import write_timestamp
from sip2gw.protocol.wire import UNCUT, WireFormat

_QUESTIONS = (PatronStatusRequest, PatronInformation, ItemInformation)
"""What changes nothing there."""


class Unsent(LibrarySystem):
    """A library system that is asked, and never told to do anything.

    What else handlers of these requests need is an operation of `inner` itself; a type checker
    cannot see this.
    """

    def __init__(self, inner: LibrarySystem) -> None:
        self._inner = inner
        self.request: Request | None = None
        """What would go up last, and change something: we have nothing against it."""
        for name in ("offers", "is_away", "release"):
            setattr(self, name, getattr(inner, name))

    async def ask(
        self,
        account: str,
        terminal: str,
        request: Request,
        lease: Lease | None = None,
        sent: Sent | None = None,
    ) -> Response:
        """Ask, unless that would change something.

        Raises:
            NotAskedError: it would.
            LibrarySystemError: see `LibrarySystem.ask`.
        """
        if not isinstance(request, _QUESTIONS):
            self.request = request
            raise NotAskedError
        return await self._inner.ask(account, terminal, request, lease, sent)


class AskedForExplanation(Asking):
    """Sends no PIN and takes it for right unless it is locked; asks once about each card."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._asked: dict[str, Asked] = {}
        """By card; the first is the one that is explained."""
        self.answer: tuple[str, ...] = ()
        """What the library system answered about that one, and about the item, line by line; empty
        while nobody has asked it."""

    async def ask(self, session: Session, request: Question, *, twice: bool = True) -> Asked:
        """Ask without the PIN of `request`; the first answer serves for all questions."""
        number = request.patron_identifier
        if number not in self._asked:
            self._asked[number] = await self._ask(session, request)
        return self._asked[number]

    async def verify_without_store(
        self, session: Session, record: PatronRecord, number: str, pin: str | None
    ) -> PinState:
        """A given PIN is right."""
        return PinState.OK if given_pin(pin) else PinState.ABSENT

    def numbers_of(self, number: str) -> tuple[str, ...]:
        """See `LibraryIdentifier.numbers_of`; a number that was told before is not known here."""
        return (number,)

    async def judge_alone(self, session: Session, number: str, pin: str) -> PinState:
        """See `LibraryIdentifier.judge_alone`."""
        return (await self.ask(session, question_of(session, number, pin))).pin

    async def judge(
        self, session: Session, number: str, pin: str, deed: str, send: Send
    ) -> Response | None:
        """See `LibraryIdentifier.judge`; the PIN is right unless it is locked."""
        asked = await self.ask(session, question_of(session, number, pin))
        return None if asked.pin is PinState.LOCKED else await send()

    async def ask_about_item(self, session: Session, item: str) -> str:
        """What a 17 tells of an item; empty if the library system does not take it.

        Returns:
            Its circulation status in words.
        """
        question = ItemInformation(
            transaction_date=write_timestamp(session.now()), item_identifier=item
        )
        if await self._backend.journalled(item) is not None:
            return "what was taken off line about it goes up first: sip2gw upstream journal"
        if not is_offered(session, question):
            return ""
        try:
            answer = cast("ItemInformationResponse", await pass_on(session, question))
        except RefusedHereError:
            return ""
        self.answer += lines_of(session, answer)
        return f"circulation status {answer.circulation_status}"

    async def _ask(self, session: Session, request: Question) -> Asked:
        number = request.patron_identifier
        if not number:
            return Asked(None, None, PinState.ABSENT, None)
        library, manner = library_of(session)
        question = replace(request, patron_password=None)
        up = going_up(
            question,
            manner.institution,
            session.terminal.wire.text,
            manner.text,
            knows_fw_b=manner.knows_fw_b,
        )
        if up is None:
            return Asked(None, None, PinState.ABSENT, None)
        answer = await library.ask(manner.account, session.terminal.name, up)
        assert isinstance(answer, PatronStatusResponse | PatronInformationResponse)
        deny_doubtful(answer)
        if not self._asked:
            self.answer += lines_of(session, answer)
        here = await self._backend.find_here(number)
        if says_nothing(answer, with_pin=False):
            return told_nothing(number, here, PinState.ABSENT, answer, is_unknown=True)
        asked, record = await self._told(session, question, here, PinState.OK, answer)
        if asked.card is None or asked.pin is PinState.ABSENT:
            return asked
        numbers = {number, record.id, here.holder.id if here.holder is not None else number}
        return await self._unless_locked(session, asked, asked.card, numbers)

    async def _unless_locked(
        self, session: Session, asked: Asked, card: Card, numbers: set[str]
    ) -> Asked:
        """`asked`, or the same with a locked PIN: nobody would be asked then (B74)."""
        now = session.services.clock.now()
        counted = await self._backend.failed_pins(sorted(map(spelling, numbers)))
        ends = [one.locked_until for one in counted if one.are_locked(now)]
        if not ends:
            return asked
        locked = replace(card, pin_locked_until=max(filter(None, ends)))
        return replace(asked, card=locked, pin=PinState.LOCKED)


def lines_of(session: Session, message: Message) -> tuple[str, ...]:
    """`message` as `sip2gw decode` shows it, without the personal fields that the terminal would
    not be shown either; a field of theirs is called like the fact that it says."""
    withheld = withheld_fields(session)
    wire = WireFormat(
        encoding="utf-8", keeps_bytes=True, value_bytes_max=UNCUT, hidden_fields=withheld
    )
    _, manner = library_of(session)
    unknown = [
        (tag, wire.text.encode(manner.text.decode(value)))
        for tag, value in message.extra_fields
        if tag not in withheld
    ]
    names: dict[str, str] = {}
    for name, fact in manner.facts.mapped().items():
        names[fact.field] = f"{names[fact.field]}, {name}" if fact.field in names else name
    frame = serialise(replace(message, extra_fields=unknown), wire)
    return tuple(describe_frame(frame, wire, names=names))
