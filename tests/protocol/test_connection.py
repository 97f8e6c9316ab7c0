"""The conversation: error detection, replay, resending, the login gate (B7, B8, B10, B11)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sip2gw.protocol.checksum import seal
from sip2gw.protocol.errors import FrameTooLongError, ProtocolError
from sip2gw.protocol.line.connection import (
    BadChecksum,
    ClientConnection,
    Closed,
    Dropped,
    Reply,
    RequestReceived,
    ResendRequested,
    ResponseReceived,
    ServerConnection,
    UnreadableReceived,
)
from sip2gw.protocol.message import UnknownRequest, Verbatim
from sip2gw.protocol.messages import (
    EndPatronSession,
    EndSessionResponse,
    LoginResponse,
    PatronStatusRequest,
    RequestScResend,
    ScStatus,
)
from sip2gw.protocol.wire import ErrorDetection, WireFormat

MIRROR = WireFormat()
BODY = b"3520260131    142500AOHUB|AA2100|"
FIRST = seal(BODY, b"1", True) + b"\r"
ANSWER = EndSessionResponse(patron_identifier="2100")
ANSWER_BODY = b"36Y" + b" " * 18 + b"AO|AA2100|"


def server(wire: WireFormat = MIRROR, data: bytes = b"", **limits: int) -> ServerConnection:
    """A terminal's line, already logged in, on which `data` has arrived."""
    connection = ServerConnection(wire, **limits)
    connection.logged_in = True
    connection.receive(data)
    return connection


def answered(connection: ServerConnection, now: float = 0.0) -> bytes:
    """Take the request that must be there and answer it."""
    assert isinstance(connection.next_event(now), RequestReceived)
    return connection.send(ANSWER)


# Error detection ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "frame", "reply"),
    [
        ("mirror", BODY, ANSWER_BODY),
        ("mirror", seal(BODY, b"4", False), seal(ANSWER_BODY, b"4", False)),
        ("mirror", seal(BODY, b"4", True), seal(ANSWER_BODY, b"4", True)),
        ("mirror", seal(BODY, b"", True), seal(ANSWER_BODY, b"", True)),
        ("always", seal(BODY, b"4", True), seal(ANSWER_BODY, b"4", True)),
        ("never", BODY + b"AY4AZ0000", seal(ANSWER_BODY, b"4", False)),
    ],
)
def test_b7_error_detection_is_mirrored_or_forced(
    mode: ErrorDetection, frame: bytes, reply: bytes
) -> None:
    wire = WireFormat(error_detection=mode)
    assert answered(server(wire, frame + b"\n")) == reply + b"\r"


def test_c29_always_answers_a_request_without_az_with_96() -> None:
    connection = server(WireFormat(error_detection="always"), BODY + b"\r77\r")
    assert connection.next_event(0) == Reply(b"96AZFEF6\r", "requested_by_us")
    assert connection.next_event(0) == Dropped("unknown_message")


def test_b6_a_checksum_over_characters_is_accepted_by_profile() -> None:
    text = BODY.decode() + "BDCa\N{LATIN SMALL LETTER C WITH DOT ABOVE}ara|AY1AZ"
    frame = text.encode() + b"%04X\r" % (-sum(map(ord, text)) & 0xFFFF)
    strict = WireFormat(encoding="utf-8")
    assert isinstance(server(strict, frame).next_event(0), Reply)
    tolerant = replace(strict, accept_character_checksum=True)
    assert isinstance(server(tolerant, frame).next_event(0), RequestReceived)
    wrong = server(tolerant, frame[:-5] + b"0000\r")
    assert isinstance(wrong.next_event(0), Reply)


def test_a_line_says_whether_it_has_more_to_say() -> None:
    connection = server(data=FIRST + b"\n")
    answered(connection)
    assert not connection.has_more, "a line end alone is nothing"
    connection.receive(b"35")
    assert connection.has_more, "perhaps: a frame has begun"
    closing = server(data=b"35AZ0000\r", resend_limit=1)
    assert isinstance(closing.next_event(0), Reply)
    assert closing.has_more, "that it closes"
    assert closing.next_event(0) == Closed("checksum")


# Handing on (C126) ----------------------------------------------------------------------------

PASSING = WireFormat(hands_out_unknown=True)


def test_c126_an_unknown_request_is_handed_out_where_the_profile_wants_it() -> None:
    frame = seal(b"86what|ADsecret|", b"3", True)
    assert server(data=frame + b"\r").next_event(0) == Dropped("unknown_message")
    connection = server(PASSING, frame + b"\r")
    event = connection.next_event(0)
    assert event == RequestReceived(UnknownRequest(), gated=False, frame=frame)
    assert connection.pending_body == b"86what|ADsecret|"
    answer = b"87\xff\x00whatever"
    assert connection.send(Verbatim(answer)) == seal(answer, b"3", True) + b"\r"
    assert connection.pending_body == b""


def test_c126_before_the_login_it_is_gated() -> None:
    connection = ServerConnection(PASSING)
    connection.receive(b"86\r")
    event = connection.next_event(0)
    assert isinstance(event, RequestReceived)
    assert event.gated


def test_c126_the_body_of_a_pending_request_is_as_it_came() -> None:
    connection = server(data=b"")
    assert connection.pending_body == b""
    connection.receive(FIRST + b"23\xffshort|AY2\r")
    answered(connection)
    assert isinstance(connection.next_event(0), UnreadableReceived)
    assert connection.pending_body == b"23\xffshort|"


def test_b2_what_gets_no_answer_is_over_and_its_retry_is_a_new_request() -> None:
    frame = seal(b"86what|", b"3", True) + b"\r"
    connection = server(PASSING, frame * 2 + FIRST)
    assert isinstance(connection.next_event(0), RequestReceived)
    refusal = UnknownRequest().failure_form("HUB", datetime(2026, 1, 1, tzinfo=UTC), ("no",))
    assert connection.send(refusal) == b""
    assert isinstance(connection.next_event(0), RequestReceived), "not a repetition"
    connection.send(Verbatim(b"87"))
    assert answered(connection) == seal(ANSWER_BODY, b"1", True) + b"\r"


def test_b16_a_body_is_not_in_its_repr() -> None:
    assert repr(Verbatim(b"canary")) == "Verbatim(6 bytes)"
    assert repr(UnknownRequest()) == "UnknownRequest()"


def test_b8_bad_checksums_get_96_and_the_last_one_closes() -> None:
    connection = server(data=b"35AZ0000\r" * 5)
    for _ in range(3):
        assert connection.next_event(0) == Reply(b"96AZFEF6\r", "requested_by_us")
    assert connection.next_event(0) == Closed("checksum")
    connection.receive(FIRST)
    assert connection.next_event(0) is None


@pytest.mark.parametrize("digits", [b"", b"FCA", b"FC#4", b"FCA44"])
def test_b8_a_checksum_that_noise_has_damaged_gets_96(digits: bytes) -> None:
    connection = server(data=b"9900302.00AY2AZ" + digits + b"\r")
    assert connection.next_event(0) == Reply(b"96AZFEF6\r", "requested_by_us")


def test_b8_a_good_frame_resets_the_count() -> None:
    connection = server(data=(b"35AZ0000\r" * 2 + b"97AZFEF5\r") * 3)
    events = [connection.next_event(0) for _ in range(9)]
    assert all(isinstance(event, Reply) for event in events)
    assert connection.next_event(0) is None


# Replay and resending -------------------------------------------------------------------------


def test_b8_an_identical_retransmission_is_answered_from_store() -> None:
    connection = server(data=FIRST)
    first = answered(connection)
    connection.receive(FIRST)
    assert connection.next_event(60.0) == Reply(first, "replayed")


def test_b8_also_while_the_first_is_still_running() -> None:
    connection = server(data=FIRST + FIRST)
    assert isinstance(connection.next_event(0), RequestReceived)
    assert connection.pending
    assert connection.next_event(0) is None
    first = connection.send(ANSWER)
    assert connection.next_event(0) == Reply(first, "replayed")
    assert not connection.pending


def test_b8_also_after_a_96_in_between() -> None:
    connection = server(data=FIRST + b"35AY1AZ0000\r" + FIRST + b"97AZFEF5\r")
    first = answered(connection)
    assert connection.next_event(0) == Reply(b"96AZFEF6\r", "requested_by_us")
    assert connection.next_event(0) == Reply(first, "replayed")
    resent = connection.next_event(0)
    assert resent == Reply(seal(ANSWER_BODY, b"", True) + b"\r", "requested_by_terminal")


@pytest.mark.parametrize(
    ("second", "now"),
    [
        (FIRST, 60.1),
        (seal(BODY, b"2", True) + b"\r", 0.0),
        (seal(BODY + b"AD|", b"1", True) + b"\r", 0.0),
    ],
    ids=["too late", "another AY", "other bytes"],
)
def test_c68_what_is_no_retransmission_is_executed(second: bytes, now: float) -> None:
    connection = server(data=FIRST + second)
    answered(connection)
    assert isinstance(connection.next_event(now), RequestReceived)


def test_c30_without_ay_nothing_is_replayed() -> None:
    frame = seal(BODY, b"", True) + b"\r"
    connection = server(data=frame + frame)
    answered(connection)
    answered(connection)


@pytest.mark.parametrize("body", [b"9300CNa|COb|", b"9900302.00"])
def test_c68_login_and_status_are_always_answered_afresh(body: bytes) -> None:
    connection = server(data=(seal(body, b"1", True) + b"\r") * 2)
    answered(connection)
    answered(connection)


@pytest.mark.parametrize(
    ("with_sequence", "sequence"), [(False, b""), (True, b"1")], ids=["standard", "identical"]
)
def test_b8_97_gets_the_last_response_again(with_sequence: bool, sequence: bytes) -> None:
    wire = WireFormat(resend_with_sequence=with_sequence, terminator=b"\r\n")
    connection = server(wire, FIRST + b"97AZFEF5\r97\r")
    answered(connection)
    again = Reply(seal(ANSWER_BODY, sequence, True) + b"\r\n", "requested_by_terminal")
    assert connection.next_event(0) == again
    assert connection.next_event(0) == again


def test_b8_97_before_anything_gets_96_and_then_that_96_again() -> None:
    connection = server(data=b"97\r97AZFEF5\r")
    assert connection.next_event(0) == Reply(b"96\r", "requested_by_terminal")
    assert connection.next_event(0) == Reply(b"96AZFEF6\r", "requested_by_terminal")


# The gate, and what is no request -------------------------------------------------------------


def test_b11_before_login_only_93_and_99_are_not_gated() -> None:
    connection = ServerConnection(MIRROR)
    connection.receive(b"9900302.00\r" + BODY + b"\r9300CNa|COb|\r" + BODY + b"\r")
    gates = []
    for _ in range(4):
        event = connection.next_event(0)
        assert isinstance(event, RequestReceived)
        gates.append(event.gated)
        connection.logged_in = event.request.code == "93"
        connection.send(LoginResponse())
    assert gates == [False, True, False, False]


def test_b2_unknown_commands_are_dropped_and_unreadable_ones_answered() -> None:
    connection = server(data=b"24x\rgarbage\r35AO|AY2\r")
    assert connection.next_event(0) == Dropped("unknown_message")
    assert connection.next_event(0) == Dropped("unknown_message")
    event = connection.next_event(0)
    assert event == UnreadableReceived(EndPatronSession, b"35AO|AY2")
    assert connection.send(ANSWER) == seal(ANSWER_BODY, b"2", False) + b"\r"


def test_b3_a_frame_too_long_closes() -> None:
    connection = server(data=BODY + b"\r", frame_bytes_max=20)
    assert connection.next_event(0) == Closed("too_long")
    assert connection.next_event(0) is None


def test_b3_a_half_sent_frame_is_seen() -> None:
    connection = server(data=b"\r\n")
    assert not connection.partial
    connection.receive(b"35")
    assert connection.partial


def test_an_answer_without_a_request_is_a_mistake() -> None:
    with pytest.raises(ProtocolError, match="pending"):
        server().send(ANSWER)
    connection = server(data=FIRST)
    answered(connection)
    with pytest.raises(ProtocolError, match="pending"):
        connection.send(ANSWER)


def test_b16_events_show_no_frame() -> None:
    connection = server(data=BODY + b"ADcanary|\r35ADcanary\r")
    shown = repr(connection.next_event(0))
    connection.send(ANSWER)
    assert "canary" not in shown + repr(connection.next_event(0))


# Properties -----------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [FIRST, BODY + b"\r", b"97\r", b"97AZFEF5\r", b"35AZ0000\r", b"35\r", b"77\r", b"\0\n", b"9"]
)


def events_of(stream: bytes, size: int) -> list[object]:
    connection = ServerConnection(MIRROR, frame_bytes_max=80)
    events: list[object] = []
    for start in range(0, len(stream), size):
        connection.receive(stream[start : start + size])
        while (event := connection.next_event(0.0)) is not None:
            events.append(event)
            if connection.pending:
                events.append(connection.send(ANSWER))
    return events


@given(st.lists(PIECES, max_size=12).map(b"".join), st.integers(1, 40))
def test_chunking_never_changes_the_events(stream: bytes, size: int) -> None:
    assert events_of(stream, size) == events_of(stream, len(stream) or 1)


@settings(max_examples=200)
@given(st.lists(PIECES | st.binary(max_size=30), max_size=8).map(b"".join))
def test_any_bytes_give_declared_events(stream: bytes) -> None:
    known = (RequestReceived, UnreadableReceived, Reply, Dropped, Closed, bytes)
    assert all(isinstance(event, known) for event in events_of(stream, 1000))


# The terminal's side --------------------------------------------------------------------------


def test_two_peers_talk() -> None:
    client, line = ClientConnection(MIRROR), server()
    for turn in range(12):
        data = client.send(PatronStatusRequest(patron_identifier=str(turn)))
        assert data.endswith(b"AY%dAZ" % (turn % 10) + data[-5:])
        line.receive(data)
        event = line.next_event(float(turn))
        assert isinstance(event, RequestReceived)
        client.receive(line.send(replace(ANSWER, patron_identifier=str(turn))))
        answer = client.next_response()
        assert isinstance(answer, ResponseReceived)
        assert isinstance(answer.response, EndSessionResponse)
        assert answer.response.patron_identifier == str(turn)
        assert client.next_response() is None


def test_two_peers_recover_from_a_damaged_request_and_a_damaged_answer() -> None:
    client, line = ClientConnection(MIRROR), server()
    line.receive(client.send(ScStatus()).replace(b"2.00", b"2.0\x08"))
    damaged = line.next_event(0)
    assert isinstance(damaged, Reply)
    client.receive(damaged.data)
    assert client.next_response() == ResendRequested()
    line.receive(client.resend())
    client.receive(answered(line).replace(b"2100", b"21\x080"))
    assert client.next_response() == BadChecksum()
    line.receive(client.request_resend())
    again = line.next_event(0)
    assert isinstance(again, Reply)
    client.receive(again.data)
    answer = client.next_response()
    assert isinstance(answer, ResponseReceived)
    assert isinstance(answer.response, EndSessionResponse)
    assert answer.response.patron_identifier == "2100"


def test_an_answer_to_another_request_is_passed_over() -> None:
    client = ClientConnection(MIRROR)
    client.send(ScStatus())
    client.receive(b"940AY5\r941AY0\r")
    answer = client.next_response()
    assert isinstance(answer, ResponseReceived)
    assert answer.response == LoginResponse(ok=True)


def test_without_checksums_the_terminal_sends_no_trailer() -> None:
    client = ClientConnection(MIRROR)
    assert client.send(ScStatus(), checksum=False) == b"9900002.00\r"
    assert client.request_resend() == b"97\r"
    assert client.send_body(b"XX", checksum=False) == client.resend() == b"XX\r"


def test_what_is_no_answer_is_reported_and_too_much_raises() -> None:
    client = ClientConnection(MIRROR, frame_bytes_max=10)
    client.receive(b"23\r24\r96\r")
    assert client.next_response() == BadChecksum("unreadable")
    assert client.next_response() == BadChecksum("unreadable")
    assert client.next_response() == ResendRequested()
    client.receive(b"x" * 11)
    with pytest.raises(FrameTooLongError):
        client.next_response()


def test_96_is_a_response_without_fields() -> None:
    assert repr(RequestScResend()) == "RequestScResend()"


def test_what_the_line_itself_writes_and_reads_is_not_in_its_repr() -> None:
    """An answer has a name and debts, a frame may have a PIN."""
    shown = repr(Reply(b"canary", "replayed", b"canary"))
    assert "canary" not in shown
    assert "replayed" in shown
