"""REST beside terminals: what is asked, and what is made of the answers."""

from __future__ import annotations

import socket
from array import array
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import rest
from benchmarks.load import Expected, Outcome, Stream, answers_in
from benchmarks.rest import QUESTIONS, TERMINALS, Question, Slice, pairs_of, responses_in, tell
from benchmarks.servers import Server
from sip2gw.model.rights import Role

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
GONE = b"HTTP/1.1 204 No Content\r\n\r\n"


def test_fifty_terminals_are_measured_beside_rest(capsys: pytest.CaptureFixture[str]) -> None:
    """Each answer is looked at, so that a wrong one would end the measurement."""
    assert rest.main(["--pairs", "1", "--seconds", "0.2", "--patrons", "200"]) in (0, 1)
    shown = capsys.readouterr().out
    assert f"{len(QUESTIONS)} requests over REST" in shown
    assert "p99 beside 50 requests/s of REST, times" in shown
    assert "goal 1.1" in shown


def test_fifty_terminals_and_every_role_ask() -> None:
    assert sum(count for count, _ in TERMINALS.values()) == 50
    assert {question.role for question in QUESTIONS} == set(Role)


def test_a_question_is_asked_about_each_card_in_turn() -> None:
    question = Question(Role.STAFF, "POST", "/patrons/{card}/x", 201, {"of": "{card}"})
    first, second, again = (
        next(frames) for frames in [question.frames(["C1", "C2"])] for _ in "123"
    )
    assert first.startswith(b"POST /api/v1/patrons/C1/x HTTP/1.1\r\n")
    assert first.endswith(b'\r\nContent-Length: 12\r\n\r\n{"of": "C1"}')
    assert b"\r\nAuthorization: Bearer staff-" in first
    assert second == first.replace(b"C1", b"C2")
    assert again == first


def test_an_answer_over_http_ends_where_it_says() -> None:
    assert responses_in(CREATED) == ([CREATED], b"")
    assert responses_in(CREATED + GONE + CREATED[:-1]) == ([CREATED, GONE], CREATED[:-1])
    assert responses_in(CREATED[:20]) == ([], CREATED[:20])


def test_an_answer_over_sip2_ends_with_a_return() -> None:
    assert answers_in(b"98Y\r36Y\r12") == ([b"98Y", b"36Y"], b"12")


def test_an_answer_is_good_by_its_status() -> None:
    expected = Question(Role.STAFF, "POST", "/x", 201).expected
    outcome = Outcome()
    outcome.judge(CREATED, expected)
    assert outcome.errors == 0
    outcome.judge(GONE, expected)
    assert (outcome.errors, outcome.sample) == (1, GONE)


def test_streams_side_by_side_take_turns() -> None:
    with socket.socket() as sock:
        stream = Stream([sock], iter(()), 4.0, Expected(b""), begins_s=0.1)
        dues = [due for due, _, _ in stream.schedule(1.0)]
    assert dues == pytest.approx([0.1, 0.35, 0.6, 0.85])


def waited(*ms: float) -> Outcome:
    return Outcome(1.0, array("q", (int(one * 1_000_000) for one in ms)))


def of(ms: float, *programs: Outcome) -> Slice:
    return Slice([waited(ms)] * len(TERMINALS), programs, 0.1, 0.003 * len(programs))


@pytest.mark.parametrize(("beside", "missed"), [(1.05, False), (1.2, True)])
def test_the_goal_is_missed_when_terminals_wait_longer_beside_rest(
    beside: float, missed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell([(of(1.0), of(beside, waited(20.0)))] * 7) is missed
    told = capsys.readouterr().out
    assert f"times: {beside:g} " in told
    assert "process for HTTP: 3.00 ms a request" in told


def test_every_second_pair_begins_with_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two slices warm up; then neither way is always the first."""
    asked: list[int] = []

    def measured(server: Server, terminals: object, programs: Sequence[Any], seconds: float) -> Any:
        asked.append(len(programs))
        return len(programs)

    monkeypatch.setattr(rest, "measured", measured)
    crowd: Any = SimpleNamespace(
        terminals=lambda slices: nullcontext([slices]), programs=lambda: nullcontext(["one"])
    )
    server: Any = None
    found: list[Any] = list(pairs_of(crowd, server, 2, 1.0))
    assert found == [(0, 1), (0, 1)]
    assert asked == [0, 1, 0, 1, 1, 0]


def test_a_wrong_answer_ends_the_measurement() -> None:
    wrong = waited(1.0)
    wrong.judge(b"HTTP/1.1 503 Busy", QUESTIONS[0].expected)
    with pytest.raises(RuntimeError, match="503 Busy"):
        of(1.0, wrong).insist()
