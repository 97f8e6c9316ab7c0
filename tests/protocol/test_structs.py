"""What no `repr` of a struct shows (B16), and what is kept with one."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from msgspec import Struct
from msgspec.structs import force_setattr, replace

import sip2gw
from sip2gw.protocol.structs import Discreet, Hidden, Opaque, Room

ALL_HIDDEN_MIN = 50
"""So many structs have hidden attributes, or the search for them finds nothing."""


class Guess(Discreet, Struct, frozen=True):
    card: Hidden[str]
    count: int
    pin: Hidden[str | None] = None
    place: str = "here"


class Secret(Opaque, Struct):
    pin: str


class Snapshot(Room, Struct):
    name: str


def _structs() -> list[type[Struct]]:
    """All structs of the gateway."""
    for module in pkgutil.walk_packages(sip2gw.__path__, "sip2gw."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [kind for kind in _below(Struct) if kind.__module__.startswith("sip2gw.")]


def _below(kind: Any) -> Iterator[type[Struct]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def test_a_hidden_attribute_is_not_shown():
    guess = Guess("canary", 2, "canary")
    assert repr(guess) == str(guess) == "Guess(count=2, place='here')"
    assert guess.__rich_repr__() == [("count", 2), ("place", "here")]


def test_an_opaque_struct_shows_nothing():
    assert repr(Secret("canary")) == "<Secret>"
    assert Secret("canary").__rich_repr__() == []


def test_what_is_kept_with_a_struct_is_no_part_of_it():
    one = Snapshot("Ann")
    one.kept = "derived"
    assert one == Snapshot("Ann")
    assert repr(one) == "Snapshot(name='Ann')"
    assert not hasattr(replace(one), "kept")


def _written_in(kind: type[Any]) -> Iterator[str]:
    """The annotations of the class itself, as they stand there."""
    return map(str, inspect.get_annotations(kind).values())


def _hidden_in(kind: type[Struct]) -> set[str]:
    if not any("Hidden[" in hint for one in kind.__mro__ for hint in _written_in(one)):
        return set()
    hints = get_type_hints(kind, include_extras=True)
    mark = Hidden.__metadata__
    return {name for name, hint in hints.items() if getattr(hint, "__metadata__", ()) == mark}


def test_no_struct_shows_what_it_hides():
    hidden = {kind: names for kind in _structs() if (names := _hidden_in(kind))}
    assert len(hidden) > ALL_HIDDEN_MIN
    for kind, names in hidden.items():
        one = kind.__new__(kind)
        for name in kind.__struct_fields__:
            force_setattr(one, name, f"{name} canary" if name in names else f"{name} shown")
        for shown in (repr(one), str(one.__rich_repr__())):
            assert "canary" not in shown
            assert shown.count(" shown") == len(kind.__struct_fields__) - len(names)


@pytest.mark.parametrize("method", ["__repr__", "__rich_repr__"])
def test_who_has_a_repr_of_its_own_has_both(method):
    own = [kind for kind in _structs() if kind.__repr__ is not Struct.__repr__]
    assert len(own) > ALL_HIDDEN_MIN
    assert all(getattr(kind, method) is not getattr(Struct, method) for kind in own)
