"""What notices say, in each language (B63)."""

from __future__ import annotations

import pytest

from sip2gw.model.notices import AMOUNTS, DAYS, SAYS
from sip2gw.texts import BUILT_IN as SCREENS
from sip2gw.texts import placeholders
from sip2gw.texts.notices import (
    ALWAYS,
    BUILT_IN,
    Template,
    allowed_names,
    template_problem,
    write_notice,
)

EACH = [(language, kind) for language in SCREENS for kind in SAYS]


def values(kind: str) -> dict[str, str]:
    return {
        name: "2026-12-31" if name in DAYS else "1250" if name in AMOUNTS else f"<{name}>"
        for name in SAYS[kind]
    }


def written(template: Template, said: dict[str, str], language: str = "nl", name: str = "Ann"):
    return write_notice(template, said, name=name, library="Hub", currency="EUR", language=language)


@pytest.mark.parametrize(("language", "kind"), EACH)
def test_each_kind_says_all_its_values_in_each_language(language: str, kind: str) -> None:
    template = BUILT_IN[language][kind]
    assert placeholders(template.text) == set(allowed_names(kind))
    assert template_problem(kind, template.subject, one_line=True) is None
    assert template_problem(kind, template.text, one_line=False) is None
    subject, text = written(template, values(kind), language)
    assert subject
    assert "{" not in subject + text
    assert text.endswith("\nHub")


def test_days_and_amounts_are_said_as_in_the_language() -> None:
    _, dutch = written(BUILT_IN["nl"]["CAE"], values("CAE"))
    assert dutch == (
        "Beste Ann,\n\nUw lidmaatschap <membership> loopt af op 31-12-2026.\n"
        "Wilt u lid blijven, kom dan voor die dag langs bij de balie.\n\n"
        "Met vriendelijke groeten,\nHub"
    )
    _, german = written(BUILT_IN["de"]["LIMIT"], values("LIMIT"), "de")
    assert "Sie schulden 12,50 EUR." in german


def test_no_name_and_no_value_can_add_a_line() -> None:
    template = Template("{badge} of {name}", "{name}|{badge}")
    said = {"badge": "a\r\nBcc: x@example.org\x00", "until": "2026-12-31"}
    assert written(template, said, name="Ann\u2028Maes\n") == (
        "a Bcc: x@example.org of Ann Maes",
        "Ann Maes|a Bcc: x@example.org",
    )


@pytest.mark.parametrize("said", [{"until": "soon"}, {"owed": "much"}])
def test_a_value_that_is_no_day_or_amount_is_not_guessed(said: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"soon|much"):
        written(Template("x", "x"), said)


@pytest.mark.parametrize(
    ("text", "one_line", "problem"),
    [
        ("Dag {name}", True, None),
        ("Dag {name},\n{until} {{x}}", False, None),
        ("", True, "is empty"),
        (" \n", False, "is empty"),
        ("a\nb", True, "control characters are not allowed"),
        ("a\rb", False, "control characters are not allowed"),
        ("{owed}", False, "unknown placeholder {owed}"),
        ("{name.upper}", False, "placeholders are plain names like {amount}"),
        ("{name", False, "expected '}' before end of string"),
    ],
)
def test_a_wrong_template_is_found_when_the_configuration_is_read(
    text: str, one_line: bool, problem: str | None
) -> None:
    assert template_problem("CAE", text, one_line=one_line) == problem


def test_no_placeholder_is_secret() -> None:
    names = {name for kind in SAYS for name in allowed_names(kind)}
    assert not names & {"pin", "pin_hash", "password", "card", "address", "birth_date"}
    assert set(ALWAYS) <= names
