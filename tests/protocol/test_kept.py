"""What a library system says passes whole, with bytes that no encoding knows (C126, C153)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.protocol.codec import parse_response, serialise
from sip2gw.protocol.encoding import ENCODINGS, clean, text_encoding
from sip2gw.protocol.errors import StrangeAnswerError
from sip2gw.protocol.line.connection import ClientConnection
from sip2gw.protocol.messages import PatronStatusResponse, ScStatus
from sip2gw.protocol.wire import UNCUT, WireFormat

each_encoding = pytest.mark.parametrize("name", ENCODINGS)
KEPT = WireFormat("utf-8", value_bytes_max=UNCUT, keeps_bytes=True)
STATUS = b"24" + b" " * 14 + b"001" + b" " * 18


@each_encoding
@given(data=st.binary(max_size=80))
def test_any_bytes_come_back_as_they_were(name, data):
    kept = text_encoding(name, keeps=True)
    assert kept.encode(kept.decode(data)) == data


@each_encoding
def test_bytes_that_were_kept_leave_in_every_encoding(name):
    text = text_encoding("utf-8", keeps=True).decode(b"Ren\xe9|")
    assert text == "Ren\udce9|"
    assert clean(text) == "Ren\udce9 "
    terminal = text_encoding(name)
    assert terminal.encode_strict(terminal.fit(text, 9)) == b"Ren\xe9 "
    assert terminal.encode(text + "日")[:5] == b"Ren\xe9|"
    assert [terminal.encode_strict(one) for one in terminal.pieces(text, 3)] == [b"Ren", b"\xe9 "]


def test_a_terminal_says_what_cannot_be_decoded_in_a_readable_way():
    assert text_encoding("utf-8").decode(b"Ren\xe9") == "Ren\ufffd"


def test_a_cut_leaves_kept_bytes_and_no_half_character():
    text = "a\udce9é"
    assert text_encoding("utf-8").fit(text, 3) == "a\udce9"
    assert text_encoding("utf-8").fit(text, 4) == text


@pytest.mark.parametrize("said", [b"Ren\xe9", "Müller".encode()])
def test_what_was_said_in_an_answer_is_said_to_the_terminal(said):
    answer = parse_response(STATUS + b"AOHUB|AA21|AE" + said + b"|AF" + said + b"|", KEPT)
    for wire in (WireFormat("utf-8"), KEPT):
        assert serialise(answer, wire).count(said) == 2


def test_a_long_text_is_cut_and_spread_unless_the_wire_format_has_no_limit():
    name, screen = "n" * 300, "s" * 300
    answer = PatronStatusResponse(personal_name=name, screen_message=(screen,))
    uncut = serialise(answer, WireFormat("latin-1", value_bytes_max=UNCUT))
    assert f"AE{name}|".encode() in uncut
    assert f"AF{screen}|".encode() in uncut
    cut = serialise(answer, WireFormat("latin-1"))
    assert f"AE{name[:255]}|".encode() in cut
    assert f"AF{screen[:255]}|AF{screen[255:]}|".encode() in cut


# A line that others share ---------------------------------------------------------------------


def asked(**more):
    client = ClientConnection(WireFormat("utf-8"), **more)
    client.send(ScStatus())
    return client


def test_a_body_is_given_only_with_the_sequence_number_of_the_request():
    client = asked()
    client.receive(b"98YAY0AZFE78\r\n24")
    with pytest.raises(StrangeAnswerError):
        client.next_body()
    client = asked()
    client.receive(b"941AY0\r24")
    assert client.next_body() == b"941"
    assert client.has_more
    assert client.next_body() is None
    for wrong in (b"941AY1\r", b"941\r"):
        client = asked()
        client.receive(wrong)
        with pytest.raises(StrangeAnswerError):
            client.next_body()


def test_a_96_needs_no_sequence_number_and_without_checksums_nothing_does():
    client = asked()
    client.receive(b"96AZFEF6\r")
    assert client.next_body() == b"96"
    client.send(ScStatus(), checksum=False)
    client.receive(b"941AY7AZ0000\r")
    assert client.next_body() == b"941"


def test_checksums_over_characters():
    client = ClientConnection(WireFormat("utf-8"), characters=True)
    sent = client.send_body("23é".encode())
    summed = "23éAY0AZ"
    digits = b"%04X" % (-sum(map(ord, summed)) & 0xFFFF)
    assert sent == summed.encode() + digits + b"\r"
    assert client.send_body(b"23", checksum=False) == b"23\r"
    text = "24éAY0AZ"
    for by_characters in (True, False):
        client = asked(characters=True)
        total = sum(map(ord, text)) if by_characters else sum(text.encode())
        client.receive(text.encode() + b"%04X\r" % (-total & 0xFFFF))
        assert client.next_body() == "24é".encode()
    client = asked()
    client.receive(text.encode() + b"%04X\r" % (-sum(map(ord, text)) & 0xFFFF))
    with pytest.raises(StrangeAnswerError):
        client.next_body()
