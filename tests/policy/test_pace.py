"""A library system that is slow, not away: who is told so at once.  (B71, B77)"""

import pytest

from sip2gw.policy.upstream.pace import FORGOTTEN_AFTER_S, Pace, can_be_sent, can_wait


def test_the_newer_answers_count_more() -> None:
    pace = Pace()
    assert pace.expected_s(now=0.0) == 0.0
    pace.took(3.0, 0.0, now=10.0)
    assert pace.expected_s(now=10.0) == 3.0
    pace.took(1.0, 0.0, now=11.0)
    assert pace.expected_s(now=11.0) == 2.0
    assert pace.theirs_s(now=11.0, busy_s=0.0) == 2.0


def test_after_some_quick_answers_a_slow_time_is_over() -> None:
    pace = Pace()
    pace.took(3.0, 0.0, now=0.0)
    for second in range(10):
        pace.took(0.01, 0.0, now=float(second))
    assert pace.expected_s(now=9.0) < 0.02
    assert pace.theirs_s(now=9.0, busy_s=0.0) < 0.02


def test_what_nobody_has_seen_lately_says_nothing() -> None:
    pace = Pace()
    pace.took(3.0, 0.0, now=100.0)
    assert pace.expected_s(now=100.0 + FORGOTTEN_AFTER_S) == 3.0
    assert pace.theirs_s(now=100.0 + FORGOTTEN_AFTER_S, busy_s=0.0) == 3.0
    assert pace.expected_s(now=100.1 + FORGOTTEN_AFTER_S) == 0.0
    assert pace.theirs_s(now=100.1 + FORGOTTEN_AFTER_S, busy_s=0.0) == 0.0
    pace.took(0.01, 0.0, now=200.0)
    assert pace.expected_s(now=200.0) == 0.01
    assert pace.theirs_s(now=200.0, busy_s=0.0) == 0.01


def test_lines_that_all_wait_for_long_are_slow_before_they_have_answered() -> None:
    pace = Pace()
    pace.took(0.01, 0.0, now=0.0)
    assert pace.theirs_s(now=2.5, busy_s=2.5) == 2.5
    assert pace.theirs_s(now=2.5, busy_s=0.005) == 0.01


def test_the_time_in_which_we_worked_for_others_is_not_theirs() -> None:
    pace = Pace()
    pace.took(0.302, 0.3, now=1.0)
    assert pace.theirs_s(now=1.0, busy_s=0.0) == pytest.approx(0.002)
    assert pace.expected_s(now=1.0) == 0.302  # what is sent now will be read as late
    pace.took(0.1, 0.1001, now=2.0)  # two clocks
    assert pace.theirs_s(now=2.0, busy_s=-0.0001) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("ahead", "lines", "theirs_s", "left_s", "can"),
    [
        (2, 4, 2.0, 4.0, True),  # its turn comes after 1.5 s, the answer 2.4 s later at the latest
        (3, 4, 2.0, 4.0, False),
        (0, 4, 3.0, 4.0, False),  # 0.75 s and 3.6 s
        (0, 1, 2.0, 4.0, False),  # the line is in use for 2 s more
        (0, 1, 1.8, 4.0, True),
        (4000, 4, 0.0, 4.0, True),  # nobody knows yet
        (1000, 4, 0.005, 4.0, True),
    ],
)
def test_who_waits_must_get_an_answer_in_time(
    ahead: int, lines: int, theirs_s: float, left_s: float, can: bool
) -> None:
    assert can_wait(ahead, lines, theirs_s, left_s) is can


def test_a_slow_answer_is_no_exception_where_all_other_lines_have_waited_as_long() -> None:
    pace = Pace()
    pace.took(0.02, 0.0, now=0.0)
    pace.took(3.02, 0.0, now=3.0)
    assert pace.expected_s(now=3.0) == pytest.approx(1.52)
    assert pace.expected_s(now=3.0, busy_s=0.1) == pytest.approx(1.52)  # the others are quick
    assert pace.expected_s(now=3.0, busy_s=2.9) == 2.9
    pace.took(0.02, 0.0, now=3.1)
    assert pace.expected_s(now=3.1, busy_s=3.0) == pytest.approx(0.77)  # this line is quick


@pytest.mark.parametrize(
    ("expected_s", "left_s", "can"),
    [(3.0, 3.6, True), (3.0, 3.5, False), (0.0, 0.1, True), (0.0, 0.0, False), (0.0, -1.0, False)],
)
def test_what_comes_too_late_is_not_sent(expected_s: float, left_s: float, can: bool) -> None:
    assert can_be_sent(expected_s, left_s) is can
