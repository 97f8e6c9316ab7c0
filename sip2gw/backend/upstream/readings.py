"""Answers as messages, read once as long as they say the same.

A patron is asked about several times in a visit, and mostly nothing has changed but the time. Then
the answer is the very message that was made of the last one, so whatever is kept with it still
holds (`authentication.snapshots`). An answer that nobody has given for some minutes is forgotten.
"""

from __future__ import annotations

from sip2gw.foundation.recent import Recent
from sip2gw.protocol.codec import parse_response_body
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.message import Response
from sip2gw.protocol.messages import PatronInformationResponse, PatronStatusResponse
from sip2gw.protocol.wire import WireFormat
from sip2gw.protocol.written import date_place

KEPT_MAX = 10_000
KEPT_BYTES_MAX = 2048
"""A longer answer, a list of many items, is read each time: memory is bounded by bytes, too."""


_DATES = {
    kind.code.encode(): date_place(kind)
    for kind in (PatronStatusResponse, PatronInformationResponse)
}


class Readings:
    """The last answers about patrons, by what they say."""

    def __init__(self, wire: WireFormat) -> None:
        self._wire = wire
        self._kept: Recent[bytes, Response] = Recent(KEPT_MAX)

    def read(self, body: bytes) -> Response:
        """The answer in `body`. Nobody may change it; one about a patron may have the date of an
        earlier one that said the same.

        Raises:
            ProtocolError: it cannot be read.
        """
        place = _DATES.get(body[:COMMAND_WIDTH])
        if place is None or len(body) > KEPT_BYTES_MAX:
            return parse_response_body(body, self._wire)
        undated = body[: place.start] + body[place.stop :]
        known = self._kept.get(undated)
        if known is None:
            known = parse_response_body(body, self._wire)
            self._kept.keep(undated, known)
        return known

    def forget(self) -> None:
        """Read each answer anew."""
        self._kept.clear()
