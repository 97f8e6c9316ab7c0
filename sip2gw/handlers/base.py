"""What every handler gets and gives: the session of one terminal, and an answer.

A handler gathers facts, lets a pure policy decide, applies, and responds with a typed message. It
never sees a field code, a position or a checksum.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from sip2gw.backend.base import (
    Backend,
    BackendError,
    CirculationOrder,
    EntryOrder,
)
from sip2gw.config import ResolvedProfile
from sip2gw.foundation.clock import Clock
from sip2gw.model import (
    AccessRow,
    Card,
    PatronRecord,
    Payment,
    Presence,
)
from sip2gw.monitoring.metrics import Metrics
from sip2gw.policy.access import (
    BarEntry,
    DoorRules,
    PassEntry,
    PinState,
)
from sip2gw.policy.calendar import BranchCalendar
from sip2gw.policy.items.decisions import CirculationRules
from sip2gw.policy.money import PaymentRules
from sip2gw.policy.receipts import ReceiptRules
from sip2gw.policy.relationships import RelationshipRules
from sip2gw.protocol.messages import Request, Response
from sip2gw.protocol.wire import WireFormat
from sip2gw.shared.door_memory import Admissions, Passages
from sip2gw.texts import Catalogue, choose_language

CustomField = tuple[str, str]
"""A field of the profile's own: its tag, and the template of what it says."""

VERIFIED_TTL_S = 600.0
"""How long a verified PIN stands in for an absent or empty AD in a 37 (C1, C64)."""

ANSWER_WITHIN_S = 120.0
"""How long a patron has to present again what was borrowed before."""

T = TypeVar("T")

ASKED_MAX = 100
"""So many such questions are open in a session; the oldest makes room."""


class PinChecker(Protocol):
    """Says what a presented PIN is worth; counts failures where that is its task."""

    def remembers(self, record: PatronRecord, card: Card, pin: str) -> bool:
        """Whether `pin` is known to be right, so that nobody need be asked."""
        ...

    async def check(
        self,
        record: PatronRecord,
        card_number: str,
        pin: str | None,
        terminal: str,
        now: datetime,
        *,
        store_away: bool = False,
        at_door: bool = False,
    ) -> PinState:
        """The worth of `pin` for the card; with `store_away` as far as `record` tells."""
        ...

    async def hold_back(self, terminal: str, now: datetime, began_s: float) -> None:
        """Wait for the moment at which a failing answer may leave (C99)."""
        ...


_OK = PinState.OK  # Python 3.11 takes 0.1 µs to find a member of an enumeration


@dataclass(slots=True)
class Services:
    """What all sessions share."""

    backend: Backend
    pins: PinChecker
    texts: Catalogue
    metrics: Metrics
    clock: Clock
    record_access: Callable[[AccessRow], None]
    enter: Callable[[EntryOrder], Awaitable[Presence]]
    """Lets a patron in where people are counted, and says who was inside before."""
    leave: Callable[[str, str], Awaitable[None]]
    """Lets a patron out of a branch where people are counted."""
    passages: Passages = field(default_factory=Passages)
    admissions: Admissions = field(default_factory=Admissions)


class Standpoint:
    """Stands for all that the configuration says about a profile at a branch, by identity.

    What is derived from a snapshot under a `Standpoint` may use everything that is the same for
    its terminals. A reload makes new ones, so that nothing derived outlives its settings.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TerminalView:
    """One terminal with everything that its profile, branch and institution settle about it."""

    name: str
    """Its key in the configuration: label of logs and metrics."""
    profile: ResolvedProfile
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
    wire: WireFormat
    timeout_s: float
    """What 98 advertises; longer than our own deadline (B17)."""
    retries: int
    door: DoorRules
    standpoint: Standpoint
    """Shared by all terminals of the same profile at the same branch."""
    circulation: CirculationRules
    receipts: ReceiptRules
    payments: PaymentRules
    branches: Mapping[str, str]
    """The names of all branches by their codes."""
    patron_fields: tuple[CustomField, ...] = ()
    """Sent with 24, 64 and 26 of a patron who is shown."""
    item_fields: tuple[CustomField, ...] = ()
    """Sent with 10, 12, 18 and 30 of an item that is known."""
    bars: tuple[BarEntry, ...] = ()
    passes: tuple[PassEntry, ...] = ()
    counts_inside: bool = False
    """Whether any door of the branch wants to know who is inside (C10)."""
    handlers: Mapping[type[Request], Handler] = field(default_factory=dict, repr=False)
    """What answers each request that it may send."""
    expires_at: datetime | None = None
    """From this instant on it is refused and its lines are closed (C101)."""
    way_back: tuple[str, ...] = ()
    """The doors of the branch that lead the other way than this one."""


@dataclass(slots=True)
class Session:
    """One connection of a logged-in terminal, between requests."""

    services: Services
    terminal: TerminalView
    verified_card: str = ""
    """The card whose PIN was last verified here, until 35, another card or a wrong PIN (C64)."""
    verified_at: float = 0.0
    asked: dict[tuple[str | None, str], tuple[str | None, float]] = field(
        default_factory=dict, repr=False
    )
    """Patron and item → the key of the order that was answered with a question, and when."""

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

    def ask(self, order: CirculationOrder) -> None:
        """Remember that `order` was answered with a question, which the same again answers."""
        whose = (order.patron_id, order.item_id)
        self.asked.pop(whose, None)
        self.asked[whose] = (order.key, self.services.clock.monotonic())
        if len(self.asked) > ASKED_MAX:
            del self.asked[next(iter(self.asked))]

    def is_answer(self, order: CirculationOrder) -> bool:
        """Whether the patron was asked lately; a retry of what was asked is no answer (C88)."""
        asked = self.asked.get((order.patron_id, order.item_id))
        if asked is None or (order.key is not None and order.key == asked[0]):
            return False
        return self.services.clock.monotonic() - asked[1] < ANSWER_WITHIN_S

    def language(self, sip2_code: str, record: PatronRecord | None = None) -> str:
        """The language of screen texts: as asked, the patron's, or the terminal's (B29)."""
        patron_language = record.language if record is not None else None
        return choose_language(sip2_code, patron_language, self.terminal.language)


@dataclass(slots=True)
class Answer:
    """A response, and what observers are told of it."""

    response: Response
    outcome: str = "ok"
    """`ok`, `refused` or `error` (C23)."""
    reason: str = ""
    """A stable word for the log."""
    card: str = ""
    """The card asked about; logged as a pseudonym."""
    payment: Payment | None = None
    """The payment that a 38 says yes to, for a dialect that tells more of it."""


Handler = Callable[[Session, Any], Awaitable[Answer]]


async def if_told(reading: Awaitable[T]) -> T | None:
    """What more there is to tell of something that is done; None when it cannot be read in time.

    It is done: neither a store that fails nor the deadline may turn the yes into a no (C98).
    """
    try:
        return await reading
    except (BackendError, asyncio.CancelledError):
        return None
