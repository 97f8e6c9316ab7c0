"""The declarations, checked against a second, independent statement of the standard."""

from datetime import UTC, datetime
from typing import ClassVar

import pytest
from msgspec.structs import fields

from sip2gw.protocol import fields as f
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.dialect import MoneyLines
from sip2gw.protocol.fields import PatronFlag, Summary, SupportedMessage
from sip2gw.protocol.layout import layout_of, read_layout
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.messages import (
    BlockPatron,
    Checkin,
    FeePaid,
    ItemInformation,
    Login,
    PatronInformation,
    PatronStatusRequest,
    PatronStatusResponse,
    RenewAll,
    ScStatus,
)
from sip2gw.protocol.registry import (
    FIELDS,
    MESSAGES,
    REQUESTS,
    RESPONSES,
    SENSITIVE_TAGS,
    by_code,
    check,
    requests_in,
    responses_in,
)
from sip2gw.protocol.wire import WireFormat

NOW = datetime(2026, 1, 31, 14, 25, tzinfo=UTC)
WIRE = WireFormat()

FIXED_WIDTHS = {
    "01": 19, "09": 37, "10": 22, "11": 38, "12": 22, "15": 19, "16": 20, "17": 18, "18": 24,
    "19": 18, "20": 19, "23": 21, "24": 35, "25": 18, "26": 35, "29": 38, "30": 22, "35": 18,
    "36": 19, "37": 25, "38": 19, "41": 18, "42": 18, "63": 31, "64": 59, "65": 18, "66": 27,
    "93": 2, "94": 1, "96": 0, "97": 0, "98": 34, "99": 8,
}  # fmt: skip
"""Characters between the command and the first identified field, from the standard's tables;
of 41 and 42 from C45."""


def test_fixed_width_of_every_message() -> None:
    assert {code: layout_of(m).fixed_width for code, m in MESSAGES.items()} == FIXED_WIDTHS


def test_sensitive_fields_are_exactly_ac_ad_cn_co() -> None:
    found = {tag for tag, place in FIELDS.items() if place.sensitive}
    assert found == SENSITIVE_TAGS == {"AC", "AD", "CN", "CO"}


def test_every_request_has_a_response_and_sixteen_have_a_slot_in_bx() -> None:
    assert {request.response for request in REQUESTS.values()} == set(RESPONSES.values())
    assert {member.value for member in SupportedMessage} == set(requests_in("standard"))
    assert set(requests_in("wise")) - set(requests_in("standard")) == {"41"}
    assert set(responses_in("wise")) - set(responses_in("standard")) == {"42"}
    assert requests_in("gossip") == requests_in("standard")


def test_flag_orders() -> None:
    assert [flag.value for flag in PatronFlag] == list(range(14))
    assert [part.value for part in Summary] == list(range(7))
    assert "".join(SupportedMessage) == "23110901999793633537171925152965"


@pytest.mark.parametrize("request_type", REQUESTS.values(), ids=lambda r: r.code)
def test_b2_every_request_refuses_in_its_own_type(request_type: type[Request]) -> None:
    refusal = request_type().failure_form("HUB", NOW, ("Not now",))
    assert type(refusal) is request_type.response
    assert getattr(refusal, "institution_id", "HUB") == "HUB"
    assert getattr(refusal, "screen_message", ("Not now",)) == ("Not now",)


@pytest.mark.parametrize(
    ("request_", "frame"),
    [
        (Login(), b"940"),
        (
            ScStatus(),
            b"98NNNNNN00000020260131    1425002.00AOHUB|BXNNNNYYYNNNNNNNNN|AFno|",
        ),
        (
            PatronStatusRequest(language="005", patron_identifier="1"),
            b"24YYYY          00520260131    142500AOHUB|AA1|AE|BLN|CQN|AFno|",
        ),
        (
            PatronInformation(language="005", patron_identifier="1"),
            b"64YYYY          00520260131    142500000000000000000000000000"
            b"AOHUB|AA1|AE|BLN|CQN|AFno|",
        ),
        (
            BlockPatron(patron_identifier="1"),
            b"24YYYY          00020260131    142500AOHUB|AA1|AE|BLN|CQN|AFno|",
        ),
        (
            FeePaid(patron_identifier="1", transaction_id="B7"),
            b"38N20260131    142500AOHUB|AA1|BKB7|AFno|",
        ),
        (
            ItemInformation(item_identifier="9"),
            b"1801000120260131    142500AB9|AJ|AFno|",
        ),
        (MoneyLines(patron_identifier="1"), b"4220260131    142500AOHUB|AA1|AFno|"),
        (RenewAll(), b"660" + b"0" * 8 + b"20260131    142500AOHUB|AFno|"),
        (Checkin(item_identifier="9"), b"100NUN20260131    142500AOHUB|AB9|AQ|AFno|"),
    ],
    ids=lambda value: value.code if isinstance(value, Request) else "",
)
def test_c27_failure_forms(request_: Request, frame: bytes) -> None:
    assert serialise(request_.failure_form("HUB", NOW, ("no",)), WIRE) == frame


@pytest.mark.parametrize("code", REQUESTS)
def test_no_flag_of_a_request_is_raised_by_itself(code: str) -> None:
    """What was not read was not said: no third party, no block, no fee acknowledged."""
    request = REQUESTS[code]()
    said = {f.name for f in fields(request) if getattr(request, f.name) is True}
    assert said == set()


def test_c27_36_is_always_yes() -> None:
    assert serialise(REQUESTS["35"]().failure_form("HUB", NOW, ()), WIRE).startswith(b"36Y")
    assert serialise(REQUESTS["15"]().failure_form("HUB", NOW, ()), WIRE).startswith(b"160N")


def test_b16_repr_hides_what_is_sensitive_and_what_is_unknown() -> None:
    request = PatronStatusRequest(
        patron_identifier="2100", terminal_password="canary", patron_password="canary"
    )
    request.extra_fields = [("AD", b"canary")]
    shown = repr(request) + repr(Login(login_user_id="canary", login_password="canary"))
    assert "canary" not in shown + str(request.__rich_repr__())
    assert "patron_identifier='2100'" in shown


def test_b18_an_untouched_patron_response_grants_nothing() -> None:
    response = PatronStatusResponse()
    assert response.patron_status == f.UNKNOWN_CARD_FLAGS
    assert response.valid_patron is False
    assert response.valid_patron_password is False


class FixedBehindTagged(Response):
    code: ClassVar[str] = "02"
    institution_id: f.InstitutionId = ""
    language: f.Language = "000"


class TagTwice(Response):
    code: ClassVar[str] = "02"
    institution_id: f.InstitutionId = ""
    again: f.InstitutionId = ""


class WithoutPlace(Response):
    code: ClassVar[str] = "02"
    institution_id: str = ""


class TagTwiceInAGroup(Response):
    code: ClassVar[str] = "02"
    fee_identifier: f.FeeIdentifier = None
    fee_details: f.FeeDetails = ()


class TaggedBehindGroup(Response):
    code: ClassVar[str] = "02"
    fee_details: f.FeeDetails = ()
    institution_id: f.InstitutionId = ""


class Orphan(Request):
    code: ClassVar[str] = "03"
    response: ClassVar[type[Response]] = FixedBehindTagged


class Mute(Login):
    def failure_form(self, institution_id: str, now: datetime, texts: tuple[str, ...]) -> Response:
        return FixedBehindTagged()


@pytest.mark.parametrize(
    "message",
    [FixedBehindTagged, TagTwice, WithoutPlace, TagTwiceInAGroup, TaggedBehindGroup],
)
def test_a_wrong_declaration_is_noticed_at_import(message: type[Response]) -> None:
    with pytest.raises(TypeError, match=message.__name__):
        read_layout(message)


def test_the_registry_notices_what_does_not_fit() -> None:
    requests, responses = tuple(REQUESTS.values()), tuple(RESPONSES.values())
    with pytest.raises(TypeError, match="twice"):
        by_code(Request, [Login, Login])
    with pytest.raises(TypeError, match="sensitive"):
        check([], responses)
    with pytest.raises(TypeError, match="03 has no response"):
        check([*requests, Orphan], responses)
    with pytest.raises(TypeError, match="93 has no refusal"):
        check([*requests, Mute], responses)
