"""Is a membership valid today?  (B27, B36, C14, C15, C34, C121)"""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from sip2gw.model import PatronRecord, Until


class MembershipState(StrEnum):
    """The state of a patron's membership on one day."""

    VALID = "valid"
    MISSING = "missing"
    NOT_YET = "not_yet"
    EXPIRED = "expired"


def membership_state(record: PatronRecord, today: date) -> MembershipState:
    """The state of `record`'s membership on `today`; without an end date it never ends (C15).

    One that a library system behind the gateway does not tell is not missing (C150).
    """
    if record.membership is None and (record.word is None or record.word.membership_known):
        return MembershipState.MISSING
    if record.membership_from is not None and today < record.membership_from:
        return MembershipState.NOT_YET
    if record.membership_until is not None and today > record.membership_until:
        return MembershipState.EXPIRED
    return MembershipState.VALID


def has_end(record: PatronRecord) -> bool:
    """Whether the end of the membership is known, as a door demands (B36, C15).

    It need not be where their flags are all that a library system says about it (C121).
    """
    if record.membership_until is not None:
        return True
    return record.word is not None and record.word.until in (Until.UNMAPPED, Until.BY_FLAGS)


def age_on(birth_date: date, today: date) -> int:
    """Whole years on `today`; the birthday counts, 29 February turns on 1 March (B38)."""
    had_birthday = (today.month, today.day) >= (birth_date.month, birth_date.day)
    return today.year - birth_date.year - (not had_birthday)
