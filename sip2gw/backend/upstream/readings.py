"""Answers as messages, read once as long as they say the same.

A patron is asked about several times in a visit, and mostly nothing has changed but the time. Then
the answer is the very message that was made of the last one to the same question, so whatever is
kept with it still holds (`authentication.snapshots`). An answer that nobody has given for some
minutes is forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from sip2gw.foundation.recent import Recent
from sip2gw.protocol.codec import parse_response_body
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.line.matching import Asked
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.messages import PatronInformation, PatronStatusRequest
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.wire import WireFormat
from sip2gw.protocol.written import date_place

KEPT_MAX = 10_000
KEPT_BYTES_MAX = 2048
"""A longer answer, a list of many items, is read each time: memory is bounded by bytes, too."""


class _Places(NamedTuple):
    """What stands around the date in a question about a patron, but for its fields, and in its
    answer."""

    head: slice
    tail: slice
    answer_head: slice
    answer_tail: slice


def _places(kind: type[Request]) -> _Places:
    date, answer_date = date_place(kind), date_place(kind.response)
    fields_at = COMMAND_WIDTH + layout_of(kind).fixed_width
    return _Places(
        slice(date.start),
        slice(date.stop, fields_at),
        slice(answer_date.start),
        slice(answer_date.stop, None),
    )


_QUESTIONS = {
    kind.code.encode(): _places(kind) for kind in (PatronStatusRequest, PatronInformation)
}


class _Kept(Discreet, Struct):
    """An answer to a question, but for its date."""

    head: Hidden[bytes]
    tail: Hidden[bytes]
    """Never empty: else an answer without all of its date would say the same."""
    message: Response


class Readings:
    """The last answers about patrons, by what was asked: PIN and date are not part of that."""

    def __init__(self, wire: WireFormat, *, aliases: bool = False) -> None:
        """`aliases`: whether a patron may have another number in the answer (C151)."""
        self._wire = wire
        self._aliases = aliases
        self._kept: Recent[bytes, _Kept] = Recent(KEPT_MAX)

    def answer(self, question: bytes, asked: Asked, body: bytes) -> Response:
        """The answer in `body` to the request `question`, which is about `asked`.

        Nobody may change it, but by what follows from it alone (`deny_doubtful`); one about a
        patron may have the date of an earlier one that said the same.

        Raises:
            ProtocolError: it is no answer to that (`Asked.insist`), or it cannot be read.
        """
        places = _QUESTIONS.get(question[:COMMAND_WIDTH])
        if places is None:
            return self._read(asked, body)
        key = question[places.head] + question[places.tail] + asked.patron
        head, tail = body[places.answer_head], body[places.answer_tail]
        known = self._kept.get(key)
        # What says the same was the answer to the same question: it need not be matched again.
        if known is not None and known.tail == tail and known.head == head:
            return known.message
        message = self._read(asked, body)
        if tail and len(body) <= KEPT_BYTES_MAX:
            self._kept.keep(key, _Kept(head, tail, message))
        return message

    def forget(self) -> None:
        """Read each answer anew."""
        self._kept.clear()

    def _read(self, asked: Asked, body: bytes) -> Response:
        asked.insist(body, aliases=self._aliases)
        return parse_response_body(body, self._wire)
