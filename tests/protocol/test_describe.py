"""Frames in words, and nothing secret in them (B16, C78)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.protocol.describe import describe_frame, redact_frame
from sip2gw.protocol.wire import WireFormat

WIRE = WireFormat()
HEAD_23 = b"2300120260131    142500"


def shown(frame: bytes) -> str:
    return "\n".join(describe_frame(frame, WIRE)) + redact_frame(frame).decode("latin-1")


def test_a_request_in_words() -> None:
    frame = HEAD_23 + b"AOHUB|AA2100|ACterm|AD1234|XYz\x07|GLa|AY1AZ0000"
    assert describe_frame(frame, WIRE) == [
        "23 Patron status request",
        "     language: 001",
        "     transaction date: 20260131    142500",
        "  AO institution id: HUB",
        "  AA patron identifier: 2100",
        "  AC terminal password: ***",
        "  AD patron password: ***",
        "     hidden: ***",
        "  GL badge (Wise extension) (not of this message): a",
        "  AY sequence number: 1",
        "  AZ checksum: *** (wrong)",
    ]
    assert redact_frame(frame) == HEAD_23 + b"AOHUB|AA2100|AC***|AD***|***|GLa|AY1AZ***"


@pytest.mark.parametrize("wary", [False, True])
@pytest.mark.parametrize(
    ("fields", "digits", "told"),
    [
        (b"AOHUB|AA2100|", b"F6BD", "F6BD (right)"),
        (b"AOHUB|AA2100|", b"0000", "0000 (wrong, should be F6BD)"),
        # It would tell the sum of the PIN's digits, also where it only says what would be right.
        (b"AOHUB|AA2100|AD1001|", b"F4FA", "*** (right)"),
        (b"AOHUB|AA2100|AD1001|", b"0000", "*** (wrong)"),
        (b"AOHUB|AA2100|ADAZF2F2|", b"0000", "*** (wrong)"),
    ],
)
def test_b16_a_checksum_over_a_secret_is_masked(
    fields: bytes, digits: bytes, told: str, wary: bool
) -> None:
    frame = HEAD_23 + fields + b"AY1AZ" + digits
    assert describe_frame(frame, WIRE, wary=wary)[-1] == f"  AZ checksum: {told}"
    shown_digits = told.partition(" ")[0].encode()
    assert redact_frame(frame).endswith(b"|AY1AZ" + shown_digits)


def test_b55_a_tag_is_called_what_it_is_in_its_message() -> None:
    stamp = b"20260131    142500"
    asked = b"41" + stamp + b"AOHUB|AA2100|AD1234|FAN|"
    assert describe_frame(asked, WIRE)[-2:] == [
        "  AD patron password: ***",
        "  FA switch FA (Wise extension): N",
    ]
    assert redact_frame(asked) == asked.replace(b"1234", b"***")
    paid = describe_frame(b"38Y" + stamp + b"AOHUB|AA2100|CGF1|FA0.50|FG2.00|", WIRE)
    assert paid[-2:] == [
        "  FA amount owed (Gossip extension): 0.50",
        "  FG amount paid (Gossip extension): 2.00",
    ]


def test_what_is_wrong_with_a_field_stands_beside_it() -> None:
    frame = b"98YNNNNN10000320260101    1000002.00BXYYY|BX|AM" + b"x" * 256 + b"|AMtwice|AF1|AF2|"
    assert describe_frame(frame, WIRE)[11:] == [
        "  BX supported messages (3 characters instead of 16): YYY",
        "  BX supported messages (again: only the first counts): ",
        f"  AM library name (256 bytes, over 255): {'x' * 256}",
        "  AM library name (again: only the first counts): twice",
        "  AF screen message: 1",
        "  AF screen message: 2",
        "  AO institution id: missing",
    ]


@pytest.mark.parametrize(
    ("frame", "lines"),
    [
        (
            b"23001202601|AA1|ADcanary|",
            [
                "23 Patron status request: unreadable, its first 23 characters have no |, but the"
                " first | comes after 11",
                "     text: 23001202601|AA1|AD***|",
            ],
        ),
        (
            b"941|"[:2],
            [
                "94 Login response: unreadable, its first 3 characters have no |, but the line"
                " has 2",
                "     text: 94",
            ],
        ),
        (b"77x", ["unknown or unreadable: 77x"]),
    ],
)
def test_a_broken_fixed_block_is_explained(frame: bytes, lines: list[str]) -> None:
    assert describe_frame(frame, WIRE) == lines


def test_a_checksum_over_characters_is_recognised() -> None:
    body = "35" + " " * 18 + "AOé|AA1|AZ"
    digits = f"{-sum(map(ord, body)) & 0xFFFF:04X}"
    *_, last = describe_frame(WIRE.text.encode(body + digits), WIRE)
    assert last.endswith("; right when summed over characters)")


def test_a_field_that_somebody_maps_is_called_like_what_it_means_to_them() -> None:
    lines = describe_frame(b"941XY1|XZ2|AA3|", WIRE, names={"XY": "home_branch", "AA": "badges"})
    assert lines[2:] == [
        "  XY home_branch: 1",
        "  XZ unknown field: 2",
        "  AA patron identifier (not of this message): 3",  # the standard's names stay
    ]


def test_an_unknown_field_and_a_right_checksum_are_shown() -> None:
    lines = describe_frame(b"941XY1\x07|", WIRE)
    assert lines == ["94 Login response", "     ok: 1", "  XY unknown field: 1\\x07"]
    assert describe_frame(b"97AZFEF5", WIRE)[1:] == ["  AZ checksum: FEF5 (right)"]


@pytest.mark.parametrize(
    "frame",
    [
        HEAD_23 + b"AOHUB|AA2100|ACcanary|ADcanary|",
        HEAD_23 + b"AOHUB|AA2100ADcanary|",
        HEAD_23 + b"AOHUB|ADpin|canary|AY1AZ0000",
        HEAD_23 + b"ADcanary",
        b"23001ADcanary       AO|",
        b"23001ADcana         rycanary|AA1|",
        b"23001              xxADcanary|",
        b"2300120260131    14250ADcanary|",
        b"2300120260131    14250AADcanary|",
        b"2X0012026ADcanary|AA1|",
        b"ADcanary",
        b"23ADcanary|",
        b"9300CNcanary|COcanary|CPx|",
        b"93CNcanary|COcanary|",
        b"9300CNlogin|CO|canary|CPx|",
        b"24" + b" " * 35 + b"AOHUB|AA1ADcanary|",
        b"77COcanary",
        HEAD_23 + b"AOHUB|AA2100|adcanary|",
        HEAD_23 + b"AOHUB|AA2100|Adcanary|aDcanary|A Dcanary| a\x08dcanary|",
        HEAD_23 + b"AOHUB|AA2100|adcanaryAD1|",
        HEAD_23 + b"AOHUB|AA2100|adpin|canary|",
        b"9300cncanary|cocanary|CPx|",
        b"adcanary|",
    ],
)
def test_b16_no_secret_leaves_in_any_line_however_broken(frame: bytes) -> None:
    assert "canary" not in shown(frame)


def test_canadian_dollars_are_no_secret() -> None:
    frame = b"3720260131    1425000400CADBV10.00|AO|AA1|"
    assert redact_frame(frame) == frame


def test_what_follows_a_secret_field_is_shown_when_it_is_a_field() -> None:
    assert redact_frame(b"77AD1|x||AA2|y|") == b"77AD***|***||AA2|y|"
    assert redact_frame(b"77AD|AC|") == b"77AD|AC|"


@given(st.binary(max_size=120))
def test_any_bytes_give_lines_without_control_characters(frame: bytes) -> None:
    assert all(line.isprintable() for line in describe_frame(frame, WIRE))
    redact_frame(frame)


@given(st.binary(max_size=30), st.binary(max_size=30), st.sampled_from([HEAD_23, b"9300", b"77"]))
def test_b16_whatever_surrounds_a_secret_it_does_not_show(
    before: bytes, after: bytes, head: bytes
) -> None:
    assert "canary" not in shown(head + before + b"ADcanary|" + after)


@pytest.mark.parametrize("digits", [b"0000", b"EF1C"])
def test_the_checksum_of_a_frame_with_a_secret_can_be_hidden(digits):
    """It would tell the sum of the PIN's digits."""
    with_pin = HEAD_23 + b"AOHUB|AA2100|ACterm|AD1234|XYz\x07|GLa|AY1AZ" + digits
    verdict = "right" if digits == b"EF1C" else "wrong"
    assert describe_frame(with_pin, WIRE, wary=True)[-1] == f"  AZ checksum: *** ({verdict})"
    assert describe_frame(b"97AZFEF5", WIRE, wary=True)[-1] == "  AZ checksum: FEF5 (right)"


@pytest.mark.parametrize(
    ("frame", "lines"),
    [
        (
            b"941PWcanary|AOHUB|OK|",
            [
                "     ok: 1",
                "  PW unknown field: ***",
                "  AO institution id (not of this message): ***",
            ],
        ),
        (b"9300CNa|COb|CPx|CPcanary|", ["  CP location code (again: only the first counts): ***"]),
        (b"77canary|XYcanary|AA1|", ["unknown or unreadable: 77***|***|AA1|"]),
        (b"canary|", ["unknown or unreadable: ***|"]),
        (b"23001202601|AA1|XYcanary|", ["     text: 23001202601|AA1|***|"]),
    ],
)
def test_whoever_is_wary_sees_no_value_whose_tag_may_be_wrong(frame, lines):
    told = describe_frame(frame, WIRE, wary=True)
    assert set(lines) <= set(told)
    assert "canary" not in "".join(told)


@given(st.binary(min_size=1, max_size=3), st.sampled_from([b"A", b"D"]))
def test_b16_whoever_is_wary_sees_no_pin_behind_a_mangled_tag(noise: bytes, letter: bytes) -> None:
    fields = b"AOHUB|AA2100|" + b"AD".replace(letter, noise) + b"canary|AY1AZ0000"
    assert "canary" not in "".join(describe_frame(HEAD_23 + fields, WIRE, wary=True))
