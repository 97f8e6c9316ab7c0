"""Customer support: what may follow what, by when, and which codes there may be (C145, C163)."""

from datetime import UTC, date, datetime
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from sip2gw.model.support import (
    CodeEntry,
    CodeTable,
    ProcessingRule,
    SupportStatus,
)
from sip2gw.policy.desk.support import (
    CLOSED_STATUSES,
    OpeningDays,
    entry_problem,
    may_follow,
    rule_problem,
    status_when_answered,
    text_problem,
)
from sip2gw.policy.hours.calendar import (
    BranchCalendar,
    CalendarException,
    OpeningState,
    Slot,
)

ALLOWED = """
    A: B C D X Z
    B: C D X Z
    C: D X Y Z
    D: C X Z
    X: A
    Y: A
    Z: A
"""
"""As C145 has it."""


def _allowed() -> set[tuple[str, str]]:
    rows = (line.split(":") for line in ALLOWED.strip().splitlines())
    return {(before.strip(), after) for before, follow in rows for after in follow.split()}


@pytest.mark.parametrize(("before", "after"), [*product("ABCDXYZ", repeat=2)])
def test_each_transition_is_allowed_or_refused_by_the_table(before: str, after: str) -> None:
    told = may_follow(SupportStatus(before), SupportStatus(after))
    assert told is ((before, after) in _allowed())


@pytest.mark.parametrize("before", "ABCD")
def test_what_was_answered_waits_for_the_patron_if_there_is_one(before: str) -> None:
    assert status_when_answered(SupportStatus(before), has_patron=True) == "C"
    assert status_when_answered(SupportStatus(before), has_patron=False) == before


@pytest.mark.parametrize("before", "XYZ")
def test_what_is_closed_takes_no_answer(before: str) -> None:
    assert SupportStatus(before) in CLOSED_STATUSES
    assert status_when_answered(SupportStatus(before), has_patron=True) is None


# Due dates

BRUSSELS = ZoneInfo("Europe/Brussels")
STAFFED, UNSTAFFED, CLOSED = OpeningState.STAFFED, OpeningState.UNSTAFFED, OpeningState.CLOSED
TUESDAY_TO_FRIDAY = Slot(frozenset({1, 2, 3, 4}), 600, 1080, STAFFED)
SATURDAY_ALONE = Slot(frozenset({5}), 1080, 1320, UNSTAFFED)
WEDNESDAY_SHUT = CalendarException(date(2026, 3, 4), CLOSED)
SUNDAY_FAIR = CalendarException(date(2026, 3, 8), STAFFED, 600, 720)

MAIN = BranchCalendar([TUESDAY_TO_FRIDAY, SATURDAY_ALONE], [WEDNESDAY_SHUT, SUNDAY_FAIR], BRUSSELS)
EAST = BranchCalendar([Slot(frozenset({0}), 600, 1080, STAFFED)], (), BRUSSELS)
NO_HOURS = BranchCalendar(zone=BRUSSELS)
NEVER_OPEN = BranchCalendar([Slot(frozenset(range(7)), 0, 1440, CLOSED)], (), BRUSSELS)
DAYS = OpeningDays({"MAIN": MAIN, "EAST": EAST, "NONE": NO_HOURS, "NEVER": NEVER_OPEN}, BRUSSELS)

MONDAY_NOON = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "branch", "due"),
    [
        (0, "MAIN", "2026-03-02"),
        (1, "MAIN", "2026-03-03"),
        (2, "MAIN", "2026-03-05"),  # not on the Wednesday that is shut
        (4, "MAIN", "2026-03-07"),  # the Saturday without staff counts
        (5, "MAIN", "2026-03-08"),  # and so does the fair
        (6, "MAIN", "2026-03-10"),
        (1, "EAST", "2026-03-09"),  # today is not counted
        (2, None, "2026-03-05"),  # the first branch's
        (2, "GONE", "2026-03-05"),
        (3, "NONE", "2026-03-05"),  # plain days
        (3, "NEVER", "2026-03-05"),
    ],
)
def test_preferred_times_count_opening_days_from_tomorrow_on(
    days: int, branch: str | None, due: str
) -> None:
    assert DAYS.due(MONDAY_NOON, days, branch).isoformat() == due


def test_the_day_is_that_of_the_branch() -> None:
    late = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    assert DAYS.due(late, 0, "MAIN") == date(2026, 3, 3)
    assert OpeningDays({}, BRUSSELS).due(late, 1) == date(2026, 3, 4)


# Codes, texts, rules


@pytest.mark.parametrize(
    ("table", "code", "problem"),
    [
        ("type", "VR", None),
        ("type", "V", "the code of a type is exactly 2 letters"),
        ("type", "VRA", "the code of a type is exactly 2 letters"),
        ("type", "V1", "the code of a type is exactly 2 letters"),
        ("type", "VÄ", "the code of a type is exactly 2 letters"),
        ("category", "LOAN", None),
        ("category", "LOANS", "the code of a category is 1 to 4 characters without blanks"),
        ("category", "", "the code of a category is 1 to 4 characters without blanks"),
        ("category", "A B", "the code of a category is 1 to 4 characters without blanks"),
        ("category", "A\n", "the code of a category is 1 to 4 characters without blanks"),
        ("department", "FINANCE", None),
        ("department", "FINANCES", "the code of a department is 1 to 7 characters without blanks"),
        ("unit", "DESK", None),
        ("unit", "DESKS", "the code of a unit is 1 to 4 characters without blanks"),
        ("default_message", "PAID", None),
        (
            "default_message",
            "PAID1",
            "the code of a default message is 1 to 4 characters without blanks",
        ),
    ],
)
def test_codes_have_their_lengths(table: str, code: str, problem: str | None) -> None:
    """C163."""
    entry = CodeEntry(code, "what it is", department="FINANCE", text="Paid.")
    assert entry_problem(CodeTable(table), entry) == problem


@pytest.mark.parametrize(
    ("table", "entry", "problem"),
    [
        (CodeTable.TYPE, CodeEntry("VR", "x" * 2_000), None),
        (
            CodeTable.TYPE,
            CodeEntry("VR", "x" * 2_001),
            "the description has 2001 characters; at most 2000 are kept",
        ),
        (
            CodeTable.TYPE,
            CodeEntry("VR", "a\x1b[2J"),
            "the description has characters that cannot be shown",
        ),
        (
            CodeTable.UNIT,
            CodeEntry("DESK", ""),
            "a unit belongs to a department; give --set department=CODE",
        ),
        (CodeTable.DEFAULT_MESSAGE, CodeEntry("PAID", "x" * 30, text="Line 1\nLine 2"), None),
        (
            CodeTable.DEFAULT_MESSAGE,
            CodeEntry("PAID", "x" * 31, text="Paid."),
            "the description has 31 characters; at most 30 are kept",
        ),
        (
            CodeTable.DEFAULT_MESSAGE,
            CodeEntry("PAID", ""),
            "the text must not be empty; give --set text=TEXT",
        ),
    ],
)
def test_rows_have_what_their_table_needs(
    table: CodeTable, entry: CodeEntry, problem: str | None
) -> None:
    assert entry_problem(table, entry) == problem


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (ProcessingRule("VR", "LOAN"), None),
        (ProcessingRule("VR", "LOAN", 0, 365, "FINANCE", "DESK", "ann", "bob"), None),
        (
            ProcessingRule("VR", "LOAN", response_days=366),
            "response_days is a number of opening days from 0 to 365",
        ),
        (
            ProcessingRule("VR", "LOAN", processing_days=-1),
            "processing_days is a number of opening days from 0 to 365",
        ),
        (
            ProcessingRule("VR", "LOAN", unit="DESK"),
            "a unit needs the group that it belongs to; give --set group=CODE",
        ),
        (
            ProcessingRule("VR", "LOAN", processor="a\x00"),
            "processor has characters that cannot be shown",
        ),
        (
            ProcessingRule("VR", "LOAN", reporter="a\x00"),
            "reporter has characters that cannot be shown",
        ),
    ],
)
def test_rules_are_possible(rule: ProcessingRule, problem: str | None) -> None:
    assert rule_problem(rule) == problem


def test_a_text_says_something() -> None:
    assert text_problem(" \n") == "must not be empty"
    assert text_problem("When do you open?") is None
