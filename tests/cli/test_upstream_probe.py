"""`upstream check` on a line: library systems of every kind, played by a script."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from sip2gw.cli.upstream.findings import findings
from sip2gw.cli.upstream.paste import fitting_toml
from sip2gw.cli.upstream.probing import probe
from sip2gw.cli.upstream.seen import Seen
from sip2gw.config import Address
from sip2gw.config.tables.upstream import Account, UpstreamTls

from .upstream_library import ANNA, ON_LINE, Library, character_sum, library

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PIN_FIELD = b"|AD"


def account_of(there: Library, **changes: Any) -> Account:
    values = {"login": "gateway", "password": SecretStr("canary"), "institution": "TOWN",
              "timeout_s": 0.2}  # fmt: skip
    return Account("default", Address("127.0.0.1", there.port), **{**values, **changes})


def look(there: Library, card: str | None = None, **changes: Any) -> Seen:
    return probe(account_of(there, **changes), card, NOW)


def attempts(seen: Seen) -> list[tuple[str, bool, str]]:
    """Order, checksums and end of each attempt."""
    return [(one.order, one.checksums, one.last.verdict if one.last else "unreachable")
            for one in seen.tried]  # fmt: skip


def said_of(seen: Seen) -> dict[str, str]:
    """The sentences of `findings`."""
    return {one.about: one.text for one in findings(seen, NOW)}


def test_one_that_works_as_configured_is_asked_two_things() -> None:
    with library() as there:
        seen = look(there)
    assert attempts(seen) == [("login", True, "answered")]
    assert there.codes == ["93", "99"]
    assert seen.line_ends == (b"\r",)
    assert seen.summed is None


def test_with_a_card_a_63_goes_up_without_a_pin() -> None:
    with library() as there:
        seen = look(there, "1001")
    assert there.codes == ["93", "99", "63"]
    assert b"AOTOWN|AA1001|AC|AY" in there.heard[2]
    assert PIN_FIELD not in there.heard[2]
    assert there.heard[2].startswith(b"6300020260310    120000   Y")
    assert [one.verdict for one in seen.card] == ["answered"]


def test_a_refused_login_is_tried_once_in_each_order() -> None:
    with library(_93=b"940") as there:
        seen = look(there)
    assert attempts(seen) == [("login", True, "refused"), ("status_first", True, "refused")]
    assert there.codes == ["93", "99", "93"]
    assert seen.working is None


def test_a_silent_status_gets_no_second_login_in_that_order() -> None:
    """A wrong login is dear: nothing goes up after a 99 that was not answered."""
    with library(_93=b"940", _99=b"") as there:
        seen = look(there)
    assert there.codes.count("93") == 1
    assert seen.working is None


def wants_the_status_first() -> dict[str, Any]:
    heard: list[bytes] = []

    def log_in(frame: bytes) -> bytes | None:
        return b"941" if heard and heard[-1].startswith(b"99") else None

    def status(frame: bytes) -> bytes:
        heard.append(frame)
        return ON_LINE

    return {"_93": log_in, "_99": status}


def test_a_catalogue_order_is_found() -> None:
    with library(**wants_the_status_first()) as there:
        seen = look(there)
    assert attempts(seen) == [("login", True, "closed"), ("status_first", True, "answered")]


BEFORE_THE_LOGIN = ON_LINE.replace(b"BXYYYNYYYYYYYNNNYN", b"BXNNNNYYYNNNNNNNNN")


def test_what_it_offers_after_the_login_counts() -> None:
    said = [BEFORE_THE_LOGIN, ON_LINE]
    with library(_99=lambda frame: said.pop(0)) as there:
        seen = look(there, login_order="status_first")
    assert there.codes == ["99", "93", "99"]
    assert said_of(seen)["patrons"] == "a 63 is answered"


def test_who_answers_that_nobody_is_known_has_not_shown_that_a_63_works() -> None:
    """It wants a login, and says of every card that it has none such."""
    with library(_99=BEFORE_THE_LOGIN, _63=ANNA.replace(b"BLY", b"BLN")) as there:
        seen = look(there, "1001", login="")
    assert said_of(seen)["patrons"] == (
        "neither 63 nor 23 is offered: doors cannot ask; it may want a login: set login, and"
        ' login_order = "login"'
    )
    assert "messages" not in fitting_toml({}, [seen])


def test_one_that_cannot_read_checksums_is_found() -> None:
    def log_in(frame: bytes) -> bytes:
        return b"96" if b"AZ" in frame else b"941"

    with library(_93=log_in, sums=None) as there:
        seen = look(there)
    assert attempts(seen) == [("login", True, "again"), ("login", False, "answered")]
    assert seen.summed is not None  # one 99 with a checksum, at the end
    assert there.codes == ["93", "93", "99", "99"]


def test_without_a_login_only_the_status_is_asked() -> None:
    with library() as there:
        seen = look(there, login="")
    assert there.codes == ["99"]
    assert attempts(seen) == [("none", True, "answered")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_are_seen(end: bytes) -> None:
    with library(line_end=end) as there:
        assert look(there).line_ends == (end,)


def test_character_checksums_are_seen() -> None:
    status = ON_LINE.replace(b"Town", "Bücherei".encode())
    with library(_99=status, sums=character_sum) as there:
        seen = look(there, encoding="utf-8")
    assert [one.checksum(seen.wire()) for one in seen.exchanges] == ["none", "characters"]


def test_where_a_63_is_not_answered_a_23_is_asked_on_a_new_line() -> None:
    status = b"24              00020260310    120000AOTOWN|AA1001|AEAnna|BLY|"
    with library(_63=b"", _23=status) as there:
        seen = look(there, "1001")
    assert there.codes == ["93", "99", "63", "93", "99", "23"]
    assert there.lines == 2
    assert [one.verdict for one in seen.card] == ["silent", "answered"]
    assert b"AA1001|AC|AD|" in there.heard[5]  # an empty AD is no PIN


@pytest.mark.parametrize(
    ("options", "verdicts", "lines"),
    [
        # Plain text, another protocol, and our own words come back: nothing else is tried.
        ({"greeting": b"login: \r"}, ["foreign"], 1),
        ({"greeting": b"HTTP/1.1 400 Bad Request\r\n"}, ["foreign"], 1),
        ({"_93": lambda frame: frame}, ["foreign"], 1),
        ({"_93": b"\x15\x03\x01\x00\x02\x02\x46"}, ["foreign"], 1),
        ({"_93": b"94"}, ["foreign"], 1),
        # Sent in the middle of nothing: another answer, and another's answer.
        ({"_93": ON_LINE, "_99": b"941"}, ["unexpected"] * 4, 4),
        (
            {"_93": b"941AY7AZFDF5", "_99": ON_LINE + b"AY7AZ0000"},
            ["sequence", "sequence", "answered"],
            3,
        ),
        ({"_93": None}, ["closed", "closed", "closed", "closed"], 4),
        ({"_93": b"", "_99": b""}, ["silent"] * 4, 4),
        ({"_93": b"96", "_99": b"96"}, ["again", "again"], 2),
    ],
)  # fmt: skip
def test_hostile_answers_end(options: Any, verdicts: list[str], lines: int) -> None:
    began = time.monotonic()
    with library(**options) as there:
        seen = look(there)
        assert there.lines == lines
    assert [end for _, _, end in attempts(seen)] == verdicts
    assert time.monotonic() - began < 10


def test_a_message_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip2gw.cli.upstream.line.FRAME_BYTES_MAX", 1000)
    with library(_93=b"94" + b"1" * 2000) as there:
        assert attempts(look(there)) == [("login", True, "endless")]


@pytest.mark.parametrize("pause_s", [0.02, 0])
def test_a_drip_does_not_move_the_limit(pause_s: float) -> None:
    """A byte now and then is no answer, and neither are bytes without a pause."""

    class Dripping(Library):
        def _one(self, stream: Any) -> bool:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                stream.write(b"9")
                stream.flush()
                time.sleep(pause_s)
            return False

    there = Dripping({})
    try:
        began = time.monotonic()
        seen = look(there, login="")
        assert [end for *_, end in attempts(seen)] == ["silent", "silent"]
        assert time.monotonic() - began < 1.8
    finally:
        there.close()


def test_nobody_there_is_no_reason_to_try_more() -> None:
    with library() as there:
        gone = there
    seen = look(gone)
    assert attempts(seen) == [("login", True, "unreachable")]
    assert "check address, firewall" in seen.tried[0].unreachable


# TLS --------------------------------------------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


def secured(authority: trustme.CA, name: str = "ils.example") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_says_version_name_and_end(authority: trustme.CA, ca: Path) -> None:
    with library(tls=secured(authority)) as there:
        seen = look(there, tls=UpstreamTls(ca=ca, name="ils.example"))
    tls = seen.tried[0].tls
    assert tls is not None
    assert (tls.version, tls.name) == ("TLSv1.3", "ils.example")
    assert tls.until is not None
    assert seen.working is not None


@pytest.mark.parametrize(
    ("name", "trusted", "told"),
    [
        ("other.example", True, "its certificate is not trusted (Hostname mismatch"),
        ("ils.example", False, "its certificate is not trusted ("),
    ],
)
def test_a_certificate_that_is_not_theirs_ends_it(
    authority: trustme.CA, ca: Path, name: str, trusted: bool, told: str
) -> None:
    issuer = authority if trusted else trustme.CA()
    with library(tls=secured(issuer)) as there:
        seen = look(there, tls=UpstreamTls(ca=ca, name=name))
    assert attempts(seen) == [("login", True, "unreachable")]
    assert there.heard == []  # no password before the certificate is right
    assert told in seen.tried[0].unreachable
    assert "tls_name" in seen.tried[0].unreachable


def test_a_port_without_tls_is_told(ca: Path) -> None:
    with library(greeting=b"login: \r") as there:
        seen = look(there, tls=UpstreamTls(ca=ca))
    assert "TLS failed" in seen.tried[0].unreachable
    assert "check whether this port speaks TLS" in seen.tried[0].unreachable


def test_a_key_that_cannot_be_read_is_told(ca: Path, tmp_path: Path) -> None:
    with library() as there:
        seen = look(there, tls=UpstreamTls(ca, None, tmp_path / "no.pem", tmp_path / "no.key"))
    assert "a file cannot be read" in seen.tried[0].unreachable
    assert "no.pem" in seen.tried[0].unreachable


def test_who_answers_63_by_its_card() -> None:
    with library(_63=ANNA) as there:
        assert look(there, "1001").card[0].frame.startswith(b"64")
