"""What a message class declares, read once from its annotations."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_args

from msgspec import Struct
from msgspec.structs import fields

from sip2gw.protocol.fields import Fixed, Group, Tagged

Place = TypeVar("Place", Fixed, Tagged, Group)


class Placement(Struct, Generic[Place], frozen=True):
    """One attribute of a message and its place on the wire."""

    attribute: str
    place: Place
    absent: Any
    """What a reader sets when the field is not there: None where the type allows it."""


class Layout(Struct, frozen=True):
    """The wire order of one message: its fixed block, its identified fields, groups of them."""

    fixed: tuple[Placement[Fixed], ...]
    tagged: tuple[Placement[Tagged], ...]
    groups: tuple[Placement[Group], ...] = ()

    @property
    def fixed_width(self) -> int:
        """Characters of the fixed block, the command not counted."""
        return sum(placement.place.width for placement in self.fixed)

    @property
    def attributes(self) -> tuple[str, ...]:
        """All attributes in wire order."""
        return (
            *(p.attribute for p in self.fixed),
            *(p.attribute for p in self.tagged),
            *(p.attribute for p in self.groups),
        )

    @property
    def fields(self) -> tuple[Tagged, ...]:
        """All identified fields, including those in groups."""
        members = (member for placement in self.groups for member in placement.place.members)
        return (*(placement.place for placement in self.tagged), *members)

    @property
    def sensitive(self) -> frozenset[str]:
        """Attributes that no log, repr or description may show (B16)."""
        return frozenset(p.attribute for p in self.tagged if p.place.sensitive)


_layouts: dict[type[Any], Layout] = {}


def layout_of(message: type[Any]) -> Layout:
    """The layout of `message`, read once.

    Raises:
        TypeError: as `read_layout`.
    """
    if message not in _layouts:
        _layouts[message] = read_layout(message)
    return _layouts[message]


def read_layout(message: type[Any]) -> Layout:
    """The layout of `message` from its annotations.

    Raises:
        TypeError: an attribute has no place, a fixed field comes after an identified one, an
        identified one after a group, or a tag is there twice; all are mistakes in the declaration.
    """
    fixed: list[Placement[Fixed]] = []
    tagged: list[Placement[Tagged]] = []
    groups: list[Placement[Group]] = []
    for field in fields(message):
        if field.name == "extra_fields":
            continue
        optional = type(None) in get_args(getattr(field.type, "__origin__", field.type))
        absent = None if optional else field.default
        match getattr(field.type, "__metadata__", (None,))[0]:
            case Fixed() as place if not tagged:
                fixed.append(Placement(field.name, place, absent))
            case Tagged() as place if not groups:
                tagged.append(Placement(field.name, place, absent))
            case Group() as place:
                groups.append(Placement(field.name, place, absent))
            case _:
                raise TypeError(f"{message.__name__}.{field.name} has no proper place")
    layout = Layout(tuple(fixed), tuple(tagged), tuple(groups))
    tags = [place.tag for place in layout.fields]
    if len(set(tags)) < len(tags):
        raise TypeError(f"{message.__name__} has a tag twice")
    return layout
