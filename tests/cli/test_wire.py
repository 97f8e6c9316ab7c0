"""`send`, `decode`, `check --live` and `hash-password`, with a gateway that plays a script."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip2gw.cli.failures import UsageError
from sip2gw.cli.kiosk.requests import message_name, request_type, requested
from sip2gw.cli.kiosk.short import short_line
from sip2gw.cli.kiosk.wire import explain_lines
from sip2gw.cli.passwords import hash_password
from sip2gw.foundation.hashing import verify_password
from sip2gw.protocol.checksum import checksum_matches, split_trailer
from sip2gw.protocol.encoding import ENCODINGS
from sip2gw.protocol.registry import MESSAGES, REQUESTS
from sip2gw.protocol.wire import WireFormat

from .conftest import Run

ONLINE = b"98YNNNNN10000320260101    1000002.00AOHUB|BXNNNNYYYNNNNNNNNN|"
STATUS = b"24              00020260101    100000AOHUB|AA7|AEAnna|BLY|CQY|"
NOW = datetime(2026, 1, 2, 3, 4, 5)


class Gateway:
    """Answers requests by their code, in failure form of nothing: it just plays."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self.heard: list[bytes] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        line, _ = self._listener.accept()
        with line, line.makefile("rwb") as stream:
            frame = b""
            while byte := stream.read(1):
                frame += byte
                if byte != b"\r":
                    continue
                self.heard.append(frame[:-1])
                answer = self._answers.get(frame[:2])
                frame = b""
                if answer is None:
                    return
                stream.write(answer + b"\r")
                stream.flush()

    def close(self) -> list[bytes]:
        self._listener.close()
        self._thread.join(5)
        return self.heard


@contextmanager
def gateway(**answers: bytes) -> Iterator[Gateway]:
    played = Gateway({code[1:].encode(): answer for code, answer in answers.items()})
    try:
        yield played
    finally:
        played.close()


def test_c58_without_a_message_93_and_99_are_played(sip2gw: Run) -> None:
    with gateway(_93=b"941", _99=ONLINE) as there:
        result = sip2gw("send", "--to", there.address, "--login", "k", "--password", "hush")
    assert result.status == 0
    assert [line[:4] for line in result.out.splitlines() if line[0] in "→←"] == [
        "→ 93",
        "← 94",
        "→ 99",
        "← 98",
    ]
    assert "hush" not in result.out + result.err
    assert b"COhush" in there.heard[0]


def test_a_message_comes_after_login_and_status_but_only_it_is_shown(sip2gw: Run) -> None:
    with gateway(_93=b"941", _99=ONLINE, _23=STATUS) as there:
        result = sip2gw(
            "send", "--to", there.address, "--login", "k", "--password", "p",
            "patron-status", "AA=7", "AD=4711", "ZZ=new",
        )  # fmt: skip
    assert result.status == 0
    assert [frame[:2] for frame in there.heard] == [b"93", b"99", b"23"]
    assert b"AOHUB|AA7|AC|AD4711|ZZnew|AY2AZ" in there.heard[2]
    assert "4711" not in result.out
    assert "personal name: Anna" in result.out
    assert "93" not in result.out.split("→ 23")[0]


def test_short_is_one_line_for_each_message_with_what_its_codes_mean(sip2gw: Run) -> None:
    refused = b"24Y         Y   00020260101    100000AOHUB|AA1|AEAnna|BLY|CQN|AFNot today.|"
    with gateway(_93=b"941", _99=ONLINE, _23=refused) as there:
        result = sip2gw(
            "send", "--short", "--to", there.address, "--login", "k", "--password", "p",
            "patron-status", "AA=1", "AD=4711",
        )  # fmt: skip
    assert result.out.splitlines() == [
        "→ 23 Patron status request: AA patron identifier 1; AD patron password ***",
        "← 24 Patron status response: patron status charge denied, excessive fines;"
        " AA patron identifier 1; AE personal name Anna; BL valid patron Y (yes);"
        " CQ valid patron password N (no); AF screen message Not today.",
    ]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            "1803040120260101    100000CF0|AB7|AJTin Tin|CK001|BV1.00|",
            "18 Item information response: circulation status 03 (available); security marker 04;"
            " fee type 01 (other); CF hold queue length 0; AB item identifier 7;"
            " AJ title identifier Tin Tin; CK media type 001 (book); BV fee amount 1.00",
        ),
        (
            "24              00020260101    100000AOHUB|AA1|AEAnna|BLY|CQY|",
            "24 Patron status response: patron status all clear; AA patron identifier 1;",
        ),
        (
            "121NUY20260101    100000AOHUB|AA1|AB7|AJTin Tin|AH2026-02-01|",
            "12 Checkout response: ok 1 (yes); renewal ok N (no); magnetic media U (unknown);"
            " desensitize Y (yes)",
        ),
        ("941AY1AZ0000", "94 Login response: ok 1 (yes); AZ checksum 0000 (wrong, should be FDFC)"),
        ("96", "96 Request SC resend"),
    ],
)
def test_short_names_what_codes_mean(answer: str, told: str) -> None:
    assert short_line(answer.encode(), WireFormat()).startswith(told)


def test_sequence_numbers_and_checksums_are_right(sip2gw: Run) -> None:
    with gateway(_93=b"941", _99=ONLINE) as there:
        sip2gw("send", "--to", there.address, "--login", "k", "--password", "p", "99")
    for number, frame in enumerate(there.heard):
        trailer = split_trailer(frame)
        assert trailer.sequence == b"%d" % number
        assert checksum_matches(trailer.summed, trailer.digits)


def test_no_checksum_leaves_ay_and_az_out(sip2gw: Run) -> None:
    with gateway(_99=ONLINE) as there:
        assert sip2gw("send", "--to", there.address, "--no-checksum", "99").status == 0
    assert there.heard == [b"9900002.00"]


def test_institution_may_be_given_and_is_then_not_asked_for(sip2gw: Run) -> None:
    with gateway(_35=b"36Y20260101    100000AOX|AA7|") as there:
        sip2gw("send", "--to", there.address, "--institution", "X", "35", "AA=7")
    assert [frame[:2] for frame in there.heard] == [b"35"]
    assert b"AOX|" in there.heard[0]


def test_raw_text_gets_a_trailer_unless_it_has_one(sip2gw: Run) -> None:
    with gateway(_99=ONLINE) as there:
        sip2gw("send", "--to", there.address, "raw", "9900302.00")
    assert there.heard == [b"9900302.00AY0AZFCA6"]
    with gateway(_99=ONLINE) as there:
        sip2gw("send", "--to", there.address, "raw", "9900302.00AY7AZ0000")
    assert there.heard == [b"9900302.00AY7AZ0000"]


def test_a_93_is_made_of_the_options_and_not_sent_twice(sip2gw: Run) -> None:
    with gateway(_93=b"940") as there:
        result = sip2gw(
            "send", "--to", there.address, "--login", "k", "--password", "p", "--no-checksum",
            "--location", "HALL", "93",
        )  # fmt: skip
    assert there.heard == [b"9300CNk|COp|CPHALL|"]
    assert result.status == 0, "an answer came (C58)"


@pytest.mark.parametrize("message", [[], ["99"]])
def test_a_refused_login_is_1(sip2gw: Run, message: list[str]) -> None:
    with gateway(_93=b"940") as there:
        result = sip2gw("send", "--to", there.address, "--login", "k", *message)
    assert result.status == 1
    assert "the gateway refused the login" in result.err


def test_c58_no_answer_is_1(sip2gw: Run) -> None:
    with gateway() as there:
        result = sip2gw("send", "--to", there.address, "99")
    assert (result.status, "closed the line" in result.err) == (1, True)


def test_c58_no_answer_in_time_is_1(sip2gw: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        result = sip2gw("send", "--to", address, "--timeout", "0.1", "99")
    assert (result.status, result.err) == (1, "sip2gw: no answer within 0.1 s\n")


def test_nobody_there_is_1(sip2gw: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    assert sip2gw("send", "--to", address, "99").status == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to", "127.0.0.1", "99"],
        ["--to", "127.0.0.1:1", "--encoding", "klingon", "99"],
        ["--to", "127.0.0.1:1", "98"],
        ["--to", "127.0.0.1:1", "63", "AA"],
        ["--to", "127.0.0.1:1", "63", "nonsense=1"],
        ["--to", "127.0.0.1:1", "63", "summary=fines,jokes"],
        ["--to", "127.0.0.1:1", "37", "currency_type=EURO"],
        ["--to", "127.0.0.1:1", "raw"],
        ["99"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_found_before_anything_is_sent(sip2gw: Run, arguments: list[str]) -> None:
    assert sip2gw("send", *arguments).status == 2


@pytest.mark.parametrize("source", ["file", "environment"])
def test_the_password_need_not_stand_in_the_process_list(
    sip2gw: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    options: list[str] = []
    if source == "file":
        (tmp_path / "password").write_text("hush\n")
        options = ["--password-file", str(tmp_path / "password")]
    else:
        monkeypatch.setenv("SIP2GW_PASSWORD", "hush")
    with gateway(_93=b"941", _99=ONLINE) as there:
        assert sip2gw("send", "--to", there.address, "--login", "k", *options, "99").status == 0
    assert b"COhush|" in there.heard[0]


def test_an_empty_password_file_is_wrong_usage(sip2gw: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("\n")
    file = tmp_path / "password"
    assert sip2gw("send", "--to", "127.0.0.1:1", "--password-file", file).status == 2


def test_every_request_has_a_name_to_type() -> None:
    for code, kind in REQUESTS.items():
        assert request_type(code) is kind
        assert request_type(message_name(kind)) is kind
    assert request_type("Patron_Status") is REQUESTS["23"]


def test_what_is_not_given_gets_a_sensible_value() -> None:
    body = requested("37", ["AA=7", "BV=1.00", "payment_type=02"]).body(WireFormat(), "HUB", NOW)
    assert body == b"3720260102    0304050102EURBV1.00|AOHUB|AA7|"


@pytest.mark.parametrize("summary", ["fines,holds", "Y  Y", "FINES,HOLDS"])
def test_a_summary_by_name_or_as_on_the_wire(summary: str) -> None:
    body = requested("63", [f"summary={summary}"]).body(WireFormat(), "", NOW)
    assert body[23:33] == b"Y  Y      "


def test_b55_what_dialects_add_is_typed_like_the_rest() -> None:
    body = requested("money-lines", ["AA=7", "FB=Y"]).body(WireFormat(), "HUB", NOW)
    assert body == b"4120260102    030405AOHUB|AA7|FAN|FBY|FCN|"
    body = requested("63", ["summary=fee-details"]).body(WireFormat(), "", NOW)
    assert body[23:33] == b"      Y   "


def test_b16_what_was_typed_is_in_no_repr() -> None:
    assert "4711" not in repr(requested("23", ["AD=4711", "XX=4711"]))


def test_no_such_message_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="63 patron-information"):
        request_type("64")


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\r\r\n"])
def test_decode_explains_lines_of_any_end_and_masks_secrets(sip2gw: Run, end: bytes) -> None:
    capture = b"9300CNterm|COhush|AY0AZF86B" + end + b"\0 941AY0AZFDFC" + end
    result = sip2gw("decode", stdin=capture)
    assert result.status == 0
    assert "93 Login" in result.out
    assert "94 Login response" in result.out
    assert "hush" not in result.out


def test_decode_reads_a_file_and_survives_anything(sip2gw: Run, tmp_path: Path) -> None:
    (tmp_path / "capture").write_bytes(bytes(range(256)) + b"\r64Y\r\r" + STATUS)
    result = sip2gw("decode", tmp_path / "capture")
    assert result.status == 0
    assert "unknown or unreadable" in result.out
    assert "24 Patron status response" in result.out


def test_decode_says_who_speaks_and_takes_what_send_printed(sip2gw: Run) -> None:
    capture = "→ 9900302.00AY2AZFCA4\n(lost) ← 941\n>> 97AZFEF5\n".encode()
    result = sip2gw("decode", stdin=capture)
    assert [line for line in result.out.splitlines() if not line.startswith("  ")] == [
        "→ 99 SC status",
        "",
        "← 94 Login response",
        "",
        "→ 97 Request ACS resend",
        "",
    ]


PIECES = [b"|", b"\r", b"\n", b"\xe2\x86\x92 ", b"AY1AZ", b"ADx|", *map(str.encode, MESSAGES)]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), max_size=12))
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decode_explains_any_bytes_in_lines_that_can_be_shown(
    encoding: str, pieces: list[bytes]
) -> None:
    with redirect_stdout(io.StringIO()) as out:
        explain_lines(io.BytesIO(b"".join(pieces)), WireFormat(encoding))
    assert out.getvalue().replace("\n", "").isprintable()


def test_decode_of_an_unknown_encoding_is_wrong_usage(sip2gw: Run) -> None:
    assert sip2gw("decode", "--encoding", "klingon").status == 2


def test_check_live_logs_in_as_a_configured_terminal(sip2gw: Run, config: Path) -> None:
    with gateway(_93=b"941", _99=ONLINE) as there:
        result = sip2gw(
            "check", "--live", there.address, "--terminal", "kiosk-1", "--config", config
        )
    assert (result.status, result.out) == (0, "")
    assert "on-line, institution HUB" in result.err
    assert b"CNkiosk-1|COkiosk-demo|" in there.heard[0]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"_93": b"940"}, "refused the login (940); login_refused in its log has the reason"),
        ({"_93": b"941", "_99": ONLINE.replace(b"98Y", b"98N")}, "up but off-line"),
        ({"_93": b"941", "_99": b"941"}, "did not answer the 99 with a 98"),
        ({"_93": b"941", "_99": b"nonsense"}, "the answer is not readable"),
        ({"_93": b"941"}, "closed the line"),
    ],
)
def test_check_live_fails_when_the_gateway_does(
    sip2gw: Run, answers: dict[str, bytes], told: str
) -> None:
    with gateway(**answers) as there:
        result = sip2gw("check", "--live", there.address, "--login", "k", "--password", "p")
    assert (result.status, told in result.err) == (1, True), result.err


def test_check_live_as_an_unknown_terminal_names_those_that_are(sip2gw: Run, config: Path) -> None:
    result = sip2gw("check", "--live", "127.0.0.1:1", "--terminal", "x", "--config", config)
    assert result.status == 1
    assert "kiosk-1" in result.err


@pytest.mark.parametrize(
    ("promised", "status", "told"),
    [
        (b"NNNNYYYNNNNNNNNN", 1, "takes this machine for a stranger"),
        (b"YNNNYYYYNNNNNNNN", 0, "messages served: 23 63 93 97 99"),
    ],
)
def test_check_live_of_a_terminal_without_a_login_sees_whether_it_is_known_c134(
    sip2gw: Run, config: Path, promised: bytes, status: int, told: str
) -> None:
    text = config.read_text().replace(
        'password = "kiosk-demo"', 'login_required = false\nnetworks = ["127.0.0.1"]'
    )
    config.write_text(text)
    with gateway(_99=ONLINE.replace(b"NNNNYYYNNNNNNNNN", promised)) as there:
        result = sip2gw(
            "check", "--live", there.address, "--terminal", "kiosk-1", "--config", config
        )
    assert (result.status, told in result.err) == (status, True), result.err
    assert there.heard[0].startswith(b"99")


def test_check_live_cannot_know_a_hashed_password(sip2gw: Run, config: Path) -> None:
    hashed = sip2gw("hash-password", stdin=b"not in the demo\n").out.strip()
    text = config.read_text().replace('password = "kiosk-demo"', f'password_hash = "{hashed}"')
    config.write_text(text)
    result = sip2gw("check", "--live", "127.0.0.1:1", "--terminal", "kiosk-1", "--config", config)
    assert (result.status, "--login and --password" in result.err) == (2, True)


def test_c51_hash_password_reads_stdin(sip2gw: Run) -> None:
    result = sip2gw("hash-password", stdin="café\n".encode())
    assert result.status == 0
    assert verify_password(result.out.strip(), "café".encode())
    assert "café" not in result.out


def test_hash_password_of_nothing_is_wrong_usage(sip2gw: Run) -> None:
    assert sip2gw("hash-password", stdin=b"\n").status == 2


@pytest.mark.parametrize(("again", "status"), [("hush", 0), ("other", 2)])
def test_on_a_terminal_the_password_is_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch, again: str, status: int
) -> None:
    typed = iter(["hush", again])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    monkeypatch.setattr("sys.stdin", TypedIn())
    assert _hash_on_terminal() == status


class TypedIn:
    """Standard input with a person at it."""

    def isatty(self) -> bool:
        return True


def _hash_on_terminal() -> int:
    try:
        hash_password()
    except UsageError as error:
        return error.status
    return 0


@pytest.mark.parametrize("known", ["only for the tutorial", "change me", "kiosk-demo"])
def test_c172_a_password_of_an_example_is_not_hashed(sip2gw: Run, known: str) -> None:
    """`check` sees it in clear; behind a hash nobody would."""
    result = sip2gw("hash-password", stdin=f"{known}\n".encode())
    assert (result.status, result.out) == (1, "")
    assert "everybody can read this password in an example" in result.err
    assert known not in result.err
