"""May this card's holder come in, at this door, now?  (B33-B41, C10-C15, C74, C75)

One fixed order of checks. The first failure is the reason; all results are kept for the access log
and for `explain`. Missing data fails closed (B36). Pure: everything it needs is in `DoorFacts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from sip2gw.model import (
    EVERY_BRANCH,
    Card,
    CardState,
    DoorEntry,
    PatronRecord,
    Presence,
)
from sip2gw.policy.hours.calendar import CalendarMoment, OpeningState
from sip2gw.policy.membership import MembershipState, age_on, has_end, membership_state
from sip2gw.policy.money.debts import MoneyStanding
from sip2gw.policy.obstacles import (
    active_blocks,
    visible_badges,
)
from sip2gw.policy.reasons import Reason
from sip2gw.policy.statuses import BLOCKING_STATUSES, status_of
from sip2gw.policy.upstream.denials import Cause, cause_of, may_be_more_than_money, owes_too_much
from sip2gw.protocol.fields import PatronFlag


class PinState(StrEnum):
    """What is known about the PIN that came with a request (B18-B20, C1)."""

    OK = "ok"
    WRONG = "wrong"
    LOCKED = "locked"
    """Too many failures; answered exactly like a wrong PIN."""
    ABSENT = "absent"
    """None presented: AD absent or empty."""


class DoorRules(Struct, frozen=True):
    """The checks of one door profile, each switched and parametrised (B35, C10)."""

    require_pin: bool = True
    require_badges: frozenset[str] = frozenset()
    every_badge: bool = True
    """All of `require_badges`, or any one of them."""
    minimum_age: int = 0
    memberships: frozenset[str] = frozenset()
    home_branch_only: bool = False
    fees: bool = True
    """Whether debts count at the door."""
    admit_when_staffed: bool = True
    last_entry_margin: timedelta = timedelta(0)
    house_rules: bool | date = False
    """True: accepted at any time; a date: accepted on or after it."""
    capacity: int = 0
    """People inside at most; 0 is no limit."""
    refuse_inside: bool = False
    """Whether who went in must go out before entering again."""
    companions: bool = False
    """Whether children under age may follow their head of family (C142)."""
    denying_flags: frozenset[int] = frozenset({PatronFlag.CHARGE_DENIED})
    """Those flags of a library system that refuse (C150)."""
    emergency_max_age: timedelta | None = None
    """How long an admission counts while the store is away; None: not at all (B40)."""


class CheckResult(StrEnum):
    """The outcome of one check (C74)."""

    OK = "ok"
    REFUSED = "refused"
    SKIPPED = "skipped"
    """Switched off, not available, or nothing to look at."""


Verdict = Reason | CheckResult
"""`OK`, `SKIPPED`, or the reason to refuse."""

OK = CheckResult.OK
SKIPPED = CheckResult.SKIPPED


class Holder(Struct, frozen=True):
    """The holder of a known card at one branch, as they are for the whole of `today`."""

    record: PatronRecord
    card: Card
    branch: str | None
    today: date
    """In the branch's zone."""
    money: MoneyStanding
    """The debts at this branch."""


class AssessedHolder(Struct, frozen=True):
    """The checks of a holder that depend on neither the moment nor the PIN: see `assess_holder`."""

    money: MoneyStanding
    verdicts: tuple[Verdict, ...]
    """Those of the checks about the holder, in their order."""
    badges: tuple[str, ...]
    """The codes that may be shown here (B22)."""
    accompanied: bool = False
    """Whether a child is judged as somebody who comes with their head of family (C142)."""


class DoorFacts(Struct):
    """The facts of one decision. Not frozen: making one would cost three times as much."""

    now: datetime
    """Aware, in the branch's zone."""
    branch: str | None
    """None: the terminal's branch is unknown or misconfigured (C75)."""
    calendar: CalendarMoment | None
    record: PatronRecord | None
    card: Card | None
    pin: PinState
    holder: AssessedHolder | None
    """What `assess_holder` says of `record` and `card` today; None for an unknown card."""
    barred: bool = False
    """The card is on the branch's bar list today."""
    has_pass: bool = False
    """The card is on the branch's pass list now; beats the calendar only (C11)."""
    data_too_old: bool = False
    """Nobody knows well enough what holds today (C138)."""
    presence: Presence | None = None
    """Who is inside; None while nobody has looked, because it does not matter or not yet."""


def _terminal(facts: DoorFacts, rules: DoorRules) -> Verdict:
    unable = facts.branch is None or facts.calendar is None or facts.data_too_old
    return Reason.SYSTEM if unable else OK


def _calendar(facts: DoorFacts, rules: DoorRules) -> Verdict:
    moment = facts.calendar
    if moment is None:
        return SKIPPED
    if facts.has_pass and not facts.barred:
        return OK
    if moment.state is OpeningState.CLOSED:
        return Reason.CLOSED
    if moment.state is OpeningState.STAFFED:
        return OK if rules.admit_when_staffed else Reason.CLOSED
    closing = moment.open_until
    if closing is not None and facts.now >= closing - rules.last_entry_margin:
        return Reason.TOO_LATE
    return OK


def _card(facts: DoorFacts, rules: DoorRules) -> Verdict:
    return Reason.UNKNOWN_CARD if facts.holder is None else OK


_CARD_STATES: dict[CardState, Verdict] = {
    CardState.ACTIVE: OK,
    CardState.BLOCKED: Reason.CARD_BLOCKED,
    CardState.LOST: Reason.CARD_BLOCKED,
    CardState.REPLACED: Reason.CARD_REPLACED,
}

_PINS: dict[PinState, Verdict] = {
    PinState.OK: OK,
    PinState.WRONG: Reason.WRONG_PIN,
    PinState.ABSENT: Reason.WRONG_PIN,
    PinState.LOCKED: Reason.PIN_LOCKED,
}


def _pin(facts: DoorFacts, rules: DoorRules) -> Verdict:
    return _PINS[facts.pin] if rules.require_pin else SKIPPED


def _bar(facts: DoorFacts, rules: DoorRules) -> Verdict:
    return Reason.BARRED if facts.barred else OK


def denial_of(record: PatronRecord, rules: DoorRules) -> Cause | None:
    """Why a library system keeps the patron out here; None if it does not (C121, C150).

    Where debts do not count, neither does a denial for debts alone.
    """
    word = record.word
    if word is None or word.flags.isdisjoint(rules.denying_flags):
        return None
    cause = cause_of(word.flags)
    if cause is Cause.MONEY and not rules.fees:
        return Cause.OTHER if may_be_more_than_money(word.flags) else None
    return cause


def _card_state(holder: Holder, rules: DoorRules) -> Verdict:
    verdict = _CARD_STATES[holder.card.state]
    if verdict is OK and denial_of(holder.record, rules) is Cause.CARD_LOST:
        return Reason.CARD_BLOCKED
    return verdict


def _badge(holder: Holder, rules: DoorRules) -> Verdict:
    if not rules.require_badges:
        return SKIPPED
    held = rules.require_badges.intersection(
        visible_badges(holder.record, holder.branch or "", holder.today)
    )
    enough = len(held) == len(rules.require_badges) if rules.every_badge else bool(held)
    return OK if enough else Reason.NO_BADGE


def _membership(holder: Holder, rules: DoorRules) -> Verdict:
    record = holder.record
    valid = membership_state(record, holder.today) is MembershipState.VALID
    return OK if valid and has_end(record) else Reason.MEMBERSHIP_EXPIRED


def _status(holder: Holder, rules: DoorRules) -> Verdict:
    if status_of(holder.record) in BLOCKING_STATUSES:
        return Reason.STATUS
    if active_blocks(holder.record, holder.today):
        return Reason.BLOCKED
    denied = denial_of(holder.record, rules) is Cause.OTHER
    return Reason.BLOCKED if denied and not _has_expired(holder) else OK


def _has_expired(holder: Holder) -> bool:
    """Whether the end of the membership explains a denial (C121)."""
    return membership_state(holder.record, holder.today) is MembershipState.EXPIRED


def _age(holder: Holder, rules: DoorRules) -> Verdict:
    if rules.minimum_age <= 0:
        return SKIPPED
    born = holder.record.birth_date
    old_enough = born is not None and age_on(born, holder.today) >= rules.minimum_age
    return OK if old_enough else Reason.UNDER_AGE


def _membership_allowed(holder: Holder, rules: DoorRules) -> Verdict:
    if not rules.memberships:
        return SKIPPED
    membership = holder.record.membership
    allowed = membership is not None and membership.code in rules.memberships
    return OK if allowed else Reason.MEMBERSHIP_NOT_ALLOWED


def _home_branch(holder: Holder, rules: DoorRules) -> Verdict:
    if not rules.home_branch_only:
        return SKIPPED
    return OK if holder.record.home_branch == holder.branch else Reason.OTHER_BRANCH


def _fee_limit(holder: Holder, rules: DoorRules) -> Verdict:
    if not rules.fees:
        return SKIPPED
    over = holder.money.over_limit or _owes_by_flags(holder.record, rules)
    return Reason.FEE_LIMIT if over else OK


def _owes_by_flags(record: PatronRecord, rules: DoorRules) -> bool:
    """Whether a library system keeps the patron out for debts, or says only that they are too high
    without an amount (C150)."""
    word = record.word
    if word is None:
        return False
    unsaid = word.fee_amount is None and owes_too_much(word.flags)
    return unsaid or denial_of(record, rules) is Cause.MONEY


def _fee_age(holder: Holder, rules: DoorRules) -> Verdict:
    if not rules.fees:
        return SKIPPED
    return Reason.FEE_AGE if holder.money.over_age else OK


def _house_rules(holder: Holder, rules: DoorRules) -> Verdict:
    required = rules.house_rules
    if required is False:
        return SKIPPED
    accepted = holder.record.house_rules_accepted
    if accepted is None or (required is not True and accepted < required):
        return Reason.NO_CONSENT
    return OK


def _capacity(presence: Presence, capacity: int, refuse_inside: bool) -> Verdict:
    if not capacity:
        return SKIPPED
    return OK if presence.others < capacity else Reason.FULL


def _inside(presence: Presence, capacity: int, refuse_inside: bool) -> Verdict:
    if not refuse_inside:
        return SKIPPED
    return Reason.ALREADY_INSIDE if presence.inside else OK


def has_room(presence: Presence, capacity: int, refuse_inside: bool) -> bool:
    """Whether one more person may enter; a store decides by this while it notes the entry (C10)."""
    return all(
        check(presence, capacity, refuse_inside) in (OK, SKIPPED) for _, check in _OCCUPANCY_CHECKS
    )


_HOLDER_CHECKS: tuple[tuple[str, Callable[[Holder, DoorRules], Verdict]], ...] = (
    ("card_state", _card_state),
    ("badge", _badge),
    ("membership", _membership),
    ("status", _status),
    ("age", _age),
    ("membership_allowed", _membership_allowed),
    ("home_branch", _home_branch),
    ("fee_limit", _fee_limit),
    ("fee_age", _fee_age),
    ("house_rules", _house_rules),
)
"""These hold for a day. All others are made anew for every request, in `decide_access`."""
_OCCUPANCY_CHECKS: tuple[tuple[str, Callable[[Presence, int, bool], Verdict]], ...] = (
    ("capacity", _capacity),
    ("inside", _inside),
)
"""Looked at only when nothing else speaks against the patron, for looking is entering (C10)."""

CHECK_NAMES = (
    "terminal",
    "calendar",
    "card",
    _HOLDER_CHECKS[0][0],
    "pin",
    *(name for name, _ in _HOLDER_CHECKS[1:]),
    "bar",
    *(name for name, _ in _OCCUPANCY_CHECKS),
)
"""Every check, in the order in which failures speak (B34, C74)."""

_LIFTED_WITH_HEAD = frozenset({"age", "badge"})
"""Checks that a child passes because of their head of family; the head has passed them (C142)."""

_NO_HOLDER = (SKIPPED,) * (len(_HOLDER_CHECKS) + 2)
_NOBODY_LOOKED = (SKIPPED,) * len(_OCCUPANCY_CHECKS)


@dataclass(frozen=True, slots=True)
class AccessDecision:
    """Granted or not, why, and the verdict of every check in the order of `CHECK_NAMES`."""

    reason: Reason
    verdicts: tuple[Verdict, ...]
    granted: bool = field(init=False)
    """Whether the door opens."""
    checks: str = field(init=False)
    """All results as the access log keeps them: `name=result` pairs, blank-separated."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "granted", self.reason is Reason.GRANTED)
        told = (f"{name}={result}" for name, result in self.results())
        object.__setattr__(self, "checks", " ".join(told))

    def results(self) -> Iterable[tuple[str, CheckResult]]:
        """Each check's name with `ok`, `refused` or `skipped`."""
        for name, verdict in zip(CHECK_NAMES, self.verdicts, strict=True):
            yield name, verdict if isinstance(verdict, CheckResult) else CheckResult.REFUSED


def assess_holder(holder: Holder, rules: DoorRules) -> AssessedHolder:
    """The part of a decision that holds as long as the snapshot, for the day of `holder`."""
    return AssessedHolder(
        holder.money,
        tuple(check(holder, rules) for _, check in _HOLDER_CHECKS),
        visible_badges(holder.record, holder.branch or "", holder.today),
    )


def may_be_accompanied(facts: DoorFacts, rules: DoorRules) -> bool:
    """Whether the holder is known to be under the age of the door, so may come with their head.

    Without a birth date nobody is known to be a child (B36).
    """
    record = facts.record
    return (
        record is not None
        and record.birth_date is not None
        and age_on(record.birth_date, facts.now.date()) < rules.minimum_age
    )


def accompanied(holder: AssessedHolder, heads_badges: Iterable[str]) -> AssessedHolder:
    """A child who comes right after their head of family, whom this door has admitted (C142).

    The head has the age and the badges for both, so these two checks are skipped, and the badges
    that the door asked the head for are shown. Everything else must be right for the child too.
    """
    return AssessedHolder(
        holder.money,
        tuple(
            SKIPPED if name in _LIFTED_WITH_HEAD else verdict
            for (name, _), verdict in zip(_HOLDER_CHECKS, holder.verdicts, strict=True)
        ),
        tuple(dict.fromkeys((*holder.badges, *heads_badges))),
        accompanied=True,
    )


def decide_access(facts: DoorFacts, rules: DoorRules) -> AccessDecision:
    """Decide `facts` under `rules`: the first failing check is the reason (B34).

    All checks are made even after one has failed, so that the log has every result. Those about the
    holder are skipped for an unknown card.
    """
    verdicts: tuple[Verdict, ...] = _NO_HOLDER
    holder = facts.holder
    if holder is not None:
        card_state, *others = holder.verdicts
        verdicts = (card_state, _pin(facts, rules), *others, _bar(facts, rules))
    occupancy: tuple[Verdict, ...] = _NOBODY_LOOKED
    presence = facts.presence
    if presence is not None:
        occupancy = tuple(
            check(presence, rules.capacity, rules.refuse_inside) for _, check in _OCCUPANCY_CHECKS
        )
    return _decision(
        (
            _terminal(facts, rules),
            _calendar(facts, rules),
            _card(facts, rules),
            *verdicts,
            *occupancy,
        )
    )


@lru_cache(maxsize=1024)
def _decision(verdicts: tuple[Verdict, ...]) -> AccessDecision:
    """The first reason in `verdicts` decides. Few patterns occur, so each is computed once."""
    for verdict in verdicts:
        if isinstance(verdict, Reason):
            return AccessDecision(verdict, verdicts)
    return AccessDecision(Reason.GRANTED, verdicts)


class BarEntry(Struct, frozen=True):
    """A card that may not come in at this branch, up to and including `until` (C10)."""

    card: str
    until: date | None = None


class PassEntry(Struct, frozen=True):
    """A card that may come in outside the calendar, by weekday and time of day (C10, C11)."""

    card: str
    until: date | None = None
    weekdays: frozenset[int] = frozenset(range(7))
    """0 is Monday."""
    start_minute: int = 0
    end_minute: int = 24 * 60
    """Minutes after midnight, half-open; an end at or before the start is on the next day."""


def lists_here(
    entries: Iterable[DoorEntry], branch: str
) -> tuple[tuple[BarEntry, ...], tuple[PassEntry, ...]]:
    """The entries of the store's lists that apply at `branch`, in the form of the branch's own."""
    here = [entry for entry in entries if entry.branch in (branch, EVERY_BRANCH)]
    bars = (BarEntry(entry.card, entry.valid_until) for entry in here if entry.kind == "bar")
    passes = (
        PassEntry(
            entry.card,
            entry.valid_until,
            entry.weekdays,
            entry.start_minute,
            entry.end_minute,
        )
        for entry in here
        if entry.kind == "pass"
    )
    return tuple(bars), tuple(passes)


def is_barred(entries: Iterable[BarEntry], cards: frozenset[str], today: date) -> bool:
    """Whether any of the holder's `cards` is barred on `today`."""
    return any(
        entry.card in cards and (entry.until is None or today <= entry.until) for entry in entries
    )


def has_pass(entries: Iterable[PassEntry], cards: frozenset[str], now: datetime) -> bool:
    """Whether any of the holder's `cards` has a pass at the local time `now`."""
    return any(entry.card in cards and _pass_holds(entry, now) for entry in entries)


def _pass_holds(entry: PassEntry, now: datetime) -> bool:
    minute = now.hour * 60 + now.minute
    started = now.date()
    if entry.end_minute > entry.start_minute:
        inside = entry.start_minute <= minute < entry.end_minute
    elif minute < entry.end_minute:
        inside, started = True, started - timedelta(days=1)
    else:
        inside = minute >= entry.start_minute
    in_time = entry.until is None or started <= entry.until
    return inside and in_time and started.weekday() in entry.weekdays
