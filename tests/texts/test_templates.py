"""Templates of a library's own: a closed list of names, nothing secret, nothing unasked (C86)."""

from datetime import date

import pytest

from sip2gw.texts import format_day
from sip2gw.texts.templates import (
    FEE,
    HOLDER,
    ITEM,
    PATRON,
    Placeholders,
    fill,
    first_word,
)


@pytest.mark.parametrize("kind", [PATRON, HOLDER, FEE, ITEM])
def test_every_name_of_a_list_may_be_used_and_no_list_has_a_secret_b16(kind: Placeholders) -> None:
    assert kind.problem(str(kind)) is None
    assert not {"pin", "pin_hash", "password", "note", "notices"} & set(kind.names)
    assert set(kind.personal) <= set(kind.names)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{name} ({card})", None),
        ("plain {{name}}", None),
        ("{pin_hash}", "unknown placeholder {pin_hash}"),
        ("{name.__class__}", "placeholders are plain names like {amount}"),
        ("{name!r}", "placeholders are plain names like {amount}"),
        ("{0}", "placeholders are plain names like {amount}"),
        ("{name", "expected '}' before end of string"),
        ("a|b", "control characters and | are not allowed"),
        ("a\rb", "control characters and | are not allowed"),
    ],
)
def test_a_wrong_template_is_found_before_a_patron_waits(template, problem) -> None:
    assert PATRON.problem(template) == problem


def test_what_is_personal_needs_its_field_b30() -> None:
    assert PATRON.needs("{name} {card} {home_branch} {owed}") == frozenset()
    assert PATRON.needs("{email} {phone} {address} {birth_date}") == {"BD", "BE", "BF", "PB"}
    assert PATRON.needs("{membership}") == PATRON.needs("{membership_code}") == {"PC"}


def test_what_is_not_known_leaves_no_hole() -> None:
    assert fill("{a} {b} {c}", {"a": "x", "b": None, "c": "y"}) == "x y"
    assert fill("{a}", {"a": None}) == ""
    assert fill("{{{a}}}", {"a": "{b}"}) == "{{b}}", "what is filled in is no template"


def test_the_first_word_of_a_name() -> None:
    assert first_word("Anna Peeters") == "Anna"
    assert first_word("Peeters, Anna") == "Peeters"
    assert first_word(" ") == ""


def test_days_as_people_write_them() -> None:
    day = date(2026, 12, 31)
    shown = {language: format_day(day, language) for language in ("nl", "en", "fr", "de")}
    assert shown == {
        "nl": "31-12-2026",
        "en": "31/12/2026",
        "fr": "31/12/2026",
        "de": "31.12.2026",
    }
