"""How an answer of staff fits on a screen (C145)."""

import pytest

from sip2gw.texts import BUILT_IN
from sip2gw.texts.answers import ANSWER_CHARACTERS_MAX, for_screen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Your card works again.", "Your card works again."),
        ("  Two\nlines\tand\r\nmore  ", "Two lines and more"),
        ("Nothing\x00\x1bhidden", "Nothing hidden"),
        ("", ""),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 197 + "..."),
        ("a" * 196 + " " + "b" * 10, "a" * 196 + "..."),
    ],
)
def test_it_is_one_line_that_a_screen_has_room_for(text, shown):
    assert for_screen(text) == shown


def test_a_field_of_sip2_has_room_for_it_in_every_language():
    longest = for_screen("x" * 999)
    assert len(longest) == ANSWER_CHARACTERS_MAX
    for texts in BUILT_IN.values():
        assert len(texts["support_answer"].format(answer=longest)) <= 255
