"""The checks of a decision in plain words: the fact, the rule, and the setting behind it (B70).

Pure. It explains decisions that were made elsewhere and makes none itself. It always says that the
PIN is assumed to be right, because nobody has a PIN to check here (C22).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sip2gw.foundation.words import counted
from sip2gw.model import (
    BadgeAssignment,
    Card,
    Minor,
    PatronRecord,
    format_amount,
)
from sip2gw.policy.access import (
    CHECK_NAMES,
    AccessDecision,
    CheckResult,
    DoorFacts,
    DoorRules,
)
from sip2gw.policy.calendar import CalendarMoment, OpeningState
from sip2gw.policy.membership import MembershipState, age_on, membership_state
from sip2gw.policy.money import MoneyStanding
from sip2gw.policy.obstacles import (
    BLOCKING_STATUSES,
    Standing,
    active_blocks,
    visible_badges,
)
from sip2gw.policy.reasons import Reason

STATUS_WORDS = (
    "new",
    "new",
    "invoiced",
    "reminder sent",
    "delinquent",
    "normal",
    "internet registration unpaid",
    "registration incomplete",
    "banned",
    "expired",
)
"""The Wise customer statuses 0-9 (B27)."""


@dataclass(frozen=True, slots=True)
class Place:
    """The terminal and branch of the question, and the names of their settings."""

    terminal: str
    profile: str
    branch: str
    """Empty for a terminal without a branch."""
    currency: str
    max_fee_age_days: int | None

    def door(self, key: str, value: object) -> str:
        """A key of the profile's door table with its value, as it is written in the file."""
        return f"profiles.{self.profile}.door.{key} = {_toml(value)}"

    def of_branch(self, key: str) -> str:
        """The name of a key of the branch, if the terminal has one."""
        return f"branches.{self.branch}.{key}" if self.branch else "the terminal has no branch"

    def lists(self, kind: str) -> str:
        """Where the cards of the `bar` or `pass` list are kept: in the file and in the store."""
        own = self.of_branch(kind)
        return f"{own}, door {kind} list" if self.branch else own

    def money(self, minor: Minor) -> str:
        """An amount with its currency."""
        return f"{format_amount(minor, self.currency)} {self.currency}"


@dataclass(frozen=True, slots=True)
class ExplainedCheck:
    """One check: its name (C74), its result, and the reason in plain words."""

    check: str
    result: CheckResult
    detail: str


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case frozenset():
            return "[" + ", ".join(_toml(member) for member in sorted(value)) + "]"
        case _:
            return str(value)


# Doors ----------------------------------------------------------------------------------------


def explain_access(
    facts: DoorFacts, rules: DoorRules, decision: AccessDecision, place: Place
) -> list[ExplainedCheck]:
    """Every check of `decision`, in the order of `CHECK_NAMES`."""
    record, card = facts.record, facts.card
    explained = []
    for name, result in decision.results():
        if name in _SITE_DETAILS:
            detail = _SITE_DETAILS[name](facts, rules, place)
        elif record is None or card is None:
            detail = "not checked: nobody has this card"
        else:
            detail = _PATRON_DETAILS[name](facts, rules, record, card, place)
        explained.append(ExplainedCheck(name, result, detail))
    return explained


def explain_exit(place: Place) -> list[ExplainedCheck]:
    """The checks at a door that leads out: nobody is ever kept inside (C67)."""
    detail = f"not checked: {place.door('direction', 'out')}, and nobody is kept inside"
    return [ExplainedCheck(name, CheckResult.SKIPPED, detail) for name in CHECK_NAMES]


def _terminal(facts: DoorFacts, rules: DoorRules, place: Place) -> str:
    if facts.branch is None:
        return (
            f"terminals.{place.terminal}.branch is not set, and a door without a"
            " branch admits nobody"
        )
    here = f"terminal {place.terminal} at branch {place.branch}"
    if rules.emergency_max_age is None:
        return here
    hours = f"{rules.emergency_max_age.total_seconds() / 3600:g}"
    setting = f"{place.door('emergency', True)}, emergency_max_age_h = {hours}"
    return (
        f"{here}; while the store is unavailable, cards admitted here earlier may enter: {setting}"
    )


def _calendar(facts: DoorFacts, rules: DoorRules, place: Place) -> str:
    if facts.calendar is None:
        return "not checked: the terminal has no branch"
    if facts.has_pass and not facts.barred:
        return f"the card has a pass, so the calendar does not apply ({place.lists('pass')})"
    now = f"{facts.now:%a %Y-%m-%d %H:%M}"
    state = f"{place.branch} is {facts.calendar.state} on {now}"
    if facts.calendar.state is OpeningState.CLOSED:
        return f"{state} ({place.of_branch('hours')} and exceptions)"
    if facts.calendar.state is OpeningState.STAFFED:
        when_staffed = "admit" if rules.admit_when_staffed else "refuse"
        return f"{state}; {place.door('when_staffed', when_staffed)}"
    minutes = int(rules.last_entry_margin.total_seconds() // 60)
    until = _open_until(facts.calendar, facts.now)
    return f"{state}, {until}; {place.door('last_entry_margin_min', minutes)}"


def _open_until(moment: CalendarMoment, now: datetime) -> str:
    if moment.open_until is None:
        return "open for at least another week"
    return f"open until {moment.open_until.astimezone(now.tzinfo):%a %H:%M}"


def _card(facts: DoorFacts, rules: DoorRules, place: Place) -> str:
    return _card_words(facts.record)


def _card_words(record: PatronRecord | None) -> str:
    return "nobody has this card" if record is None else f"a card of patron {record.id}"


def _card_state(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    return _card_state_words(card)


def _card_state_words(card: Card) -> str:
    return f"the card is {card.state}"


def _pin(facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place) -> str:
    setting = place.door("require_pin", rules.require_pin)
    return (
        f"the PIN is assumed to be right; {setting}"
        if rules.require_pin
        else f"not required: {setting}"
    )


def _badge(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    setting = place.door("require_badges", rules.require_badges)
    if not rules.require_badges:
        return f"no badge is required: {setting}"
    today = facts.now.date()
    shown = visible_badges(record, place.branch, today)
    held = f"badges here: {' '.join(shown) or 'none'}"
    faults = [
        f"{badge.code} {_badge_fault(badge, place.branch, today)}"
        for badge in record.badges
        if badge.code in rules.require_badges and badge.code not in shown
    ]
    need = "all" if rules.every_badge else "any"
    return "; ".join([held, *faults, f'{setting}, badges = "{need}"'])


def _badge_fault(badge: BadgeAssignment, branch: str, today: date) -> str:
    """Why an assigned badge does not count at `branch` today."""
    if not badge.active:
        return "is not active"
    if badge.badge_from is not None and today < badge.badge_from:
        return f"is valid for nobody before {badge.badge_from}"
    if badge.badge_until is not None and today > badge.badge_until:
        return f"was valid for anybody until {badge.badge_until}"
    if badge.valid_from is not None and today < badge.valid_from:
        return f"is valid from {badge.valid_from}"
    if badge.valid_until is not None and today > badge.valid_until:
        return f"was valid until {badge.valid_until}"
    return f"is not valid at branch {branch}"


def _membership(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    words = _membership_words(record, facts.now.date())
    state = membership_state(record, facts.now.date())
    if state is MembershipState.VALID and record.membership_until is None:
        return f"{words}; a door needs an end date"
    return words


def _membership_words(record: PatronRecord, today: date) -> str:
    if record.membership is None:
        return "no membership"
    code = f"membership {record.membership.code}"
    match membership_state(record, today):
        case MembershipState.NOT_YET:
            return f"{code} begins on {record.membership_from}"
        case MembershipState.EXPIRED:
            return f"{code} ended on {record.membership_until}"
        case _ if record.membership_until is None:
            return f"{code} valid without an end date"
        case _:
            return f"{code} valid until {record.membership_until}"


def _status(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    return _status_words(record, facts.now.date())


def _status_words(record: PatronRecord, today: date) -> str:
    effect = " blocks" if record.status in BLOCKING_STATUSES else ""
    blocks = ", ".join(active_blocks(record, today)) or "none"
    return (
        f"customer status {record.status} ({STATUS_WORDS[record.status]}){effect}; blocks: {blocks}"
    )


def _age(facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place) -> str:
    setting = place.door("minimum_age", rules.minimum_age)
    if rules.minimum_age <= 0:
        return f"no minimum age is set: {setting}"
    if record.birth_date is None:
        return f"birth date unknown, {setting}"
    age = f"age {age_on(record.birth_date, facts.now.date())}, {setting}"
    if not rules.companions:
        return age
    return f"{age}; a child may follow their head of family: {place.door('companions', True)}"


def _membership_allowed(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    setting = place.door("memberships", rules.memberships)
    if not rules.memberships:
        return f"every membership may enter: {setting}"
    code = record.membership.code if record.membership is not None else "none"
    return f"membership {code}, {setting}"


def _home_branch(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    setting = place.door("home_branch_only", rules.home_branch_only)
    if not rules.home_branch_only:
        return f"patrons of every home branch may enter: {setting}"
    return f"home branch {record.home_branch or 'unknown'}, door of {place.branch}; {setting}"


def _fee_limit(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    if not rules.fees or facts.holder is None:
        return f"debts do not matter here: {place.door('fees', 'ignore')}"
    return f"{_limit_words(record, facts.holder.money, place)}; {place.door('fees', 'limit')}"


def _limit_words(record: PatronRecord, money: MoneyStanding, place: Place) -> str:
    owed = f"owes {place.money(money.owed)}"
    if money.limit is None:
        return f"{owed}, and no limit is set"
    source = "fee_limit of the patron"
    if record.fee_limit is None and record.membership is not None:
        source = f"max_fees_self_service of membership {record.membership.code}"
    return f"{owed}, limit {place.money(money.limit)} ({source})"


def _fee_age(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    if not rules.fees or facts.holder is None:
        return f"debts do not matter here: {place.door('fees', 'ignore')}"
    return _fee_age_words(facts.holder.money, place)


def _fee_age_words(money: MoneyStanding, place: Place) -> str:
    if place.max_fee_age_days is None:
        return f"no maximum age of charges is set ({place.of_branch('max_fee_age_days')})"
    setting = f"{place.of_branch('max_fee_age_days')} = {place.max_fee_age_days}"
    if not money.owed:
        return f"no open charge; {setting}"
    return f"the oldest open charge is {counted(money.oldest_days, 'day')} old; {setting}"


def _house_rules(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    setting = place.door("require_house_rules", rules.house_rules)
    if rules.house_rules is False:
        return f"the house rules need not be accepted: {setting}"
    if record.house_rules_accepted is None:
        return f"the house rules have not been accepted; {setting}"
    return f"the house rules were accepted on {record.house_rules_accepted}; {setting}"


def _bar(facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place) -> str:
    return f"{'on' if facts.barred else 'not on'} the bar list ({place.lists('bar')})"


def _capacity(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    setting = place.door("capacity", rules.capacity)
    if not rules.capacity:
        return f"no limit: {setting}"
    if facts.presence is None:
        return f"not checked, because another check refuses; {setting}"
    return f"{counted(facts.presence.others, 'other person', 'other people')} inside; {setting}"


def _inside(
    facts: DoorFacts, rules: DoorRules, record: PatronRecord, card: Card, place: Place
) -> str:
    setting = place.door("refuse_inside", rules.refuse_inside)
    if not rules.refuse_inside:
        return f"a patron who is inside may enter again: {setting}"
    if facts.presence is None:
        return f"not checked, because another check refuses; {setting}"
    return f"{'went in and has not come out' if facts.presence.inside else 'not inside'}; {setting}"


_SITE_DETAILS: dict[str, Callable[[DoorFacts, DoorRules, Place], str]] = {
    "terminal": _terminal,
    "calendar": _calendar,
    "card": _card,
}
_PATRON_DETAILS: dict[str, Callable[[DoorFacts, DoorRules, PatronRecord, Card, Place], str]] = {
    "card_state": _card_state,
    "pin": _pin,
    "badge": _badge,
    "membership": _membership,
    "status": _status,
    "age": _age,
    "membership_allowed": _membership_allowed,
    "home_branch": _home_branch,
    "fee_limit": _fee_limit,
    "fee_age": _fee_age,
    "house_rules": _house_rules,
    "bar": _bar,
    "capacity": _capacity,
    "inside": _inside,
}


# Other terminals ------------------------------------------------------------------------------


STANDING_CHECKS = ("card", "card_state", "membership", "status", "fee_limit", "fee_age")
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


def explain_unknown_card() -> list[ExplainedCheck]:
    """The checks outside doors when nobody has the card."""
    card = ExplainedCheck("card", CheckResult.REFUSED, _card_words(None))
    detail = "not checked: nobody has this card"
    rest = (ExplainedCheck(name, CheckResult.SKIPPED, detail) for name in STANDING_CHECKS[1:])
    return [card, *rest]


def explain_standing(
    record: PatronRecord, card: Card, standing: Standing, today: date, place: Place
) -> list[ExplainedCheck]:
    """The checks outside doors, in the order of `STANDING_CHECKS`."""
    refused = {_CHECK_OF_REASON[obstacle.reason] for obstacle in standing.obstacles}
    details = {
        "card": _card_words(record),
        "card_state": _card_state_words(card),
        "membership": _membership_words(record, today),
        "status": _status_words(record, today),
        "fee_limit": _limit_words(record, standing.money, place),
        "fee_age": _fee_age_words(standing.money, place),
    }
    return [
        ExplainedCheck(
            name, CheckResult.REFUSED if name in refused else CheckResult.OK, details[name]
        )
        for name in STANDING_CHECKS
    ]
