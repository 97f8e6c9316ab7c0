"""The bin of a returned item: the first rule that fits (B59)."""

import pytest
from family import NOON
from stock import item, record

from sip2gw.model.items import ItemRecord, ItemState, Outcome
from sip2gw.policy.items.sorting import SortRule, sort_bin

DVD = record(material="DVD", shelf="7", call_number="F 12", media_type="001")
HERE = Outcome(NOON)
AWAY = Outcome(NOON, destination="EAST", alert="02")


def rule(field, comparator, value, branch="*"):
    return SortRule(branch, field, comparator, value, "1")


def fits(one, branch, done):
    """Whether the rule sends the DVD into its bin."""
    return sort_bin((one,), branch, DVD, done) is not None


@pytest.mark.parametrize(
    ("expected", "field", "comparator", "value"),
    [
        (True, "material", "eq", "DVD"),
        (False, "material", "eq", "dvd"),
        (False, "material", "ne", "DVD"),
        (True, "material", "ne", "CD"),
        (True, "call_number", "lt", "G"),
        (False, "call_number", "gt", "G"),
        (True, "call_number", "le", "F 12"),
        (True, "call_number", "ge", "F 12"),
        (True, "shelf", "lt", "10"),  # as numbers
        (True, "shelf", "eq", "07"),
        (False, "shelf", "lt", "1O"),  # as text
        (True, "shelf", "lt", "1" + "0" * 17),  # the longest number
        (False, "shelf", "lt", "1" + "0" * 18),  # as text, too
        (True, "item", "eq", "I1"),
        (True, "title_id", "eq", "T1"),
        (True, "media_type", "eq", "001"),
        (True, "owner_branch", "eq", "MAIN"),
        (True, "attachment", "eq", ""),
        (False, "attachment", "lt", "A"),
        (False, "attachment", "gt", ""),
        (True, "attachment", "ne", "A"),
        (True, "destination", "eq", ""),
        (True, "alert_type", "eq", ""),
    ],
)
def test_a_rule_compares_numbers_as_numbers_and_all_else_as_text(
    expected, field, comparator, value
):
    assert fits(rule(field, comparator, value), "MAIN", HERE) is expected


def test_what_became_of_the_return_can_decide() -> None:
    by_alert = rule("alert_type", "eq", "02")
    by_place = rule("destination", "eq", "EAST")
    assert fits(by_alert, "MAIN", AWAY)
    assert fits(by_place, "MAIN", AWAY)
    assert not fits(by_place, "MAIN", HERE)


def test_a_rule_is_for_one_branch_or_for_all() -> None:
    here = rule("material", "eq", "DVD", branch="MAIN")
    assert fits(here, "MAIN", HERE)
    assert not fits(here, "EAST", HERE)
    assert not fits(here, None, HERE)
    assert fits(rule("material", "eq", "DVD"), None, HERE)


def test_the_first_rule_that_fits_names_the_bin() -> None:
    rules = (
        SortRule("*", "material", "eq", "CD", "1"),
        SortRule("*", "material", "ne", "BOOK", "2"),
        SortRule("*", "material", "eq", "DVD", "3"),
    )
    assert sort_bin(rules, "MAIN", DVD, HERE) == "2"
    book = ItemRecord(item(material="BOOK"), ItemState())
    assert sort_bin(rules, "MAIN", book, HERE) is None
    assert sort_bin((), "MAIN", DVD, HERE) is None
