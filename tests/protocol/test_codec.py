"""Messages to bytes and back: tolerant in, strict out."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sip2gw.protocol.codec import (
    _compile_text_writer,
    parse_request,
    parse_response,
    salvage,
    serialise,
)
from sip2gw.protocol.dialect import (
    MESSAGES_OF,
    DialectName,
    MoneyLines,
    dialect_of,
)
from sip2gw.protocol.encoding import ENCODINGS
from sip2gw.protocol.errors import (
    ProtocolError,
    UnclearVerdictError,
    UnknownMessageError,
    UnreadableError,
)
from sip2gw.protocol.fields import FeeDetail, PatronFlag
from sip2gw.protocol.message import Message, Request
from sip2gw.protocol.messages import (
    AcsStatus,
    Checkout,
    CheckoutResponse,
    FeePaid,
    FeePaidResponse,
    HoldResponse,
    LoginResponse,
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)
from sip2gw.protocol.registry import MESSAGES
from sip2gw.protocol.wire import WireFormat

from .strategies import messages

WIRE = WireFormat()
NOW = datetime(2026, 7, 31, 14, 25, tzinfo=UTC)
HEAD_23 = b"2300120260131    142500"


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=lambda kind: kind.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_every_message_survives_a_round_trip(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    wire = WireFormat(dialect=dialect_of(kind))
    frame = serialise(message, wire)
    parse = parse_request if issubclass(kind, Request) else parse_response
    # A sealed frame, because an unsealed value may happen to look like a trailer.
    assert parse(frame + b"AY1AZ0000", wire) == message


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=lambda kind: kind.__name__)
@settings(max_examples=10)
@given(data=st.data(), encoding=st.sampled_from(ENCODINGS))
def test_the_quick_way_writes_what_the_long_way_writes(
    kind: type[Message], data: st.DataObject, encoding: str
) -> None:
    message = data.draw(messages(kind))
    wire = WireFormat(encoding=encoding)
    fitted = _compile_text_writer(kind, wire, trusted=-1)(message)
    assert serialise(message, wire) == wire.text.encode_strict(fitted)


@given(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=200), st.sampled_from(ENCODINGS))
def test_any_bytes_give_a_message_or_a_declared_error(
    code: str, rest: bytes, encoding: str
) -> None:
    wire = WireFormat(encoding=encoding, dialect=dialect_of(MESSAGES[code]))
    for parse in (parse_request, parse_response):
        try:
            message = parse(code.encode() + rest, wire)
        except ProtocolError:
            continue
        assert serialise(message, wire).startswith(code.encode())


@pytest.mark.parametrize("dialect", MESSAGES_OF)
def test_b55_a_vendors_message_is_known_in_that_dialect_only(dialect: DialectName) -> None:
    wire, frame = WireFormat(dialect=dialect), serialise(MoneyLines(switch_fb=True), WIRE)
    if dialect == "wise":
        assert parse_request(frame, wire) == MoneyLines(
            transaction_date=" " * 18, patron_identifier="", switch_fb=True
        )
    else:
        with pytest.raises(UnknownMessageError):
            parse_request(frame, wire)


DETAILS = (
    b"CGF1|FA2.50|FBI1|FC01.02.2026|FDReinaert|FE04|FFOverdue|"
    b"CGF2|FA0.20|FB|FC02.02.2026|FD|FE01|FFOther|"
)


def test_b55_a_groups_fields_stand_together_and_empty_ones_too() -> None:
    response = PatronInformationResponse(
        fee_details=(
            FeeDetail("F1", "2.50", "I1", "01.02.2026", "Reinaert", "04", "Overdue"),
            FeeDetail("F2", "0.20", "", "02.02.2026", "", "01", "Other"),
        )
    )
    assert serialise(response, WIRE).endswith(DETAILS)
    without = WireFormat(hidden_fields=frozenset({"FB", "FD", "FF"}))
    assert serialise(response, without).endswith(
        b"CGF1|FA2.50|FC01.02.2026|FE04|CGF2|FA0.20|FC02.02.2026|FE01|"
    )


def test_b4_a_value_in_a_group_cannot_break_out_of_it() -> None:
    bad = FeeDetail("F|1", "2.50", "I\r1", "", "x" * 300, "", "č")
    frame = serialise(PatronInformationResponse(fee_details=(bad,)), WIRE)
    assert frame.endswith(b"CGF 1|FA2.50|FBI 1|FC|FD" + b"x" * 255 + b"|FE|FFc|")


def test_b1_what_stands_before_the_first_group_is_not_of_it() -> None:
    head = serialise(PatronInformationResponse(), WIRE)
    response = parse_response(head + b"FAstray|XX1|CGF1|FDTitle|XX2|", WIRE)
    assert isinstance(response, PatronInformationResponse)
    assert response.fee_details == (FeeDetail("F1", "", "", "", "Title", "", ""),)
    assert response.extra_fields == [("FA", b"stray"), ("XX", b"1"), ("XX", b"2")]


def request_23(tagged: bytes) -> PatronStatusRequest:
    request = parse_request(HEAD_23 + tagged, WIRE)
    assert isinstance(request, PatronStatusRequest)
    return request


def test_b1_fields_in_any_order_and_without_the_last_delimiter() -> None:
    request = request_23(b"AD1234|AA2100|AC|AOHUB")
    assert request.institution_id == "HUB"
    assert request.patron_password == "1234"
    assert request.terminal_password == ""


def test_b18_an_absent_ad_is_not_an_empty_one() -> None:
    assert request_23(b"AO|AA1|").patron_password is None
    assert request_23(b"AO|AA1|AD|").patron_password == ""


def test_b1_unknown_and_repeated_fields_are_kept_byte_for_byte() -> None:
    request = request_23(b"AOHUB|XY\x82\xff|AA1|AA2||Q|AD|\xff\xfe1|")
    assert request.patron_identifier == "1"
    assert request.extra_fields == [
        ("XY", b"\x82\xff"),
        ("AA", b"2"),
        ("Q", b""),
        ("\xff\xfe", b"1"),
    ]


def test_b5_undecodable_input_degrades() -> None:
    request = parse_request(HEAD_23 + b"AO\xff\xfe|AA1|", WireFormat(encoding="utf-8"))
    assert isinstance(request, PatronStatusRequest)
    assert request.institution_id == "\ufffd\ufffd"
    assert request.patron_identifier == "1"


@pytest.mark.parametrize("frame", [b"23", b"23001", HEAD_23[:-1], b"2300120260131|    14250AO|"])
def test_b2_a_known_command_with_a_broken_fixed_block_is_unreadable(frame: bytes) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse_request(frame, WIRE)
    assert caught.value.command == "23"


@pytest.mark.parametrize("frame", [b"", b"2", b"77", b"24", b"\xff\xff"])
def test_b2_an_unknown_command_is_unknown(frame: bytes) -> None:
    with pytest.raises(UnknownMessageError):
        parse_request(frame, WIRE)


def test_known_request_is_no_response_even_when_its_reader_is_compiled() -> None:
    request_23(b"AO|")
    with pytest.raises(UnknownMessageError):
        parse_response(HEAD_23 + b"AO|", WIRE)


@pytest.mark.parametrize("sign", [b"Y", b"y", b"1", b"T", b"0", b"?", b"\x82"])
def test_b72_in_a_patron_status_only_a_blank_and_n_deny_nothing(sign: bytes) -> None:
    frame = b"24" + sign + b" NN" + sign + b" " * 9 + b"001" + b" " * 18 + b"AO|AA|AE|"
    response = parse_response(frame, WIRE)
    assert isinstance(response, PatronStatusResponse)
    assert sorted(response.patron_status) == [PatronFlag.CHARGE_DENIED, PatronFlag.CARD_LOST]


@pytest.mark.parametrize("code", ["10", "12", "16", "20", "30", "66", "94"])
def test_b46_what_says_neither_1_nor_0_is_no_answer(code: str) -> None:
    rest = b" " * 60 + b"AO|"
    for verdict in (b"Y", b"N", b" ", b"2"):
        with pytest.raises(UnclearVerdictError):
            parse_response(code.encode() + verdict + rest, WIRE)
    said = [parse_response(code.encode() + verdict + rest, WIRE) for verdict in (b"1", b"0")]
    assert [getattr(answer, "ok", None) for answer in said] == [True, False]


def test_b46_what_says_neither_y_nor_n_of_a_payment_is_no_answer() -> None:
    for verdict in (b"y", b"1", b"0", b" "):
        with pytest.raises(UnclearVerdictError):
            parse_response(b"38" + verdict + b" " * 18 + b"AO|AA1|", WIRE)


def test_flags_are_read_tolerantly() -> None:
    frame = b"11y?" + b" " * 36 + b"AO|AA|AB|AC|BOYES|BIY|"
    request = parse_request(frame, WIRE)
    assert isinstance(request, Checkout)
    assert not request.sc_renewal_policy
    assert not request.no_block
    assert not request.fee_acknowledged
    assert request.cancel


def test_b28_several_summary_positions_and_undefined_ones() -> None:
    request = parse_request(b"63001" + b" " * 18 + b"Y YyN YYYYAO|AA|", WIRE)
    assert isinstance(request, PatronInformation)
    assert sorted(request.summary) == [0, 2, 6]


def test_blank_counts_and_strange_limits_of_an_upstream() -> None:
    frame = b"64" + b" " * 14 + b"001" + b" " * 18 + b" " * 24 + b"AO|AA|AE|BZmany|CA0005|"
    response = parse_response(frame, WIRE)
    assert isinstance(response, PatronInformationResponse)
    assert response.hold_items_count == 0
    assert response.hold_items_limit is None
    assert response.overdue_items_limit == 5
    assert response.valid_patron is None, "an absent BL is not a BLN"


def test_b9_fixed_widths_are_exact_whatever_is_passed() -> None:
    response = PatronInformationResponse(
        language="nl|BE",
        transaction_date="2026\r",
        hold_items_count=12345,
        fine_items_count=-1,
        currency_type="EURO",
        hold_items_limit=99999,
    )
    frame = serialise(response, WIRE)
    assert frame.startswith(b"64YYYY          nl 2026" + b" " * 14 + b"999900000000000000000000AO|")
    assert b"|BHEUR|" in frame
    assert b"|BZ9999|" in frame


def test_b9_dates_by_the_terminals_zone() -> None:
    response = HoldResponse(transaction_date=NOW, expiration_date=NOW)
    utc = serialise(response, WireFormat(date_zone="utc"))
    assert utc == b"160N20260731   Z142500BW20260731   Z142500|AO|AA|"
    assert serialise(response, WIRE) == b"160N20260731    142500BW20260731    142500|AO|AA|"


def test_b4_nothing_leaves_that_breaks_a_frame() -> None:
    response = FeePaidResponse(
        transaction_date="\n" * 18,
        patron_identifier="1|BLY\r24",
        screen_message=("a\0b", "c|d"),
    )
    assert serialise(response, WIRE) == (b"38N" + b" " * 18 + b"AO|AA1 BLY 24|AFa b|AFc d|")


def test_b4_a_long_value_is_cut_on_a_character_edge_and_a_long_text_goes_on() -> None:
    wire = WireFormat(encoding="utf-8")
    text = "é" * 200
    response = PatronStatusResponse(personal_name=text, screen_message=(text,), badges=(text,))
    parts = serialise(response, wire).split(b"|")
    values = [part for part in parts if part[:2] in (b"AE", b"AF", b"GL")]
    assert [part[:2] + b"%d" % len(part[2:]) for part in values] == [
        b"AE254",
        b"GL254",
        b"AF254",
        b"AF146",
    ]


def test_b4_a_required_field_without_a_value_is_empty_beside_a_long_one_too() -> None:
    for card in ("1", "1" * 300):
        request = PatronStatusRequest(transaction_date="", patron_identifier=card)
        assert serialise(request, WIRE).endswith(f"|AA{card[:255]}|AC|AD|".encode())


def test_b5_what_the_encoding_lacks_is_substituted_before_it_is_cut() -> None:
    wire = WireFormat(encoding="ascii")
    response = PatronStatusResponse(personal_name="ß" * 200, screen_message=("č",))
    frame = serialise(response, wire)
    assert b"|AE" + b"s" * 255 + b"|" in frame
    assert frame.endswith(b"|AFc|")


def test_c33_hidden_fields_are_dropped_or_empty_when_required() -> None:
    wire = WireFormat(hidden_fields=frozenset({"AE", "BV", "AF"}))
    response = PatronStatusResponse(personal_name="Anna", fee_amount="1.00", screen_message=("x",))
    assert serialise(response, wire).endswith(b"AO|AA|AE|BLN|CQN|")


def test_optional_flags_may_be_left_out() -> None:
    response = replace(CheckoutResponse(), security_inhibit=None)
    assert b"CI" not in serialise(response, WIRE)
    assert serialise(LoginResponse(ok=True), WIRE) == b"941"


def test_98_has_sixteen_letters_and_its_time_out_is_capped() -> None:
    frame = serialise(AcsStatus(online=True, timeout_period_ds=5000), WIRE)
    assert frame.startswith(b"98YNNNNN999000")
    assert b"BXNNNNYYYNNNNNNNNN|" in frame


def test_fields_that_a_message_does_not_know_go_out_behind_it() -> None:
    message = LoginResponse(ok=True)
    message.extra_fields = [("XP", b"a"), ("XQ", b"")]
    frame = serialise(message, WIRE)
    assert frame == b"941XPa|XQ|"
    assert parse_response(frame, WIRE).extra_fields == message.extra_fields


def test_screen_texts_are_rewritten_before_they_are_cut_and_empty_ones_are_left_out() -> None:
    wire = WireFormat(rewritten=(("long", "x" * 300), ("Koha", "Hub"), ("Hub!", "")))
    response = PatronStatusResponse(screen_message=("Koha.", "Koha!", "long"))
    frame = serialise(response, wire)
    assert frame.endswith(b"AFHub.|AF" + b"x" * 255 + b"|AF" + b"x" * 45 + b"|")
    assert b"AF" not in serialise(replace(response, screen_message=("Koha!",)), wire)
    named = replace(response, personal_name="Koha")
    assert b"AEKoha|" in serialise(named, wire), "other fields are left alone"


@pytest.mark.parametrize(("substitute", "name"), [(" ", b"a b c"), ("_", b"a_b_c"), ("", b"abc")])
def test_b4_what_would_break_a_frame_becomes_what_the_profile_says(
    substitute: str, name: bytes
) -> None:
    wire = WireFormat(substitute=substitute)
    response = PatronStatusResponse(personal_name="a\rb|c", screen_message=("a\tb|c",))
    frame = serialise(response, wire)
    assert b"|AE" + name + b"|" in frame
    assert b"|AF" + name + b"|" in frame


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_nul_is_no_character_and_comes_in_as_none(encoding: str) -> None:
    """C106: no database takes it as text; an undecodable byte is the same."""
    wire = WireFormat(encoding=encoding)
    frame = b"11NN2026\x000131    142500" + b" " * 18 + b"AOHUB|AAa\x00b|ABI1|AC|CH\xed\xa0\x80|"
    checkout = parse_request(frame, wire)
    assert isinstance(checkout, Checkout)
    assert checkout.patron_identifier == "a\ufffdb"
    assert checkout.transaction_date == "2026\ufffd0131    14250"
    values = (checkout.patron_identifier, checkout.transaction_date, checkout.item_properties)
    assert "\0" not in f"{values}"
    assert all(value is None or value.encode() for value in values)


def test_a_limit_of_thousands_of_digits_is_none() -> None:
    """Python reads no such number."""
    empty = serialise(PatronInformationResponse(language="000"), WIRE)
    read = parse_response(empty + b"BZ" + b"9" * 5_000 + b"|CA0012|", WIRE)
    assert isinstance(read, PatronInformationResponse)
    assert (read.hold_items_limit, read.overdue_items_limit) == (None, 12)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        # The currency is missing, so nobody knows where the fixed block ends.
        (
            b"3720260310    1200000100|BV1.00|AOHUB|AA1004|BK7|XXodd|AY1AZ0000",
            {
                "fee_amount": "1.00",
                "institution_id": "HUB",
                "patron_identifier": "1004",
                "transaction_id": "7",
            },
        ),
        # The first of a field counts, and no secret is told.
        (
            b"37|AA1|AA2|ADsecret|ACsecret|BV\x9c|BV2",
            {"patron_identifier": "1", "fee_amount": "\xa3"},
        ),
        (b"37BV1.00", {}),
        (b"37", {}),
    ],
)
def test_what_an_unreadable_payment_still_tells(frame: bytes, told: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        parse_request(frame, WireFormat())
    nothing = FeePaid(fee_type="", payment_type="")
    assert salvage(frame, FeePaid, WireFormat()) == replace(nothing, **told)
