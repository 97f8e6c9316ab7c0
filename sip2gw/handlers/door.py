"""The door: 23 and 63 answered with a decision.  (B33-B42, C2, C66, C67, C90, C92, C93)"""

from __future__ import annotations

from collections.abc import Awaitable
from itertools import product

from sip2gw.backend.base import BackendError
from sip2gw.handlers import information, patron, profile_fields
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.entry import decide_alone, decide_entry, mode_of, passage_of
from sip2gw.handlers.patron import PresentedCard, response_to
from sip2gw.model import (
    AccessRow,
    CardState,
    PatronRecord,
    Presence,
)
from sip2gw.policy.access import (
    CHECK_NAMES,
    AccessDecision,
    CheckResult,
    DoorFacts,
    PinState,
)
from sip2gw.policy.reasons import (
    ALL_DENIED,
    NO_FLAGS,
    REASONS,
    Reason,
    door_flags,
)
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)
from sip2gw.shared.departures import Departure

_DoorRequest = PatronStatusRequest | PatronInformation
_DoorResponse = PatronStatusResponse | PatronInformationResponse

_AWAY = frozenset({"unavailable", "timeout"})
"""Kinds of failure of the store in which an emergency door goes on (B40)."""

_SAID_ALIKE = frozenset(
    {Reason.CARD_BLOCKED, Reason.CARD_REPLACED, Reason.WRONG_PIN, Reason.PIN_LOCKED}
)
"""What whoever shows no good PIN is not told apart (C99)."""

_NOT_ABOUT_THE_CARD = frozenset(
    {
        Reason.CLOSED,
        Reason.TOO_LATE,
        Reason.WRONG_PIN,
        Reason.FULL,
        Reason.ALREADY_INSIDE,
        Reason.SYSTEM,
    }
)
"""Refusals after which an earlier admission still counts; all others end it (B40)."""

_NOTHING_LOOKED_AT = (CheckResult.SKIPPED,) * len(CHECK_NAMES)
_LET_OUT = AccessDecision(Reason.GRANTED, _NOTHING_LOOKED_AT)
_NOT_DECIDED = AccessDecision(Reason.SYSTEM, _NOTHING_LOOKED_AT)


async def patron_status(session: Session, request: PatronStatusRequest) -> Answer:
    """Answer a door's 23: the decision, or by profile the facts (B33)."""
    manner = session.terminal.door_manner
    if manner.direction == "out":
        return await _let_out(session, request)
    presented = await identify(session, request)
    mode = "normal"
    if session.terminal.looks_around:
        facts, decision = await decide_entry(session, presented)
        mode = mode_of(facts)
    else:
        facts, decision = decide_alone(session, presented)
    if manner.mode == "decision":
        return _tell_decision(session, presented, response_to(request), facts, decision, mode)
    answer = await patron.tell_status(session, request, presented)
    return tell_facts(session, presented, facts, decision, answer)


async def patron_information(session: Session, request: PatronInformation) -> Answer:
    """Answer a door's 63 like its 23 (B33)."""
    manner = session.terminal.door_manner
    if manner.direction == "out":
        return await _let_out(session, request)
    presented = await identify(session, request)
    mode = "normal"
    if session.terminal.looks_around:
        facts, decision = await decide_entry(session, presented)
        mode = mode_of(facts)
    else:
        facts, decision = decide_alone(session, presented)
    if manner.mode == "decision":
        return _tell_decision(session, presented, response_to(request), facts, decision, mode)
    answer = await information.tell_information(session, request, presented)
    return tell_facts(session, presented, facts, decision, answer)


def identify(session: Session, request: _DoorRequest) -> Awaitable[PresentedCard]:
    """Whose card it is; the PIN is looked at if the door wants one, or tells facts (C2)."""
    number = request.patron_identifier
    required = session.terminal.door.require_pin
    if required or session.terminal.door_manner.mode == "facts":
        return patron.identify(session, number, request.patron_password, pin_required=required)
    return _find(session, number)


async def _find(session: Session, number: str) -> PresentedCard:
    """The one case in which AD is ignored (C2)."""
    record, card = await session.services.identifier.find(session, number)
    known = card is not None and card.state is not CardState.REPLACED
    scanned = session.as_scanned(number)
    return PresentedCard(number, record, card, PinState.OK, known, known, scanned=scanned)


def _tell_decision(
    session: Session,
    presented: PresentedCard,
    response: _DoorResponse,
    facts: DoorFacts,
    decision: AccessDecision,
    mode: str = "normal",
) -> Answer:
    if session.terminal.door.emergency_max_age is not None and mode == "normal":
        _prepare_for_emergency(session, presented, decision)
    _record(session, presented.number, decision, presented.record, mode, facts.presence)
    _answer_decision(session, response, presented, decision, facts)
    return Answer(
        response, "ok" if decision.granted else "refused", decision.reason, presented.number
    )


async def _let_out(session: Session, request: _DoorRequest) -> Answer:
    """Nobody is ever kept inside: granted for anybody, recorded (C67, C92)."""
    number = request.patron_identifier
    if session.terminal.upstream is None:
        record, _ = await session.services.identifier.find(session, number)
    else:  # a library system is not asked for it
        record = await session.services.backend.find_by_card(number) if number else None
    if record is not None and session.terminal.counts_inside:
        await session.services.backend.leave_branch(session.terminal.branch or "", record.id)
    return _let_anybody_out(session, number, record, response_to(request), "normal")


def _let_anybody_out(
    session: Session,
    number: str,
    record: PatronRecord | None,
    response: _DoorResponse,
    mode: str,
) -> Answer:
    _record(session, number, _LET_OUT, record, mode)
    response.transaction_date = session.now()
    response.institution_id = session.terminal.institution_id
    response.patron_status = NO_FLAGS
    response.patron_identifier = session.as_scanned(number)  # it has asked for no PIN (C112)
    response.valid_patron = True
    response.valid_patron_password = True
    return Answer(response, "ok", Reason.GRANTED, number)


# Without the backend (B40) -------------------------------------------------------------------


def _prepare_for_emergency(
    session: Session, presented: PresentedCard, decision: AccessDecision
) -> None:
    """Remember an admission; forget those of a patron who is refused because of their data."""
    services, record = session.services, presented.record
    if decision.granted and record is not None:
        now_s = services.clock.monotonic()
        services.admissions.remember(session.terminal.name, presented.number, record, now_s)
    elif record is not None and decision.reason not in _NOT_ABOUT_THE_CARD:
        services.admissions.forget(record.id)


def end_undecided(session: Session, request: _DoorRequest) -> Answer | None:
    """The answer of an exit when anything has failed: nobody is kept inside (C67), nor counted
    as inside any longer than that.

    None for other doors, which refuse like any terminal; this too makes a row and counts (C93).
    """
    number, terminal = request.patron_identifier, session.terminal
    if terminal.door_manner.direction == "out":
        if number and terminal.counts_inside:
            passages = tuple(passage_of(entrance, number) for entrance in terminal.way_back)
            departure = Departure(terminal.branch or "", number, passages)
            session.services.departures.waiting.append(departure)
        return _let_anybody_out(session, number, None, response_to(request), "emergency")
    _record(session, number, _NOT_DECIDED, None, "normal")
    return None


async def decide_without_backend(
    session: Session, request: _DoorRequest, error: BackendError
) -> Answer | None:
    """The answer when `error` kept an entrance from deciding; None: it cannot decide.

    If the profile allows it, a patron who was admitted here before is judged by the data of that
    time. Calendar, lists of the configuration, PIN and all other checks apply, but nobody is
    counted (B40).
    """
    manner, number = session.terminal.door_manner, request.patron_identifier
    if manner.direction == "out":
        return None
    is_away = error.kind in _AWAY or not error.of_store
    record = _admitted_before(session, number) if is_away else None
    card = record.card(number) if record is not None else None
    if record is None or card is None or manner.mode != "decision":
        return None
    pin = PinState.OK
    if session.terminal.door.require_pin:
        identifier = session.services.identifier
        pin = await identifier.verify_without_store(
            session, record, number, request.patron_password
        )
    presented = PresentedCard(
        number, record, card, pin, True, pin is PinState.OK, scanned=session.as_scanned(number)
    )
    facts, decision = decide_alone(session, presented)
    return _tell_decision(session, presented, response_to(request), facts, decision, "emergency")


def _admitted_before(session: Session, card: str) -> PatronRecord | None:
    max_age = session.terminal.door.emergency_max_age
    if max_age is None:
        return None
    services = session.services
    now_s = services.clock.monotonic()
    return services.admissions.recall(session.terminal.name, card, now_s, max_age.total_seconds())


# The answer and the record -------------------------------------------------------------------


def _answer_decision(
    session: Session,
    response: _DoorResponse,
    presented: PresentedCard,
    decision: AccessDecision,
    facts: DoorFacts,
) -> None:
    """Fill in the decision (B33): flag 0 and no required badge refuse, 14 blanks admit (C66)."""
    terminal, rules = session.terminal, session.terminal.door
    record = presented.shown
    response.transaction_date = facts.now
    response.institution_id = terminal.institution_id
    response.patron_status = (
        # The flags may differ from those of an unknown card only here (C90, C99).
        door_flags(decision.reason) if presented.valid_patron or presented.replaced else ALL_DENIED
    )
    response.patron_identifier = presented.patron_id
    response.valid_patron = presented.valid_patron
    response.valid_patron_password = presented.valid_password
    if decision.granted:
        response.valid_patron_password = True
    else:
        if not rules.require_pin:
            response.valid_patron_password = False
        if session.terminal.door_manner.refuse_as == "bln":
            response.valid_patron = False
        elif session.terminal.door_manner.refuse_as == "cqn":
            response.valid_patron_password = False
    if record is not None and facts.holder is not None:
        response.personal_name = profile_fields.patron_name(session, record)
        badges = facts.holder.badges
        if not decision.granted:
            badges = tuple(code for code in badges if code not in rules.require_badges)
        response.badges = patron.badge_values(session, badges)
    language = session.language(response.language, record)
    text_key = REASONS[decision.reason].door_text_key
    if record is None and decision.reason in _SAID_ALIKE:
        text_key = patron.withheld_text_key(presented)
    response.screen_message = (session.services.texts.text(language, text_key),)


def tell_facts(
    session: Session,
    presented: PresentedCard,
    facts: DoorFacts,
    decision: AccessDecision,
    answer: Answer,
) -> Answer:
    """Mode `facts`: the plain answer goes out; what we would have decided is recorded (B33)."""
    _record(session, presented.number, decision, presented.record, "facts", facts.presence)
    answer.reason = decision.reason
    return answer


def _begins_passage(
    session: Session, card: str, record: PatronRecord | None, presence: Presence | None
) -> bool:
    """Note a passage; False when it is part of an earlier one (B41).

    Where people are counted the store has said which it is, for another gateway may have seen the
    earlier reading, or the patron go out since; else the memory of this one says it.
    It ends the holder's passages at the doors that lead the other way: somebody who has gone out
    and comes back is not a card that was read twice.
    """
    terminal, services = session.terminal, session.services
    window_s = terminal.door_manner.passage_window_s
    now_s = services.clock.monotonic()
    if presence is not None:
        if presence.again:
            return False
        services.passages.end(terminal.name, card)
    if window_s and not services.passages.begins(terminal.name, card, now_s, window_s):
        return False
    if terminal.way_back:
        cards = [held.number for held in record.cards] if record is not None else [card]
        for other, number in product(terminal.way_back, cards):
            services.passages.end(other, number)
    return True


def _record(
    session: Session,
    card: str,
    decision: AccessDecision,
    record: PatronRecord | None,
    mode: str,
    presence: Presence | None = None,
) -> None:
    """One row and one count per passage and per refusal (B41, B42, C65, C93); never waited for."""
    terminal, services = session.terminal, session.services
    outcome = "granted" if decision.granted else "refused"
    if decision.granted and not _begins_passage(session, card, record, presence):
        return
    branch = terminal.branch or ""
    services.metrics.access_decisions[branch, outcome, decision.reason, mode] += 1
    services.backend.log_access(
        AccessRow(
            time=services.clock.now(),
            branch=branch,
            terminal=terminal.name,
            decision=outcome,
            reason=decision.reason,
            mode=mode,
            checks=decision.checks,
            patron_id=record.id if record is not None else None,
            direction=terminal.door_manner.direction,
        )
    )
