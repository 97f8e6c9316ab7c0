"""What a door was answered a moment ago is remembered no longer than that.  (C122)"""

from sip2gw.shared import door_questions
from sip2gw.shared.door_questions import DoorQuestions

QUESTION = ("door-1", b"digest")


def test_an_answer_lasts_for_its_window():
    asked = DoorQuestions()
    asked.remember(QUESTION, "answer", 100.0, 5.0)
    assert asked.recall(QUESTION, 104.9) == "answer"
    assert asked.recall(QUESTION, 105.0) is None
    assert asked.recall(("door-2", b"digest"), 100.0) is None


def test_without_a_window_nothing_is_kept():
    asked = DoorQuestions()
    asked.remember(QUESTION, "answer", 100.0, 0.0)
    assert len(asked) == 0


def test_what_is_over_is_forgotten_soon_after_when_more_comes():
    asked = DoorQuestions()
    for tenth in range(1000):
        asked.remember(("door-1", b"%d" % tenth), "answer", tenth / 10, 5.0)
        assert len(asked) <= 10 * 2 * 5
    asked.remember(QUESTION, "answer", 200.0, 5.0)
    assert len(asked) == 1


def test_the_longest_window_counts_for_all():
    """A door with a short window must not have an answer forgotten that another one needs."""
    asked = DoorQuestions()
    asked.remember(("door-2", b""), "another", 100.0, 60.0)
    asked.remember(QUESTION, "answer", 159.0, 60.0)
    for second in range(160, 219):
        asked.remember(("door-3", b"%d" % second), "another", second, 1.0)
        assert asked.recall(QUESTION, second) == "answer"


def test_what_was_asked_again_lasts_from_then_on():
    asked = DoorQuestions()
    asked.remember(QUESTION, "old", 100.0, 5.0)
    asked.remember(QUESTION, "new", 106.0, 5.0)
    assert asked.recall(QUESTION, 110.9) == "new"


def test_what_is_forgotten_is_asked_anew():
    asked = DoorQuestions()
    asked.remember(QUESTION, "answer", 100.0, 5.0)
    asked.forget()
    assert asked.recall(QUESTION, 100.0) is None


def test_there_is_room_for_so_many(monkeypatch):
    monkeypatch.setattr(door_questions, "QUESTIONS_MAX", 4)
    asked = DoorQuestions()
    for number in range(5):
        asked.remember(("door-1", b"%d" % number), number, 0.0, 5.0)
    assert [asked.recall(("door-1", b"%d" % number), 1.0) for number in range(5)] == [
        None,
        None,
        2,
        3,
        4,
    ]
    assert "2" not in repr([*asked._before.values(), *asked._lately.values()])
