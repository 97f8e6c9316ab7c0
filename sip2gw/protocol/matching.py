"""Whether an answer is one to the request: of its type, about the same patron and item (B71).

Read from the bytes, so that it holds for what is passed on unread, too (C126).
"""

from __future__ import annotations

from typing import NamedTuple

from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.message import Message
from sip2gw.protocol.registry import REQUESTS

_PATRON, _ITEM = b"AA", b"AB"


class _Kind(NamedTuple):
    """A request that we know, and where the fields begin in it and in its answer."""

    answer: bytes
    fields_at: int
    answer_fields_at: int


def _fields_at(message: type[Message]) -> int:
    return COMMAND_WIDTH + layout_of(message).fixed_width


_KINDS = {
    code.encode(): _Kind(kind.response.code.encode(), _fields_at(kind), _fields_at(kind.response))
    for code, kind in REQUESTS.items()
}


def is_answer_to(request: bytes, answer: bytes, *, aliases: bool = False) -> bool:
    """Whether the body `answer` can belong to the body `request`.

    Anything can be the answer to a request that we do not know. With `aliases` a patron may have
    another number in the answer (C151).
    """
    kind = _KINDS.get(request[:COMMAND_WIDTH])
    if kind is None:
        return True
    if answer[:COMMAND_WIDTH] != kind.answer:
        return False
    if not aliases and _differs(_PATRON, request, answer, kind):
        return False
    return not _differs(_ITEM, request, answer, kind)


def value_of(tag: bytes, body: bytes) -> bytes | None:
    """The first value of `tag` in a request that we know, without blanks around it; None if there
    is none."""
    kind = _KINDS.get(body[:COMMAND_WIDTH])
    return None if kind is None else _value(tag, body, kind.fields_at)


def _differs(tag: bytes, request: bytes, answer: bytes, kind: _Kind) -> bool:
    asked = _value(tag, request, kind.fields_at)
    if not asked:
        return False
    said = _value(tag, answer, kind.answer_fields_at)
    return said is not None and said != asked


def _value(tag: bytes, body: bytes, fields_at: int) -> bytes | None:
    """The first value of `tag`, without blanks around it; no field begins before `fields_at`."""
    if body.startswith(tag, fields_at):
        start = fields_at
    else:
        start = body.find(b"|" + tag, fields_at) + 1
        if not start:
            return None
    end = body.find(b"|", start)
    return body[start + len(tag) : end if end >= 0 else len(body)].strip(b" ")
