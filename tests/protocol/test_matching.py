"""Which answer belongs to which request, read from the bytes (B71, C151)."""

import pytest

from sip2gw.protocol.matching import is_answer_to, value_of

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
    assert is_answer_to(request_, answer) == belongs


def test_with_aliases_only_the_item_counts():
    assert is_answer_to(CHECKOUT, LENT + b"AAother|ABI1|", aliases=True)
    assert not is_answer_to(CHECKOUT, LENT + b"AAother|ABI2|", aliases=True)


def test_the_value_of_a_request():
    assert value_of(b"AA", ASKED) == b"2100"
    assert value_of(b"AB", ASKED) is None
    assert value_of(b"AA", b"ZZ|AA1|") is None
