"""What screens say: texts per language that a library can override (B29).

Texts use `{name}` placeholders from a closed list per key. They contain only characters of code
page 850, the standard's default, which has no euro sign: amounts name their currency.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import date

from sip2gw.model import Minor, format_amount
from sip2gw.texts import (
    dutch,
    english,
    french,
    german,
)

BUILT_IN: dict[str, dict[str, str]] = {
    "nl": dutch.TEXTS,
    "en": english.TEXTS,
    "fr": french.TEXTS,
    "de": german.TEXTS,
}
"""Language → key → text."""

TEXT_KEYS = tuple(english.TEXTS)

_SIP2_LANGUAGES = {"001": "en", "002": "fr", "003": "de", "005": "nl", "024": "en"}


def choose_language(sip2_code: str, patron_language: str | None, terminal_language: str) -> str:
    """The language to answer in: as asked, else the patron's, else the terminal's (B29).

    000 (unknown), 026 (Belgian: Dutch, French or German) and codes without a catalogue ask for
    none (C55, C85).
    """
    asked = _SIP2_LANGUAGES.get(sip2_code)
    if asked is not None:
        return asked
    return patron_language if patron_language in BUILT_IN else terminal_language


def format_money(minor: Minor, currency: str, language: str) -> str:
    """`minor` units for people: `EUR 12,50` (nl), `EUR 12.50` (en), `12,50 EUR` (fr, de)."""
    amount = format_amount(minor, currency)
    if language == "en":
        return f"{currency} {amount}"
    amount = amount.replace(".", ",")
    return f"{currency} {amount}" if language == "nl" else f"{amount} {currency}"


_DAY_FORMATS = {"nl": "%d-%m-%Y", "en": "%d/%m/%Y", "fr": "%d/%m/%Y", "de": "%d.%m.%Y"}


def format_day(day: date, language: str) -> str:
    """`day` for people: `31-12-2026` (nl), `31/12/2026` (en, fr), `31.12.2026` (de)."""
    return day.strftime(_DAY_FORMATS[language])


def placeholders(text: str) -> frozenset[str]:
    """The names of the `{name}` placeholders in `text`.

    Raises:
        ValueError: unbalanced braces, or anything but a plain name between them.
    """
    names = set()
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is None:
            continue
        if spec or conversion or not name.isidentifier():
            raise ValueError("placeholders are plain names like {amount}")
        names.add(name)
    return frozenset(names)


def override_problem(key: str, text: str) -> str | None:
    """What is wrong with replacing the text of `key` by `text`, or None.

    So a wrong override is found when the configuration is read, not when a patron waits.
    """
    if key not in english.TEXTS:
        return "unknown text key"
    if not text.isprintable():
        return "control characters and line ends are not allowed"
    if "|" in text:
        return "the delimiter | cannot be shown"
    try:
        unknown = placeholders(text) - placeholders(english.TEXTS[key])
    except ValueError as error:
        return str(error)
    if unknown:
        return f"unknown placeholder {{{min(unknown)}}}"
    return None


def override_allowed(key: str) -> str:
    """What may replace the text of `key`, or the existing keys."""
    if key not in english.TEXTS:
        return ", ".join(TEXT_KEYS)
    names = sorted(placeholders(english.TEXTS[key]))
    with_names = f" with {' '.join(f'{{{name}}}' for name in names)}" if names else ""
    return f"one line without |{with_names}; {{{{ and }}}} for braces"


class Catalogue:
    """The built-in texts with the overrides of one library."""

    def __init__(self, overrides: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """`overrides`: language → key → text, free of what `override_problem` names."""
        chosen = overrides or {}
        self._texts = {
            language: {**texts, **chosen.get(language, {})} for language, texts in BUILT_IN.items()
        }
        self._ready = {
            language: {key: text.format() for key, text in texts.items() if not placeholders(text)}
            for language, texts in self._texts.items()
        }
        """Those without placeholders, as they are said."""

    def text(self, language: str, key: str, **values: object) -> str:
        """The text of `key` in `language` with its placeholders filled.

        Raises:
            KeyError: no such language or key, or a placeholder without a value.
        """
        ready = self._ready[language].get(key)
        return self._texts[language][key].format_map(values) if ready is None else ready
