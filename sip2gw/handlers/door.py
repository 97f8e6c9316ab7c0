"""The door: 23 and 63 answered with a decision.  (B33-B39, B42, C2, C66, C67, C90, C92)"""

from __future__ import annotations

from sip2gw.config import DoorTable
from sip2gw.handlers import information, patron
from sip2gw.handlers.base import Answer, Session, patron_flags
from sip2gw.model import AccessRow, CardState, PatronRecord
from sip2gw.policy.access import (
    CHECK_NAMES,
    AccessDecision,
    CheckResult,
    DoorFacts,
    PinState,
    Verdict,
    decide_access,
    has_pass,
    is_barred,
)
from sip2gw.policy.reasons import ALL_DENIED, NO_FLAGS, REASONS, Reason, door_flags
from sip2gw.policy.standing import visible_badges
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)

_DoorResponse = PatronStatusResponse | PatronInformationResponse


def _door(session: Session) -> DoorTable:
    """The door table of a door's profile."""
    door = session.terminal.profile.door
    assert door is not None
    return door


async def patron_status(session: Session, request: PatronStatusRequest) -> Answer:
    """Answer a door's 23: the decision, or by profile the facts (B33)."""
    if _door(session).direction == "out":
        return await _let_out(session, request, PatronStatusResponse(language=request.language))
    visit = await _identify(session, request)
    if _door(session).mode == "decision":
        return _decide(session, visit, PatronStatusResponse(language=request.language))
    return _tell_facts(session, visit, await patron.tell_status(session, request, visit))


async def patron_information(session: Session, request: PatronInformation) -> Answer:
    """Answer a door's 63 like its 23 (B33)."""
    if _door(session).direction == "out":
        response = PatronInformationResponse(language=request.language)
        return await _let_out(session, request, response)
    visit = await _identify(session, request)
    if _door(session).mode == "decision":
        return _decide(session, visit, PatronInformationResponse(language=request.language))
    return _tell_facts(session, visit, await information.tell_information(session, request, visit))


async def _identify(
    session: Session, request: PatronStatusRequest | PatronInformation
) -> patron.Visit:
    number = request.patron_identifier
    door = _door(session)
    if door.require_pin or door.mode == "facts":
        return await patron.identify(
            session, number, request.patron_password, pin_required=door.require_pin
        )
    # The one case in which AD is not looked at (C2).
    record = await session.services.backend.find_by_card(number) if number else None
    card = record.card(number) if record is not None else None
    known = card is not None and card.state is not CardState.REPLACED
    return patron.Visit(number, record, card, PinState.OK, known, known)


def gather_facts(session: Session, visit: patron.Visit) -> DoorFacts:
    """Everything that the decision about an identified card needs, at this moment."""
    terminal = session.terminal
    now = session.now()
    record, card = visit.record, visit.card
    money = None
    if record is not None and card is not None:
        money = patron.standing_of(session, record, card, now.date()).money
    barred = passes = False
    if record is not None and (terminal.bars or terminal.passes):
        cards = frozenset(held.number for held in record.cards)
        barred = is_barred(terminal.bars, cards, now.date())
        passes = has_pass(terminal.passes, cards, now)
    return DoorFacts(
        now=now,
        branch=terminal.branch,
        calendar=terminal.calendar.state_at(now) if terminal.calendar is not None else None,
        record=record,
        card=card,
        pin=visit.pin,
        money=money,
        barred=barred,
        has_pass=passes,
    )


def _decide(session: Session, visit: patron.Visit, response: _DoorResponse) -> Answer:
    facts = gather_facts(session, visit)
    rules = session.terminal.door
    decision = decide_access(facts, rules)
    _record(session, decision, facts.record, "normal")
    _answer_decision(session, response, visit, decision, facts)
    return Answer(response, "ok" if decision.granted else "refused", decision.reason, visit.number)


async def _let_out(
    session: Session, request: PatronStatusRequest | PatronInformation, response: _DoorResponse
) -> Answer:
    """Nobody is ever kept inside: granted for anybody, recorded (C67, C92)."""
    number = request.patron_identifier
    record = await session.services.backend.find_by_card(number) if number else None
    skipped: tuple[Verdict, ...] = (CheckResult.SKIPPED,) * len(CHECK_NAMES)
    _record(session, AccessDecision(Reason.GRANTED, skipped), record, "normal")
    response.transaction_date = session.now()
    response.institution_id = session.terminal.institution_id
    response.patron_status = patron_flags(NO_FLAGS)
    response.patron_identifier = record.id if record is not None else number
    response.valid_patron = True
    response.valid_patron_password = True
    return Answer(response, "ok", Reason.GRANTED, number)


def _answer_decision(
    session: Session,
    response: _DoorResponse,
    visit: patron.Visit,
    decision: AccessDecision,
    facts: DoorFacts,
) -> None:
    """Fill in the decision (B33): flag 0 and no required badge refuse, 14 blanks admit (C66)."""
    terminal, rules = session.terminal, session.terminal.door
    record = visit.shown
    response.transaction_date = facts.now
    response.institution_id = terminal.institution_id
    response.patron_status = patron_flags(
        door_flags(decision.reason) if visit.record is not None else ALL_DENIED
    )
    response.patron_identifier = visit.patron_id
    response.valid_patron = visit.valid_patron
    response.valid_patron_password = visit.valid_password
    if decision.granted:
        response.valid_patron_password = True
    else:
        if not rules.require_pin:
            response.valid_patron_password = False
        if _door(session).refuse_as == "bln":
            response.valid_patron = False
        elif _door(session).refuse_as == "cqn":
            response.valid_patron_password = False
    if record is not None:
        response.personal_name = record.name
        badges = visible_badges(record, terminal.branch or "", facts.now.date())
        if not decision.granted:
            badges = tuple(code for code in badges if code not in rules.require_badges)
        response.badges = patron.badge_values(session, badges)
    language = session.language(response.language, record)
    text_key = REASONS[decision.reason].door_text_key
    if decision.reason is Reason.WRONG_PIN:
        text_key = patron.withheld_text_key(visit)
    response.screen_message = (session.services.texts.text(language, text_key),)


def _tell_facts(session: Session, visit: patron.Visit, answer: Answer) -> Answer:
    """Mode `facts`: the plain answer goes out; what we would have decided is recorded (B33)."""
    facts = gather_facts(session, visit)
    decision = decide_access(facts, session.terminal.door)
    _record(session, decision, facts.record, "facts")
    answer.reason = decision.reason
    return answer


_told: list[tuple[tuple[Verdict, ...], str]] = []
_TOLD_MAX = 16


def _checks_text(decision: AccessDecision) -> str:
    """All results in one text. Few combinations recur, and comparing two tuples of the same
    members is far cheaper than hashing them."""
    verdicts = decision.verdicts
    for known, text in _told:
        if known == verdicts:
            return text
    text = " ".join(f"{name}={result}" for name, result in decision.results())
    _told.insert(0, (verdicts, text))
    del _told[_TOLD_MAX:]
    return text


def _record(
    session: Session, decision: AccessDecision, record: PatronRecord | None, mode: str
) -> None:
    """One row and one count per decision (B42, C65); never waited for."""
    terminal, services = session.terminal, session.services
    branch = terminal.branch or ""
    outcome = "granted" if decision.granted else "refused"
    services.metrics.access_decisions[branch, outcome, decision.reason, mode] += 1
    services.record_access(
        AccessRow(
            time=services.clock.now(),
            branch=branch,
            terminal=terminal.name,
            decision=outcome,
            reason=decision.reason,
            mode=mode,
            checks=_checks_text(decision),
            patron_id=record.id if record is not None else None,
            direction=_door(session).direction,
        )
    )
