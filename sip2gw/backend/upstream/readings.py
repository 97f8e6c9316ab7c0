"""Answers as messages, read once as long as they say the same.

A patron is asked about several times in a visit, and mostly nothing has changed but the time. Then
the answer is the very message that was made of the last one to the same question, so whatever is
kept with it still holds (`authentication.snapshots`). An answer that nobody has given for some
minutes is forgotten.
"""

from __future__ import annotations

from msgspec import Struct

from sip2gw.foundation.recent import Recent
from sip2gw.protocol.codec import parse_response_body
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.line.matching import Asked
from sip2gw.protocol.message import Response
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.wire import WireFormat
from sip2gw.protocol.written import date_place

KEPT_MAX = 10_000
KEPT_BYTES_MAX = 2048
"""A longer answer, a list of many items, is read each time: memory is bounded by bytes, too."""


_QUESTIONS = {
    kind.code.encode(): (
        date_place(kind),
        COMMAND_WIDTH + layout_of(kind).fixed_width,
        date_place(answer),
    )
    for kind, answer in (
        (PatronStatusRequest, PatronStatusResponse),
        (PatronInformation, PatronInformationResponse),
    )
}
"""Where the date stands in a question about a patron, where its fields begin, and where the date
stands in its answer."""


class _Kept(Discreet, Struct):
    """An answer to a question, but for its date."""

    head: Hidden[bytes]
    tail: Hidden[bytes]
    length: int
    """Of all of it, in bytes."""
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

        Nobody may change it; one about a patron may have the date of an earlier one that said the
        same.

        Raises:
            ProtocolError: it is no answer to that (`Asked.insist`), or it cannot be read.
        """
        places = _QUESTIONS.get(question[:COMMAND_WIDTH])
        if places is None:
            return self._read(asked, body)
        date, fields_at, answer_date = places
        key = question[: date.start] + question[date.stop : fields_at] + asked.patron
        known = self._kept.get(key)
        # What says the same was the answer to the same question: it need not be matched again.
        if (
            known is not None
            and len(body) == known.length
            and body.startswith(known.head)
            and body.endswith(known.tail)
        ):
            return known.message
        message = self._read(asked, body)
        if len(body) <= KEPT_BYTES_MAX:
            head, tail = body[: answer_date.start], body[answer_date.stop :]
            self._kept.keep(key, _Kept(head, tail, len(body), message))
        return message

    def forget(self) -> None:
        """Read each answer anew."""
        self._kept.clear()

    def _read(self, asked: Asked, body: bytes) -> Response:
        asked.insist(body, aliases=self._aliases)
        return parse_response_body(body, self._wire)
