"""What a terminal would be told about a card or an item, and why (B70, C22, C171).

The real handler runs, against the real store, with a clock that stands still. Nothing is recorded,
counted, locked, lent or taken back. The PIN is taken for right unless it is locked. A library
system behind the gateway is asked without a PIN, and what would change something there does not go
up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from sip2gw.authentication.assumed import AssumedPins
from sip2gw.authentication.identification import StoreIdentifier
from sip2gw.backend.base import Backend
from sip2gw.backend.system import LibrarySystem, NotAskedError
from sip2gw.backend.wrappers import Unrecorded
from sip2gw.foundation.clock import fixed_clock
from sip2gw.handlers import Answer, Handler, Services, Session, TerminalView, handlers_of
from sip2gw.monitoring.metrics import Metrics
from sip2gw.policy.access import CheckResult
from sip2gw.policy.explaining.places import ExplainedCheck, Place
from sip2gw.policy.reasons import Reason
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.describe import MASK
from sip2gw.protocol.messages import (
    Checkin,
    Checkout,
    Hold,
    LoginResponse,
    PatronInformation,
    PatronStatusRequest,
    Renew,
    Request,
    Response,
)
from sip2gw.protocol.registry import SENSITIVE_TAGS
from sip2gw.protocol.timestamps import write_timestamp
from sip2gw.protocol.wire import WireFormat
from sip2gw.serving.explaining.checks import elsewhere, explained, tell_rules
from sip2gw.serving.explaining.library_system import (
    AskedForExplanation,
    Unsent,
    lines_of,
)
from sip2gw.serving.gateway import by_card_rules
from sip2gw.serving.rights import EXPIRED, NOT_OFFERED, Denied, denied, failure_form
from sip2gw.serving.settings import access_of, settings_of
from sip2gw.serving.site import KnownTerminal, Site
from sip2gw.shared.today import Today

MESSAGES = ("63", "23")
"""Those about a card; by default the first that the terminal may send."""

ITEM_MESSAGES = ("11", "09", "29", "15")
"""Those about an item; by default the first."""

UPSTREAM = "upstream"
"""The reason when a library system would decide."""

_REQUESTS: Mapping[str, type[Request]] = {
    kind.code: kind
    for kind in (PatronInformation, PatronStatusRequest, Checkout, Checkin, Renew, Hold)
}

_SAID_BACK = re.compile(rf"(\|(?:{'|'.join(sorted(SENSITIVE_TAGS))}))[^|]+")

_ASSUMED_PIN = "right"
"""In place of the PIN that nobody gave; every PIN is right here."""


class Explanation(Struct, frozen=True):
    """All checks in their order, the first reason, and the answer as it would leave."""

    checks: tuple[ExplainedCheck, ...]
    reason: str
    """`granted`, a reason of B39 or of circulation, `not_allowed` when the terminal may not ask, or
    `UPSTREAM`."""
    answer: str
    """Wire text without AY and AZ; a response has no secret field. Empty if nobody knows it."""
    library: tuple[str, ...] = ()
    """What a library system behind the gateway answered, line by line."""
    would_ask: tuple[str, ...] = ()
    """What would go up there and was not sent, line by line."""

    @property
    def decision(self) -> str:
        """`granted` or `refused`; `unknown` where only the library system can tell."""
        if self.reason == UPSTREAM:
            return "unknown"
        return "granted" if self.reason == Reason.GRANTED else "refused"


async def explain(
    site: Site,
    backend: Backend,
    terminal: TerminalView,
    card: str,
    *,
    message: str | None = None,
    item: str = "",
    at: datetime | None = None,
    address: str | None = None,
    library: LibrarySystem | None = None,
    imported: datetime | None = None,
) -> Explanation:
    """Explain what `card` would be answered at `terminal`.

    Args:
        site: the texts of the configuration.
        backend: the store; it is only read.
        terminal: who asks.
        card: the number as scanned, known or not.
        message: one of `MESSAGES` or `ITEM_MESSAGES`; None takes what the terminal may send.
        item: the item, for `ITEM_MESSAGES`.
        at: the aware moment in question; None is now.
        address: from where the terminal comes; None does not try its networks.
        library: the library system behind the gateway; None without one.
        imported: when library data was last imported; None for never.

    Raises:
        LibrarySystemError: the library system does not answer.
        BackendError: the store cannot be read.
    """
    known = site.by_name[terminal.name]
    clock = fixed_clock(at or datetime.now(terminal.zone))
    muted = Unrecorded(backend)  # type: ignore[abstract] # the rest is passed on
    behind = AskedForExplanation(backend)
    unsent = Unsent(library) if library is not None else None  # type: ignore[abstract] # the rest is passed on
    today = Today()
    today.learn(await backend.calendar_changes(until=at))
    services = Services(
        muted,
        behind if library is not None else StoreIdentifier(AssumedPins(clock)),
        site.texts,
        Metrics(),
        clock,
        today=today,
        library=unsent,
    )
    services.sendings.is_recalled = True  # nothing is sent, so nothing is sent twice
    # A library system has just been asked, so what it says is new.
    services.data_since = lambda account: imported if account is None else clock.now()
    session = Session(services, terminal)
    place = _place(known, site, address)
    request = _request(message, terminal, card.strip(), item.strip(), session.now())
    if address is not None and not known.terminal.allows_address(address):
        return _not_known(site, session, request, place, address)
    if why_not := denied(terminal, request.code, clock):
        return _not_served(site, session, request, place, why_not)
    library_says = ""
    if request.code in ITEM_MESSAGES and library is not None:
        library_says = await behind.ask_about_item(session, item.strip())
    answer = await _answered(session, request, unsent)
    if not isinstance(answer, Answer):
        checks = await elsewhere(session, request, place, library_says)
        return Explanation(tuple(checks), UPSTREAM, "", behind.answer, lines_of(session, answer))
    checks, reason = await explained(session, request, answer, muted, place)
    tell_rules(checks, session, card.strip())
    return Explanation(
        tuple(checks), reason, _wire_text(terminal.wire, answer.response), behind.answer
    )


async def _answered(session: Session, request: Request, unsent: Unsent | None) -> Answer | Request:
    """What the handler answers, or what a library system would be told to do."""
    handler = _handlers(session.terminal)[type(request)]
    try:
        answer = await by_card_rules(session, request, handler)
    except NotAskedError:
        if unsent is None or unsent.request is None:
            raise
        return unsent.request
    # Some handlers have an answer for what did not go up; here it would have.
    return answer if unsent is None or unsent.request is None else unsent.request


def _place(known: KnownTerminal, site: Site, address: str | None) -> Place:
    terminal = known.view
    return Place(
        terminal.name,
        terminal.branch or "",
        terminal.currency,
        terminal.max_fee_age_days,
        settings_of(terminal, site.config.profiles[terminal.profile]),
        access_of(known.terminal, address),
    )


def _handlers(terminal: TerminalView) -> Mapping[type[Request], Handler]:
    """Those of the terminal; of one that is only observed, those that it would have (B78)."""
    if terminal.is_observed:
        return handlers_of("door" if terminal.is_door else "", "standard", "upstream")
    return terminal.handlers


def _request(
    message: str | None, terminal: TerminalView, card: str, item: str, now: datetime
) -> Request:
    """What the terminal would send: the plain request, with the PIN of the patron."""
    choice = ITEM_MESSAGES if item else MESSAGES
    code = message or next((code for code in choice if code in terminal.messages), choice[0])
    stamp = write_timestamp(now)
    said: dict[str, Any] = {
        "transaction_date": stamp,
        "return_date": stamp,
        "institution_id": terminal.institution_id,
        "patron_identifier": card,
        "patron_password": _ASSUMED_PIN,
        "item_identifier": item,
    }
    kind = _REQUESTS[code]
    return kind(**{name: value for name, value in said.items() if name in kind.__slots__})


def _wire_text(wire: WireFormat, response: Response) -> str:
    """As it would leave, but for secrets that a library system says back (B16)."""
    text = wire.text.decode(serialise(response, wire))
    return _SAID_BACK.sub(rf"\1{MASK}", text)


def _not_known(
    site: Site, session: Session, request: Request, place: Place, address: str
) -> Explanation:
    """From there the terminal cannot even log in, or be known without a login (B12, C134, C171)."""
    detail = f"{address} is in none of {place.access}"
    check = ExplainedCheck("terminal", CheckResult.REFUSED, detail)
    response: Response = LoginResponse(ok=False)
    if not site.by_name[session.terminal.name].terminal.login_required:
        response = failure_form(site, None, request, session.now(), "not_logged_in")
    return Explanation((check,), Reason.SYSTEM, _wire_text(site.prelogin, response))


def _not_served(
    site: Site, session: Session, request: Request, place: Place, why_not: Denied
) -> Explanation:
    """The terminal may not ask: the failure form, as the gateway sends it (B2, C171)."""
    terminal, reason = session.terminal, why_not.reason
    response = failure_form(site, terminal, request, session.now(), why_not.text_key)
    detail = f"message {request.code} is not served: profiles.{terminal.profile}.messages"
    if why_not is NOT_OFFERED:
        detail = f"message {request.code} is not served: nothing behind the gateway answers it"
    if why_not is EXPIRED:
        detail, reason = f"the terminal has expired; {place.access}", Reason.SYSTEM
    check = ExplainedCheck("terminal", CheckResult.REFUSED, detail)
    return Explanation((check,), reason, _wire_text(terminal.wire, response))
