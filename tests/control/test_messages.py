"""What is said over the control socket, and that no bytes do harm (C130)."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.backend.system import AccountState
from sip2gw.control import messages
from sip2gw.control.messages import (
    AnyAnswer,
    AnyRequest,
    Decide,
    Kick,
    LineBuffer,
    LineTooLongError,
    ListTerminals,
    Refused,
    TerminalState,
    Trace,
    UnreadableAnswerError,
    encode,
    read_answer,
    read_request,
)
from sip2gw.monitoring.metrics import Family


def test_a_request_is_one_object_a_line():
    assert encode(ListTerminals()) == b'{"request":"list_terminals"}\n'
    assert encode(Kick("kiosk-1")) == b'{"request":"kick","terminal":"kiosk-1"}\n'


@pytest.mark.parametrize("kind", AnyRequest.__args__)
def test_a_request_is_read_as_it_was_written(kind):
    texts = {"terminal": "kiosk-1", "config": "/etc/sip2gw.toml", "card": "1001"}
    request = kind(**{name: texts[name] for name in texts if name in kind.__struct_fields__})
    assert read_request(encode(request)[:-1]) == request


ANSWERS = [
    messages.Refused("no"),
    messages.Alive(ready=True),
    messages.Numbers(7, [Family("sip2gw_x", "gauge", "An x", ("y",), [("", ("z",), 1.5)])]),
    messages.Reloaded(["a problem"], ["server.listen"]),
    messages.Draining(20.0),
    messages.Drained(["store"]),
    messages.Lent(3, ending=True),
    messages.Terminals(
        [TerminalState("a", "kiosk", None, False, 0, None, None, 0, None)],
    ),
    messages.Kicked(1),
    messages.UpstreamAccounts([AccountState("default", "up", 2, 1, 0, "closed", 3.5)]),
    messages.FollowedUp(),
    messages.TraceBegan("kiosk-1", 0),
    messages.TraceEvent("2026-03-10T12:00:00.000+01:00", 3, "sent", ["64 …"], missed=2),
    messages.TraceEnded("seconds", 2),
    messages.Decided("refused", "wrong_pin", "Card or PIN is not correct."),
    messages.Configuration(2, b"\x80\x05secret"),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_an_answer_is_read_as_it_was_written(answer):
    assert read_answer(encode(answer)[:-1]) == answer


def test_there_is_an_example_of_each_answer():
    assert {type(answer) for answer in ANSWERS} == set(AnyAnswer.__args__)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "this version does not know the request"),
        (b"hello", "this version does not know the request"),
        (b"{}", "missing required field `request`"),
        (b'{"request":"fly"}', "Invalid value 'fly'"),
        (b'{"request":"kick"}', "missing required field `terminal`"),
        (b'{"request":"kick","terminal":7}', "Expected `str`, got `int`"),
        (b'{"request":"ping","now":true}', "unknown field `now`"),
        (b'{"request":"\xff"}', "this version does not know the request"),
        (b"[" * 4000, "this version does not know the request"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(line, told):
    refused = read_request(line)
    assert isinstance(refused, Refused)
    assert told in refused.problem
    assert len(refused.problem) < 300


def test_who_wants_to_pass_is_in_no_log():
    question = Decide("door-1", "20001003", "4711", "in")
    assert repr(question) == "Decide(terminal='door-1', direction='in')"
    broken = encode(question).replace(b'"in"', b"1")
    refused = read_request(broken[:-1])
    assert isinstance(refused, Refused)
    assert "4711" not in refused.problem


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_refusal(line):
    assert isinstance(read_request(line), AnyRequest | Refused)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_unreadable(line):
    with suppress(UnreadableAnswerError):
        assert isinstance(read_answer(line), AnyAnswer)


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63))
def test_whatever_is_asked_for_is_asked_for_as_it_is(name, seconds, frames):
    request = Trace(name, seconds, frames)
    assert read_request(encode(request)[:-1]) == request


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"."))), st.data())
def test_lines_come_out_whole_however_they_are_cut(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    buffer = LineBuffer(20)
    got: list[object] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer.feed(stream[:size])
        stream = stream[size:]
        got += buffer.lines()
    assert got == lines


@pytest.mark.parametrize("sent", [b"x" * 11, b"x" * 11 + b"\n", b"y\n" + b"x" * 30])
def test_a_line_without_end_is_not_kept(sent):
    buffer = LineBuffer(10)
    buffer.feed(sent)
    with pytest.raises(LineTooLongError):
        list(buffer.lines())


def test_a_problem_cannot_disturb_a_terminal():
    error = msgspec.ValidationError("\x1b[2J" + "x" * 1000)
    assert messages._in_short(error) == "?[2J" + "x" * 196


def test_a_configuration_shows_no_secret():
    assert repr(messages.Configuration(2, b"secret")) == "Configuration(reloads=2)"
