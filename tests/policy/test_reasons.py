"""The one table of reasons (B27, B39)."""

import pytest

from sip2gw.policy.reasons import (
    PAYMENT_TEXT_KEYS,
    REASONS,
    PaymentRefusalReason,
    Reason,
    door_flags,
)

DENIED = {0, 1, 2, 3}

CODES_B39 = [
    "granted",
    "closed",
    "too_late",
    "unknown_card",
    "card_blocked",
    "card_replaced",
    "wrong_pin",
    "pin_locked",
    "no_badge",
    "membership_expired",
    "status",
    "blocked",
    "under_age",
    "membership_not_allowed",
    "other_branch",
    "fee_limit",
    "fee_age",
    "no_consent",
    "barred",
    "full",
    "already_inside",
    "system",
]

FLAGS_OUTSIDE_DOORS = {
    "unknown_card": DENIED,
    "card_blocked": DENIED,
    "card_replaced": DENIED,
    "wrong_pin": DENIED,
    "pin_locked": DENIED,
    "membership_expired": DENIED,
    "status": DENIED,
    "blocked": DENIED,
    "fee_limit": {0, 1, 3},
    "fee_age": {0, 1, 3},
    "system": DENIED,
}


def test_the_codes_and_their_order_are_those_of_b39() -> None:
    assert [str(reason) for reason in Reason] == CODES_B39
    assert list(REASONS) == list(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_flags_outside_doors_b18_b25_c14(reason: Reason) -> None:
    assert REASONS[reason].flags == FLAGS_OUTSIDE_DOORS.get(reason, set())


@pytest.mark.parametrize("reason", Reason)
def test_a_door_sets_flag_0_only_but_all_for_an_unknown_card_c66_c90(reason: Reason) -> None:
    expected = {"granted": set(), "unknown_card": DENIED}.get(reason, {0})
    assert door_flags(reason) == expected


def test_every_payment_refusal_has_a_text() -> None:
    assert list(PAYMENT_TEXT_KEYS) == list(PaymentRefusalReason)
