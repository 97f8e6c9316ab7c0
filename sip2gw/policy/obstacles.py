"""What keeps a patron from self-service, outside doors.  (B21, B23-B27, B32, C14, C15, C121)

All obstacles are kept, in the order of the reasons table; the first one is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, tzinfo

from msgspec import Struct

from sip2gw.model import (
    BlockType,
    Card,
    CardState,
    Minor,
    PatronRecord,
)
from sip2gw.policy.membership import MembershipState, membership_state
from sip2gw.policy.money.debts import MoneyStanding, money_standing
from sip2gw.policy.reasons import ALL_DENIED, MONEY_DENIED, NO_FLAGS, REASONS, Reason
from sip2gw.policy.statuses import BLOCKING_STATUSES, status_of
from sip2gw.policy.upstream.denials import DENYING_FLAGS, Cause, cause_of, without_money
from sip2gw.protocol.fields import PatronFlag

MONEY_REASONS = frozenset({Reason.FEE_LIMIT, Reason.FEE_AGE})


class Obstacle(Struct, frozen=True):
    """One reason against self-service, with what the terminal is told about it."""

    reason: Reason
    flags: frozenset[PatronFlag]
    text_key: str
    """A key of the text catalogue."""
    amount: Minor | None = None
    limit: Minor | None = None
    days: int | None = None
    theirs: bool = False
    """A library system denies it already, in its own words, so nothing is to be added to AF."""


class Standing(Struct, frozen=True):
    """Everything a 24 or 64 says about what the patron may do."""

    obstacles: tuple[Obstacle, ...]
    flags: frozenset[PatronFlag]
    money: MoneyStanding
    too_many_items: bool

    @property
    def reason(self) -> Reason:
        """The first obstacle's reason, or `granted`."""
        return self.obstacles[0].reason if self.obstacles else Reason.GRANTED


_RANKS = {reason: rank for rank, reason in enumerate(REASONS)}

_THEIR_REASONS = {
    Cause.CARD_LOST: Reason.CARD_BLOCKED,
    Cause.MONEY: Reason.FEE_LIMIT,
    Cause.OTHER: Reason.BLOCKED,
}

_MEMBERSHIP_TEXTS = {
    MembershipState.MISSING: "membership_missing",
    MembershipState.NOT_YET: "membership_not_yet",
    MembershipState.EXPIRED: "membership_expired",
}


def active_blocks(record: PatronRecord, today: date) -> list[BlockType]:
    """The types of the blocks that hold on `today`; `until` is the last day (C34)."""
    return [
        block.type
        for block in record.blocks
        if block.valid_until is None or today <= block.valid_until
    ]


def _block_flags(block: BlockType) -> frozenset[PatronFlag]:
    if block is BlockType.PAYMENT:
        return MONEY_DENIED | {PatronFlag.EXCESSIVE_FEES}
    return ALL_DENIED


def _personal_obstacles(
    record: PatronRecord, card: Card, today: date, theirs: frozenset[PatronFlag]
) -> Iterator[Obstacle]:
    """What the facts say, where a library system may have set the flags of `theirs` for it."""
    if card.state is CardState.REPLACED:
        yield Obstacle(Reason.CARD_REPLACED, ALL_DENIED, "card_replaced")
    elif card.state is CardState.LOST:
        yield Obstacle(Reason.CARD_BLOCKED, ALL_DENIED | {PatronFlag.CARD_LOST}, "card_lost")
    elif card.state is CardState.BLOCKED:
        yield Obstacle(Reason.CARD_BLOCKED, ALL_DENIED, "card_blocked")
    state = membership_state(record, today)
    if state is not MembershipState.VALID:
        told = PatronFlag.CHARGE_DENIED in theirs
        key = _MEMBERSHIP_TEXTS[state]
        yield Obstacle(Reason.MEMBERSHIP_EXPIRED, ALL_DENIED, key, theirs=told)
    status = status_of(record)
    if status in BLOCKING_STATUSES:
        yield Obstacle(Reason.STATUS, ALL_DENIED, f"status_{status}")
    for block in active_blocks(record, today):
        yield Obstacle(Reason.BLOCKED, _block_flags(block), f"block_{block}")


def _money_obstacles(money: MoneyStanding) -> Iterator[Obstacle]:
    flags = MONEY_DENIED
    if money.has_fines:
        flags |= {PatronFlag.EXCESSIVE_FINES}
    if money.has_fees:
        flags |= {PatronFlag.EXCESSIVE_FEES}
    if money.over_limit:
        yield Obstacle(Reason.FEE_LIMIT, flags, "fee_limit", money.owed, money.limit)
    if money.over_age:
        yield Obstacle(Reason.FEE_AGE, flags, "fee_age", money.owed, days=money.oldest_days)


def _their_obstacles(flags: frozenset[PatronFlag], *, explained: bool) -> Iterator[Obstacle]:
    """What a library system denies by `flags` (C121).

    A lost card needs no other denial. A denial of no known cause may be `explained` by a fact.
    """
    cause = cause_of(flags)
    if cause is Cause.OTHER and explained:
        return
    if cause is Cause.CARD_LOST or flags & DENYING_FLAGS:
        reason = _THEIR_REASONS[cause]
        yield Obstacle(reason, flags, REASONS[reason].text_key, theirs=True)


def decide_standing(
    record: PatronRecord,
    card: Card,
    today: date,
    zone: tzinfo,
    max_fee_age_days: int | None,
    *,
    for_payment: bool = False,
) -> Standing:
    """What `record`'s holder, with `card`, may do on `today` in the branch's `zone`.

    The flags of a library system behind the gateway stay, and ours are added (C121).

    Args:
        for_payment: `FW=B` is honoured: money obstacles are left out, all others stay (B26); of
            what a library system says, those that are declared to be about money (C123).
    """
    word = record.word
    if word is not None and for_payment:
        word = without_money(word)
    flags = NO_FLAGS if word is None else word.flags
    money = money_standing(record, today, zone, max_fee_age_days)
    obstacles = list(_personal_obstacles(record, card, today, flags))
    if not for_payment:
        obstacles.extend(_money_obstacles(money))
    if flags:
        explained = any(obstacle.theirs for obstacle in obstacles)
        obstacles.extend(_their_obstacles(flags, explained=explained))
        obstacles.sort(key=_rank)
    max_items = record.membership.max_items if record.membership is not None else 0
    too_many = 0 < max_items <= len(record.loans)
    flags = flags.union(*(obstacle.flags for obstacle in obstacles))
    if too_many:
        flags |= {PatronFlag.CHARGE_DENIED, PatronFlag.TOO_MANY_CHARGED}
    return Standing(tuple(obstacles), flags, money, too_many)


def _rank(obstacle: Obstacle) -> int:
    return _RANKS[obstacle.reason]


def visible_badges(record: PatronRecord, branch: str, today: date) -> tuple[str, ...]:
    """The codes that GL lists at `branch`: assigned, active, valid, of this branch (B22, C35)."""
    return tuple(
        badge.code
        for badge in record.badges
        if badge.active
        and (badge.valid_from is None or badge.valid_from <= today)
        and (badge.valid_until is None or today <= badge.valid_until)
        and (badge.badge_from is None or badge.badge_from <= today)
        and (badge.badge_until is None or today <= badge.badge_until)
        and (not badge.badge_branches or branch in badge.badge_branches)
        and (not badge.assignment_branches or branch in badge.assignment_branches)
    )
