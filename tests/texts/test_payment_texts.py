"""What the screen says of a payment (B29, B44)."""

import pytest

from sip2gw.texts import Catalogue
from sip2gw.texts.payments import PaymentTexts

TEXTS = Catalogue(
    {"en": {"payment_accepted": "yes {amount}", "payment_waived": "waived {amount}",
            "payment_remaining": "still {amount}"}}
)  # fmt: skip


@pytest.mark.parametrize(
    ("waived", "left", "expected"),
    [
        (False, 0, ("yes EUR 2.50",)),
        (True, 0, ("waived EUR 2.50",)),
        (False, 1, ("yes EUR 2.50", "still EUR 0.01")),
        (False, -1, ("yes EUR 2.50",)),
    ],
)
def test_what_is_left_is_said_if_anything_is(waived, left, expected):
    assert PaymentTexts(TEXTS, "en", "EUR", waived).of(250, left) == expected
