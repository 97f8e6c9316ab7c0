"""What card rules make of a number that a scanner gives (B95, C141, C168)."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.policy.card_numbers import (
    NUMBER_CHARACTERS_MAX,
    CardRule,
    RuleName,
    apply_rules,
    steps,
    value_problem,
)

VALUES: dict[RuleName, tuple[str, ...]] = {
    "trim": ("", "*", "AB"),
    "strip_leading_zeros": ("",),
    "strip_prefix": ("A", "21"),
    "strip_suffix": ("B", " "),
    "drop_check_digit": ("", "luhn"),
    "replace": ("-=", "A=0", " =x"),
    "hex_to_decimal": ("",),
    "reverse_bytes": ("",),
    "pad": ("1", "10", "100"),
}
"""Every rule, with values that it takes."""


@pytest.mark.parametrize(
    ("rule", "value", "scanned", "number"),
    [
        ("trim", "", "  123  ", "123"),
        ("trim", "*", "*123*", "123"),
        ("trim", "*", "***", "***"),
        ("strip_leading_zeros", "", "000120", "120"),
        ("strip_leading_zeros", "", "000", "000"),
        ("strip_prefix", "A", "A123", "123"),
        ("strip_prefix", "A", "A 123", "123"),
        ("strip_prefix", "A", "a123", "a123"),
        ("strip_prefix", "A", "AA", "A"),
        ("strip_prefix", "A", "A", "A"),
        ("strip_suffix", "B", "123B", "123"),
        ("strip_suffix", "B", "B-1", "B-1"),
        ("drop_check_digit", "", "12345", "1234"),
        ("drop_check_digit", "", "1234X", "1234X"),
        ("drop_check_digit", "", "7", "7"),
        ("drop_check_digit", "luhn", "79927398713", "7992739871"),
        ("drop_check_digit", "luhn", "79927398710", "79927398710"),
        ("drop_check_digit", "luhn", "A8", "A8"),
        ("replace", "-=", "12-34-5", "12345"),
        ("replace", "O=0", "1O2", "102"),
        ("replace", "a==", "1a", "1="),
        ("replace", "1=", "11", "11"),
        ("hex_to_decimal", "", "04A2B3C4", "77771716"),
        ("hex_to_decimal", "", "ff", "255"),
        ("hex_to_decimal", "", "00", "0"),
        ("hex_to_decimal", "", "0x10", "0x10"),
        ("hex_to_decimal", "", "1_0", "1_0"),
        ("hex_to_decimal", "", "-1", "-1"),
        ("reverse_bytes", "", "04A2B3C4", "C4B3A204"),
        ("reverse_bytes", "", "4A2B3C4", "4A2B3C4"),
        ("reverse_bytes", "", "04G2", "04G2"),
        ("pad", "10", "12345", "0000012345"),
        ("pad", "3", "12345", "12345"),
    ],
)
def test_a_rule_makes_of_a_number(rule, value, scanned, number):
    assert value_problem(rule, value) is None
    assert apply_rules((CardRule(rule, value),), scanned) == number


def test_rules_are_applied_in_order_and_each_step_can_be_shown():
    rules = (
        CardRule("reverse_bytes"),
        CardRule("hex_to_decimal"),
        CardRule("pad", "12"),
        CardRule("strip_prefix", "X"),
    )
    assert apply_rules(rules, "C4B3A204") == "000077771716"
    assert [(step.rule.rule, step.before, step.after) for step in steps(rules, "C4B3A204")] == [
        ("reverse_bytes", "C4B3A204", "04A2B3C4"),
        ("hex_to_decimal", "04A2B3C4", "77771716"),
        ("pad", "77771716", "000077771716"),
        ("strip_prefix", "000077771716", "000077771716"),
    ]


def test_without_rules_a_number_stays_as_it_is():
    assert apply_rules((), " 123") == " 123"


def test_what_is_too_long_for_a_card_stays_as_it_is():
    longest = "0" * (NUMBER_CHARACTERS_MAX - 1) + "1"
    strip = (CardRule("strip_leading_zeros"),)
    assert apply_rules(strip, longest) == "1"
    assert apply_rules(strip, "0" + longest) == "0" + longest


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("strip_leading_zeros", "3"),
        ("strip_prefix", ""),
        ("strip_suffix", ""),
        ("drop_check_digit", "ean"),
        ("replace", "abc"),
        ("replace", "=abc"),
        ("hex_to_decimal", "8"),
        ("reverse_bytes", "8"),
        ("pad", ""),
        ("pad", "0"),
        ("pad", "101"),
        ("pad", "00100000000"),
        ("pad", "-5"),
        ("pad", "²"),
        ("pad", "ten"),
    ],
)
def test_a_value_that_a_rule_cannot_use_is_named(rule, value):
    assert str(value_problem(rule, value)).startswith(f"the value of {rule} must be ")


ANY_RULE = st.sampled_from(sorted(VALUES)).flatmap(
    lambda rule: st.sampled_from(VALUES[rule]).map(lambda value: CardRule(rule, value))
)


@given(st.lists(ANY_RULE, max_size=8).map(tuple), st.text() | st.text("0123456789ABab* -|"))
def test_any_text_goes_through_any_rules(rules, scanned):
    """Nothing is raised, and a number never becomes empty."""
    number = apply_rules(rules, scanned)
    assert number or not scanned


def test_every_rule_is_tried_here():
    assert set(VALUES) == set(get_args(RuleName))
