"""What 24 and 64 say a patron may do (B21-B27, B32, C14, C15, C35, C39)."""

from datetime import UTC, date, datetime, timedelta

import pytest
from family import ADULT, NOON, TODAY, ZONE, fee, patron
from msgspec.structs import replace

from sip2gw.model import (
    BadgeAssignment,
    Block,
    BlockType,
    Card,
    CardState,
    Loan,
)
from sip2gw.policy.obstacles import (
    active_blocks,
    decide_standing,
    visible_badges,
)
from sip2gw.policy.reasons import Reason
from sip2gw.policy.statuses import status_of


def standing(record, **changes):
    return decide_standing(record, record.cards[0], TODAY, ZONE, 49, **changes)


ALL = frozenset({0, 1, 2, 3})


@pytest.mark.parametrize(
    ("changes", "reason", "flags", "text_key"),
    [
        ({"cards": (Card("P", CardState.BLOCKED),)}, Reason.CARD_BLOCKED, ALL, "card_blocked"),
        ({"cards": (Card("P", CardState.LOST),)}, Reason.CARD_BLOCKED, ALL | {4}, "card_lost"),
        ({"cards": (Card("P", CardState.REPLACED),)}, Reason.CARD_REPLACED, ALL, "card_replaced"),
        ({"membership": None}, Reason.MEMBERSHIP_EXPIRED, ALL, "membership_missing"),
        (
            {"membership_from": date(2027, 1, 1)},
            Reason.MEMBERSHIP_EXPIRED,
            ALL,
            "membership_not_yet",
        ),
        (
            {"membership_until": date(2026, 1, 1)},
            Reason.MEMBERSHIP_EXPIRED,
            ALL,
            "membership_expired",
        ),
        ({"status": 6}, Reason.STATUS, ALL, "status_6"),
        ({"blocks": (Block(BlockType.GENERAL),)}, Reason.BLOCKED, ALL, "block_general"),
        ({"blocks": (Block(BlockType.PAYMENT),)}, Reason.BLOCKED, {0, 1, 3, 11}, "block_payment"),
        ({"fees": (fee("F", "P", 1001),)}, Reason.FEE_LIMIT, {0, 1, 3, 10}, "fee_limit"),
        ({"fees": (fee("F", "P", 1001, type="06"),)}, Reason.FEE_LIMIT, {0, 1, 3, 11}, "fee_limit"),
        ({"fees": (fee("F", "P", 1, days_old=50),)}, Reason.FEE_AGE, {0, 1, 3, 10}, "fee_age"),
    ],
)
def test_every_obstacle_sets_its_flags_and_speaks(changes, reason, flags, text_key):
    found = standing(patron("P", **changes))
    assert (found.reason, found.flags, found.obstacles[0].text_key) == (reason, flags, text_key)


@pytest.mark.parametrize("status", [0, 1, 2, 3, 5])
def test_new_invoiced_and_reminded_members_are_not_blocked(status):
    assert standing(patron("P", status=status)).reason is Reason.GRANTED


def test_an_open_ended_membership_lends():
    assert standing(patron("P", membership_until=None)).flags == frozenset()


def test_fetched_in_order_to_pay_only_the_money_block_is_lifted():
    poor = patron("P", fees=(fee("F", "P", 5000, days_old=99),))
    assert standing(poor, for_payment=True).flags == frozenset()
    banned = replace(poor, status=8)
    assert standing(banned, for_payment=True).reason is Reason.STATUS
    assert standing(poor).money == standing(poor, for_payment=True).money


def test_as_many_loans_as_allowed_deny_another_one():
    at = datetime(2026, 3, 1, tzinfo=UTC)
    loans = tuple(Loan(f"I{n}", "Title", at, at) for n in range(2))
    limited = patron("P", membership=replace(ADULT, max_items=2), loans=loans)
    assert standing(limited).too_many_items
    assert standing(limited).flags == {0, 5}
    assert not standing(replace(limited, loans=loans[:1])).too_many_items
    assert not standing(replace(limited, membership=ADULT)).too_many_items  # 0 is no limit


def test_a_block_holds_to_its_last_day():
    record = patron("P", blocks=(Block(BlockType.GENERAL, "", TODAY),))
    assert active_blocks(record, TODAY) == [BlockType.GENERAL]
    assert active_blocks(record, date(2026, 3, 11)) == []


@pytest.mark.parametrize(
    ("badge", "shown"),
    [
        (BadgeAssignment("ONBE"), True),
        (BadgeAssignment("ONBE", active=False), False),
        (BadgeAssignment("ONBE", valid_from=TODAY, valid_until=TODAY), True),
        (BadgeAssignment("ONBE", badge_branches=("MAIN",), assignment_branches=("MAIN",)), True),
        (BadgeAssignment("ONBE", badge_branches=("MAIN",), assignment_branches=("WEST",)), False),
        (BadgeAssignment("ONBE", badge_branches=("WEST",), assignment_branches=("MAIN",)), False),
        (BadgeAssignment("ONBE", badge_from=NOON.date(), badge_until=NOON.date()), True),
        (BadgeAssignment("ONBE", badge_from=NOON.date() + timedelta(days=1)), False),
        (BadgeAssignment("ONBE", badge_until=NOON.date() - timedelta(days=1)), False),
    ],
)
def test_a_badge_shows_where_both_its_lists_allow(badge, shown):
    record = patron("P", badges=(badge,))
    assert visible_badges(record, "MAIN", NOON.date()) == (("ONBE",) if shown else ())


@pytest.mark.parametrize(
    ("status", "cause", "owed", "counts_as"),
    [
        (4, "M", 100, 4),
        (4, "M", 0, 5),
        (2, "M", 0, 5),
        (3, "M", 0, 5),
        (4, None, 0, 4),  # imported
        (9, "M", 0, 9),
        (8, "M", 0, 8),
        (5, "M", 100, 5),
    ],
)
def test_c160_a_status_for_a_fee_ends_when_the_fee_is_paid(status, cause, owed, counts_as):
    fees = (fee("M", "P", owed, type="01"),) if owed else (fee("OTHER", "P", 100),)
    record = patron("P", status=status, status_fee=cause, fees=fees)
    assert status_of(record) == counts_as
    blocked = [it.text_key for it in standing(record).obstacles if it.reason is Reason.STATUS]
    assert blocked == ([f"status_{counts_as}"] if counts_as in {4, 8, 9} else [])


def test_c160_a_credit_pays_the_fee_behind_a_status():
    fees = (fee("M", "P", 100, type="01"), fee("C", "P", -100))
    assert status_of(patron("P", status=4, status_fee="M", fees=fees)) == 5
