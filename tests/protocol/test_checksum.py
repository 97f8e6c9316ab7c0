"""Checksums and the trailer (B6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.protocol.checksum import (
    Trailer,
    character_checksum_matches,
    checksum,
    checksum_digits,
    checksum_matches,
    seal,
    split_trailer,
    usual_body,
)

GOLDEN = [
    b"97AZFEF5",
    b"96AZFEF6",
    b"941AY1AZFDFC",
    b"9900302.00AY2AZFCA4",
    b"9300CNOV|COOV|CPWES|AY1AZF86B",
]


@pytest.mark.parametrize("frame", GOLDEN)
def test_golden_vectors_of_b6(frame: bytes) -> None:
    trailer = split_trailer(frame)
    assert trailer.summed == frame[:-4]
    assert checksum_digits(frame[:-4]) == frame[-4:]
    assert checksum_matches(trailer.summed, trailer.digits)
    assert checksum_matches(trailer.summed, trailer.digits.lower())
    assert not checksum_matches(trailer.summed, b"0000")
    assert seal(trailer.body, trailer.sequence, with_checksum=True) == frame


@given(st.binary(max_size=2000))
def test_checksum_is_the_sum_of_the_bytes(data: bytes) -> None:
    assert checksum(data) == sum(data)


def test_checksum_of_the_largest_bytes_stays_exact() -> None:
    assert checksum(b"\xff" * 9000) == 255 * 9000


@given(st.binary(max_size=600))
def test_data_and_its_digits_add_up_to_zero(data: bytes) -> None:
    assert (sum(data) + int(checksum_digits(data), 16)) % 65536 == 0


def test_character_sum_counts_code_points() -> None:
    text = "101YNN20160101    000000AOx|AJnamċara|AY3AZ"
    digits = b"%04X" % (-sum(map(ord, text)) & 0xFFFF)
    assert character_checksum_matches(text, digits)
    assert not checksum_matches(text.encode(), digits)


@pytest.mark.parametrize(
    ("frame", "body", "sequence", "digits"),
    [
        (b"23AO|AD1|AY3AZ1a2B", b"23AO|AD1|", b"3", b"1a2B"),
        (b"23AO|AD1AY3AZ1A2B", b"23AO|AD1", b"3", b"1A2B"),
        (b"23AO|AD1AY3AZ1A2B|", b"23AO|AD1", b"3", b"1A2B"),
        (b"23AO|AD1|AY3|AZ1A2B||", b"23AO|AD1|", b"3", b"1A2B"),
        (b"23AO|AD1|AZ1A2B|", b"23AO|AD1|", b"", b"1A2B"),
        (b"9900302.00AZFCA4|", b"9900302.00", b"", b"FCA4"),
        (b"23AO|AD1|AY3|", b"23AO|AD1|", b"3", b""),
        (b"23AO|AD1AY3", b"23AO|AD1", b"3", b""),
    ],
)
def test_trailer_forms_of_b1(frame: bytes, body: bytes, sequence: bytes, digits: bytes) -> None:
    found = split_trailer(frame)
    assert (found.body, found.sequence, found.digits) == (body, sequence, digits)
    assert found.summed == (frame[: frame.rindex(b"AZ") + 2] if digits else b"")


@pytest.mark.parametrize(
    ("frame", "body", "sequence"),
    [
        (b"9900302.00AY2AZFC+4", b"9900302.00", b"2"),
        (b"9900302.00AY2AZFCA", b"9900302.00", b"2"),
        (b"9900302.00AY2AZ", b"9900302.00", b"2"),
        (b"9900302.00AY2AZFCA45", b"9900302.00", b"2"),
        (b"23AO|AD1AY3|AZ 1A2|", b"23AO|AD1", b"3"),
        (b"23AO|AD1|AZ1A2", b"23AO|AD1|", b""),
        (b"23AO|AD1|AZ-1A2", b"23AO|AD1|", b""),
        (b"23AO|AD1|AZ1_A2", b"23AO|AD1|", b""),
    ],
)
def test_b8_a_damaged_checksum_is_a_wrong_one(frame: bytes, body: bytes, sequence: bytes) -> None:
    found = split_trailer(frame)
    assert (found.body, found.sequence, found.has_checksum) == (body, sequence, True)
    assert not checksum_matches(found.summed, found.digits)
    assert not character_checksum_matches(found.summed.decode("latin-1"), found.digits)


@given(st.binary(max_size=40), st.sampled_from([b"0", b"3", b"9"]))
def test_a_usual_frame_is_taken_apart_as_any_other(body: bytes, sequence: bytes) -> None:
    frame = seal(body, sequence, with_checksum=True)
    found = split_trailer(frame)
    long_enough = len(body) >= 2  # for a command
    assert usual_body(frame, sequence) == (found.body if long_enough else None)
    assert usual_body(frame, b"5") is None


@pytest.mark.parametrize(
    "frame",
    [
        b"941AY1AZFDFD",
        b"941AY1AZfdfc",
        b"941AY1AZFDFC|",
        b"941AY1|AZFD80",
        b"941AZFE88",
        b"941AY1",
        b"AY1AZFDFC",
        b"FDFC",
        b"",
    ],
)
def test_what_is_not_written_as_usual_has_to_be_looked_at_closely(frame: bytes) -> None:
    assert usual_body(b"941AY1AZFDFC", b"1") == b"941"
    assert usual_body(frame, b"1") is None


@pytest.mark.parametrize(
    "frame", [b"23AO|AA12AZ34EF|", b"23AO|AAMAY3|", b"23AO|AAAZ12|", b"23AO|AY|", b"AZ", b""]
)
def test_values_that_look_like_a_trailer_stay_values(frame: bytes) -> None:
    assert split_trailer(frame) == Trailer(frame, b"", b"", b"")


def test_seal_adds_only_what_is_in_use() -> None:
    assert seal(b"96", b"", with_checksum=False) == b"96"
    assert seal(b"941", b"1", with_checksum=False) == b"941AY1"
