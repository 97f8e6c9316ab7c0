"""What time does to a membership (B63, C46, C160, C161)."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sip2gw.model import Fee, MembershipDefinition
from sip2gw.model.maintenance import (
    Member,
    MembershipFee,
    Rule,
    Step,
)
from sip2gw.model.notices import Notice
from sip2gw.policy.members.memberships import (
    add_months,
    fee_id,
    is_idle,
    is_invoiced,
    is_over_age,
    maintain,
    period_end,
    refund_of,
)

ZONE = ZoneInfo("Europe/Brussels")
LAST = date(2026, 6, 30)
"""Of everybody's period here."""
NEXT = LAST + timedelta(days=1)


def terms(code="201", **keys):
    return MembershipDefinition(
        **({"code": code, "description": f"Number {code}", "type": 3} | keys)
    )


CHILD = terms(
    "101", type=1, minimum_age=0, maximum_age=12, term_months=12, subsequent_membership="201"
)
ADULT = terms(term_months=12)
PAID = terms(
    term_months=12,
    fee=2000,
    invoicing_method=1,
    fee_reminder_months=1,
    fee_delinquent_months=2,
    fee_delete_months=4,
)
YOUNG, OLD = date(2020, 1, 1), date(2013, 6, 30)
"""At the end of the period the one is six, the other 13 since that very day."""


def member(code="201", **facts):
    return Member(**({"id": "P1", "membership": code, "until": LAST} | facts))


def steps(who, day, *definitions):
    """The steps as (day, rule), and what is so afterwards."""
    done = maintain(who, {it.code: it for it in definitions}, day, ZONE)
    for step in done.steps:
        if step.notice is not None:
            Notice(step.notice, step.patron_id, step.cause, step.values)  # it has all values
    return done


def rules(done):
    return [(str(step.day), step.rule.value, step.notice) for step in done.steps]


@pytest.mark.parametrize(
    ("day", "months", "later"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2026-11-15", 2, "2027-01-15"),
        ("2026-01-15", -1, "2025-12-15"),
        ("9999-06-01", 12, "9999-12-31"),
        ("0001-01-01", -1, "0001-01-01"),
    ],
)
def test_months_are_of_the_calendar(day, months, later):
    assert str(add_months(date.fromisoformat(day), months)) == later


@pytest.mark.parametrize(
    ("keys", "birth_date", "months", "last"),
    [
        ({}, YOUNG, 12, "2027-06-30"),
        ({"type": 1}, date(2016, 2, 10), 12, "2027-06-30"),
        ({"type": 1, "birth_month_expiry": True}, date(2016, 2, 10), 12, "2027-02-28"),
        ({"type": 1, "birth_month_expiry": True}, date(2016, 9, 10), 12, "2026-09-30"),
        ({"type": 1, "birth_month_expiry": True}, date(2016, 6, 10), 12, "2027-06-30"),
        # no end of the birth month within the term
        ({"type": 1, "birth_month_expiry": True}, date(2016, 9, 10), 2, "2026-08-31"),
        ({"type": 1, "birth_month_expiry": True}, None, 12, "2027-06-30"),
        ({"type": 3, "birth_month_expiry": True}, date(2016, 2, 10), 12, "2027-06-30"),
    ],
)
def test_a_period_ends_after_its_months_or_with_the_birth_month(keys, birth_date, months, last):
    assert str(period_end(terms(**keys), NEXT, birth_date, months)) == last


@pytest.mark.parametrize(
    ("maximum", "born", "over"),
    [
        (12, date(2013, 6, 30), True),  # 13 on the last valid day
        (12, date(2013, 7, 1), False),  # 13 the day after
        (13, date(2013, 6, 30), False),
        (None, date(1900, 1, 1), False),
        (12, None, False),
    ],
)
def test_c46_age_counts_on_the_last_valid_day(maximum, born, over):
    assert is_over_age(terms(maximum_age=maximum), born, LAST) is over


@pytest.mark.parametrize(
    ("months", "since", "active", "idle"),
    [
        (22, "2020-01-01", "2024-08-30", True),
        (22, "2020-01-01", "2024-08-31", True),  # June has no 31st
        (22, "2020-01-01", "2024-09-01", False),
        (None, "2020-01-01", "2024-08-30", True),
        (11, "2020-01-01", "2025-06-30", False),  # less than 12 counts as 22
        (12, "2020-01-01", "2025-06-30", True),
        (12, "2020-01-01", "2025-07-01", False),
        (12, "2026-01-01", "2020-01-01", False),  # nobody is idle for longer than a member
        (12, "2020-01-01", None, True),
        (12, None, None, False),  # nothing is known, so nothing is guessed
    ],
)
def test_c161_who_is_idle(months, since, active, idle):
    known = [date.fromisoformat(text) if text else None for text in (since, active)]
    who = member(since=known[0], last_active=known[1])
    assert is_idle(who, terms(remove_after_months=months), LAST) is idle


@pytest.mark.parametrize(
    ("keys", "invoiced"),
    [
        ({"fee": 2000, "invoicing_method": 0}, True),
        ({"fee": 2000, "invoicing_method": 3}, True),
        ({"fee": 2000, "invoicing_method": None}, False),
        ({"fee": None, "invoicing_method": 1}, False),
        ({"fee": 2000, "invoicing_method": 4}, False),
        ({"fee": 2000, "invoicing_method": 4, "type": 4}, True),
        ({"fee": 2000, "invoicing_method": 1, "type": 5}, False),
        ({"fee": 2000, "invoicing_method": 1, "type": 6}, False),
    ],
)
def test_c160_which_memberships_are_invoiced(keys, invoiced):
    assert is_invoiced(terms(**keys)) is invoiced


@pytest.mark.parametrize(
    ("definition", "facts", "rule", "code", "until"),
    [
        # 0: always; over the age to the subsequent one, if there is one
        (ADULT, {}, "renewed", "201", "2027-06-30"),
        (terms("101", maximum_age=12), {"birth_date": OLD}, "renewed", "101", "2027-06-30"),
        (CHILD, {"birth_date": OLD}, "moved", "201", "2027-06-30"),
        (CHILD, {"birth_date": YOUNG}, "renewed", "101", "2027-06-30"),
        (CHILD, {}, "renewed", "101", "2027-06-30"),
        (
            terms("101", maximum_age=12, subsequent_membership="999"),
            {"birth_date": OLD},
            "renewed",
            "101",
            "2027-06-30",
        ),
        # 1: who is active; the age comes first (C46)
        (
            terms("101", renewal_type=1, maximum_age=12, subsequent_membership="201"),
            {"birth_date": OLD, "since": date(2020, 1, 1)},
            "moved",
            "201",
            "2027-06-30",
        ),
        (terms(renewal_type=1), {"since": date(2020, 1, 1)}, "ended_idle", "201", "2026-06-30"),
        (
            terms(renewal_type=1),
            {"since": date(2020, 1, 1), "last_active": date(2026, 1, 1)},
            "renewed",
            "201",
            "2027-06-30",
        ),
        # 3, 9: end; 5: temporary ones end, others at the age
        (terms(renewal_type=3, type=6), {}, "ended", "201", "2026-06-30"),
        (terms(renewal_type=9), {}, "ended", "201", "2026-06-30"),
        (terms(renewal_type=5, type=5), {}, "ended", "201", "2026-06-30"),
        (
            terms("101", renewal_type=5, maximum_age=12, subsequent_membership="201"),
            {"birth_date": OLD},
            "ended_age",
            "101",
            "2026-06-30",
        ),
        (
            terms("101", renewal_type=5, maximum_age=12),
            {"birth_date": YOUNG},
            "renewed",
            "101",
            "2027-06-30",
        ),
        # 4: with ages only over the maximum, without ages always
        (
            terms("101", renewal_type=4, maximum_age=12, subsequent_membership="201"),
            {"birth_date": YOUNG},
            "renewed",
            "101",
            "2027-06-30",
        ),
        (
            terms("101", renewal_type=4, maximum_age=12, subsequent_membership="201"),
            {"birth_date": OLD},
            "moved",
            "201",
            "2027-06-30",
        ),
        (
            terms("101", renewal_type=4, subsequent_membership="201"),
            {},
            "moved",
            "201",
            "2027-06-30",
        ),
        (
            terms("101", renewal_type=4, minimum_age=1, subsequent_membership="201"),
            {},
            "renewed",
            "101",
            "2027-06-30",
        ),
        (terms("101", renewal_type=4), {}, "renewed", "101", "2027-06-30"),
        # terms: the first, each later one, none
        (terms(term_months=3, registration_term_months=6), {}, "renewed", "201", "2026-09-30"),
        (terms(registration_term_months=6), {}, "renewed", "201", "2026-12-31"),
        (terms(), {}, "renewed", "201", "2027-06-30"),
        # a trial, after which the registration begins, with free months
        (
            terms(trial_months=2, free_months=1, registration_term_months=6, term_months=12),
            {"since": date(2026, 5, 1)},
            "trial_over",
            "201",
            "2027-01-31",
        ),
        (
            terms(trial_months=2, term_months=12),
            {"since": date(2026, 4, 1)},
            "renewed",
            "201",
            "2027-06-30",
        ),
        (terms(trial_months=2, term_months=12), {}, "renewed", "201", "2027-06-30"),
    ],
)
def test_c160_what_happens_at_the_end_of_a_period(definition, facts, rule, code, until):
    who = member(definition.code, **facts)
    done = steps(who, NEXT, *{it.code: it for it in (ADULT, definition)}.values())
    (step,) = done.steps
    is_end = rule.startswith("ended")
    assert (step.day, step.rule, step.from_code) == (NEXT, rule, definition.code)
    assert (step.to_code, step.notice) == ((None, "END") if is_end else (code, None))
    after = done.after
    assert (after.membership, str(after.until)) == (code, until)
    assert after.status == (9 if is_end else 5)
    assert after.since == (NEXT if rule == "moved" else who.since)
    assert steps(who, LAST, ADULT, definition).steps == ()  # the last day still counts


def test_the_first_period_of_the_next_membership_has_its_own_term():
    adult = terms(term_months=12, registration_term_months=3, free_months=1)
    assert steps(member("101", birth_date=OLD), NEXT, CHILD, adult).after.until == date(
        2026, 10, 31
    )


@pytest.mark.parametrize(
    "who",
    [
        member(None),
        member("777"),  # not defined
        member(until=None),  # never ends (C15)
        member(until=date(1, 1, 1)),  # not a day that anybody meant
        member(until=date(1799, 12, 31)),
        member(until=date.max),
        member(status=6),
        member(status=7),
        member(status=8),
        member(status=9),
    ],
)
def test_who_is_left_alone(who):
    assert steps(who, date(2030, 1, 1), ADULT).steps == ()


def test_nobody_knows_what_an_unknown_renewal_type_means():
    assert steps(member(), date(2030, 1, 1), terms(renewal_type=2)).steps == ()


def test_missed_months_are_made_up_one_by_one():
    done = steps(member("101", birth_date=date(2014, 1, 1)), date(2028, 12, 1), CHILD, PAID)
    assert [(str(it.day), it.rule, it.to_code, it.status, it.fee) for it in done.steps] == [
        ("2026-07-01", "renewed", "101", None, None),  # 12 on the last day
        ("2027-07-01", "moved", "201", 2, 2000),
        ("2027-09-01", "reminded", None, 3, None),
        ("2027-10-01", "delinquent", None, 4, None),
        ("2027-12-01", "ended_unpaid", None, 9, None),
    ]
    assert (done.after.status, done.after.status_fee) == (9, None)
    assert (done.after.membership, done.after.until) == ("201", date(2028, 6, 30))
    (fee,) = done.after.fees
    assert (fee.id, fee.amount, fee.owed, fee.type) == (
        fee_id("P1", date(2027, 7, 1)),
        2000,
        2000,
        "01",
    )
    assert fee.created == datetime(2027, 7, 1, tzinfo=ZONE)
    assert fee.description == "Number 201"


# Fees and statuses


def invoiced(**facts):
    """Somebody with the fee of the period from 1 July."""
    return steps(member(**facts), NEXT, PAID).after


@pytest.mark.parametrize(
    ("day", "status"),
    [
        ("2026-07-01", 2),
        ("2026-08-31", 2),
        ("2026-09-01", 3),
        ("2026-09-30", 3),
        ("2026-10-01", 4),
        ("2026-11-30", 4),
        ("2026-12-01", 9),
    ],
)
def test_c160_unpaid_fees_count_from_the_month_after(day, status):
    done = steps(invoiced(), date.fromisoformat(day), PAID)
    assert done.after.status == status
    assert not steps(done.after, date.fromisoformat(day), PAID).steps


@pytest.mark.parametrize("status", [0, 1, 5])
def test_who_is_new_or_normal_is_invoiced(status):
    assert invoiced(status=status).status == 2


@pytest.mark.parametrize("status", [2, 3, 4])
def test_an_imported_status_stays_what_it_is(status):
    after = invoiced(status=status)
    assert (after.status, after.status_fee) == (status, None)
    assert steps(after, date(2027, 1, 1), PAID).steps == ()


def test_a_paid_fee_makes_the_status_normal_again():
    done = steps(replace(invoiced(), fees=(), status=4), date(2026, 11, 1), PAID)
    assert rules(done) == [("2026-11-01", "paid", None)]
    assert (done.after.status, done.after.status_fee) == (5, None)


def test_a_payment_that_was_undone_is_owed_again():
    done = steps(replace(invoiced(), status=5, status_fee=None), date(2026, 7, 2), PAID)
    assert rules(done) == [("2026-07-01", "invoiced", None)]
    assert done.after == invoiced()


def test_the_oldest_fee_that_is_owed_is_the_cause():
    never = replace_keys(PAID, fee_delete_months=0)
    late = steps(invoiced(), date(2027, 7, 1), never).after
    assert (late.status, len(late.fees)) == (4, 2)
    paid = steps(replace(late, fees=late.fees[1:]), date(2027, 7, 1), never)
    assert rules(paid) == [("2027-07-01", "invoiced", None)]
    assert (paid.after.status, paid.after.status_fee) == (2, late.fees[1].id)


def replace_keys(definition, **keys):
    return MembershipDefinition(
        **({name: getattr(definition, name) for name in definition.__struct_fields__} | keys)
    )


def test_a_credit_that_covers_the_fee_pays_it():
    credit = Fee("C", "P1", -2000, -2000, datetime(2026, 1, 1, tzinfo=UTC))
    done = steps(member(fees=(credit,)), NEXT, PAID)
    assert [(step.status, step.fee) for step in done.steps] == [(None, 2000)]
    assert done.after.status == 5


def test_a_period_is_invoiced_once_even_if_an_import_brings_it_back():
    after = replace(invoiced(), until=LAST)
    done = steps(after, NEXT, PAID)
    assert [(step.rule, step.fee) for step in done.steps] == [(Rule.RENEWED, None)]
    assert len(done.after.fees) == 1


def test_the_same_fee_has_the_same_id_wherever_it_is_made():
    assert fee_id("P1", NEXT) == fee_id("P1", NEXT) != fee_id("P2", NEXT) != fee_id("P1", LAST)


def test_an_end_lets_old_fees_rest():
    ended = steps(invoiced(), date(2026, 12, 1), PAID).after
    back = replace(ended, status=5, until=date(2027, 12, 31))
    assert steps(back, date(2027, 6, 1), PAID).steps == ()


def test_who_has_not_paid_is_ended_rather_than_renewed_on_the_same_day():
    short = replace_keys(PAID, term_months=5)
    who = steps(member(), NEXT, short).after
    (*_, last) = steps(who, date(2026, 12, 1), short).steps
    assert (last.rule, who.until) == (Rule.ENDED_UNPAID, date(2026, 11, 30))


def test_a_second_end_gives_nothing_back_again():
    paid = replace(invoiced(since=date(2025, 6, 15)), fees=(), status_fee=None, status=5)
    ended = steps(paid, date(2026, 12, 20), OUTGOING).after
    back = replace(ended, status=5, fees=())
    again = steps(back, date(2026, 12, 20), OUTGOING)
    assert [step.rule for step in again.steps] == [Rule.ENDED_OUTGOING]


def test_a_period_is_longer_than_the_day_it_begins_on():
    child = terms(type=1, birth_month_expiry=True)
    begins = date(2026, 9, 30)
    assert period_end(child, begins, date(2016, 9, 10), 2) == date(2026, 11, 29)


# Ends and refunds


@pytest.mark.parametrize(
    ("owed", "end", "amount"),
    [
        (0, "2026-07-01", 1200),
        (0, "2026-07-02", 1100),
        (0, "2027-06-01", 100),
        (0, "2027-06-02", 0),
        (0, "2027-07-01", 0),
        (500, "2026-07-01", 700),  # no more than what was paid
        (1200, "2026-07-01", 0),
        (-100, "2026-07-01", 1200),
    ],
)
def test_what_is_given_back_is_the_share_of_whole_months(owed, end, amount):
    fee = MembershipFee("M", NEXT, date(2027, 6, 30), 1200)
    assert refund_of(fee, owed, date.fromisoformat(end)) == amount


def test_a_fee_for_less_than_a_month_is_given_back_for_nothing():
    assert refund_of(MembershipFee("M", NEXT, NEXT, 1200), 0, NEXT) == 0


OUTGOING = replace_keys(PAID, outgoing=True, remove_after_months=18, refund=True)


def test_an_outgoing_membership_ends_active_or_not_and_gives_back_what_is_left():
    paid = replace(invoiced(since=date(2025, 6, 15), last_active=NEXT), fees=())
    done = steps(paid, date(2026, 12, 20), OUTGOING)
    assert [(str(it.day), it.rule, it.status, it.fee, it.notice) for it in done.steps] == [
        ("2026-12-20", "paid", 5, None, None),
        ("2026-12-15", "ended_outgoing", 9, None, "END"),
        ("2026-12-15", "refunded", None, -1000, None),
    ]
    (credit,) = done.after.fees
    assert (credit.id, credit.owed, credit.type) == (f"{fee_id('P1', NEXT)}-R", -1000, "01")
    assert done.steps[1].values["until"] == "2026-12-14"
    assert steps(done.after, date(2027, 6, 1), OUTGOING).steps == ()


@pytest.mark.parametrize(
    ("since", "until", "rule"),
    [
        (date(2025, 6, 15), None, "ended_outgoing"),
        (None, date(2026, 12, 14), "renewed"),
        (date(2025, 6, 15), date(2026, 12, 14), "ended_outgoing"),
        (date(2025, 6, 16), date(2026, 12, 14), "renewed"),
    ],
)
def test_an_outgoing_membership_counts_from_its_beginning(since, until, rule):
    free = replace_keys(OUTGOING, fee=None)
    assert [
        it.rule for it in steps(member(since=since, until=until), date(2026, 12, 15), free).steps
    ] == [rule]


@pytest.mark.parametrize(("refund", "amounts"), [(True, [None, -1666]), (False, [None])])
def test_an_end_by_others_is_noticed_once(refund, amounts):
    definition = replace_keys(PAID, refund=refund)
    ended = replace(invoiced(), fees=(), status=9)
    done = steps(ended, date(2026, 9, 1), definition)
    assert [step.fee for step in done.steps] == amounts
    assert done.steps[0].rule is Rule.ENDED_ELSEWHERE
    assert steps(done.after, date(2026, 9, 2), definition).steps == ()
    assert steps(ended, date(2027, 7, 1), definition).steps == ()  # the period is over


# Notices


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"renewal_type": 0}, None),
        ({"renewal_type": 4, "subsequent_membership": "202"}, "CAO"),
        ({"renewal_type": 1}, "CAE"),
        ({"renewal_type": 9}, "CAE"),
        ({"renewal_type": 9, "subsequent_membership": "202"}, "CAE"),
        ({"renewal_type": 9, "type": 5}, "CAE"),
        ({"renewal_type": 3, "type": 6}, "CAT"),
        ({"renewal_type": 5, "type": 5}, "CAT"),
        ({"renewal_type": 5, "type": 1, "maximum_age": 12}, "CAJ"),
        ({"renewal_type": 5, "type": 2, "maximum_age": 12}, "CAE"),
    ],
)
def test_c160_which_notice_tells_of_the_end(keys, kind):
    definition = terms(notification_term_months=2, **keys)
    who = member(since=date(2020, 1, 1), birth_date=OLD)
    other = terms("202")
    assert steps(who, date(2026, 4, 30), definition, other).steps == ()
    done = steps(who, date(2026, 5, 1), definition, other)
    notices = [] if kind is None else [("2026-05-01", "notice", kind)]
    assert rules(done) == notices
    assert all(step.cause == str(LAST) == step.values["until"] for step in done.steps)
    assert steps(done.after, date(2026, 5, 2), definition, other).steps == ()


def test_a_notice_names_both_memberships():
    child = replace_keys(CHILD, notification_term_months=1)
    (step,) = steps(member("101", birth_date=OLD), LAST, child, ADULT).steps
    assert step.values == {
        "membership": "Number 101",
        "next_membership": "Number 201",
        "until": "2026-06-30",
    }


def test_a_membership_that_ends_with_the_calendar_is_told_of_too():
    never = terms(renewal_type=9, notification_term_months=9000 * 12)
    assert rules(steps(member(until=date.max), NEXT, never)) == [("0999-12-31", "notice", "CAE")]


def debt(amount, day="2026-03-01", number="F1"):
    created = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    return Fee(number, "P1", amount, amount, created)


ALERTING = terms(alert_amount=400, max_fees_self_service=500, alert_repeat_days=30)


@pytest.mark.parametrize(("owed", "alerted"), [(399, False), (400, True), (900, True)])
def test_who_owes_the_amount_is_alerted(owed, alerted):
    done = steps(member(fees=(debt(owed),)), LAST, ALERTING)
    alert = (LAST, Rule.LIMIT_ALERT, "LIMIT", {"owed": str(owed), "limit": "500"})
    assert [(it.day, it.rule, it.notice, it.values) for it in done.steps] == [alert] * alerted


@pytest.mark.parametrize(
    ("limit", "keys", "told"),
    [
        (700, {}, "700"),
        (None, {}, "500"),
        (None, {"max_fees_self_service": None}, "400"),
    ],
)
def test_the_alert_names_the_limit_that_counts(limit, keys, told):
    who = member(fees=(debt(400),), fee_limit=limit)
    assert steps(who, LAST, replace_keys(ALERTING, **keys)).steps[0].values["limit"] == told


def test_the_alert_is_repeated_after_its_days_while_the_debt_is_there():
    after = steps(member(fees=(debt(400),), until=None), LAST, ALERTING).after
    for later, count in ((0, 0), (29, 0), (30, 1)):
        assert len(steps(after, LAST + timedelta(days=later), ALERTING).steps) == count
    paid = steps(replace(after, fees=()), LAST, ALERTING)
    assert (paid.steps, paid.forgets_limit_alert) == ((), False)  # not earlier than that


def test_without_repetition_the_debt_must_have_fallen_before_the_next_alert():
    once = replace_keys(ALERTING, alert_repeat_days=None)
    after = steps(member(fees=(debt(400),), until=None), LAST, once).after
    still_owed = steps(after, date(2030, 1, 1), once)
    assert (still_owed.steps, still_owed.forgets_limit_alert) == ((), False)
    assert steps(replace(after, fees=()), NEXT, once).forgets_limit_alert
    assert not steps(member(until=None), NEXT, once).forgets_limit_alert


@pytest.mark.parametrize(
    ("keys", "max_age", "day", "alerted"),
    [
        ({}, 60, "2026-04-25", True),  # 60 days old on 30 April, too old on 1 May
        ({}, 60, "2026-04-24", False),
        ({"alert_period_days": 0}, 60, "2026-04-29", False),
        ({"alert_period_days": 0}, 60, "2026-04-30", True),
        ({}, None, "2026-06-01", False),
        ({"age_alert": False}, 60, "2026-06-01", False),
    ],
)
def test_a_fee_that_is_soon_too_old_is_alerted_of(keys, max_age, day, alerted):
    definition = terms(**({"age_alert": True} | keys))
    who = member(fees=(debt(100), debt(200, number="F2")), max_fee_age_days=max_age, until=None)
    today = date.fromisoformat(day)
    done = steps(who, today, definition)
    alert = (today, Rule.AGE_ALERT, "AGE", {"owed": "300", "day": "2026-05-01"})
    assert [(it.day, it.rule, it.notice, it.values) for it in done.steps] == [alert] * alerted
    assert steps(done.after, today, definition).steps == ()


def test_nobody_is_alerted_after_the_end():
    ends = replace_keys(ALERTING, renewal_type=9)
    assert [it.rule for it in steps(member(fees=(debt(900),)), NEXT, ends).steps] == [Rule.ENDED]


def test_a_member_shows_nothing_personal():
    assert repr(member(birth_date=OLD)) == "<Member>"


# Any course of things

MONTHS = st.none() | st.integers(0, 14)
AGES = st.none() | st.integers(0, 20)
SOME_DAY = st.dates(date(2024, 1, 1), date(2026, 6, 30))


@st.composite
def libraries(draw):
    """Three memberships that may follow each other, with any keys."""
    codes = ("101", "201", "301")
    return {
        code: terms(
            code,
            type=draw(st.integers(0, 6)),
            renewal_type=draw(st.sampled_from((0, 1, 3, 4, 5, 9))),
            minimum_age=draw(AGES),
            maximum_age=draw(AGES),
            term_months=draw(MONTHS),
            registration_term_months=draw(MONTHS),
            trial_months=draw(MONTHS),
            free_months=draw(MONTHS),
            birth_month_expiry=draw(st.booleans()),
            subsequent_membership=draw(st.sampled_from((None, *codes))),
            outgoing=draw(st.booleans()),
            remove_after_months=draw(st.none() | st.integers(0, 30)),
            notification_term_months=draw(MONTHS),
            fee=draw(st.sampled_from((None, 1000))),
            invoicing_method=draw(st.none() | st.integers(0, 4)),
            fee_reminder_months=draw(MONTHS),
            fee_delinquent_months=draw(MONTHS),
            fee_delete_months=draw(MONTHS),
            refund=draw(st.booleans()),
        )
        for code in codes
    }


@st.composite
def members(draw):
    return member(
        draw(st.sampled_from(("101", "201", "301"))),
        since=draw(st.none() | SOME_DAY),
        until=draw(st.none() | SOME_DAY),
        status=draw(st.integers(0, 5)),
        birth_date=draw(st.none() | st.dates(date(2004, 1, 1), date(2024, 1, 1))),
        last_active=draw(st.none() | SOME_DAY),
    )


@settings(max_examples=150)
@given(libraries(), members(), st.lists(st.integers(0, 45), min_size=1, max_size=14))
def test_one_run_does_what_any_runs_before_it_would_have_done(known, who, pauses):
    day, now = LAST, who
    all_steps: list[Step] = []
    for pause in pauses:
        day += timedelta(days=pause)
        done = maintain(now, known, day, ZONE)
        assert maintain(done.after, known, day, ZONE).steps == ()  # again: nothing
        all_steps += done.steps
        now = done.after
    at_once = maintain(who, known, day, ZONE)
    assert list(at_once.steps) == sorted(all_steps, key=list(at_once.steps).index)
    assert replace(at_once.after, given={}) == replace(now, given={})
    assert set(at_once.after.given) == set(now.given)
