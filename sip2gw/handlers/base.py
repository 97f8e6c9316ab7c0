"""What every handler gets and gives: the session of one terminal, and an answer.

A handler gathers facts, lets a pure policy decide, applies, and responds with a typed message. It
never sees a field code, a position or a checksum.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from sip2gw.backend.base import Backend, BackendError, CirculationOrder, OutcomeUnknownError
from sip2gw.backend.system import Lease, LibrarySystem
from sip2gw.foundation.clock import Clock
from sip2gw.handlers.rules import (
    DataLimit,
    DoorManner,
    Identification,
    Presentation,
    Rights,
    Till,
    UpstreamManner,
    WiseManner,
)
from sip2gw.model import Card, PatronRecord, Payment
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.policy.access import (
    BarEntry,
    DoorRules,
    PassEntry,
    PinState,
)
from sip2gw.policy.card_numbers import CardRule
from sip2gw.policy.hours.calendar import BranchCalendar
from sip2gw.policy.items.decisions import CirculationRules
from sip2gw.policy.money.debts import PaymentRules
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.money.receipts import ReceiptRules
from sip2gw.policy.relationships import RelationshipRules
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
    Request,
    Response,
)
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.wire import WireFormat
from sip2gw.protocol.written import Written
from sip2gw.shared.afterwards import Afterwards
from sip2gw.shared.answers import ShownAnswers
from sip2gw.shared.departures import Departures
from sip2gw.shared.door_memory import Admissions, Passages
from sip2gw.shared.journal import JournalSeen
from sip2gw.shared.payments import Payments
from sip2gw.shared.sendings import Sendings
from sip2gw.shared.today import Today
from sip2gw.texts import Catalogue, choose_language

VERIFIED_TTL_S = 600.0
"""How long a verified PIN stands in for an absent or empty AD in a 37 (C1, C64), and a no to a deed
with it is about something else (C155)."""

ANSWER_WITHIN_S = 120.0
"""How long a patron has to present again what was borrowed before."""

T = TypeVar("T")

ASKED_MAX = 100
"""So many such questions are open in a session; the oldest makes room."""


class Link(Protocol):
    """A terminal's line, as far as handlers may look at it."""

    @property
    def pending_body(self) -> bytes:
        """The request that waits for its answer as it came, without AY and AZ."""
        ...


class Identified(Struct):
    """Whose a card is, and whether the PIN is right."""

    record: PatronRecord | None
    """Of the holder, as far as it is known; see `Asked`."""
    card: Card | None
    """None: nobody has this card."""
    pin: PinState


class Identifier(Protocol):
    """Says whose a card is and whether its PIN is right.

    This is one question, because a library system may judge the PIN with the request that finds the
    patron. Failures are counted if that is its task. A failing answer is held back until its timing
    reveals nothing (C99). The session notes a PIN as not right before anybody is asked to judge it,
    because the answer may come too late (C94). The PIN of an unknown or replaced card is not looked
    at: `ABSENT`.
    """

    def identify(self, session: Session, number: str, pin: str | None) -> Awaitable[Identified]:
        """The holder of card `number`, the card, and whether `pin` is right."""
        ...

    async def find(self, session: Session, number: str) -> tuple[PatronRecord | None, Card | None]:
        """The same where no PIN is looked at (C2)."""
        ...

    async def identify_payer(
        self, session: Session, number: str, pin: str | None
    ) -> tuple[PaymentFacts | None, Card | None, PinState]:
        """The same with all facts of a payment's decision, found in one look-up; of a library
        system without the debtors, about whom it must be asked one by one."""
        ...

    async def verify_without_store(
        self, session: Session, record: PatronRecord, number: str, pin: str | None
    ) -> PinState:
        """Whether `pin` is right by `record`, which was seen last; for when the store is down."""
        ...


class Asked(Identified):
    """What a library system answered about a card and its PIN.

    The record has its facts with ours laid over them (B72); only what we know ourselves if it said
    nothing about the patron, because the PIN was wrong or was not asked.
    """

    response: PatronStatusResponse | PatronInformationResponse | None
    """As it came; None when nobody was asked: the PIN is locked (B74), or card or PIN have
    characters that the library system does not know."""


Send = Callable[[], Coroutine[Any, Any, Response]]
"""Asks a library system; raises its errors."""


class LibraryIdentifier(Identifier, Protocol):
    """An `Identifier` that asks a library system, with the terminal's own 23 or 63."""

    async def ask(
        self, session: Session, request: PatronStatusRequest | PatronInformation
    ) -> Asked:
        """Send `request` up once, in the account's name, and read the answer."""
        ...

    async def judge(
        self, session: Session, number: str, pin: str, deed: str, send: Send
    ) -> Response | None:
        """What `send` is answered to a request that carries the PIN of card `number`; None if
        the PIN is locked, so that nobody was asked, or wrong by the answer's CQ (B74, C155).
        `deed` is what is asked, as `deed_of` names it."""
        ...

    async def judge_alone(self, session: Session, number: str, pin: str) -> PinState:
        """What the PIN of card `number` is worth while nobody there can be asked: locked; right or
        wrong by what was right at a door last, which is counted; `ABSENT` where nobody can say."""
        ...

    async def look_again(self, session: Session, number: str) -> None:
        """See what our store says by now of the holder of `number`, if they were admitted.

        Raises:
            BackendError: the store cannot be read.
        """
        ...

    def numbers_of(self, number: str) -> tuple[str, ...]:
        """Card `number`, and the other number that an answer about it has told us (C151)."""
        ...


_OK = PinState.OK  # Python 3.11 takes 0.1 µs to find a member of an enumeration


class Services(Struct):
    """What all sessions share."""

    backend: Backend
    identifier: Identifier
    texts: Catalogue
    metrics: Metrics
    clock: Clock
    passages: Passages = field(default_factory=Passages)
    admissions: Admissions = field(default_factory=Admissions)
    answers: ShownAnswers = field(default_factory=ShownAnswers)
    afterwards: Afterwards = field(default_factory=Afterwards)
    departures: Departures = field(default_factory=Departures)
    today: Today = field(default_factory=Today)
    """What staff have changed of the branches' hours."""
    library: LibrarySystem | None = None
    """The library system behind the gateway; None: the store itself is the library."""
    sendings: Sendings = field(default_factory=Sendings)
    """What went up there lately."""
    journal: JournalSeen = field(default_factory=JournalSeen)
    """What waits for it."""
    payments: Payments = field(default_factory=Payments)
    """What is being paid there."""
    data_since: Callable[[str | None], datetime | None] = lambda account: None
    """When that account was answered last, or without one, when data was last imported (C138);
    None: never, or nobody knows."""


class Standpoint:
    """Represents, by identity, all that the configuration says about a profile at a branch.

    Values that are derived from a snapshot under a `Standpoint` may use everything that is the same
    for its terminals. A reload makes new ones, so that no derived value outlives its settings.
    """

    __slots__ = ()


class TerminalView(Discreet, Struct, frozen=True):
    """One terminal with all the settings from its profile, branch and institution."""

    name: str
    """Its key in the configuration: label of logs and metrics."""
    profile: str
    """The name of its profile: another label of metrics."""
    is_door: bool
    institution_id: str
    library_name: str
    currency: str
    language: str
    branch: str | None
    zone: ZoneInfo
    calendar: BranchCalendar | None
    max_fee_age_days: int | None
    relationships: RelationshipRules
    messages: frozenset[str]
    """Request codes that it may send and that are answered usefully; what BX shows (B13)."""
    offered: frozenset[str]
    """Those that its profile names, answered usefully or not."""
    wire: WireFormat
    timeout_s: float
    """What 98 advertises; longer than our own deadline (B17)."""
    retries: int
    identification: Identification
    rights: Rights
    presentation: Presentation
    door: DoorRules
    door_manner: DoorManner
    standpoint: Standpoint
    """Shared by all terminals of the same profile at the same branch."""
    circulation: CirculationRules
    receipts: ReceiptRules
    payments: PaymentRules
    till: Till
    wise: WiseManner
    branches: Mapping[str, str]
    """The names of all branches by their codes."""
    bars: tuple[BarEntry, ...] = ()
    passes: tuple[PassEntry, ...] = ()
    counts_inside: bool = False
    """Whether any door of the branch wants to know who is inside (C10)."""
    looks_around: bool = False
    """Whether a decision here depends on others: who is inside, or who has just gone in (C142)."""
    handlers: Hidden[Mapping[type[Request], Handler]] = field(default_factory=dict)
    """What answers each request that it may send."""
    failing: Hidden[Mapping[type[Request], Failing]] = field(default_factory=dict)
    """What follows where one of them fails, if anything does."""
    expires_at: datetime | None = None
    """From this instant on it is refused and its lines are closed (C101)."""
    is_observed: bool = False
    """Whether a library system answers alone, and we only watch (B78)."""
    card_rules: tuple[CardRule, ...] = ()
    """What is made of a scanned number before it is looked up (B95)."""
    upstream: UpstreamManner | None = None
    """How it is served by a library system behind the gateway; None without one."""
    data_limit: DataLimit | None = None
    """When its data is too old to decide; None: never."""
    way_back: tuple[str, ...] = ()
    """The doors of the branch that lead the other way than this one."""


class Session(Discreet, Struct):
    """One connection of a logged-in terminal, between requests."""

    services: Services
    terminal: TerminalView
    verified_card: str = ""
    """The card whose PIN was last verified here, until 35, another card or a wrong PIN (C64)."""
    verified_at: float = 0.0
    lease: Hidden[Lease] = field(default_factory=Lease)
    """Its claim to a line of the library system behind the gateway (C122)."""
    asked: Hidden[dict[tuple[str | None, str], tuple[str | None, float]]] = field(
        default_factory=dict
    )
    """Patron and item → the key of the order that was answered with a question, and when."""
    link: Hidden[Link | None] = None
    """Its line; None where nobody is connected."""
    scanned: Hidden[tuple[str, str]] = ("", "")
    """The number that this request looks up, and the one that was scanned, where the terminal's
    card rules tell them apart (B95)."""

    def as_scanned(self, number: str) -> str:
        """The card `number` of this request as it was scanned (C112)."""
        looked_up, scanned = self.scanned
        return scanned if number == looked_up else number

    def now(self) -> datetime:
        """This second in the branch's zone."""
        return self.services.clock.now(self.terminal.zone)

    def note_pin(self, card: str, pin: PinState) -> None:
        """Remember a verified PIN for C64, or forget an older one (C94)."""
        if pin is _OK:
            self.verified_card = card
            self.verified_at = self.services.clock.monotonic()
        elif card != self.verified_card or pin is not PinState.ABSENT:
            self.verified_card = ""

    def is_verified(self, card: str) -> bool:
        """Whether `card`'s PIN was verified here within the last ten minutes."""
        age = self.services.clock.monotonic() - self.verified_at
        return bool(card) and card == self.verified_card and age <= VERIFIED_TTL_S

    def end(self) -> None:
        """The terminal has gone: its line of the library system is anybody's (C122)."""
        if self.services.library is not None:
            self.services.library.release(self.lease)

    def ask(self, order: CirculationOrder) -> None:
        """Remember that `order` was answered with a question; sending it again answers yes."""
        whose = (order.patron_id, order.item_id)
        self.asked.pop(whose, None)
        self.asked[whose] = (order.key, self.services.clock.monotonic())
        if len(self.asked) > ASKED_MAX:
            del self.asked[next(iter(self.asked))]

    def is_answer(self, order: CirculationOrder) -> bool:
        """Whether the patron was asked recently; a retry of the same request is no answer (C88)."""
        asked = self.asked.get((order.patron_id, order.item_id))
        if asked is None or (order.key is not None and order.key == asked[0]):
            return False
        return self.services.clock.monotonic() - asked[1] < ANSWER_WITHIN_S

    def language(self, sip2_code: str, record: PatronRecord | None = None) -> str:
        """The language of screen texts: as asked, the patron's, or the terminal's (B29)."""
        patron_language = record.language if record is not None else None
        return choose_language(sip2_code, patron_language, self.terminal.language)


class Answer(Discreet, Struct):
    """A response, and what observers are told about it."""

    response: Response
    outcome: str = "ok"
    """`ok`, `refused` or `error` (C23)."""
    reason: str = ""
    """A stable word for the log."""
    card: str = ""
    """The card asked about; logged as a pseudonym."""
    payment: Payment | None = None
    """The payment that a 38 says yes to, for a dialect that tells more of it."""
    written: Hidden[Written | None] = None
    """Remembers the bytes of a response that mostly stays the same."""


Handler = Callable[[Session, Any], Awaitable[Answer]]


class Failing(Struct, frozen=True):
    """What else to do, besides saying no, when a request fails or gets a no."""

    without_backend: Callable[[Session, Any, BackendError], Awaitable[Answer | None]] | None = None
    """Decides although the backend has failed (B40); None when it cannot."""
    undecided: Callable[[Session, Any], Answer | None] | None = None
    """Answers whatever has failed (C67); None when it is a no."""
    unknown_after: tuple[type[BackendError], ...] = (OutcomeUnknownError,)
    """After these errors nobody knows whether it was done (C98)."""
    unknown_text_key: str = "unknown_outcome_item"
    """Said when nobody knows whether it was done (C98)."""
    count: Callable[[Metrics, str], None] | None = None
    """Counts one that is answered `refused` or `unknown` because something has failed."""
    keep: Callable[[Session, Any, str, Log], asyncio.Future[None] | None] | None = None
    """Keeps for staff what got a no for this reason; what it gives is done once it is written."""


NOTHING_FOLLOWS = Failing()


async def if_told(reading: Awaitable[T]) -> T | None:
    """More details of something that is done; None when they cannot be read in time.

    It is done, so neither a failing store nor the deadline may turn the yes into a no (C98).
    """
    try:
        return await reading
    except (BackendError, asyncio.CancelledError):
        return None
