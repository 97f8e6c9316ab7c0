"""What a library system's answer about a patron comes to, where we only observe.  (B78, C126)

It is compared with what we would have decided, so both must be the same question: may this patron
come in, or use this terminal, with this card and this PIN?
"""

from __future__ import annotations

from sip2gw.policy.access import PinState
from sip2gw.protocol.fields import PatronFlag


def pin_judged(pin: str | None, verdict: bool | None) -> PinState:
    """What their CQ says of a PIN: only its Y to a PIN that went up is a yes (C158)."""
    if not pin:
        return PinState.ABSENT
    return PinState.OK if verdict else PinState.WRONG


def they_grant(
    valid_patron: bool | None,
    verdict: bool | None,
    flags: frozenset[PatronFlag],
    *,
    pin: str | None,
    denying: frozenset[int],
) -> bool:
    """Whether they let the patron in: BL is Y, no PIN was called wrong, no flag in `denying` set.

    A terminal that needs no CQ may do without it, so only its N to a PIN is a no.
    """
    wrong = bool(pin) and verdict is False
    return bool(valid_patron) and not wrong and denying.isdisjoint(flags)
