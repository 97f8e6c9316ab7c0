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
    CalendarChange,
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
from sip2gw.policy.membership import MembershipState, age_on, has_end, membership_state
from sip2gw.policy.money import MoneyStanding
from sip2gw.policy.obstacles import (
    Standing,
    active_blocks,
    visible_badges,
)
from sip2gw.policy.reasons import Reason
from sip2gw.policy.statuses import BLOCKING_STATUSES, status_of
from sip2gw.policy.upstream import words

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
class Settings:
    """The settings behind the checks: what each is called where the operator set it, and its value.

    Whoever knows the configuration says them; here they are only words.
    """

    branch: str
    """Only the name: it is said when the terminal has no branch."""
    data_age: str
    emergency: str
    direction: str
    hours: str
    """Where the opening hours are, exceptions included."""
    when_staffed: str
    last_entry: str
    bars: str
    """Where the cards of the bar list are kept."""
    passes: str
    pin: str
    badges: str
    all_badges: str
    """`badges`, and whether all of them are required."""
    age: str
    companions: str
    memberships: str
    home_branch: str
    fees: str
    fee_age: str
    house_rules: str
    capacity: str
    inside: str


@dataclass(frozen=True, slots=True)
class Place:
    """The terminal and branch of the question, and their settings."""

    terminal: str
    branch: str
    """Empty for a terminal without a branch."""
    currency: str
    max_fee_age_days: int | None
    settings: Settings

    def money(self, minor: Minor) -> str:
        """An amount with its currency."""
        return f"{format_amount(minor, self.currency)} {self.currency}"


@dataclass(frozen=True, slots=True)
class ExplainedCheck:
    """One check: its name (C74), its result, and the reason in plain words."""

    check: str
    result: CheckResult
    detail: str


@dataclass(frozen=True, slots=True)
class _Presented:
    """A known card at a door."""

    facts: DoorFacts
    rules: DoorRules
    record: PatronRecord
    card: Card
    place: Place


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
            detail = _PATRON_DETAILS[name](_Presented(facts, rules, record, card, place))
        explained.append(ExplainedCheck(name, result, detail))
    return explained


def explain_exit(place: Place) -> list[ExplainedCheck]:
    """The checks at a door that leads out: nobody is ever kept inside (C67)."""
    detail = f"not checked: {place.settings.direction}, and nobody is kept inside"
    return [ExplainedCheck(name, CheckResult.SKIPPED, detail) for name in CHECK_NAMES]


def _terminal(facts: DoorFacts, rules: DoorRules, place: Place) -> str:
    if facts.branch is None:
        return f"{place.settings.branch} is not set, and a door without a branch admits nobody"
    here = f"terminal {place.terminal} at branch {place.branch}"
    if facts.data_too_old:
        return (
            f"{here}, and the last import, or answer of the library system, is too old or unknown:"
            f" {place.settings.data_age}"
        )
    if rules.emergency_max_age is None:
        return here
    return (
        f"{here}; while the store or the library system does not answer, cards admitted here"
        " earlier may enter:"
        f" {place.settings.emergency}"
    )


def _calendar(facts: DoorFacts, rules: DoorRules, place: Place) -> str:
    if facts.calendar is None:
        return "not checked: the terminal has no branch"
    if facts.has_pass and not facts.barred:
        return f"the card has a pass, so the calendar does not apply ({place.settings.passes})"
    now = f"{facts.now:%a %Y-%m-%d %H:%M}"
    state = f"{place.branch} is {facts.calendar.state} on {now}"
    source = place.settings.hours
    if facts.calendar.change is not None:
        state += f", {_changed_words(facts.calendar.change, facts.now)}"
        source = "branch list"
    if facts.calendar.state is OpeningState.CLOSED:
        return f"{state} ({source})"
    if facts.calendar.state is OpeningState.STAFFED:
        return f"{state}; {place.settings.when_staffed}"
    until = _open_until(facts.calendar, facts.now)
    return f"{state}, {until}; {place.settings.last_entry}"


def _changed_words(change: CalendarChange, now: datetime) -> str:
    """What staff changed, for how long and why (C139)."""
    why = f": {change.reason}" if change.reason else ""
    until = change.until.astimezone(now.tzinfo)
    return f"because staff changed it until {until:%a %Y-%m-%d %H:%M}{why}"


def _open_until(moment: CalendarMoment, now: datetime) -> str:
    if moment.open_until is None:
        return "open for at least another week"
    return f"open until {moment.open_until.astimezone(now.tzinfo):%a %H:%M}"


def _card(facts: DoorFacts, rules: DoorRules, place: Place) -> str:
    return _card_words(facts.record)


def _card_words(record: PatronRecord | None) -> str:
    return "nobody has this card" if record is None else f"a card of patron {record.id}"


def _card_state(it: _Presented) -> str:
    return _card_state_words(it.record, it.card)


def _card_state_words(record: PatronRecord, card: Card) -> str:
    theirs = words.card_words(record.word) if record.word is not None else ""
    return f"the card is {card.state}{theirs}"


def _pin(it: _Presented) -> str:
    setting = it.place.settings.pin
    return (
        f"the PIN is assumed to be right; {setting}"
        if it.rules.require_pin
        else f"not required: {setting}"
    )


def _badge(it: _Presented) -> str:
    if not it.rules.require_badges:
        return f"no badge is required: {it.place.settings.badges}"
    today = it.facts.now.date()
    shown = visible_badges(it.record, it.place.branch, today)
    held = f"badges here: {' '.join(shown) or 'none'}"
    faults = [
        f"{badge.code} {_badge_fault(badge, it.place.branch, today)}"
        for badge in it.record.badges
        if badge.code in it.rules.require_badges and badge.code not in shown
    ]
    return "; ".join([held, *faults, it.place.settings.all_badges])


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


def _membership(it: _Presented) -> str:
    told = _membership_words(it.record, it.facts.now.date())
    state = membership_state(it.record, it.facts.now.date())
    if state is MembershipState.VALID and not has_end(it.record):
        return f"{told}; a door needs an end date"
    return told


def _membership_words(record: PatronRecord, today: date) -> str:
    state = membership_state(record, today)
    if state is MembershipState.MISSING:
        return "no membership"
    code = f"membership {_membership_code(record)}"
    if state is MembershipState.NOT_YET:
        return f"{code} begins on {record.membership_from}"
    if state is MembershipState.EXPIRED:
        return f"{code} ended on {record.membership_until}"
    if record.membership_until is not None:
        return f"{code} valid until {record.membership_until}"
    if record.word is not None:
        return f"{code}: {words.end_words(record.word)}"
    return f"{code} valid without an end date"


def _membership_code(record: PatronRecord) -> str:
    """Which membership; a library system may not tell."""
    if record.membership is not None:
        return record.membership.code
    return "none" if record.word is None else "unknown"


def _status(it: _Presented) -> str:
    told = _status_words(it.record, it.facts.now.date())
    if it.record.word is None:
        return told
    return f"{told}; what refuses here: {words.flag_words(it.rules.denying_flags) or 'no flag'}"


def _status_words(record: PatronRecord, today: date) -> str:
    status = status_of(record)
    effect = " blocks" if status in BLOCKING_STATUSES else ""
    blocks = ", ".join(active_blocks(record, today)) or "none"
    ours = f"customer status {status} ({STATUS_WORDS[status]}){effect}; blocks: {blocks}"
    return ours if record.word is None else f"{ours}; {words.denial_words(record.word)}"


def _age(it: _Presented) -> str:
    setting = it.place.settings.age
    if it.rules.minimum_age <= 0:
        return f"no minimum age is set: {setting}"
    if it.record.birth_date is None:
        return f"birth date unknown, {setting}"
    age = f"age {age_on(it.record.birth_date, it.facts.now.date())}, {setting}"
    if not it.rules.companions:
        return age
    return f"{age}; a child may follow their head of family: {it.place.settings.companions}"


def _membership_allowed(it: _Presented) -> str:
    setting = it.place.settings.memberships
    if not it.rules.memberships:
        return f"every membership may enter: {setting}"
    return f"membership {_membership_code(it.record)}, {setting}"


def _home_branch(it: _Presented) -> str:
    setting = it.place.settings.home_branch
    if not it.rules.home_branch_only:
        return f"patrons of every home branch may enter: {setting}"
    return f"home branch {it.record.home_branch or 'unknown'}, door of {it.place.branch}; {setting}"


def _fee_limit(it: _Presented) -> str:
    if not it.rules.fees or it.facts.holder is None:
        return f"debts do not matter here: {it.place.settings.fees}"
    return f"{_limit_words(it.record, it.facts.holder.money, it.place)}; {it.place.settings.fees}"


def _limit_words(record: PatronRecord, money: MoneyStanding, place: Place) -> str:
    theirs = words.debt_words(record.word) if record.word is not None else ""
    if record.word is not None and record.word.fee_amount is None:
        return theirs
    return "; ".join(filter(None, (_own_limit_words(record, money, place), theirs)))


def _own_limit_words(record: PatronRecord, money: MoneyStanding, place: Place) -> str:
    owed = f"owes {place.money(money.owed)}"
    if money.limit is None:
        return f"{owed}, and no limit is set"
    source = "fee_limit of the patron"
    if record.fee_limit is None and record.membership is not None:
        source = f"max_fees_self_service of membership {record.membership.code}"
    return f"{owed}, limit {place.money(money.limit)} ({source})"


def _fee_age(it: _Presented) -> str:
    if not it.rules.fees or it.facts.holder is None:
        return f"debts do not matter here: {it.place.settings.fees}"
    return _fee_age_words(it.record, it.facts.holder.money, it.place)


def _fee_age_words(record: PatronRecord, money: MoneyStanding, place: Place) -> str:
    if place.max_fee_age_days is None:
        return f"no maximum age of charges is set ({place.settings.fee_age})"
    setting = place.settings.fee_age
    if not money.owed:
        return f"no open charge; {setting}"
    if record.word is not None and money.oldest_days < 0:
        return f"the library system does not say how old the open charges are; {setting}"
    return f"the oldest open charge is {counted(money.oldest_days, 'day')} old; {setting}"


def _house_rules(it: _Presented) -> str:
    setting = it.place.settings.house_rules
    if it.rules.house_rules is False:
        return f"the house rules need not be accepted: {setting}"
    if it.record.house_rules_accepted is None:
        return f"the house rules have not been accepted; {setting}"
    return f"the house rules were accepted on {it.record.house_rules_accepted}; {setting}"


def _bar(it: _Presented) -> str:
    return f"{'on' if it.facts.barred else 'not on'} the bar list ({it.place.settings.bars})"


def _capacity(it: _Presented) -> str:
    setting = it.place.settings.capacity
    if not it.rules.capacity:
        return f"no limit: {setting}"
    if it.facts.presence is None:
        return f"not checked, because another check refuses; {setting}"
    return f"{counted(it.facts.presence.others, 'other person', 'other people')} inside; {setting}"


def _inside(it: _Presented) -> str:
    setting = it.place.settings.inside
    if not it.rules.refuse_inside:
        return f"a patron who is inside may enter again: {setting}"
    if it.facts.presence is None:
        return f"not checked, because another check refuses; {setting}"
    return (
        f"{'went in and has not come out' if it.facts.presence.inside else 'not inside'}; {setting}"
    )


_SITE_DETAILS: dict[str, Callable[[DoorFacts, DoorRules, Place], str]] = {
    "terminal": _terminal,
    "calendar": _calendar,
    "card": _card,
}
_PATRON_DETAILS: dict[str, Callable[[_Presented], str]] = {
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
        "card_state": _card_state_words(record, card),
        "membership": _membership_words(record, today),
        "status": _status_words(record, today),
        "fee_limit": _limit_words(record, standing.money, place),
        "fee_age": _fee_age_words(record, standing.money, place),
    }
    return [
        ExplainedCheck(
            name, CheckResult.REFUSED if name in refused else CheckResult.OK, details[name]
        )
        for name in STANDING_CHECKS
    ]
