"""What is remembered of payments that are on their way to a library system."""

import gc
import weakref

import pytest

from sip2gw.backend.base import PaymentOutcome, PaymentResult
from sip2gw.shared.payments import Paying, Payments

BOOKED = PaymentResult(PaymentOutcome.BOOKED)


class Kiosk(str):
    """A name of which one can see whether it is still held."""


@pytest.fixture
def no_look_for_garbage():
    gc.disable()
    yield
    gc.enable()


async def go_up(fails):
    if fails:
        raise OSError
    return BOOKED


@pytest.mark.usefixtures("no_look_for_garbage")
@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_is_held_of_a_payment_that_has_ended(fails):
    """A gateway looks for garbage seldom, so what it needs for a request must not be such."""
    payments, kiosk = Payments(), Kiosk("cash-1")
    seen = weakref.ref(kiosk)
    paying = Paying((kiosk, "BK1", "P1|500"))
    outcome = payments.begin(paying, go_up(fails))
    assert payments.under_way(paying.key) is paying
    try:
        assert await outcome is BOOKED
    except OSError:
        assert fails
    assert payments.under_way(paying.key) is None
    del kiosk, paying, outcome
    assert seen() is None
