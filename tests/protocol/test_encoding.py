"""Text never raises and never breaks a frame (B4, B5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.protocol.encoding import (
    ENCODINGS,
    clean,
    plain,
    text_encoding,
)

each_encoding = pytest.mark.parametrize("name", ENCODINGS)


@each_encoding
@given(data=st.binary(max_size=80))
def test_any_bytes_decode(name: str, data: bytes) -> None:
    assert text_encoding(name).decode(data).count("|") == data.count(b"|")


@each_encoding
@given(text=st.text(max_size=80))
def test_any_text_fits_clean_and_short(name: str, text: str) -> None:
    encoding = text_encoding(name)
    data = encoding.encode_strict(encoding.fit(text, 20))
    assert len(data) <= 20
    assert not set(data) & {0, 10, 13, ord("|")}
    encoding.encode(text)


@each_encoding
@given(text=st.text(max_size=200))
def test_pieces_lose_nothing(name: str, text: str) -> None:
    encoding = text_encoding(name)
    pieces = encoding.pieces(text, 20)
    assert all(len(encoding.encode_strict(piece)) <= 20 for piece in pieces)
    assert "".join(pieces) == encoding.decode(encoding.encode(clean(text)))


@pytest.mark.parametrize(
    ("name", "text", "data"),
    [
        ("cp850", "é", b"\x82"),
        ("latin-1", "é", b"\xe9"),
        ("cp1252", "€", b"\x80"),
        ("utf-8", "č", b"\xc4\x8d"),
        ("ascii", "Straße", b"Strasse"),
        ("ascii", "Čapek", b"Capek"),
        ("cp850", "Łódź", b"L\xa2dz"),
        ("cp850", "5 €", b"5 EUR"),
        ("cp850", "cafe\N{COMBINING ACUTE ACCENT}", b"caf\x82"),
        ("ascii", "q\N{COMBINING ACUTE ACCENT}", b"q"),
        ("cp850", "日", b"?"),
        ("ascii", "\N{FULLWIDTH VERTICAL LINE}", b" "),
        ("ascii", "\ufffd", b"?"),
    ],
)
def test_what_an_encoding_lacks_becomes_readable(name: str, text: str, data: bytes) -> None:
    assert text_encoding(name).encode(text) == data


def test_undecodable_bytes_become_a_substitute() -> None:
    assert text_encoding("ascii").decode(b"a\xff|b") == "a\ufffd|b"


def test_cut_falls_on_a_character_edge() -> None:
    assert text_encoding("utf-8").fit("ééé", 5) == "éé"


def test_pieces_end_behind_a_blank_where_there_is_one() -> None:
    assert text_encoding("cp850").pieces("one two three", 9) == ["one two ", "three"]
    assert text_encoding("cp850").pieces("onetwothree", 9) == ["onetwothr", "ee"]


def test_controls_and_delimiters_become_blanks() -> None:
    assert clean("a\r\n\0|b\x7f") == "a    b "
    assert clean("é") == "é"
    assert plain("é|\n") == "   "
    assert plain("abc") == "abc"


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: cp850"):
        text_encoding("utf-7")
