"""Card numbers as scanners give them, made into those that the library knows (B95, C141, C168).

A profile's rules are applied in order, before any look-up. A rule that does not fit a number leaves
it as it is, and no rule makes an empty number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

RuleName = Literal[
    "trim",
    "strip_leading_zeros",
    "strip_prefix",
    "strip_suffix",
    "drop_check_digit",
    "replace",
    "hex_to_decimal",
    "reverse_bytes",
    "pad",
]
NUMBER_CHARACTERS_MAX = 100
"""No card has a longer number; what is longer is nobody's, and stays as it is."""

_LUHN = "luhn"
_HEX = re.compile(r"[0-9A-Fa-f]+")


class CardRule(Struct, frozen=True):
    """One rule, whose value has no problem (`value_problem`)."""

    rule: RuleName
    value: str = ""


class Step(Struct, frozen=True):
    """What one rule made of a number."""

    rule: CardRule
    before: str
    after: str


def apply_rules(rules: tuple[CardRule, ...], scanned: str) -> str:
    """The number to look up for the card that was `scanned`."""
    number = scanned
    for step in steps(rules, scanned):
        number = step.after
    return number


def steps(rules: tuple[CardRule, ...], scanned: str) -> Iterator[Step]:
    """What each of `rules` makes of what the one before it has left."""
    number = scanned
    for rule in rules:
        after = number
        if len(number) <= NUMBER_CHARACTERS_MAX:
            # Blanks around a number never count, nor those that a rule has laid bare.
            after = _RULES[rule.rule].apply(number, rule.value).strip() or number
        yield Step(rule, number, after)
        number = after


def value_problem(rule: RuleName, value: str) -> str | None:
    """Why `value` cannot be the value of `rule`; None if it can."""
    kind = _RULES[rule]
    return None if kind.takes(value) else f"the value of {rule} must be {kind.form}"


def _trim(number: str, characters: str) -> str:
    return number.strip(characters or None)


def _strip_leading_zeros(number: str, _value: str) -> str:
    return number.lstrip("0")


def _drop_check_digit(number: str, method: str) -> str:
    if not (number[-1:].isascii() and number[-1:].isdecimal()):
        return number
    return number if method == _LUHN and not _passes_luhn(number) else number[:-1]


def _passes_luhn(number: str) -> bool:
    """Whether the last digit is the check digit of the others: of every second from the right, the
    double counts by its digit sum."""
    if not (number.isascii() and number.isdecimal()):
        return False
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _replace(number: str, value: str) -> str:
    found, _, put = value.partition("=")
    return number.replace(found, put)


def _hex_to_decimal(number: str, _value: str) -> str:
    return str(int(number, 16)) if _HEX.fullmatch(number) else number


def _reverse_bytes(number: str, _value: str) -> str:
    if len(number) % 2 or not _HEX.fullmatch(number):
        return number
    return "".join(number[at : at + 2] for at in range(len(number) - 2, -1, -2))


def _pad(number: str, width: str) -> str:
    return number.rjust(int(width), "0")


def _is_width(value: str) -> bool:
    is_number = value.isascii() and value.isdecimal() and len(value) <= 3
    return is_number and 1 <= int(value) <= NUMBER_CHARACTERS_MAX


class _Kind(Struct, frozen=True):
    """How a rule works, and which values it takes."""

    apply: Callable[[str, str], str]
    takes: Callable[[str], bool] = lambda value: not value
    form: str = "left out"


_RULES: dict[RuleName, _Kind] = {
    "trim": _Kind(_trim, lambda _value: True, "the characters to trim, or left out for blanks"),
    "strip_leading_zeros": _Kind(_strip_leading_zeros),
    "strip_prefix": _Kind(str.removeprefix, bool, "the prefix"),
    "strip_suffix": _Kind(str.removesuffix, bool, "the suffix"),
    "drop_check_digit": _Kind(
        _drop_check_digit,
        lambda value: value in ("", _LUHN),
        '"luhn", for a digit that must be right, or left out for any digit',
    ),
    "replace": _Kind(
        _replace, lambda value: value.find("=") > 0, 'of the form "from=to"; to may be empty'
    ),
    "hex_to_decimal": _Kind(_hex_to_decimal),
    "reverse_bytes": _Kind(_reverse_bytes),
    "pad": _Kind(
        _pad, _is_width, f"the number of characters, 1-{NUMBER_CHARACTERS_MAX}, to fill with zeros"
    ),
}
