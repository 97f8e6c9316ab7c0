"""Whether an answer is one to the request: of its type, about the same patron and item (B71).

Read from the bytes, so that it holds for what is passed on unread, too (C126).
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from sip2gw.protocol.errors import AnotherPatronError, StrangeAnswerError
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.message import Message
from sip2gw.protocol.registry import REQUESTS
from sip2gw.protocol.structs import Opaque

_PATRON, _ITEM = b"|AA", b"|AB"


class _Kind(NamedTuple):
    """A request that we know, and where the fields begin in it and in its answer."""

    answer: bytes
    fields_at: int
    answer_fields_at: int
    is_about_item: bool
    """Whether the answer names an item."""


def _fields_at(message: type[Message]) -> int:
    return COMMAND_WIDTH + layout_of(message).fixed_width


_KINDS = {
    code.encode(): _Kind(
        kind.response.code.encode(),
        _fields_at(kind),
        _fields_at(kind.response),
        any(placed.place.tag == "AB" for placed in layout_of(kind.response).tagged),
    )
    for code, kind in REQUESTS.items()
}


class Asked(Opaque, Struct, frozen=True):
    """What the answer to a request must be about."""

    kind: _Kind | None
    """None: a request that we do not know."""
    patron: bytes = b""
    """AA without blanks around it; empty: nobody in particular."""
    item: bytes = b""
    """AB in the same way."""

    def is_answered_by(self, answer: bytes, *, aliases: bool = False) -> bool:
        """Whether the body `answer` can belong to the request.

        Anything can be the answer to a request that we do not know. With `aliases` a patron may
        have another number in the answer (C151).
        """
        kind, patron, item = self.kind, self.patron, self.item
        if kind is None:
            return True
        if not answer.startswith(kind.answer):
            return False
        if patron and not aliases and _differs(_PATRON, patron, answer, kind):
            return False
        return not (item and _differs(_ITEM, item, answer, kind))

    def insist(self, answer: bytes, *, aliases: bool) -> None:
        """Raise unless `is_answered_by`.

        Raises:
            AnotherPatronError: only the patron is another one.
            StrangeAnswerError: it is the answer to something else.
        """
        if self.is_answered_by(answer, aliases=aliases):
            return
        if self.is_answered_by(answer, aliases=True):
            raise AnotherPatronError
        raise StrangeAnswerError


ANYTHING = Asked(None)
"""What a request that we do not know is about."""


def asked_by(body: bytes) -> Asked:
    """What the request `body` is about."""
    kind = _KINDS.get(body[:COMMAND_WIDTH])
    if kind is None:
        return ANYTHING
    at = kind.fields_at
    item = _value(_ITEM, body, at) if kind.is_about_item else None
    return Asked(kind, _value(_PATRON, body, at) or b"", item or b"")


def _differs(mark: bytes, asked: bytes, answer: bytes, kind: _Kind) -> bool:
    said = _value(mark, answer, kind.answer_fields_at)
    return said is not None and said != asked


def _value(mark: bytes, body: bytes, fields_at: int) -> bytes | None:
    """The first value of the field that begins with `mark`, without blanks around it; no field
    begins before `fields_at`."""
    _, found, rest = (b"|" + body[fields_at:]).partition(mark)
    return rest.partition(b"|")[0].strip(b" ") if found else None
