"""What keeps a patron from self-service, outside doors.  (B21, B23-B27, B32, C14, C15)

All obstacles are kept, in the order of the reasons table; the first one is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, tzinfo

from sip2gw.model import (
    BlockType,
    Card,
    CardState,
    Minor,
    PatronRecord,
)
from sip2gw.policy.membership import MembershipState, membership_state
from sip2gw.policy.money import MoneyStanding, money_standing, open_fees
from sip2gw.policy.reasons import ALL_DENIED, MONEY_DENIED, Reason
from sip2gw.protocol.fields import PatronFlag

BLOCKING_STATUSES = frozenset({4, 6, 7, 8, 9})
"""Customer statuses that block: delinquent, internet registration unpaid or incomplete, banned,
expired (C14)."""

UNPAID_STATUSES = frozenset({2, 3, 4})
"""Those of who owes a membership fee: invoiced, reminder sent, delinquent (C160)."""

NORMAL_STATUS = 5

MONEY_REASONS = frozenset({Reason.FEE_LIMIT, Reason.FEE_AGE})


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason against self-service, with what the terminal is told about it."""

    reason: Reason
    flags: frozenset[PatronFlag]
    text_key: str
    """A key of the text catalogue."""
    amount: Minor | None = None
    limit: Minor | None = None
    days: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything a 24 or 64 says about what the patron may do."""

    obstacles: tuple[Obstacle, ...]
    flags: frozenset[PatronFlag]
    money: MoneyStanding
    too_many_items: bool

    @property
    def reason(self) -> Reason:
        """The first obstacle's reason, or `granted`."""
        return self.obstacles[0].reason if self.obstacles else Reason.GRANTED


_MEMBERSHIP_TEXTS = {
    MembershipState.MISSING: "membership_missing",
    MembershipState.NOT_YET: "membership_not_yet",
    MembershipState.EXPIRED: "membership_expired",
}


def status_of(record: PatronRecord) -> int:
    """The customer status: of a fee that is no longer owed nobody is reminded (C160).

    What account maintenance set for a fee ends with the fee, at once. Any other status stays.
    """
    cause = record.status_fee
    if cause is None or record.status not in UNPAID_STATUSES:
        return record.status
    is_owed = any(fee.id == cause for fee in open_fees(record.fees))
    return record.status if is_owed else NORMAL_STATUS


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


def _personal_obstacles(record: PatronRecord, card: Card, today: date) -> Iterator[Obstacle]:
    if card.state is CardState.REPLACED:
        yield Obstacle(Reason.CARD_REPLACED, ALL_DENIED, "card_replaced")
    elif card.state is CardState.LOST:
        yield Obstacle(Reason.CARD_BLOCKED, ALL_DENIED | {PatronFlag.CARD_LOST}, "card_lost")
    elif card.state is CardState.BLOCKED:
        yield Obstacle(Reason.CARD_BLOCKED, ALL_DENIED, "card_blocked")
    state = membership_state(record, today)
    if state is not MembershipState.VALID:
        yield Obstacle(Reason.MEMBERSHIP_EXPIRED, ALL_DENIED, _MEMBERSHIP_TEXTS[state])
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

    Args:
        for_payment: `FW=B` is honoured: money obstacles are left out, all others stay (B26).
    """
    money = money_standing(record, today, zone, max_fee_age_days)
    obstacles = list(_personal_obstacles(record, card, today))
    if not for_payment:
        obstacles.extend(_money_obstacles(money))
    max_items = record.membership.max_items if record.membership is not None else 0
    too_many = 0 < max_items <= len(record.loans)
    flags = frozenset().union(*(obstacle.flags for obstacle in obstacles))
    if too_many:
        flags |= {PatronFlag.CHARGE_DENIED, PatronFlag.TOO_MANY_CHARGED}
    return Standing(tuple(obstacles), flags, money, too_many)


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
