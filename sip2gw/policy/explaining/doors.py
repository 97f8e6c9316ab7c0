"""The checks of a door's decision in plain words (B34, B70).

Pure. It explains decisions that were made elsewhere and makes none itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime

from msgspec import Struct

from sip2gw.foundation.words import counted
from sip2gw.model import BadgeAssignment, CalendarChange, Card, PatronRecord
from sip2gw.policy.access import (
    CHECK_NAMES,
    CheckResult,
    DoorFacts,
    DoorRules,
)
from sip2gw.policy.explaining import patrons
from sip2gw.policy.explaining.places import ExplainedCheck, Place
from sip2gw.policy.hours.calendar import CalendarMoment, OpeningState
from sip2gw.policy.membership import MembershipState, age_on, has_end, membership_state
from sip2gw.policy.obstacles import visible_badges
from sip2gw.policy.upstream import words


class _Presented(Struct, frozen=True):
    """A known card at a door."""

    facts: DoorFacts
    rules: DoorRules
    record: PatronRecord
    card: Card
    place: Place


def explain_access(
    facts: DoorFacts,
    rules: DoorRules,
    results: Iterable[tuple[str, CheckResult]],
    place: Place,
) -> list[ExplainedCheck]:
    """Every check of a decision, with the result that the door log has of it."""
    record, card = facts.record, facts.card
    explained = []
    for name, result in results:
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
    here = place.words
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
    return patrons.card_words(facts.record)


def _card_state(it: _Presented) -> str:
    return patrons.card_state_words(it.record, it.card)


def _pin(it: _Presented) -> str:
    setting = it.place.settings.pin
    if not it.rules.require_pin:
        return f"not required: {setting}"
    return f"{patrons.pin_words(it.record, it.card, it.facts.pin, it.facts.now)}; {setting}"


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
    told = patrons.membership_words(it.record, it.facts.now.date())
    state = membership_state(it.record, it.facts.now.date())
    if state is MembershipState.VALID and not has_end(it.record):
        return f"{told}; a door needs an end date"
    return told


def _status(it: _Presented) -> str:
    told = patrons.status_words(it.record, it.facts.now.date())
    if it.record.word is None:
        return told
    return f"{told}; what refuses here: {words.flag_words(it.rules.denying_flags) or 'no flag'}"


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
    return f"membership {patrons.membership_code(it.record)}, {setting}"


def _home_branch(it: _Presented) -> str:
    setting = it.place.settings.home_branch
    if not it.rules.home_branch_only:
        return f"patrons of every home branch may enter: {setting}"
    return f"home branch {it.record.home_branch or 'unknown'}, door of {it.place.branch}; {setting}"


def _fee_limit(it: _Presented) -> str:
    if not it.rules.fees or it.facts.holder is None:
        return f"debts do not matter here: {it.place.settings.fees}"
    limit = patrons.limit_words(it.record, it.facts.holder.money, it.place)
    return f"{limit}; {it.place.settings.fees}"


def _fee_age(it: _Presented) -> str:
    if not it.rules.fees or it.facts.holder is None:
        return f"debts do not matter here: {it.place.settings.fees}"
    return patrons.fee_age_words(it.record, it.facts.holder.money, it.place)


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
