"""Decisions of the client of a library system, without a line: breaker, waits, turns (B71)."""

from dataclasses import dataclass

from sip2gw.backend.upstream.breaker import FAILURES_MAX, Backoff, Breaker
from sip2gw.backend.upstream.turns import Turns


def breaker() -> Breaker:
    return Breaker(Backoff(1.0, 8.0, lambda: 0.0))


def fail(one: Breaker, now: float) -> bool:
    """All failures that it takes; whether the last one opened it, and only that."""
    return [one.failed(now) for _ in range(FAILURES_MAX)] == [False] * (FAILURES_MAX - 1) + [True]


def test_waits_double_up_to_the_longest_and_begin_anew() -> None:
    backoff = Backoff(1.0, 5.0, lambda: 0.0)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_a_wait_is_up_to_a_half_longer_by_chance() -> None:
    assert Backoff(1.0, 5.0, lambda: 1.0).next_s() == 1.5


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    one = breaker()
    for _ in range(FAILURES_MAX - 1):
        one.failed(0)
    one.answered()
    assert one.is_closed
    assert fail(one, 0)
    assert one.state == "open"


def test_it_is_tried_once_when_the_wait_is_over() -> None:
    one = breaker()
    fail(one, 10.0)
    assert not one.may_probe(10.9)
    assert one.may_probe(11.0)
    one.probe_began()
    assert one.state == "half_open"
    assert not one.may_probe(11.0)


def test_after_a_probe_one_failure_opens_it_for_longer() -> None:
    one = breaker()
    fail(one, 0)
    one.probe_began()
    one.probe_succeeded()
    assert one.is_closed
    assert one.failed(1.0)
    assert not one.may_probe(2.9)
    assert one.may_probe(3.0)


def test_after_an_answer_it_takes_all_failures_again_and_the_first_wait() -> None:
    one = breaker()
    fail(one, 0)
    one.probe_began()
    one.probe_succeeded()
    one.answered()
    assert fail(one, 10.0)
    assert one.may_probe(11.0)


def test_a_failure_while_it_is_open_changes_nothing() -> None:
    one = breaker()
    one.trip(5.0)
    assert not fail(one, 100.0)
    assert one.may_probe(5.0)


def test_a_new_line_of_a_healthy_account_is_no_probe() -> None:
    one = breaker()
    one.probe_succeeded()
    assert not one.failed(0)


@dataclass(eq=False)
class Asks:
    terminal: str
    number: int = 0


def test_terminals_have_their_turns_and_their_own_order() -> None:
    turns: Turns[Asks] = Turns(10)
    for one in [Asks("a", 1), Asks("a", 2), Asks("a", 3), Asks("b", 1), Asks("c", 1), Asks("b", 2)]:
        assert turns.add(one)
    taken = [turns.take() for _ in range(turns.size)]
    assert [f"{one.terminal}{one.number}" for one in taken if one] == [
        "a1", "b1", "c1", "a2", "b2", "a3",
    ]  # fmt: skip
    assert turns.take() is None


def test_who_waits_no_longer_has_no_turn() -> None:
    turns: Turns[Asks] = Turns(10)
    first, second, third = Asks("a", 1), Asks("a", 2), Asks("b", 1)
    for one in (first, second, third):
        turns.add(one)
    turns.remove(first)
    turns.remove(third)
    turns.remove(third)
    assert turns.size == 1
    assert turns.take() is second


def test_only_so_many_wait() -> None:
    turns: Turns[Asks] = Turns(2)
    assert turns.add(Asks("a"))
    assert turns.add(Asks("b"))
    assert not turns.add(Asks("c"))
    turns.take()
    assert turns.add(Asks("c"))
