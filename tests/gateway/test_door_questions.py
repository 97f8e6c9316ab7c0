"""What a door was answered a moment ago is remembered no longer than that.  (C122)"""

from sip2gw.shared import door_questions
from sip2gw.shared.door_questions import FORGOTTEN_EVERY_S, DoorQuestions

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
        assert len(asked) <= 10 * (5 + FORGOTTEN_EVERY_S)
    asked.remember(QUESTION, "answer", 200.0, 5.0)
    assert len(asked) == 1


def test_what_is_forgotten_is_asked_anew():
    asked = DoorQuestions()
    asked.remember(QUESTION, "answer", 100.0, 5.0)
    asked.forget()
    assert asked.recall(QUESTION, 100.0) is None


def test_there_is_room_for_so_many(monkeypatch):
    monkeypatch.setattr(door_questions, "QUESTIONS_MAX", 3)
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
    assert "2" not in repr(list(asked._answered.values()))
