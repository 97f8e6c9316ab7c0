"""All messages by their code, compiled and checked when the program starts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

from sip2gw.protocol import messages
from sip2gw.protocol.fields import Tagged
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.message import Message, Request, Response

SENSITIVE_TAGS = frozenset({"AC", "AD", "CN", "CO"})
"""The published set of tags whose values never show (B16)."""

Kind = TypeVar("Kind", bound=Message)


def by_code(kind: type[Kind], classes: Iterable[type[Message]]) -> dict[str, type[Kind]]:
    """The concrete subclasses of `kind` among `classes`, by message code.

    Raises:
        TypeError: two of them have one code.
    """
    found: dict[str, type[Kind]] = {}
    for message in classes:
        if issubclass(message, kind):
            if message.code in found:
                raise TypeError(f"message {message.code} is declared twice")
            found[message.code] = message
    return found


def check(requests: Iterable[type[Request]], responses: Iterable[type[Response]]) -> None:
    """Make sure that the declarations fit together.

    Raises:
        TypeError: a request without a response of ours or without a refusal, or a sensitive set
            other than `SENSITIVE_TAGS`.
    """
    requests, responses = tuple(requests), tuple(responses)
    sensitive = {
        placement.place.tag
        for message in (*requests, *responses)
        for placement in layout_of(message).tagged
        if placement.place.sensitive
    }
    if sensitive != SENSITIVE_TAGS:
        raise TypeError("the sensitive fields are not the published ones")
    for request in requests:
        if request.response not in responses:
            raise TypeError(f"message {request.code} has no response")
        refusal = request().refused("", datetime(2000, 1, 1, tzinfo=UTC), ())
        if type(refusal) is not request.response:
            raise TypeError(f"message {request.code} has no refusal of its own type")


_CLASSES = [
    value
    for value in vars(messages).values()
    if isinstance(value, type) and issubclass(value, Message) and hasattr(value, "code")
]

REQUESTS: dict[str, type[Request]] = by_code(Request, _CLASSES)
"""What terminals send, by code."""
RESPONSES: dict[str, type[Response]] = by_code(Response, _CLASSES)
"""What the gateway sends, by code."""
MESSAGES: dict[str, type[Message]] = {**REQUESTS, **RESPONSES}
FIELDS: dict[str, Tagged] = {
    placement.place.tag: placement.place
    for message in MESSAGES.values()
    for placement in layout_of(message).tagged
}
"""Every identified field by tag."""

check(REQUESTS.values(), RESPONSES.values())
