"""Hypothesis strategies derived from the declarations: any message that can be on the wire."""

from typing import Any

from hypothesis import strategies as st

from sip2gw.protocol import values
from sip2gw.protocol.fields import (
    Fixed,
    Group,
    PatronFlag,
    Summary,
    SupportedMessage,
    Tagged,
)
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.message import Message

LETTERS = st.characters(codec="cp850", exclude_characters="|", categories=["L", "N", "P", "S"])


def value_at(place: Fixed | Tagged) -> st.SearchStrategy[Any]:
    """Any value that survives a round trip at `place`."""
    if isinstance(place, Tagged) and place.repeated:
        return st.lists(st.text(LETTERS, max_size=20), max_size=3).map(tuple)
    one = _one(place)
    optional = isinstance(place, Tagged) and not place.is_required
    absent_is_false = isinstance(place, Tagged) and place.tag in ("BO", "BI", "FA", "FB", "FC")
    return st.none() | one if optional and not absent_is_false else one


def _one(place: Fixed | Tagged) -> st.SearchStrategy[Any]:
    printable = st.characters(codec="ascii", exclude_characters="|", min_codepoint=32)
    exact = st.text(printable, min_size=place.width, max_size=place.width).filter(str.isprintable)
    if place.codec in (values.FLAG, values.OK, values.ACCEPTED):
        return st.booleans()
    if place.codec is values.LANGUAGE:
        return st.integers(0, 999).map("{:03}".format)
    if place.codec is values.FLAG_OR_UNKNOWN:
        return st.none() | st.booleans()
    if place.codec in (values.COUNT, values.LIMIT):
        return st.integers(0, 10**place.width - 1)
    if place.codec is values.TIMESTAMP or (place.width and place.codec is values.TEXT):
        return exact
    if place.codec is values.TEXT:
        return st.text(LETTERS, max_size=60)
    members: dict[int, list[Any]] = {
        14: list(PatronFlag),
        10: list(Summary),
        16: [m.value for m in SupportedMessage],
    }
    return st.frozensets(st.sampled_from(members[place.width]))


def rows_of(group: Group) -> st.SearchStrategy[Any]:
    """Any values of a group."""
    values_ = [st.text(LETTERS, max_size=20) for _ in group.members]
    return st.lists(st.builds(group.kind, *values_), max_size=3).map(tuple)


def messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Any message of class `kind`."""
    layout = layout_of(kind)
    placements: list[tuple[str, Any]] = [(p.attribute, p.place) for p in layout.fixed]
    placements += [(p.attribute, p.place) for p in layout.tagged]
    values_ = {name: value_at(place) for name, place in placements}
    values_ |= {p.attribute: rows_of(p.place) for p in layout.groups}
    return st.builds(kind, **values_)
