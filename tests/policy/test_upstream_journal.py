"""What is taken off line, what of it goes up, and what the answer means (B77, C125, C154, C155)."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from sip2gw.model import CardState
from sip2gw.model.journal import EntryState, JournalEntry
from sip2gw.policy.reasons import CirculationReason
from sip2gw.policy.upstream.journal import (
    Borrower,
    carried_of,
    obstacle_to_lending,
    reasons_for_staff,
    request_of,
    state_after,
)
from sip2gw.protocol.messages import Checkin, CheckinResponse, Checkout, CheckoutResponse

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
ANN = Borrower(
    "4711",
    CardState.ACTIVE,
    is_blocked=False,
    pin_is_wrong=False,
    pin_is_right=False,
    pin_required=False,
)
LOAN = Checkout(
    sc_renewal_policy=True,
    transaction_date="20260310    120000",
    nb_due_date="20260331    235900",
    institution_id="HUB",
    patron_identifier="4711",
    item_identifier="I1",
    terminal_password="secret",
    item_properties="a bag",
    patron_password="1234",
    fee_acknowledged=True,
    extra_fields=[("ZZ", b"9999")],
)
RETURN = Checkin(
    transaction_date="20260310    120000",
    return_date="20260310    110000",
    current_location="HERE",
    item_identifier="I1",
    terminal_password="secret",
    cancel=True,
)


def entry_of(request, patron=""):
    return JournalEntry(
        id="J1",
        time=NOON,
        happened=NOON,
        account="default",
        terminal="kiosk-1",
        message=request.code,
        item="I1",
        patron=patron,
        key="",
        request=carried_of(request),
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"number": " "}, CirculationReason.UNKNOWN_CARD),
        ({"pin_is_wrong": True}, CirculationReason.WRONG_PIN),
        ({"pin_required": True}, CirculationReason.NO_PIN),
        ({"pin_required": True, "pin_is_right": True}, None),
        ({"card": CardState.REPLACED}, CirculationReason.CARD_REPLACED),
        ({"card": CardState.BLOCKED}, CirculationReason.BLOCKED),
        ({"card": CardState.LOST}, CirculationReason.BLOCKED),
        ({"is_blocked": True}, CirculationReason.BLOCKED),
        # A wrong PIN tells nothing of the patron (C112).
        ({"pin_is_wrong": True, "is_blocked": True}, CirculationReason.WRONG_PIN),
    ],
)
def test_what_is_known_here_keeps_somebody_from_borrowing(changes, reason):
    assert obstacle_to_lending(replace(ANN, **changes)) is reason


def test_a_loan_goes_up_as_it_happened():
    up = request_of(entry_of(LOAN, "4711"), "THEIRS")
    assert up == Checkout(
        sc_renewal_policy=True,
        no_block=True,
        transaction_date="20260310    120000",
        nb_due_date="20260331    235900",
        institution_id="THEIRS",
        patron_identifier="4711",
        item_identifier="I1",
        item_properties="a bag",
        fee_acknowledged=True,
    )


def test_a_return_goes_up_as_it_happened():
    up = request_of(entry_of(RETURN), "THEIRS")
    assert up == Checkin(
        no_block=True,
        transaction_date="20260310    120000",
        return_date="20260310    110000",
        current_location="HERE",
        institution_id="THEIRS",
        item_identifier="I1",
        cancel=True,
    )


def test_no_password_and_no_unknown_field_is_kept():
    kept = repr((carried_of(LOAN), carried_of(RETURN)))
    assert not any(secret in kept for secret in ("1234", "secret", "9999"))


@pytest.mark.parametrize("response", [CheckoutResponse, CheckinResponse])
def test_a_no_there_is_a_conflict(response):
    assert state_after(response(ok=True)) is EntryState.DONE
    assert state_after(response(ok=False)) is EntryState.CONFLICT


@pytest.mark.parametrize(
    ("state", "tries", "words"),
    [
        (EntryState.DONE, 1, ()),
        (EntryState.CONFLICT, 1, ("refused_by_library_system",)),
        (EntryState.CONFLICT, 2, ("refused_by_library_system", "may_have_gone_up_before")),
        (EntryState.UNKNOWN, 1, ()),
        (EntryState.UNKNOWN, 2, ()),
    ],
)
def test_staff_read_why_they_must_look(state, tries, words):
    assert reasons_for_staff(replace(entry_of(LOAN), tries=tries), state) == words


def test_nobody_reads_who_borrowed_what_in_a_repr():
    assert "4711" not in repr(entry_of(LOAN, "4711"))
