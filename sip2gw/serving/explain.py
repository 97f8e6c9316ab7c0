"""What a terminal would be told about a card, and why (B70, C22).

The real handler runs, against the real store, with a clock that stands still. Nothing is recorded,
counted or locked, and the PIN is assumed to be right. A library system behind the gateway is asked
once about each card, without a PIN.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sip2gw.backend.base import Backend
from sip2gw.backend.system import LibrarySystem
from sip2gw.backend.wrappers import Unrecorded
from sip2gw.foundation.clock import fixed_clock
from sip2gw.handlers import (
    Answer,
    Handler,
    Services,
    Session,
    TerminalView,
    handlers_of,
)
from sip2gw.handlers.entry import decide_entry
from sip2gw.handlers.patron import PresentedCard, identify, standing_of
from sip2gw.model import Card, CardState, PatronRecord
from sip2gw.monitoring.metrics import Metrics
from sip2gw.policy.access import CheckResult, PinState
from sip2gw.policy.card_numbers import Step, apply_rules, steps
from sip2gw.policy.explain import (
    ExplainedCheck,
    Place,
    Settings,
    explain_access,
    explain_exit,
    explain_standing,
    explain_unknown_card,
)
from sip2gw.policy.payments import PaymentFacts
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.describe import MASK
from sip2gw.protocol.messages import PatronInformation, PatronStatusRequest, Request
from sip2gw.protocol.registry import SENSITIVE_TAGS
from sip2gw.serving.explain_library import AskedForExplanation
from sip2gw.serving.settings import settings_of
from sip2gw.serving.site import Site
from sip2gw.shared.door_memory import Passages
from sip2gw.texts import choose_language

MESSAGES = ("63", "23")
"""The messages that can be explained; by default the first that the terminal may send."""

_SAID_BACK = re.compile(rf"(\|(?:{'|'.join(sorted(SENSITIVE_TAGS))}))[^|]+")

_ASSUMED_PIN = "right"
"""In place of the PIN that nobody gave; every PIN is right here."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All checks in their order, the first reason, and the answer as it would leave."""

    checks: tuple[ExplainedCheck, ...]
    reason: str
    """`granted`, a reason of B39, or `not_allowed` when the terminal may not ask."""
    answer: str
    """Wire text without AY and AZ; a response has no secret field."""
    library: tuple[str, ...] = ()
    """What a library system behind the gateway answered, line by line."""

    @property
    def decision(self) -> str:
        """`granted` or `refused`."""
        return "granted" if self.reason == "granted" else "refused"


class _PinsAssumedRight:
    """Finds the patron, accepts every PIN, counts nothing and delays nothing."""

    async def identify(
        self, session: Session, number: str, pin: str | None
    ) -> tuple[PatronRecord | None, Card | None, PinState]:
        """The holder, with the right PIN."""
        record = await session.services.backend.find_by_card(number) if number else None
        card = record.card(number) if record is not None else None
        is_good = card is not None and card.state is not CardState.REPLACED
        return record, card, PinState.OK if is_good else PinState.ABSENT

    async def find(self, session: Session, number: str) -> tuple[PatronRecord | None, Card | None]:
        """The holder, without a PIN."""
        record = await session.services.backend.find_by_card(number) if number else None
        return record, record.card(number) if record is not None else None

    async def identify_payer(
        self, session: Session, number: str, pin: str | None
    ) -> tuple[PaymentFacts | None, Card | None, PinState]:
        """No payment is explained."""
        raise NotImplementedError

    async def verify_without_store(
        self, session: Session, record: PatronRecord, number: str, pin: str | None
    ) -> PinState:
        """Nor any decision without the store."""
        raise NotImplementedError


async def explain(
    site: Site,
    backend: Backend,
    terminal: TerminalView,
    card: str,
    *,
    message: str | None = None,
    at: datetime | None = None,
    library: LibrarySystem | None = None,
    imported: datetime | None = None,
) -> Explanation:
    """Explain what `card` would be answered at `terminal`.

    Args:
        site: the texts of the configuration.
        backend: the store; it is only read.
        terminal: who asks.
        card: the number as scanned, known or not.
        message: `63` or `23`; None takes what the terminal may send.
        at: the aware moment in question; None is now.
        library: the library system behind the gateway; None without one.
        imported: when library data was last imported; None for never.

    Raises:
        LibrarySystemError: the library system does not answer.
        BackendError: the store cannot be read.
    """
    clock = fixed_clock(at or datetime.now(terminal.zone))
    muted = Unrecorded(backend)  # type: ignore[abstract]
    behind = AskedForExplanation()
    identifier = _PinsAssumedRight() if library is None else behind
    services = Services(muted, identifier, site.texts, Metrics(), clock, library=library)
    # A library system has just been asked, so what it says is new.
    services.data_since = lambda account: imported if account is None else clock.now()
    session = Session(services, terminal)
    scanned = card.strip()
    card = apply_rules(terminal.card_rules, scanned)
    session.scanned = (card, scanned)
    code = message or next((code for code in MESSAGES if code in terminal.messages), MESSAGES[0])
    request = _request(code, terminal, card)
    if code not in terminal.messages:
        return _not_served(session, request)
    answer: Answer = await _handlers(terminal)[type(request)](session, request)
    settings = settings_of(terminal, site.config.profiles[terminal.profile])
    checks = await _checks(session, card, settings)
    _explain_rules(checks, steps(terminal.card_rules, scanned))
    return Explanation(tuple(checks), answer.reason, _wire_text(terminal, answer), behind.answer)


def _handlers(terminal: TerminalView) -> Mapping[type[Request], Handler]:
    """Those of the terminal; of one that is only observed, those that it would have (B78)."""
    if terminal.is_observed:
        return handlers_of("door" if terminal.is_door else "", "standard", "upstream")
    return terminal.handlers


def _explain_rules(checks: list[ExplainedCheck], taken: Iterable[Step]) -> None:
    """Say at the check of the card what each rule made of the scanned number (B95)."""
    told = [
        f"{' '.join(filter(None, (one.rule.rule, one.rule.value)))}: {one.before} -> {one.after}"
        for one in taken
    ]
    for at, check in enumerate(checks):
        if told and check.check == "card":
            checks[at] = replace(check, detail="; ".join([*told, check.detail]))


def _request(
    code: str, terminal: TerminalView, card: str
) -> PatronStatusRequest | PatronInformation:
    kind = PatronInformation if code == PatronInformation.code else PatronStatusRequest
    return kind(
        institution_id=terminal.institution_id,
        patron_identifier=card,
        patron_password=_ASSUMED_PIN,
    )


def _wire_text(terminal: TerminalView, answer: Answer) -> str:
    """As it would leave, but for secrets that a library system says back (B16)."""
    text = terminal.wire.text.decode(serialise(answer.response, terminal.wire))
    return _SAID_BACK.sub(rf"\1{MASK}", text)


def _not_served(session: Session, request: PatronStatusRequest | PatronInformation) -> Explanation:
    """The terminal may not ask: the failure form, as the gateway sends it (B2)."""
    terminal = session.terminal
    language = choose_language(request.language, None, terminal.language)
    text = session.services.texts.text(language, "terminal_not_allowed")
    response = request.failure_form(terminal.institution_id, session.now(), (text,))
    detail = f"message {request.code} is not served: profiles.{terminal.profile}.messages"
    check = ExplainedCheck("terminal", CheckResult.REFUSED, detail)
    return Explanation((check,), "not_allowed", _wire_text(terminal, Answer(response)))


async def _checks(session: Session, card: str, settings: Settings) -> list[ExplainedCheck]:
    terminal = session.terminal
    place = Place(
        terminal.name,
        terminal.branch or "",
        terminal.currency,
        terminal.max_fee_age_days,
        settings,
    )
    if terminal.is_door and terminal.door_manner.direction == "out":
        return explain_exit(place)
    presented = await identify(session, card, _ASSUMED_PIN, pin_required=False)
    if presented.record is not None:
        presented.pin = PinState.OK
    if terminal.is_door:
        # What the handler has just granted here is no earlier passage.
        session.services.passages = Passages()
        facts, decision = await decide_entry(session, presented)
        return explain_access(facts, terminal.door, decision, place)
    return _standing_checks(session, presented, place)


def _standing_checks(
    session: Session, presented: PresentedCard, place: Place
) -> list[ExplainedCheck]:
    if presented.record is None or presented.card is None:
        return explain_unknown_card()
    today = session.now().date()
    standing = standing_of(session, presented.record, presented.card, today)
    return explain_standing(presented.record, presented.card, standing, today, place)
