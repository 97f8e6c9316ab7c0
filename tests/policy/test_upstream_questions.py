"""What of a terminal's 23 or 63 goes up to a library system.  (B73, B74, C123, C153)"""

import pytest

from sip2gw.policy.upstream.questions import carried, going_up
from sip2gw.protocol.codec import parse_request, serialise
from sip2gw.protocol.encoding import text_encoding
from sip2gw.protocol.messages import PatronInformation, PatronStatusRequest
from sip2gw.protocol.wire import WireFormat

CP850, UTF8 = text_encoding("cp850"), text_encoding("utf-8")
ASKED_23 = "2300120260310    120000AOHUB|AA91|ACts|AD1234|"
ASKED_63 = "6300120260310    120000Y         AOHUB|AA91|AD1234|FWB|"


def up(text, source=CP850, target=UTF8, *, knows_fw_b=True):
    request = parse_request(text.encode(source.name), WireFormat(encoding=source.name))
    assert isinstance(request, PatronStatusRequest | PatronInformation)
    went = going_up(request, "THERE", source, target, knows_fw_b=knows_fw_b)
    return went and serialise(went, WireFormat(encoding=target.name)).decode(target.name)


def test_only_the_institution_is_another():
    assert up(ASKED_23) == ASKED_23.replace("HUB", "THERE")
    assert up(ASKED_63) == ASKED_63.replace("HUB", "THERE")


def test_fw_stays_here_where_nobody_knows_it_there():
    assert up(ASKED_63, knows_fw_b=False) == ASKED_63.replace("HUB", "THERE").replace("FWB|", "")


def test_unknown_fields_go_up_in_the_encoding_of_the_account():
    assert up(ASKED_23 + "XAJérôme|XX|") == ASKED_23.replace("HUB", "THERE") + "XAJérôme|XX|"


@pytest.mark.parametrize("again", ["AD9999|", "AA92|", "AOELSE|", "FWB|"])
def test_a_field_that_is_ours_goes_up_once(again):
    """A second AD would be a guess that nobody counts."""
    assert up(ASKED_63 + again) == ASKED_63.replace("HUB", "THERE")


def test_an_empty_pin_is_none():
    assert up(ASKED_63.replace("AD1234|", "AD|")) == up(ASKED_63.replace("AD1234|", ""))


@pytest.mark.parametrize("text", ["AAé1|AD1234", "AA91|AD12é4", "AA91|AD12\x7f4"])
def test_a_card_or_pin_that_cannot_be_written_there_goes_nowhere(text):
    request = ASKED_63.replace("AA91|AD1234", text)
    assert up(request, target=text_encoding("ascii")) is None


def test_bytes_that_one_side_does_not_know_are_kept():
    """C153: cp850 `é` is 82; FF is no UTF-8, and there is no ˇ in cp850."""
    assert carried([("XA", b"caf\x82"), ("XB", b"")], CP850, UTF8) == [
        ("XA", "café".encode()),
        ("XB", b""),
    ]
    assert carried([("XA", "éˇ".encode() + b"\xff")], UTF8, CP850) == [
        ("XA", b"\x82" + "ˇ".encode() + b"\xff")
    ]


@pytest.mark.parametrize(
    ("text", "knows_fw_b", "is_as_it_is"),
    [
        (ASKED_23, False, True),
        (ASKED_63, True, True),
        (ASKED_63.replace("FWB|", ""), False, True),
        (ASKED_63, False, False),
        (ASKED_63.replace("HUB", "HUBS"), True, False),
        (ASKED_63.replace("AD1234", "AD  "), True, False),
        (ASKED_23 + "XAx|", True, False),
    ],
)
def test_what_need_not_be_changed_goes_up_as_it_is(text, knows_fw_b, is_as_it_is):
    request = parse_request(text.encode(), WireFormat())
    assert isinstance(request, PatronStatusRequest | PatronInformation)
    before = serialise(request, WireFormat())
    went = going_up(request, "HUB", CP850, UTF8, knows_fw_b=knows_fw_b)
    assert (went is request) == is_as_it_is
    assert serialise(request, WireFormat()) == before, "the terminal's own is never changed"
