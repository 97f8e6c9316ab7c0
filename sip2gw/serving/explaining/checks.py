"""The checks behind an answer that a handler has just given, for `explain` (B70).

What was decided is taken from the handler: the row of the door log, the answer's reason, the result
of an order. Only the words are found here, for the same card and the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from sip2gw.backend.wrappers import Unrecorded
from sip2gw.handlers import Answer, Session, door
from sip2gw.handlers.entry import gather_facts
from sip2gw.handlers.items.circulation import reader_of
from sip2gw.handlers.patron import PresentedCard, identify, standing_of
from sip2gw.policy.access import CheckResult, PinState
from sip2gw.policy.card_numbers import steps
from sip2gw.policy.explaining.doors import explain_access, explain_exit
from sip2gw.policy.explaining.items import ItemCase, explain_items
from sip2gw.policy.explaining.places import ExplainedCheck, Place
from sip2gw.policy.explaining.standing import (
    explain_standing,
    explain_terminal,
    explain_unknown_card,
)
from sip2gw.policy.reasons import CirculationReason, Reason
from sip2gw.protocol.messages import (
    Checkin,
    PatronInformation,
    PatronStatusRequest,
    Request,
)

CARD_CHECKS = 4
"""So many checks of `STANDING_CHECKS` come before those of an item: terminal, card, PIN."""

_PIN_REASONS = {CirculationReason.WRONG_PIN, CirculationReason.UNKNOWN_CARD}
"""What a locked PIN is called at a terminal that asks about an item (C20, C99)."""


async def explained(
    session: Session, request: Request, answer: Answer, muted: Unrecorded, place: Place
) -> tuple[list[ExplainedCheck], str]:
    """The checks behind `answer`, and its reason."""
    if answer.reason == "not_offered":
        detail = f"the library system does not take message {request.code}"
        return [ExplainedCheck("terminal", CheckResult.REFUSED, detail)], answer.reason
    if not isinstance(request, PatronInformation | PatronStatusRequest):
        return await _about_item(session, request, answer, muted, place)
    if session.terminal.is_door:
        return await _at_door(session, request, muted, place), answer.reason
    presented = await _presented(session, request)
    return _about_card(session, presented, place), answer.reason


async def elsewhere(
    session: Session, request: Request, place: Place, library_says: str
) -> list[ExplainedCheck]:
    """What we know of a request that a library system would decide."""
    checks = [explain_terminal(place)]
    if not isinstance(request, Checkin):
        checks = _about_card(session, await _presented(session, request), place)
    detail = f"the library system decides; {library_says or 'it tells nothing of the item by a 17'}"
    return [*checks, ExplainedCheck("item", CheckResult.SKIPPED, detail)]


def tell_rules(checks: list[ExplainedCheck], session: Session, scanned: str) -> None:
    """Say at the check of the card what each rule made of the scanned number (B95)."""
    told = [
        f"{' '.join(filter(None, (one.rule.rule, one.rule.value)))}: {one.before} -> {one.after}"
        for one in steps(session.terminal.card_rules, scanned)
    ]
    for at, check in enumerate(checks):
        if told and check.check == "card":
            checks[at] = replace(check, detail="; ".join([*told, check.detail]))


async def _presented(session: Session, request: Request) -> PresentedCard:
    number: str = getattr(request, "patron_identifier", "")
    return await identify(session, number, getattr(request, "patron_password", None))


async def _at_door(
    session: Session,
    request: PatronInformation | PatronStatusRequest,
    muted: Unrecorded,
    place: Place,
) -> list[ExplainedCheck]:
    if session.terminal.door_manner.direction == "out":
        return explain_exit(place)
    assert muted.row is not None
    facts = gather_facts(session, await door.identify(session, request))
    facts.presence = muted.presence_seen
    return explain_access(facts, session.terminal.door, _results(muted.row.checks), place)


def _results(checks: str) -> Iterator[tuple[str, CheckResult]]:
    """The checks as the door log keeps them."""
    for check in checks.split():
        name, _, result = check.partition("=")
        yield name, CheckResult(result)


def _about_card(session: Session, presented: PresentedCard, place: Place) -> list[ExplainedCheck]:
    record, card = presented.record, presented.card
    if record is None or card is None:
        return explain_unknown_card(place)
    now = session.now()
    standing = standing_of(session, record, card, now.date())
    return explain_standing(record, card, presented.pin, standing, now, place)


async def _about_item(
    session: Session, request: Request, answer: Answer, muted: Unrecorded, place: Place
) -> tuple[list[ExplainedCheck], str]:
    checks, reason = [explain_terminal(place)], answer.reason
    presented = None
    if not isinstance(request, Checkin):
        presented = await _presented(session, request)
        checks = _about_card(session, presented, place)[:CARD_CHECKS]
        if presented.pin is PinState.LOCKED and reason in _PIN_REASONS:
            reason = Reason.PIN_LOCKED
    result = muted.result
    case = None
    if result is not None and result.record is not None:
        reader = reader_of(session, presented) if presented is not None else None
        patron = presented.record if presented is not None else None
        standing = reader.judged if reader is not None else None
        case = ItemCase(result.record, patron, standing, session.now(), place)
    refusal = result.refusal if result is not None else None
    if answer.outcome == "ok":
        reason = Reason.GRANTED
    refused = refusal.reasons if refusal is not None else ()
    if case is None and not refused:
        refused = (CirculationReason(answer.reason),)
    return [*checks, *explain_items(request.code, refused, case)], reason
