"""What is kept with a snapshot, what is shared between snapshots, and which passages are known."""

from functools import partial

from msgspec.structs import replace

from sip2gw.handlers import snapshot_cache as module
from sip2gw.handlers.snapshot_cache import (
    DERIVED_MAX,
    SHARED_MAX,
    derived,
    shared,
)
from sip2gw.model import PatronRecord
from sip2gw.shared.door_memory import PASSAGES_MAX, Passages


def test_a_value_is_made_once_for_each_snapshot_and_key():
    record = PatronRecord("1001", "Anna")
    made: list[int] = []

    def make():
        made.append(len(made))
        return f"value {len(made)}"

    assert derived(record, ("door", 1), make) == derived(record, ("door", 1), make) == "value 1"
    assert derived(record, ("door", 2), make) == "value 2"
    equal = PatronRecord("1001", "Anna")
    assert derived(equal, ("door", 1), make) == "value 3"
    assert derived(record, ("door", 1), make) == "value 1"


def test_what_was_derived_stays_with_its_snapshot():
    record = PatronRecord("1001", "Anna")
    assert derived(record, ("door",), lambda: "Anna's") == "Anna's"
    married = replace(record, name="Anna Berg")
    assert derived(married, ("door",), lambda: "Anna Berg's") == "Anna Berg's"
    assert record == PatronRecord("1001", "Anna")  # whatever was derived


def test_a_snapshot_keeps_so_many_values():
    record = PatronRecord("1001", "Anna")
    for number in range(3 * DERIVED_MAX):
        derived(record, ("door", number), partial(int, number))
    assert record.kept is not None
    assert len(record.kept) <= DERIVED_MAX


def test_equal_values_are_one_object_and_not_too_many_are_held():
    letters = ["a", "b"]
    assert shared((*letters, 1)) is shared((*letters, 1))
    for number in range(3 * SHARED_MAX):
        assert shared(("value", number)) == ("value", number)
    assert len(module._shared) <= SHARED_MAX


def test_at_least_the_last_passages_are_known_and_not_many_more():
    passages = Passages()
    for number in range(3 * PASSAGES_MAX):
        assert passages.begins("door", str(number), 0.0, 5.0)
    last = [str(number) for number in range(2 * PASSAGES_MAX, 3 * PASSAGES_MAX)]
    assert all(passages.goes_on("door", card, 4.9, 5.0) for card in last)
    assert not passages.begins("door", last[0], 4.9, 5.0)
    assert passages.begins("door", last[0], 5.0, 5.0)
    assert not passages.goes_on("door", "0", 0.0, 5.0)
    for card in last[:2]:
        passages.end("door", card)
        assert not passages.goes_on("door", card, 5.0, 5.0)
