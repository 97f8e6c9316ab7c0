"""Bytes of a response that is given again and again, the same but for its date."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import Any

from sip2gw.protocol.codec import serialise
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.message import Response
from sip2gw.protocol.wire import WireFormat

_DATE = "transaction_date"


@cache
def date_place(kind: type[Response]) -> slice:
    """Where the transaction date stands in the body of a response.

    Raises:
        LookupError: it has none.
    """
    start = COMMAND_WIDTH
    for fixed in layout_of(kind).fixed:
        if fixed.attribute == _DATE:
            return slice(start, start + fixed.place.width)
        start += fixed.place.width
    raise LookupError(kind)


@cache
def _undated(kind: type[Response]) -> attrgetter[tuple[Any, ...]]:
    """Reads all that such a response says but for its date."""
    said = (name for name in layout_of(kind).attributes if name != _DATE)
    return attrgetter(*said, "extra_fields")


class Written:
    """What was written last, kept beside what is said in it.

    It belongs to an answer that mostly stays the same, for writing a 64 takes several times as long
    as finding out that it is the same.
    """

    __slots__ = ("_head", "_kind", "_said", "_tail", "_wire")

    def __init__(self) -> None:
        self._kind: type[Response] | None = None
        self._wire: WireFormat | None = None
        self._said: tuple[Any, ...] = ()
        self._head = self._tail = b""

    def body_of(self, response: Response, wire: WireFormat) -> bytes:
        """`serialise`, for a response with a date; nobody may change its `extra_fields` later."""
        kind: Any = type(response)
        said = _undated(kind)(response)
        if kind is self._kind and wire is self._wire and said == self._said:
            date = wire.timestamps.render(getattr(response, _DATE))
            return self._head + date.encode("ascii") + self._tail
        body, place = serialise(response, wire), date_place(kind)
        self._kind, self._wire, self._said = kind, wire, said
        self._head, self._tail = body[: place.start], body[place.stop :]
        return body
