"""Text that passes from one side to the other.  (B73, C153)"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.protocol.encoding import ENCODINGS, is_exact, recode, text_encoding

ENCODING = st.sampled_from(ENCODINGS).map(text_encoding)


@given(st.binary(), ENCODING, ENCODING)
def test_whatever_comes_passes_and_no_frame_breaks(data, source, target):
    recoded = recode(data, source, target)
    for delimiter in b"|\r\n":
        assert recoded.count(delimiter) == data.count(delimiter)
    if source == target or data.isascii():
        assert recoded == data


@given(st.text(), ENCODING, ENCODING)
def test_what_both_know_arrives(text, source, target):
    try:
        sent, arrives = text.encode(source.name), text.encode(target.name)
    except UnicodeEncodeError:
        return
    assert recode(sent, source, target) == arrives


@pytest.mark.parametrize(
    ("text", "encoding", "exact"),
    [
        ("21234", "ascii", True),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cp850", True),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "ascii", False),
        ("\N{EURO SIGN}", "latin-1", False),
        ("1\ufffd", "utf-8", False),
        ("2\udc80", "utf-8", False),
        ("1|2", "utf-8", False),
        ("1\r", "utf-8", False),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}|", "utf-8", False),
        ("", "ascii", True),
    ],
)
def test_what_can_be_written_as_it_is(text, encoding, exact):
    assert is_exact(text, text_encoding(encoding)) is exact
