"""Screen texts: complete, showable on a kiosk, and safe to override (B29, C36, C55, C85)."""

import pytest

from sip2gw.model import BlockType
from sip2gw.policy.reasons import PAYMENT_TEXT_KEYS, REASONS, Reason
from sip2gw.texts import (
    BUILT_IN,
    TEXT_KEYS,
    Catalogue,
    choose_language,
    format_money,
    override_problem,
    placeholders,
)

SCREEN_WIDTH_MAX = 100
EVERY_TEXT = [
    (language, key, text) for language in BUILT_IN for key, text in BUILT_IN[language].items()
]


@pytest.mark.parametrize("language", BUILT_IN)
def test_every_language_has_the_same_keys_and_placeholders(language: str) -> None:
    assert tuple(BUILT_IN[language]) == TEXT_KEYS
    for key in TEXT_KEYS:
        assert placeholders(BUILT_IN[language][key]) == placeholders(BUILT_IN["en"][key]), key


@pytest.mark.parametrize(("language", "key", "text"), EVERY_TEXT)
def test_every_text_fits_a_kiosk_screen_and_the_default_encoding(
    language: str, key: str, text: str
) -> None:
    assert len(text) <= SCREEN_WIDTH_MAX
    assert text.isprintable()
    assert "|" not in text
    assert text.encode("cp850").decode("cp850") == text


def test_every_reason_has_its_texts_b39() -> None:
    for entry in REASONS.values():
        assert {entry.text_key, entry.door_text_key} <= set(TEXT_KEYS)
    assert set(PAYMENT_TEXT_KEYS.values()) <= set(TEXT_KEYS)


def test_every_blocking_status_and_block_type_has_a_text_c14() -> None:
    assert {f"status_{status}" for status in (4, 6, 7, 8, 9)} <= set(TEXT_KEYS)
    assert {f"block_{block}" for block in BlockType} <= set(TEXT_KEYS)


def test_a_locked_pin_reads_like_a_wrong_one_b20() -> None:
    assert REASONS[Reason.PIN_LOCKED].text_key == REASONS[Reason.WRONG_PIN].text_key


@pytest.mark.parametrize("language", BUILT_IN)
def test_a_door_announces_neither_debt_nor_ban_b39(language: str) -> None:
    vague = {
        BUILT_IN[language][REASONS[Reason(r)].door_text_key]
        for r in ("fee_limit", "fee_age", "status", "blocked", "barred")
    }
    assert vague == {BUILT_IN[language]["door_refused"]}


@pytest.mark.parametrize("language", BUILT_IN)
def test_a_fee_of_somebody_else_reads_like_an_unknown_one(language: str) -> None:
    assert BUILT_IN[language]["payment_not_yours"] == BUILT_IN[language]["payment_unknown_fee"]


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("005", "nl"),
        ("001", "en"),
        ("024", "en"),
        ("002", "fr"),
        ("003", "de"),
        ("000", None),
        ("026", None),
        ("008", None),
        ("xyz", None),
        ("", None),
    ],
)
def test_language_codes_b29(code: str, language: str | None) -> None:
    assert choose_language(code, None, "none asked") == (language or "none asked")


@pytest.mark.parametrize(
    ("code", "patron", "terminal", "chosen"),
    [
        ("002", "nl", "de", "fr"),
        ("000", "nl", "de", "nl"),
        ("026", None, "de", "de"),
        ("777", "tr", "de", "de"),
    ],
)
def test_the_language_is_the_asked_one_else_the_patrons_else_the_terminals_b29(
    code: str, patron: str | None, terminal: str, chosen: str
) -> None:
    assert choose_language(code, patron, terminal) == chosen


@pytest.mark.parametrize(
    ("language", "shown"),
    [("nl", "EUR 12,50"), ("en", "EUR 12.50"), ("fr", "12,50 EUR"), ("de", "12,50 EUR")],
)
def test_money_is_written_as_the_language_does_c36(language: str, shown: str) -> None:
    assert format_money(1250, "EUR", language) == shown


def test_money_has_the_decimals_of_its_currency_c77() -> None:
    assert format_money(1250, "JPY", "nl") == "JPY 1250"


def test_placeholders_are_filled() -> None:
    text = Catalogue().text("nl", "fee_limit", amount="EUR 12,50", limit="EUR 10,00")
    assert text == "U moet nog EUR 12,50 betalen, meer dan EUR 10,00. Betaal eerst."


def test_a_value_with_braces_is_only_a_value() -> None:
    assert "{limit}" in Catalogue().text("en", "payment_accepted", amount="{limit}")


def test_a_library_overrides_single_texts() -> None:
    catalogue = Catalogue({"nl": {"granted": "Dag {{en}} welkom!"}})
    assert catalogue.text("nl", "granted") == "Dag {en} welkom!"
    assert catalogue.text("en", "granted") == "Welcome."


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("granted", "Hello", None),
        ("fee_limit", "Pay {amount}", None),
        ("grantd", "Hello", "unknown text key"),
        ("granted", "Hello {name}", "unknown placeholder {name}"),
        ("fee_limit", "Pay {amount.real}", "placeholders are plain names like {amount}"),
        ("fee_limit", "Pay {amount!r}", "placeholders are plain names like {amount}"),
        ("fee_limit", "Pay {amount:>9}", "placeholders are plain names like {amount}"),
        ("fee_limit", "Pay {}", "placeholders are plain names like {amount}"),
        ("granted", "Hello|world", "the delimiter | cannot be shown"),
        ("granted", "Hello\nworld", "control characters and line ends are not allowed"),
    ],
)
def test_a_wrong_override_is_named(key: str, text: str, problem: str | None) -> None:
    assert override_problem(key, text) == problem


def test_unbalanced_braces_are_a_problem() -> None:
    assert override_problem("granted", "Hello {") is not None
