"""All messages by their code, compiled and checked when the program starts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

from sip2gw.protocol import messages
from sip2gw.protocol.dialect import MESSAGES_OF, DialectName
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
        place.tag
        for message in (*requests, *responses)
        for place in layout_of(message).fields
        if place.sensitive
    }
    if sensitive != SENSITIVE_TAGS:
        raise TypeError("the sensitive fields are not the published ones")
    for request in requests:
        if request.response not in responses:
            raise TypeError(f"message {request.code} has no response")
        refusal = request().failure_form("", datetime(2000, 1, 1, tzinfo=UTC), ())
        if type(refusal) is not request.response:
            raise TypeError(f"message {request.code} has no refusal of its own type")


_STANDARD = [
    value
    for value in vars(messages).values()
    if isinstance(value, type) and issubclass(value, Message) and hasattr(value, "code")
]
_OF_VENDORS = [kind for kinds in MESSAGES_OF.values() for kind in kinds]

_REQUESTS_IN = {name: by_code(Request, (*_STANDARD, *own)) for name, own in MESSAGES_OF.items()}
_RESPONSES_IN = {name: by_code(Response, (*_STANDARD, *own)) for name, own in MESSAGES_OF.items()}


def requests_in(dialect: DialectName) -> dict[str, type[Request]]:
    """The requests of that dialect, by code."""
    return _REQUESTS_IN[dialect]


def responses_in(dialect: DialectName) -> dict[str, type[Response]]:
    """The responses of that dialect, by code."""
    return _RESPONSES_IN[dialect]


REQUESTS: dict[str, type[Request]] = by_code(Request, (*_STANDARD, *_OF_VENDORS))
"""What terminals of any dialect send, by code."""
RESPONSES: dict[str, type[Response]] = by_code(Response, (*_STANDARD, *_OF_VENDORS))
"""What the gateway sends in any dialect, by code."""
MESSAGES: dict[str, type[Message]] = {**REQUESTS, **RESPONSES}
FIELDS: dict[str, Tagged] = {}
"""Every identified field by tag; of a tag with several meanings the first."""
for _kind in MESSAGES.values():
    for _place in layout_of(_kind).fields:
        FIELDS.setdefault(_place.tag, _place)

check(REQUESTS.values(), RESPONSES.values())
