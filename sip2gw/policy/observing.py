"""What a library system's answer about a patron comes to, where we only observe.  (B78, C126)

It is compared with what we would have decided, so both must be the same question: may this patron
come in, or use this terminal, with this card and this PIN?
"""

from __future__ import annotations

from sip2gw.policy.access import PinState
from sip2gw.policy.upstream.facts import pin_is_right
from sip2gw.policy.upstream.fields import PatronAnswer
from sip2gw.policy.upstream.questions import given_pin


def pin_judged(answer: PatronAnswer, pin: str | None) -> PinState:
    """What they say of the PIN that went up (C158)."""
    if given_pin(pin) is None:
        return PinState.ABSENT
    return PinState.OK if pin_is_right(answer) else PinState.WRONG


def they_grant(answer: PatronAnswer, pin: str | None, denying: frozenset[int]) -> bool:
    """Whether they let the patron in: BL is Y, no PIN was called wrong, no flag in `denying` set.

    A terminal that needs no CQ may do without it, so only its N to a PIN is a no.
    """
    wrong = given_pin(pin) is not None and answer.valid_patron_password is False
    return bool(answer.valid_patron) and not wrong and denying.isdisjoint(answer.patron_status)
