"""The checks outside doors in plain words (B27, B70)."""

from __future__ import annotations

from datetime import datetime

from sip2gw.model import Card, PatronRecord
from sip2gw.policy.access import CheckResult, PinState
from sip2gw.policy.explaining import patrons
from sip2gw.policy.explaining.places import ExplainedCheck, Place
from sip2gw.policy.obstacles import Standing
from sip2gw.policy.reasons import Reason

STANDING_CHECKS = (
    "terminal",
    "card",
    "card_state",
    "pin",
    "membership",
    "status",
    "fee_limit",
    "fee_age",
)
"""The checks outside doors, in the order of their precedence (B27)."""

_CHECK_OF_REASON = {
    Reason.CARD_BLOCKED: "card_state",
    Reason.CARD_REPLACED: "card_state",
    Reason.MEMBERSHIP_EXPIRED: "membership",
    Reason.STATUS: "status",
    Reason.BLOCKED: "status",
    Reason.FEE_LIMIT: "fee_limit",
    Reason.FEE_AGE: "fee_age",
}


def explain_terminal(place: Place) -> ExplainedCheck:
    """The check of a terminal that may ask."""
    return ExplainedCheck("terminal", CheckResult.OK, place.words)


def explain_unknown_card(place: Place) -> list[ExplainedCheck]:
    """The checks outside doors when nobody has the card."""
    card = ExplainedCheck("card", CheckResult.REFUSED, patrons.card_words(None))
    detail = "not checked: nobody has this card"
    rest = (ExplainedCheck(name, CheckResult.SKIPPED, detail) for name in STANDING_CHECKS[2:])
    return [explain_terminal(place), card, *rest]


def explain_standing(
    record: PatronRecord,
    card: Card,
    pin: PinState,
    standing: Standing,
    now: datetime,
    place: Place,
) -> list[ExplainedCheck]:
    """The checks outside doors, in the order of `STANDING_CHECKS`."""
    today = now.date()
    refused = {_CHECK_OF_REASON[obstacle.reason] for obstacle in standing.obstacles}
    if pin is PinState.LOCKED:
        refused.add("pin")
    details = {
        "terminal": place.words,
        "card": patrons.card_words(record),
        "card_state": patrons.card_state_words(record, card),
        "pin": f"{patrons.pin_words(record, card, pin, now)}; {place.settings.pin_required}",
        "membership": patrons.membership_words(record, today),
        "status": patrons.status_words(record, today),
        "fee_limit": patrons.limit_words(record, standing.money, place),
        "fee_age": patrons.fee_age_words(record, standing.money, place),
    }
    return [
        ExplainedCheck(
            name, CheckResult.REFUSED if name in refused else CheckResult.OK, details[name]
        )
        for name in STANDING_CHECKS
    ]
