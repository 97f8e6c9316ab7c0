"""Bytes of a response that is given again and again, the same but for its date."""

from __future__ import annotations

from functools import cache
from typing import Any

from sip2gw.protocol.codec import serialise
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.message import Message, Response
from sip2gw.protocol.wire import WireFormat

_DATE = "transaction_date"


@cache
def date_place(kind: type[Message]) -> slice:
    """Where the transaction date stands in the body of a message.

    Raises:
        LookupError: it has none.
    """
    start = COMMAND_WIDTH
    for fixed in layout_of(kind).fixed:
        if fixed.attribute == _DATE:
            return slice(start, start + fixed.place.width)
        start += fixed.place.width
    raise LookupError(kind)


class Written:
    """The bytes of one response that is given again and again, as they were written last.

    Writing a 64 takes several times as long as finding out that it is the same object.
    """

    __slots__ = ("_head", "_response", "_tail", "_wire")

    def __init__(self) -> None:
        self._response: Response | None = None
        self._wire: WireFormat | None = None
        self._head = self._tail = b""

    def body_of(self, response: Response, wire: WireFormat) -> bytes:
        """`serialise`, for a response with a date, of which nothing else may ever change."""
        if response is self._response and wire is self._wire:
            # Every response with such a place has the attribute; a type checker does not see it.
            date = wire.timestamps.render(response.transaction_date)  # type: ignore[attr-defined]
            return self._head + date.encode("ascii") + self._tail
        kind: Any = type(response)
        body, place = serialise(response, wire), date_place(kind)
        self._response, self._wire = response, wire
        self._head, self._tail = body[: place.start], body[place.stop :]
        return body
