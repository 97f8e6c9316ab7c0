"""A terminal whose library system answers alone, while we watch.  (B78, C126, C153)

Bodies go up and come down as they are. When an answer to a 23 or 63 has left, what we would have
decided is noted beside what they did. That asks our store, but never the library system; it counts
no PIN failure and no passage; and nobody waits for it.
"""

from __future__ import annotations

from functools import partial

from sip2gw.backend.base import BackendError
from sip2gw.handlers import patron
from sip2gw.handlers.base import Answer, Services, Session, TerminalView
from sip2gw.handlers.entry import decide_alone
from sip2gw.handlers.information import honours_payment_fetch
from sip2gw.handlers.patron import PresentedCard
from sip2gw.handlers.upstream.behind import library_of
from sip2gw.model import OBSERVED, AccessRow, LibraryWord, PatronRecord
from sip2gw.policy.observing import pin_judged, they_grant
from sip2gw.policy.reasons import NO_FLAGS, Reason
from sip2gw.policy.upstream.facts import (
    Facts,
    deny_doubtful,
    read_facts,
    record_of,
    says_nothing,
)
from sip2gw.policy.upstream.questions import given_pin
from sip2gw.protocol.codec import parse_response_body
from sip2gw.protocol.errors import ProtocolError
from sip2gw.protocol.message import Request, Verbatim
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)

_Question = PatronStatusRequest | PatronInformation
_Said = PatronStatusResponse | PatronInformationResponse


async def pass_on(session: Session, request: Request) -> Answer:
    """Hand on any request, even one that cannot be read, and its answer (C126, C153)."""
    library, manner = library_of(session)
    link = session.link
    assert link is not None
    name = session.terminal.name
    body = await library.pass_on(manner.account, name, link.pending_body, session.lease)
    return Answer(Verbatim(body), card=getattr(request, "patron_identifier", ""))


async def pass_on_and_compare(session: Session, request: _Question) -> Answer:
    """Hand on a 23 or 63; later, note what we would have decided on its answer (B78)."""
    answer = await pass_on(session, request)
    assert isinstance(answer.response, Verbatim)
    services, terminal = session.services, session.terminal
    later = partial(compare, services, terminal, request, answer.response.body)
    if not services.afterwards.do(terminal.name, later):
        services.metrics.backend_errors["observe", "timeout"] += 1
    return answer


async def compare(
    services: Services, terminal: TerminalView, request: _Question, body: bytes
) -> None:
    """Note what they said in `body` and what we would have said.

    An answer that is no 24 or 64, and a request that names no card, have nothing to compare.
    """
    try:
        said = parse_response_body(body, terminal.wire)
    except ProtocolError:
        return
    if not isinstance(said, _Said) or not request.patron_identifier:
        return
    # A session of its own: whatever is remembered here must not concern the terminal.
    session = Session(services, terminal)
    assert terminal.upstream is not None
    theirs = they_grant(said, request.patron_password, terminal.upstream.denying_flags)
    deny_doubtful(said)  # a terminal may look at the first BL, we look at all
    try:
        presented = await _presented(session, request, said)
    except BackendError as error:
        services.metrics.backend_errors["observe", error.kind] += 1
        return
    reason, checks = _ours(session, request, presented)
    _note(session, presented, reason, checks, theirs=theirs)


async def _presented(session: Session, request: _Question, said: _Said) -> PresentedCard:
    """The card as an answer of theirs, and our store, show it."""
    terminal = session.terminal
    number, pin = request.patron_identifier, request.patron_password
    record = await _record(session, request, said) if said.valid_patron is not False else None
    card = record.card(number) if record is not None else None
    rules = terminal.door.require_pin if terminal.is_door else None
    required = terminal.identification.pin_required if rules is None else rules
    return patron.present(session, number, pin, record, card, pin_judged(said, pin), required)


async def _record(session: Session, request: _Question, said: _Said) -> PatronRecord:
    """Their facts with ours laid over them (B72); only ours where they say nothing."""
    terminal, backend = session.terminal, session.services.backend
    upstream = terminal.upstream
    assert upstream is not None
    number = request.patron_identifier
    here = await backend.find_here(said.patron_identifier if upstream.aliases else number)
    if says_nothing(said, with_pin=given_pin(request.patron_password) is not None):
        return record_of(Facts(number, "", LibraryWord(NO_FLAGS)), number, here, None)
    facts = read_facts(said, upstream.facts, terminal.currency, upstream.text.decode)
    code = facts.membership
    membership = await backend.find_membership(code) if code is not None else None
    return record_of(facts, number, here, membership)


def _ours(session: Session, request: _Question, presented: PresentedCard) -> tuple[Reason, str]:
    """Our reason, `granted` or one to refuse, and the results of the checks at a door."""
    terminal = session.terminal
    if terminal.is_door:
        if terminal.door_manner.direction == "out":
            return Reason.GRANTED, ""  # nobody is kept inside (C67)
        # Without who is inside: nobody enters by this.
        _, decision = decide_alone(session, presented)
        return decision.reason, decision.checks
    record, card = presented.shown, presented.card
    if record is None or card is None:
        return Reason(patron.withheld_reason(presented)), ""
    to_pay = isinstance(request, PatronInformation) and honours_payment_fetch(session, request)
    today = session.now().date()
    return patron.standing_of(session, record, card, today, for_payment=to_pay).reason, ""


def _note(
    session: Session, presented: PresentedCard, reason: Reason, checks: str, *, theirs: bool
) -> None:
    """One row and one count for each answer, whatever passage it belongs to."""
    services, terminal = session.services, session.terminal
    ours = _word(reason is Reason.GRANTED)
    branch, record = terminal.branch or "", presented.record
    services.metrics.access_decisions[branch, ours, reason, OBSERVED] += 1
    services.backend.log_access(
        AccessRow(
            time=services.clock.now(),
            branch=branch,
            terminal=terminal.name,
            decision=ours,
            reason=reason,
            mode=OBSERVED,
            checks=checks,
            patron_id=record.id if record is not None else None,
            direction=terminal.door_manner.direction,
            theirs=_word(theirs),
        )
    )


def _word(granted: bool) -> str:
    return "granted" if granted else "refused"
