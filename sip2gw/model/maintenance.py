"""Account maintenance: what is known of a member, and what is done for them (B63)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

from msgspec import Struct, field

from sip2gw.model.money import Fee, Minor
from sip2gw.protocol.structs import Opaque


class Rule(StrEnum):
    """Why a step of maintenance is taken (C160)."""

    RENEWED = "renewed"
    TRIAL_OVER = "trial_over"
    MOVED = "moved"
    ENDED = "ended"
    """Its term is over."""
    ENDED_AGE = "ended_age"
    ENDED_IDLE = "ended_idle"
    ENDED_OUTGOING = "ended_outgoing"
    ENDED_UNPAID = "ended_unpaid"
    ENDED_ELSEWHERE = "ended_elsewhere"
    """An import or staff have ended it before the period that was invoiced was over."""
    REFUNDED = "refunded"
    INVOICED = "invoiced"
    """A fee of maintenance is owed (again), and the status did not say so."""
    REMINDED = "reminded"
    DELINQUENT = "delinquent"
    PAID = "paid"
    NOTICE = "notice"
    LIMIT_ALERT = "limit_alert"
    AGE_ALERT = "age_alert"
    BADGE_EXPIRES = "badge_expires"


class MembershipFee(Struct, frozen=True):
    """A fee that maintenance made for one period of a membership."""

    id: str
    since: date
    """The first day of the period; the fee is of this day."""
    until: date
    """The last day of the period."""
    amount: Minor
    """As it is now: an import may have changed it since."""
    closed: bool = False
    """Whether an end of the membership came after it: it counts for the status no more."""
    written_off: Minor = 0
    """What was settled of it without money."""


class Member(Opaque, Struct, frozen=True):
    """What maintenance knows about one patron at one moment."""

    id: str
    membership: str | None = None
    since: date | None = None
    """`membership_from`."""
    until: date | None = None
    """`membership_until`, the last valid day (C34)."""
    status: int = 5
    birth_date: date | None = None
    last_active: date | None = None
    status_fee: str | None = None
    """The fee for which maintenance set a status of 2, 3 or 4; None when it did not."""
    fees: tuple[Fee, ...] = ()
    """All with something owed, credits too, oldest first."""
    membership_fees: tuple[MembershipFee, ...] = ()
    """Oldest first."""
    given: Mapping[tuple[str, str], date] = field(default_factory=dict)
    """When each notice, by kind and cause, was given."""
    fee_limit: Minor | None = None
    """Overrides the membership's limit when set (C35)."""
    max_fee_age_days: int | None = None
    """Of the home branch."""


class Step(Struct, frozen=True):
    """One thing that maintenance does for a patron; None says that it does not change."""

    patron_id: str
    day: date
    """When it was due; a missed month is made up later (C160)."""
    rule: Rule
    from_code: str | None
    """The membership before; None when the step is about a badge."""
    to_code: str | None = None
    """The membership that goes on or begins."""
    until: date | None = None
    """The last day of the period that begins or ends."""
    status: int | None = None
    fee: Minor | None = None
    """Below zero for a refund."""
    notice: str | None = None
    """The kind of the notice that goes out."""
    cause: str = ""
    """What makes the notice unique among those of its kind to this patron."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What the notice says (`sip2gw.model.notices.SAYS`)."""


class Maintained(Struct, frozen=True):
    """The steps for one member, and what is so after them."""

    before: Member
    after: Member
    """Its fees include those that were made."""
    steps: tuple[Step, ...]
    forgets_limit_alert: bool = False
    """Whether the debt has fallen below the amount for an alert, so that the next may come."""
