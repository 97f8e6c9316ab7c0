"""Which answers a process has shown, until the store knows it as well (C145)."""

import pytest

from sip2gw.shared import answers
from sip2gw.shared.answers import ShownAnswers


def test_each_answer_is_shown_once_a_few_at_a_time():
    shown = ShownAnswers()
    assert shown.take("P1", ("a", "b", "c", "d", "a"), 2) == ["a", "b"]
    assert shown.take("P1", ("a", "b", "c", "d", "a"), 2) == ["c", "d"]
    assert shown.take("P1", ("a", "b", "c", "d", "a"), 2) == []
    assert shown.take("P2", ("a",), 2) == ["a"]
    assert shown.waiting() == {"P1": ("a", "b", "c", "d"), "P2": ("a",)}


def test_what_is_shown_while_the_store_writes_waits_for_the_next_time():
    shown = ShownAnswers()
    shown.take("P1", ("a",), 3)
    writing = shown.waiting()["P1"]
    shown.take("P1", ("a", "b"), 3)
    shown.written("P1", writing)
    assert shown.waiting() == {"P1": ("b",)}
    shown.written("P1", ("b",))
    assert shown.waiting() == {}
    assert shown.take("P1", ("a",), 3) == ["a"], "the same text again is another answer"


def test_what_cannot_be_noted_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "PATRONS_MAX", 1)
    shown = ShownAnswers()
    assert shown.take("P1", ("a",), 3) == ["a"]
    assert shown.take("P2", ("b",), 3) == []
    assert shown.take("P1", ("a", "c"), 3) == ["c"]
    assert shown.waiting() == {"P1": ("a", "c")}
