"""What all values of the model share: the size of their texts, and how they are copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, TypeAlias, TypeVar

from msgspec import Meta

TEXT_CHARACTERS_MAX = 2_000
"""No text of a library is longer: an import takes it, so an export gives it."""

NAME_CHARACTERS_MAX = 64
"""The same for what identifies something."""

COUNT_MAX = 9_999
"""The same for what is counted: loans, renewals, days."""

THREE_DIGITS = r"^[0-9]{3}$"
"""The pattern of membership codes, and of media types in SIP2."""

Text: TypeAlias = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Age: TypeAlias = Annotated[int, Meta(ge=0, le=150)]
Months: TypeAlias = Annotated[int, Meta(ge=0, le=1200)]

T = TypeVar("T")


@cache
def _values_of(kind: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*(field.name for field in fields(kind) if field.init))


@cache
def _places_of(kind: type[Any]) -> dict[str, int]:
    names = (field.name for field in fields(kind) if field.init)
    return {name: place for place, name in enumerate(names)}


def copied(value: T, **changes: Any) -> T:
    """`value` with `changes`: a cheaper `dataclasses.replace`.

    Each payment makes new snapshots of what was paid. What is no argument of its class begins anew.
    """
    kind: Any = type(value)
    values, places = list(_values_of(kind)(value)), _places_of(kind)
    for name, changed in changes.items():
        values[places[name]] = changed
    new: T = kind(*values)
    return new
