"""What a library system's answer comes to, where we only observe (B78, C126, C158)."""

import pytest

from sip2gw.policy.access import PinState
from sip2gw.policy.observing import pin_judged, they_grant
from sip2gw.protocol.fields import PatronFlag
from sip2gw.protocol.messages import PatronStatusResponse

CHARGE, FINES = PatronFlag.CHARGE_DENIED, PatronFlag.EXCESSIVE_FINES


def said(*, bl: bool | None = True, cq: bool | None = True, flags: frozenset[PatronFlag]):
    return PatronStatusResponse(
        valid_patron=bl,
        valid_patron_password=cq,
        patron_status=flags,
    )


FREE: frozenset[PatronFlag] = frozenset()


@pytest.mark.parametrize(
    ("pin", "cq", "state"),
    [
        (None, True, PinState.ABSENT),
        ("", False, PinState.ABSENT),
        ("1", True, PinState.OK),
        ("1", False, PinState.WRONG),
        ("1", None, PinState.WRONG),
    ],
)
def test_c158_only_their_yes_to_a_pin_that_went_up_is_one(
    pin: str | None, cq: bool | None, state: PinState
) -> None:
    assert pin_judged(said(cq=cq, flags=FREE), pin) is state


@pytest.mark.parametrize(
    ("answer", "pin", "granted"),
    [
        (said(flags=FREE), "1", True),
        (said(bl=False, flags=FREE), "1", False),
        (said(bl=None, flags=FREE), "1", False),
        (said(cq=False, flags=FREE), "1", False),
        (said(cq=False, flags=FREE), "", True),
        (said(cq=False, flags=FREE), None, True),
        (said(cq=None, flags=FREE), "1", True),
        (said(flags=frozenset({CHARGE})), "1", False),
        (said(flags=frozenset({FINES})), "1", True),
    ],
)
def test_b78_what_lets_a_patron_in(
    answer: PatronStatusResponse, pin: str | None, granted: bool
) -> None:
    """Here flag 0 refuses, flag 10 alone does not (C150)."""
    assert they_grant(answer, pin, frozenset({0})) is granted
