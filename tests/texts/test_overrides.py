"""Every text of every language can be a library's own, and a wrong one is refused (B29, B66)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sip2gw.config import ConfigError, load_config
from sip2gw.texts import (
    BUILT_IN,
    TEXT_KEYS,
    Catalogue,
    placeholders,
)

BASE = '[institution]\nid = "HUB"\n'


def named(language: str, key: str) -> str:
    """All placeholders of a text."""
    return " ".join(f"{{{name}}}" for name in sorted(placeholders(BUILT_IN[language][key])))


def configured(directory: Path, texts: dict[str, dict[str, str]]) -> Path:
    """A configuration with `texts` (language → key → text)."""
    lines = [BASE]
    for language, own in texts.items():
        lines.append(f"[texts.{language}]")
        lines += [f"{key} = {json.dumps(text)}" for key, text in own.items()]
    file = directory / "sip2gw.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_every_text_in_every_language_can_be_replaced(tmp_path: Path) -> None:
    own = {
        language: {
            key: f"{language} {key} "
            + " ".join(f"{{{name}}}" for name in sorted(placeholders(text)))
            for key, text in BUILT_IN[language].items()
        }
        for language in BUILT_IN
    }
    catalogue = Catalogue(load_config(configured(tmp_path, own)).texts)
    for language in BUILT_IN:
        for key in TEXT_KEYS:
            values = {name: f"<{name}>" for name in placeholders(BUILT_IN[language][key])}
            shown = named(language, key).format_map(values)
            assert catalogue.text(language, key, **values) == f"{language} {key} {shown}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{nonsense}", "unknown placeholder {nonsense}"),
        ("{amount!r}", "placeholders are plain names like {amount}"),
        ("{", "Single '{' encountered in format string"),
        ("two\nlines", "control characters and line ends are not allowed"),
        ("a|b", "the delimiter | cannot be shown"),
    ],
)
def test_a_wrong_text_is_refused_under_every_key_with_what_is_allowed(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = configured(tmp_path, {language: dict.fromkeys(TEXT_KEYS, text) for language in BUILT_IN})
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert len(caught.value.problems) == len(BUILT_IN) * len(TEXT_KEYS)
    lines = iter(caught.value.problems)
    for language in BUILT_IN:
        for key in TEXT_KEYS:
            line = next(lines)
            where, _, said = line.partition(": ")
            assert where.rpartition(":")[0] == str(file)
            assert said.startswith(f"texts.{language}.{key}: {problem}; got ")
            allowed = line.partition("; allowed: one line without |")[2]
            for name in placeholders(BUILT_IN["en"][key]):
                assert f"{{{name}}}" in allowed, line


def test_the_lines_of_one_key_are_whole(tmp_path: Path) -> None:
    file = configured(tmp_path, {"fr": {"fee_age": "{jours} jours", "granted": "Salut {nom}"}})
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.problems == (
        f"{file}:5: texts.fr.fee_age: unknown placeholder {{jours}}; got '{{jours}} jours';"
        " allowed: one line without | with {days}; {{ and }} for braces",
        f"{file}:6: texts.fr.granted: unknown placeholder {{nom}}; got 'Salut {{nom}}'; allowed:"
        " one line without |; {{ and }} for braces",
    )
