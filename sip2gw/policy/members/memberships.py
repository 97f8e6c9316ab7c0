"""What time does to a membership.  (B63, C46, C160, C161)

A member's course is a sequence of events, each with a day of its own: the end of a period, a month
after which a fee is still unpaid, the day for a notice. Those that are due are taken in their
order, each on what the one before has left. So months that were missed are made up, and a second
run finds nothing to do.
"""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from typing import TypeAlias

from msgspec.structs import replace

from sip2gw.model import Fee, MembershipDefinition, Minor
from sip2gw.model.maintenance import (
    Maintained,
    Member,
    MembershipFee,
    Rule,
    Step,
)
from sip2gw.policy.membership import age_on
from sip2gw.policy.money.debts import open_fees, owed_fees, owed_total
from sip2gw.policy.statuses import NORMAL_STATUS, UNPAID_STATUSES
from sip2gw.protocol.timestamps import YEARS

NEW = frozenset({0, 1})
INVOICED, REMINDED, DELINQUENT, ENDED = 2, 3, 4, 9
MAINTAINED_STATUSES = NEW | UNPAID_STATUSES | {NORMAL_STATUS}
"""Who waits for a registration, is banned or has been ended is left alone."""

FEE_TYPE = "01"
"""The SIP2 type of membership fees and of their refunds (C161)."""

TERM_MONTHS = 12
"""Without a term (C144)."""
REMOVE_AFTER_MONTHS, REMOVE_AFTER_MONTHS_MIN = 22, 12
"""Unset, or less than the second, counts as the first (C160)."""

YOUTH, TEMPORARY, PUNCH_CARD, SCHOOL = 1, 5, 6, 4
_COLLECT = 4
RENEWAL_TYPES = frozenset({0, 1, 3, 4, 5, 9})
_DAY = timedelta(days=1)
_MONTHS = 12

Definition: TypeAlias = MembershipDefinition[Minor]

Event = tuple[date, int, Callable[[], None]]
"""When, which comes first on the same day, and what is done."""
Prospect = tuple[date, Rule, str | None]
"""How the present period will end: its last day, the rule, the membership that goes on."""


def add_months(day: date, months: int) -> date:
    """`day` so many months later, or the last day of a shorter month; never out of the calendar."""
    index = day.year * _MONTHS + day.month - 1 + months
    year, month = divmod(index, _MONTHS)
    if year > date.max.year:
        return date.max
    if year < date.min.year:
        return date.min
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def fee_id(patron_id: str, since: date) -> str:
    """The id of the fee for a patron's period from `since`: the same whoever makes it."""
    digest = hashlib.blake2s(f"{patron_id}\0{since}".encode(), digest_size=8).hexdigest()
    return f"M{since:%Y%m%d}-{digest}"


def refund_id(membership_fee: str) -> str:
    """The id of the credit that gives back a part of a membership fee."""
    return f"{membership_fee}-R"


def period_end(terms: Definition, since: date, birth_date: date | None, months: int) -> date:
    """The last day of a period of `months` from `since`.

    With `birth_month_expiry` it is the last end of the birth month within them, if there is one.
    """
    end = add_months(since, months) - _DAY
    if not (terms.birth_month_expiry and terms.type == YOUTH and birth_date is not None):
        return end
    ends = (_month_end(year, birth_date) for year in (end.year, end.year - 1))
    aligned = next(month_end for month_end in ends if month_end <= end)
    return aligned if aligned > since else end


def _month_end(year: int, birth_date: date) -> date:
    return date(year, birth_date.month, calendar.monthrange(year, birth_date.month)[1])


def is_over_age(terms: Definition, birth_date: date | None, last: date) -> bool:
    """Whether somebody is too old for a membership on its `last` valid day (C46)."""
    if birth_date is None or terms.maximum_age is None:
        return False
    return age_on(birth_date, last) > terms.maximum_age


def is_idle(member: Member, terms: Definition, last: date) -> bool:
    """Whether there was no activity for long enough, looked at on the `last` valid day (C161)."""
    known = [day for day in (member.last_active, member.since) if day is not None]
    return bool(known) and add_months(max(known), remove_after(terms)) <= last


def remove_after(terms: Definition) -> int:
    """Months without activity, or of an outgoing membership, after which it ends."""
    months = terms.remove_after_months or 0
    return months if months >= REMOVE_AFTER_MONTHS_MIN else REMOVE_AFTER_MONTHS


def is_invoiced(terms: Definition) -> bool:
    """Whether a new period of this membership makes a fee (C160)."""
    method = terms.invoicing_method
    if method is None or not terms.fee or terms.type in (TEMPORARY, PUNCH_CARD):
        return False
    return method != _COLLECT or terms.type == SCHOOL


def refund_of(fee: MembershipFee, owed: Minor, end: date) -> Minor:
    """What is given back of `fee` when the membership ends before the day `end`.

    The share of the whole months that are left, and at most what was paid in money.
    """
    after = fee.until + _DAY
    left = _whole_months(end, after)
    share = fee.amount * left // max(_whole_months(fee.since, after), 1)
    return max(min(share, fee.amount - fee.written_off - owed), 0)


def _whole_months(start: date, end: date) -> int:
    months = (end.year - start.year) * _MONTHS + end.month - start.month
    return max(months - (add_months(start, months) > end), 0)


def maintain(
    member: Member, definitions: Mapping[str, Definition], day: date, zone: tzinfo
) -> Maintained:
    """All steps that are due for `member` by the end of `day`, in their order.

    Args:
        member: the facts, of one moment.
        definitions: all membership definitions by code.
        day: of the library; months that were missed before it are made up.
        zone: the library's; fees are of the first moment of their day there.
    """
    return _Course(member, definitions, day, zone).run()


class _Course:
    """The events of one member, taken one after the other."""

    def __init__(
        self, member: Member, definitions: Mapping[str, Definition], day: date, zone: tzinfo
    ) -> None:
        self._before = self._now = member
        self._definitions = definitions
        self._day = day
        self._zone = zone
        self._given = dict(member.given)
        self._steps: list[Step] = []

    def run(self) -> Maintained:
        forgets = False
        if self._terms is not None:
            self._close_if_ended()
            while self._is_maintained:
                self._follow_payments()
                due = [event for event in self._events() if event[0] <= self._day]
                if not due:
                    break
                min(due, key=lambda event: event[:2])[2]()
            if self._is_maintained:
                forgets = self._alert()
        after = replace(self._now, given=self._given)
        return Maintained(self._before, after, tuple(self._steps), forgets)

    @property
    def _terms(self) -> Definition | None:
        return self._definitions.get(self._now.membership or "")

    @property
    def _known_terms(self) -> Definition:
        assert self._terms is not None, "who has no known membership is left alone"
        return self._terms

    @property
    def _is_maintained(self) -> bool:
        return self._now.status in MAINTAINED_STATUSES

    def _step(
        self,
        day: date,
        rule: Rule,
        *,
        to_code: str | None = None,
        until: date | None = None,
        status: int | None = None,
        fee: Minor | None = None,
    ) -> None:
        now = self._now
        self._steps.append(Step(now.id, day, rule, now.membership, to_code, until, status, fee))

    # Payments and statuses

    def _unpaid(self) -> list[MembershipFee]:
        """The membership fees that are still owed, oldest first."""
        owed = {fee.id for fee in open_fees(self._now.fees)}
        return [fee for fee in self._now.membership_fees if fee.id in owed and not fee.closed]

    def _follow_payments(self) -> None:
        """The oldest fee that is owed is the cause of the status; without one it is normal."""
        now, unpaid = self._now, self._unpaid()
        oldest = unpaid[0].id if unpaid else None
        is_ours = now.status_fee is not None and now.status in UNPAID_STATUSES
        if is_ours and now.status_fee != oldest:
            status = INVOICED if oldest else NORMAL_STATUS
            self._step(self._day, Rule.INVOICED if oldest else Rule.PAID, status=status)
            self._now = replace(now, status=status, status_fee=oldest)
        elif not is_ours and oldest and now.status not in UNPAID_STATUSES:
            self._step(unpaid[0].since, Rule.INVOICED, status=INVOICED)
            self._now = replace(now, status=INVOICED, status_fee=oldest)

    def _status_events(self) -> Iterator[Event]:
        now, terms = self._now, self._known_terms
        if now.status_fee is None or now.status not in UNPAID_STATUSES:
            return
        cause = self._unpaid()[0]
        counted_from = add_months(cause.since.replace(day=1), 1)
        for place, (status, months, rule) in enumerate(
            (
                (ENDED, terms.fee_delete_months, Rule.ENDED_UNPAID),
                (DELINQUENT, terms.fee_delinquent_months, Rule.DELINQUENT),
                (REMINDED, terms.fee_reminder_months, Rule.REMINDED),
            )
        ):
            if months and status > now.status:
                day = add_months(counted_from, months)
                yield day, place, self._setting(day, status, rule)

    def _setting(self, day: date, status: int, rule: Rule) -> Callable[[], None]:
        def do() -> None:
            if status == ENDED:
                self._end(day, rule)
            else:
                self._step(day, rule, status=status)
                self._now = replace(self._now, status=status)

        return do

    # Periods

    def _events(self) -> Iterator[Event]:
        yield from self._status_events()
        prospect = self._prospect()
        if prospect is None:
            return
        last, rule, code = prospect
        if last < date.max:
            yield last + _DAY, 4, lambda: self._finish(last, rule, code)
        notice, months = self._notice_of(prospect), self._known_terms.notification_term_months
        if notice and months and (notice[0], str(last)) not in self._given:
            day = add_months(min(last, date.max - _DAY) + _DAY, -months)
            yield day, 3, lambda: self._notify(day, Rule.NOTICE, *notice, str(last), until=last)

    def _prospect(self) -> Prospect | None:
        """How the membership goes on; None when it never ends, or nobody knows how.

        A last day in the year 1, as some systems write for none, would mean thousands of periods,
        and fees so old that no import takes them.
        """
        now, terms = self._now, self._known_terms
        outgoing = None
        if terms.outgoing and now.since is not None:
            outgoing = max(add_months(now.since, remove_after(terms)), date.min + _DAY) - _DAY
        if outgoing is not None and (now.until is None or outgoing <= now.until):
            return outgoing, Rule.ENDED_OUTGOING, None
        if now.until is None or now.until.year < YEARS.start:
            return None
        return self._at_end_of_period(terms, now.until)

    def _at_end_of_period(self, terms: Definition, last: date) -> Prospect | None:
        kind, is_over = terms.renewal_type, is_over_age(terms, self._now.birth_date, last)
        if kind not in RENEWAL_TYPES:
            return None
        has_ages = terms.minimum_age is not None or terms.maximum_age is not None
        carries_over = kind in (0, 1, 4) and (is_over or (kind == 4 and not has_ages))
        if carries_over and terms.subsequent_membership in self._definitions:
            return last, Rule.MOVED, terms.subsequent_membership
        if kind == 5 and is_over:
            return last, Rule.ENDED_AGE, None
        if self._is_trial(terms, last):
            return last, Rule.TRIAL_OVER, terms.code
        if kind == 1 and is_idle(self._now, terms, last):
            return last, Rule.ENDED_IDLE, None
        if kind in (3, 9) or (kind == 5 and terms.type == TEMPORARY):
            return last, Rule.ENDED, None
        return last, Rule.RENEWED, terms.code

    def _is_trial(self, terms: Definition, last: date) -> bool:
        since = self._now.since
        if since is None or not terms.trial_months:
            return False
        return last == add_months(since, terms.trial_months) - _DAY

    def _finish(self, last: date, rule: Rule, code: str | None) -> None:
        """The day after `last` has come: the membership ends, or a period begins."""
        day = last + _DAY
        if code is None:
            self._end(day, rule)
            return
        terms = self._definitions[code]
        first = terms.registration_term_months or terms.term_months or TERM_MONTHS
        later = terms.term_months or terms.registration_term_months or TERM_MONTHS
        months = later if rule is Rule.RENEWED else first + (terms.free_months or 0)
        until = period_end(terms, day, self._now.birth_date, months)
        fee, status = self._invoice(terms, day, until)
        self._step(day, rule, to_code=code, until=until, status=status, fee=fee)
        since = day if rule is Rule.MOVED else self._now.since
        self._now = replace(self._now, membership=code, since=since, until=until)

    def _invoice(
        self, terms: Definition, day: date, until: date
    ) -> tuple[Minor | None, int | None]:
        """Make the fee for a period; returns its amount and the new status, if there are any."""
        now, number, amount = self._now, fee_id(self._now.id, day), terms.fee or 0
        if not is_invoiced(terms) or any(fee.since == day for fee in now.membership_fees):
            return None, None
        made = MembershipFee(number, day, until, amount)
        self._now = replace(now, membership_fees=(*now.membership_fees, made))
        self._add_fee(number, day, amount, terms.description)
        if now.status in UNPAID_STATUSES or made not in self._unpaid():
            return amount, None
        self._now = replace(self._now, status=INVOICED, status_fee=number)
        return amount, INVOICED

    def _add_fee(self, number: str, day: date, amount: Minor, description: str) -> None:
        created = datetime.combine(day, time.min, self._zone)
        fee = Fee(number, self._now.id, amount, amount, created, FEE_TYPE, description)
        fees = sorted((*self._now.fees, fee), key=lambda known: (known.created, known.id))
        self._now = replace(self._now, fees=tuple(fees))

    # Ends

    def _end(self, day: date, rule: Rule) -> None:
        """End the membership; code and last day stay (C160)."""
        last = str(day - _DAY)
        values = {"membership": self._known_terms.description, "until": last}
        self._notify(day, rule, "END", values, last, until=self._now.until, status=ENDED)
        self._now = replace(self._now, status=ENDED, status_fee=None)
        self._close(day)

    def _close_if_ended(self) -> None:
        """Somebody else has ended the membership in the middle of a period that was invoiced."""
        if self._now.status == ENDED and any(
            fee.until >= self._day and not fee.closed for fee in self._now.membership_fees
        ):
            self._step(self._day, Rule.ENDED_ELSEWHERE, until=self._now.until)
            self._close(self._day)

    def _close(self, day: date) -> None:
        """No fee counts for the status any more; give back what is left of the periods."""
        terms, owed = self._known_terms, {fee.id: fee.owed for fee in self._now.fees}
        fees = self._now.membership_fees
        closed = tuple(replace(fee, closed=True) for fee in fees)
        self._now = replace(self._now, membership_fees=closed)
        for fee in fees:
            amount = refund_of(fee, owed.get(fee.id, 0), max(day, fee.since))
            if terms.refund and amount and not fee.closed:
                self._step(day, Rule.REFUNDED, fee=-amount)
                self._add_fee(refund_id(fee.id), day, -amount, terms.description)

    # Notices

    def _notice_of(self, prospect: Prospect) -> tuple[str, dict[str, str]] | None:
        """Which notice tells of the end of the present period, and what it says."""
        terms = self._known_terms
        last, rule, code = prospect
        values = {"membership": terms.description, "until": str(last)}
        if rule is Rule.MOVED:
            return "CAO", values | {"next_membership": self._definitions[code or ""].description}
        if code is not None:
            return None
        if terms.renewal_type == 5 and terms.type == YOUTH:
            return "CAJ", values
        is_temporary = terms.renewal_type == 5 and terms.type == TEMPORARY
        return ("CAT" if terms.renewal_type == 3 or is_temporary else "CAE"), values

    def _notify(
        self,
        day: date,
        rule: Rule,
        kind: str,
        values: dict[str, str],
        cause: str,
        *,
        until: date | None = None,
        status: int | None = None,
    ) -> None:
        """A step with a notice; only the first of this kind and cause goes out."""
        self._step(day, rule, until=until, status=status)
        if (kind, cause) not in self._given:
            self._given[kind, cause] = self._day
            step = replace(self._steps.pop(), notice=kind, cause=cause, values=values)
            self._steps.append(step)

    def _alert(self) -> bool:
        """Warn of what the patron owes now; returns whether the last warning may be forgotten."""
        now, terms = self._now, self._known_terms
        if terms.age_alert and now.max_fee_age_days is not None:
            self._alert_of_age(terms.alert_period_days, now.max_fee_age_days)
        if not terms.alert_amount:
            return False
        last = max((day for (kind, _), day in self._given.items() if kind == "LIMIT"), default=None)
        owed = owed_total(now.fees)
        if owed < terms.alert_amount:
            return last is not None and not terms.alert_repeat_days
        again = timedelta(days=terms.alert_repeat_days or 0)
        if last is None or (again and self._day >= last + again):
            limits = (now.fee_limit, terms.max_fees_self_service, terms.alert_amount)
            limit = next(amount for amount in limits if amount is not None)
            values = {"owed": str(owed), "limit": str(limit)}
            self._notify(self._day, Rule.LIMIT_ALERT, "LIMIT", values, str(self._day))
        return False

    def _alert_of_age(self, early_days: int, max_age_days: int) -> None:
        """One alert for all fees that are too old from the same day on."""
        fees = owed_fees(self._now.fees)
        owed = str(owed_total(self._now.fees))
        for fee in fees:
            created = fee.created.astimezone(self._zone).date()
            reached = created + timedelta(days=max_age_days)
            cause = str(reached + _DAY)
            is_due = self._day >= reached - timedelta(days=early_days)
            if is_due and ("AGE", cause) not in self._given:
                values = {"owed": owed, "day": cause}
                self._notify(self._day, Rule.AGE_ALERT, "AGE", values, cause)
