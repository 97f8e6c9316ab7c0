"""Which answer belongs to which request, read from the bytes (B71, C151)."""

import pytest

from sip2gw.protocol.errors import AnotherPatronError, StrangeAnswerError
from sip2gw.protocol.line.matching import asked_by

ASKED = b"23001" + b" " * 18 + b"AOHUB|AA2100|AC|AD|"
HEAD = b"24" + b" " * 14 + b"001" + b" " * 18
CHECKOUT = b"11YN" + b" " * 36 + b"AOHUB|AA2100|ABI1|AC|"
LENT = b"121NNN" + b" " * 18


@pytest.mark.parametrize(
    ("request_", "answer", "belongs"),
    [
        (ASKED, HEAD + b"AOHUB|AA2100|AEA|", True),
        (ASKED, HEAD + b"AA2100|AOHUB|AEA|", True),
        (ASKED, HEAD + b"AOHUB|AA 2100  |", True),
        (ASKED, HEAD + b"AOHUB|AA2100", True),
        (ASKED, HEAD + b"AOHUB|", True),
        (ASKED, HEAD + b"AOHUB|AA2101|", False),
        (ASKED, HEAD + b"AOHUB|AA|", False),
        (ASKED, HEAD + b"AA2101|AA2100|", False),
        (ASKED, HEAD + b"AEBAA7|AA2100|", True),
        (ASKED, b"64" + HEAD[2:] + b"AA2100|", False),
        (ASKED.replace(b"AA2100", b"AA "), HEAD + b"AA2101|", True),
        (ASKED.replace(b"AA2100|", b""), HEAD + b"AA2101|", True),
        (CHECKOUT, LENT + b"AA2100|ABI1|", True),
        (CHECKOUT, LENT + b"AA2100|ABI2|", False),
        (CHECKOUT, LENT + b"AA2100|AF no|", True),
        (b"ZZ whatever|AA1|", b"98 what else|AA2|", True),
    ],
)
def test_it_is_of_the_right_type_and_about_the_same(request_, answer, belongs):
    assert asked_by(request_).is_answered_by(answer) == belongs


def test_with_aliases_only_the_item_counts():
    lent = asked_by(CHECKOUT)
    assert lent.is_answered_by(LENT + b"AAother|ABI1|", aliases=True)
    assert not lent.is_answered_by(LENT + b"AAother|ABI2|", aliases=True)


@pytest.mark.parametrize(
    ("request_", "patron", "item"),
    [
        (ASKED, b"2100", b""),
        (CHECKOUT, b"2100", b"I1"),
        (ASKED.replace(b"AA2100", b"AA 2100 "), b"2100", b""),
        (b"ZZ|AA1|", b"", b""),
    ],
)
def test_what_a_request_is_about(request_, patron, item):
    asked = asked_by(request_)
    assert (asked.patron, asked.item) == (patron, item)


def test_what_cannot_be_the_answer_is_an_error():
    asked = asked_by(ASKED)
    asked.insist(HEAD + b"AA2100|", aliases=False)
    asked.insist(HEAD + b"AA2101|", aliases=True)
    with pytest.raises(AnotherPatronError):
        asked.insist(HEAD + b"AA2101|", aliases=False)
    with pytest.raises(StrangeAnswerError):
        asked.insist(b"64" + HEAD[2:] + b"AA2100|", aliases=True)
