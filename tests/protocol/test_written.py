"""Bytes kept around their date are those that would be written anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sip2gw.protocol import written as module
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.message import Response
from sip2gw.protocol.messages import (
    LoginResponse,
    PatronInformationResponse,
    PatronStatusResponse,
)
from sip2gw.protocol.wire import WireFormat
from sip2gw.protocol.written import Written, date_place

WIRE = WireFormat()
EARLIER, LATER = (datetime(2026, 3, 2, 10, 15, second, tzinfo=UTC) for second in (0, 1))


def says(at: datetime = EARLIER, **more: Any) -> PatronInformationResponse:
    return PatronInformationResponse(
        transaction_date=at, institution_id="HUB", patron_identifier="91", **more
    )


def test_the_same_later_is_not_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    one, response, later = Written(), says(), serialise(says(LATER), WIRE)
    first = one.body_of(response, WIRE)
    monkeypatch.setattr(module, "serialise", None)
    response.transaction_date = LATER
    assert one.body_of(response, WIRE) == later
    response.transaction_date = EARLIER
    assert one.body_of(response, WIRE) == first
    assert first != later


@pytest.mark.parametrize(
    "other",
    [
        says(screen_message=("Hallo",)),
        says(valid_patron_password=True),
        says(extra_fields=[("ZZ", b"1")]),
        PatronStatusResponse(
            transaction_date=EARLIER, institution_id="HUB", patron_identifier="91"
        ),
    ],
)
def test_anything_else_is_written_anew(other: Response) -> None:
    one = Written()
    one.body_of(says(), WIRE)
    assert one.body_of(other, WIRE) == serialise(other, WIRE)


def test_so_it_is_for_another_terminal() -> None:
    one, other = Written(), WireFormat(date_zone="utc", encoding="utf-8")
    response = says(personal_name="Zoë")
    for wire in (WIRE, other, WIRE):
        assert one.body_of(response, wire) == serialise(response, wire)


def test_what_has_no_date_has_no_place_for_it() -> None:
    with pytest.raises(LookupError):
        date_place(LoginResponse)
