"""What `upstream check` makes of what it sees; tables, without a line."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from sip2gw.cli.upstream.bytes import encoding_of
from sip2gw.cli.upstream.card import card_findings, fitting_presets, preset_of, shape
from sip2gw.cli.upstream.findings import Finding, findings, fitting_checksums
from sip2gw.cli.upstream.paste import fitting_toml
from sip2gw.cli.upstream.seen import Attempt, Exchange, Seen, Tls, Verdict, next_attempt
from sip2gw.config import Address
from sip2gw.config.tables.upstream import Account
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.policy.upstream.rules import Fact, FactRules
from sip2gw.protocol.checksum import seal
from sip2gw.protocol.line.matching import asked_by

from .upstream_library import ANNA, ON_LINE, character_sum

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
ACCOUNT = Account(
    "default", Address("ils.example", 6001), "gateway", SecretStr("canary"), institution="TOWN"
)


def exchange(code: str, frame: bytes, sequence: bytes = b"1", seconds: float = 0.1) -> Exchange:
    return Exchange(code, sequence, frame, seconds)


REFUSED = exchange("93", b"940")
LOGGED_IN = exchange("93", b"941")
STATUS = exchange("99", ON_LINE)


def attempt(order="login", checksums=True, *exchanges: Exchange) -> Attempt:
    return Attempt(order, checksums, exchanges)


WORKS = attempt("login", True, LOGGED_IN, STATUS)


@pytest.mark.parametrize(
    ("code", "frame", "verdict"),
    [
        ("93", b"941AY1AZFDFB", "answered"),
        ("93", b"941", "answered"),  # without AY nothing can be compared
        ("93", b"940", "refused"),
        ("93", b"941AY2AZFDFA", "sequence"),
        ("93", b"96", "again"),
        ("93", ON_LINE, "unexpected"),
        ("93", b"login: ", "foreign"),
        ("93", b"93  CNgateway|COcanary|", "foreign"),  # an echo
        ("63", b"64", "foreign"),  # cut off in the fixed block
        ("63", ANNA, "answered"),
    ],
)
def test_what_came_of_a_request(code: str, frame: bytes, verdict: str) -> None:
    assert exchange(code, frame).verdict == verdict


def test_a_system_that_numbers_what_was_not_numbered_is_no_reason_to_worry() -> None:
    assert exchange("93", b"941AY7AZFDF5", sequence=b"").verdict is Verdict.ANSWERED


FAILED = Exchange("93", b"1", failure=Verdict.SILENT)
ASKED_AGAIN = exchange("93", b"96")


@pytest.mark.parametrize(
    ("tried", "then"),
    [
        ([], ("login", True)),
        ([WORKS], None),
        # Never a refused login again in the same order: at most two in all.
        ([attempt("login", True, REFUSED)], ("status_first", True)),
        (
            [
                attempt("login", True, REFUSED),
                attempt("status_first", True, STATUS, REFUSED),
            ],
            None,
        ),
        # One that is silent or closes gets each of four chances.
        ([attempt("login", True, FAILED)], ("status_first", True)),
        (
            [attempt("login", True, FAILED), attempt("status_first", True, FAILED)],
            ("login", False),
        ),
        (
            [
                attempt("login", True, FAILED),
                attempt("status_first", True, FAILED),
                attempt("login", False, FAILED),
            ],
            ("status_first", False),
        ),
        (
            [
                attempt("login", True, FAILED),
                attempt("status_first", True, FAILED),
                attempt("login", False, FAILED),
                attempt("status_first", False, FAILED),
            ],
            None,
        ),
        # 96: it is the checksum.
        ([attempt("login", True, ASKED_AGAIN)], ("login", False)),
        # No SIP2 at all, or nobody there: nothing else is worth a try.
        ([attempt("login", True, exchange("93", b"HTTP/1.1 400 Bad Request"))], None),
        ([attempt("login", True, Exchange("93", b"1", failure=Verdict.ENDLESS))], None),
        ([Attempt("login", True, unreachable="nobody answers")], None),
    ],
)
def test_few_polite_variations(tried: list[Attempt], then: object) -> None:
    assert next_attempt("login", True, tried) == then


def test_without_a_login_only_the_checksums_vary() -> None:
    silent = Exchange("99", b"1", failure=Verdict.SILENT)
    first = attempt("none", True, silent)
    assert next_attempt("none", True, [first]) == ("none", False)
    assert next_attempt("none", True, [first, attempt("none", False, silent)]) is None


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain", None),
        ("Zoë Müller", "utf-8"),
        ("Zoë Müller", "cp850"),
        ("Zoë Müller", "latin-1"),
        ("Zoë", "latin-1"),  # in cp850 it would be ZoÙ
        ("Anaïs Lefèvre, École", "latin-1"),
        ("Anaïs Lefèvre, École", "cp850"),
        ("Zoë Müller, Anaïs, 5 €", "cp1252"),
    ],
)
def test_the_encoding_that_looks_most_like_words(text: str, encoding: str | None) -> None:
    assert encoding_of(text.encode(encoding or "ascii")) == encoding


def said(seen: Seen) -> dict[str, tuple[str, str]]:
    every = [*findings(seen, NOW), *card_findings(seen, "EUR")]
    return {one.about: (one.level, one.text) for one in every}


def with_status(body: bytes, **changes: Any) -> Seen:
    account = replace(ACCOUNT, **changes)
    return Seen(account, (attempt("login", True, LOGGED_IN, exchange("99", body)),))


@pytest.mark.parametrize(
    ("body", "changes", "about", "expected"),
    [
        (ON_LINE, {}, "institution", ("ok", "AO is 'TOWN', as configured")),
        (
            ON_LINE,
            {"institution": "HUB"},
            "institution",
            (
                "warning",
                "AO of its 98 is 'TOWN', configured is 'HUB'; set institution, unless the supplier"
                " says otherwise",
            ),
        ),
        (
            ON_LINE.replace(b"AOTOWN", b"AO"),
            {},
            "institution",
            ("note", "its 98 has no AO; the configured one goes up"),
        ),
        (ON_LINE.replace(b"98Y", b"98N"), {}, "status", ("warning", None)),
        (ON_LINE, {}, "flags", ("ok", "on-line yes, checkin yes, checkout yes, renewal yes,"
         " status update yes, off-line no")),
        (ON_LINE, {}, "patience", ("ok", "it lets terminals wait 60 s and try again 3 times; the"
         " gateway waits 4 s")),
        (
            ON_LINE.replace(b"600003", b"020001"),
            {},
            "patience",
            (
                "note",
                "it lets terminals wait 2 s and try again 1 time; the gateway waits longer"
                " (timeout_s = 4)",
            ),
        ),
        (
            ON_LINE.replace(b"600003", b"999999"),
            {},
            "patience",
            (
                "ok",
                "it lets terminals wait for ever and try again without limit; the gateway waits"
                " 4 s",
            ),
        ),
        (ON_LINE, {}, "patrons", ("ok", "a 63 is answered")),
        (
            ON_LINE.replace(b"BXYYYNYYYY", b"BXYYYNYYYN"),
            {},
            "patrons",
            (
                "warning",
                "only a 23 is answered: birth date, badges and lists are unknown",
            ),
        ),
        (
            ON_LINE.replace(b"BXYYYNYYYY", b"BXNYYNYYYN"),
            {},
            "patrons",
            ("problem", "neither 63 nor 23 is offered: doors cannot ask"),
        ),
        (
            ON_LINE,
            {"messages": frozenset({"99"})},
            "patrons",
            ("problem", "messages has neither 63 nor 23: doors cannot ask; add what works"),
        ),
        (
            ON_LINE.replace(b"YYYYYNNNYN|", b"YYYNYNNNYN|"),
            {},
            "payments",
            ("note", None),
        ),
        (ON_LINE, {"connections": 1}, "pooling", ("note", None)),
        (ON_LINE, {"timeout_s": 0.15}, "speed", ("warning", None)),
        (ON_LINE, {"timeout_s": 0.05}, "speed", ("warning", None)),
        (ON_LINE, {}, "connection", ("warning", "ils.example:6001 answers, without TLS: PINs cross"
         " the network in clear text")),
        (ON_LINE, {"address": Address("127.0.0.1", 7)}, "connection", ("ok", None)),
    ],
)  # fmt: skip
def test_what_a_98_says(body: bytes, changes: Any, about: str, expected: Any) -> None:
    level, text = said(with_status(body, **changes))[about]
    assert level == expected[0], text
    if expected[1] is not None:
        assert text == expected[1]


def test_a_slow_answer_is_near_or_over_the_limit() -> None:
    assert "longer than timeout_s = 0.05" in said(with_status(ON_LINE, timeout_s=0.05))["speed"][1]
    assert "near to timeout_s = 0.15" in said(with_status(ON_LINE, timeout_s=0.15))["speed"][1]
    assert said(with_status(ON_LINE, timeout_s=0.2))["speed"][0] == "ok"


UTF8 = "98YYYYYN60000320260310    1200002.00AOTOWN|AMBüchereiß|BXYYYNYYYYYYYNNNYN|".encode()
BY_CHARACTERS = UTF8 + b"AY1AZ" + character_sum(UTF8 + b"AY1AZ")


@pytest.mark.parametrize(
    ("frame", "configured", "fits", "level"),
    [
        (seal(ON_LINE, b"1", with_checksum=True), "bytes", "bytes", "ok"),
        (seal(ON_LINE, b"1", with_checksum=True), "characters", "characters", "ok"),
        (seal(UTF8, b"1", with_checksum=True), "characters", "bytes", "warning"),
        (BY_CHARACTERS, "bytes", "characters", "warning"),
        (BY_CHARACTERS, "characters", "characters", "ok"),
        (ON_LINE, "bytes", "none", "warning"),
        (ON_LINE + b"AY1AZ0000", "bytes", "none", "warning"),
        (ON_LINE + b"AY1AZ0000", "none", "none", "ok"),  # nothing is left to be done
    ],
)
def test_checksums(frame: bytes, configured: str, fits: str, level: str) -> None:
    seen = with_status(frame, checksums=configured)
    assert fitting_checksums(seen) == fits
    assert said(seen)["checksums"][0] == level


def test_a_system_that_was_asked_without_checksums_is_asked_once_with() -> None:
    quiet = replace(ACCOUNT, checksums="none")
    unnumbered = tuple(replace(one, sequence=b"") for one in (LOGGED_IN, STATUS))
    works = Attempt("login", False, unnumbered)
    assert fitting_checksums(Seen(quiet, (works,))) == "none"
    sealed = exchange("99", seal(ON_LINE, b"1", with_checksum=True))
    assert fitting_checksums(Seen(quiet, (works,), summed=sealed)) == "bytes"
    misnumbered = exchange("99", seal(ON_LINE, b"2", with_checksum=True))
    assert fitting_checksums(Seen(ACCOUNT, (works,), summed=misnumbered)) == "none"


@pytest.mark.parametrize(("days", "level"), [(30, "ok"), (29, "warning")])
def test_a_certificate_that_ends_soon(days: int, level: str) -> None:
    tls = Tls("TLSv1.3", "ils.example", NOW + timedelta(days=days))
    seen = Seen(ACCOUNT, (replace(WORKS, tls=tls),))
    assert said(seen)["certificate"][0] == level
    assert "ils.example, valid until 2026-04-0" in said(seen)["certificate"][1]


@pytest.mark.parametrize(
    ("tried", "problems", "advice"),
    [
        (
            [attempt("login", True, REFUSED), attempt("status_first", True, STATUS, REFUSED)],
            [
                "93 first, then 99, with checksums: after the 93 the login was refused (940)",
                "99 first, then 93, with checksums: after the 93 the login was refused (940)",
            ],
            "Check login and password",
        ),
        (
            [attempt("login", True, FAILED), attempt("status_first", True, STATUS, REFUSED)],
            [
                "93 first, then 99, with checksums: after the 93 no answer came in time",
                "99 first, then 93, with checksums: after the 93 the login was refused (940)",
            ],
            "Check login and password",
        ),
        (
            [attempt("login", False, exchange("93", b"login:"))],
            ["93 first, then 99, without checksums: after the 93 what came is not SIP2"],
            "Check the port",
        ),
    ],
)
def test_why_it_does_not_work_and_what_to_do(
    tried: list[Attempt], problems: list[str], advice: str
) -> None:
    seen = Seen(ACCOUNT, tuple(tried))
    every = list(findings(seen, NOW))
    assert [one.text for one in every if one.about == "login"] == problems
    assert every[-1].about == "what to do"
    assert every[-1].text.startswith(advice)


def test_each_failure_has_advice() -> None:
    for verdict in (Verdict.SILENT, Verdict.CLOSED, Verdict.ENDLESS):
        last = Exchange("93", b"1", failure=verdict)
        seen = Seen(ACCOUNT, (attempt("login", True, last),))
        assert list(findings(seen, NOW))[-1].level == "problem"


def test_the_order_that_works_is_named() -> None:
    seen = Seen(ACCOUNT, (attempt("login", True, REFUSED), attempt("status_first", True, STATUS,
        LOGGED_IN)))  # fmt: skip
    assert list(findings(seen, NOW))[1:3] == [
        Finding("login", "note", "93 first, then 99, with checksums: after the 93 the login was"
                " refused (940)"),
        Finding("login", "warning", 'works with 99 first, then 93; set login_order ='
                ' "status_first"'),
    ]  # fmt: skip


# A card -----------------------------------------------------------------------------------------

KOHA = PRESETS["koha"].facts


def about_card(fields: bytes, facts: FactRules = KOHA, code: str = "63") -> Seen:
    body = (ANNA[:61] if code == "63" else b"24              00020260310    120000") + fields
    account = replace(ACCOUNT, facts=facts)
    return Seen(account, (WORKS,), card=(exchange(code, body),))


@pytest.mark.parametrize(
    ("fields", "facts", "about", "level", "text"),
    [
        (b"AEAnna Claes|", KOHA, "AE", "ok", "personal name: xxxx xxxxx"),
        (b"AA1001|", KOHA, "AA", "ok", "patron identifier: 9999"),
        (b"PB19800501|", KOHA, "PB", "ok", "birth date (extension): 99999999 → birth_date"),
        (b"PB|", KOHA, "PB", "ok", "birth date (extension): empty → birth_date unknown"),
        (
            b"PB01/05/1980|",
            KOHA,
            "PB",
            "warning",
            "birth date (extension): 99/99/9999 → birth_date unknown",
        ),
        (
            b"PCADULT|",
            KOHA,
            "PC",
            "ok",
            "patron class (extension): 'ADULT' → membership ADULT",
        ),
        (
            b"PCADULT|",
            FactRules(membership=Fact("PC", map={"ADULT": "201"})),
            "PC",
            "ok",
            "patron class (extension): 'ADULT' → membership 201",
        ),
        (
            b"PCSTAFF|",
            FactRules(membership=Fact("PC", map={"ADULT": "201"})),
            "PC",
            "warning",
            "patron class (extension): 'STAFF' → membership unknown",
        ),
        (b"AEAnna|", KOHA, "patron flags", "ok", "none"),
        (b"BV5 euro|", KOHA, "BV", "warning", "is no amount, so its money flags decide"),
        (b"BV5.00|", KOHA, "BV", "ok", "fee amount: 9.99"),
        (
            b"AV#17 Overdue 2.50|AVOld debt 1.00|AVask at the desk|",
            KOHA,
            "fees",
            "warning",
            "3 lines, 1 to be paid singly, 1 unreadable",
        ),
        (b"AV#17 Overdue 2.50|", KOHA, "fees", "ok", "1 line, 1 to be paid singly, 0 unreadable"),
        (
            b"BV2.50|AV#17 Overdue 2.50|",
            KOHA,
            "fees",
            "ok",
            "1 line, 1 to be paid singly, 0 unreadable",
        ),
        (
            b"BV5.00|AV#17 Overdue 2.50|",
            KOHA,
            "fees",
            "warning",
            "1 line, 1 to be paid singly, 0 unreadable; they come to 2.50, and BV says 5.00, so"
            " staff must find out what became of a payment that is not answered",
        ),
        (b"BHeur|BV5.00|", KOHA, "BH", "ok", "currency type: eur"),
        (
            b"BHUSD|BV5.00|",
            KOHA,
            "BH",
            "warning",
            "says 'USD', but amounts are taken for EUR; is one of the two wrong?",
        ),
        (
            b"AV#17 Overdue 2.50|",
            FactRules(),
            "fees",
            "note",
            "its fee lines are not read: facts.fees is 'standard'",
        ),
        (b"CQN|", KOHA, "card", "note", "CQN without a PIN; it may hold back what needs one"),
        (
            b"PBx|",
            FactRules(membership=Fact("PB"), birth_date=Fact("PB")),
            "PB",
            "warning",
            "birth date (extension): x → birth_date unknown and membership x",
        ),
        (
            b"GLONBE|GLZOMR|",
            FactRules(badges=Fact("GL")),
            "GL",
            "ok",
            "badge (Wise extension): 'ZOMR' → badges ONBE ZOMR",
        ),
        (b"QQsecret 7|", KOHA, "QQ", "note", "unknown field: xxxxxx 9"),
        (
            b"AEAnna Claes|AFGreetings, anna 12|",
            KOHA,
            "AF",
            "ok",
            "screen message: Greetings, *** 99",
        ),
        (b"BLY|", KOHA, "PB", "note", "not in the answer: birth_date is unknown"),
        (
            b"BLN|AEAnna|",
            KOHA,
            "card",
            "warning",
            "it does not know this card (BLN), so nothing can be learned from it; try another"
            " card, and check institution (AO 'TOWN' went up)",
        ),
    ],
)
def test_what_a_field_becomes(
    fields: bytes, facts: FactRules, about: str, level: str, text: str
) -> None:
    assert said(about_card(fields, facts))[about] == (level, text)


def test_of_a_field_that_is_repeated_a_few_are_shown() -> None:
    found = list(card_findings(about_card(b"AVa 1.00|" * 6 + b"AFone|"), "EUR"))
    assert [one.about for one in found].count("AV") == 6
    assert said(about_card(b"AVa 1.00|" * 7))["AV"] == ("ok", "and 2 more")
    assert said(about_card(b"AVa 1.00|" * 5))["AV"] == ("ok", "fine item: x 9.99")


def test_a_23_says_less_and_is_read_too() -> None:
    seen = replace(
        about_card(b"AEAnna|", code="23"),
        card=(
            Exchange("63", b"1", failure=Verdict.SILENT),
            exchange("23", b"24              00020260310    120000AEAnna|"),
        ),
    )
    assert said(seen)["card"] == ("warning", "the 63 was not answered: silent")
    assert said(seen)["AE"] == ("ok", "personal name: xxxx")
    assert said(seen)["patrons"][0] == "warning"


def test_a_63_that_works_whatever_bx_says() -> None:
    denied = exchange("99", ON_LINE.replace(b"BXYYYNYYYY", b"BXYYYNYYYN"))
    works = attempt("login", True, LOGGED_IN, denied)
    seen = Seen(ACCOUNT, (works,), card=(exchange("63", ANNA),))
    assert said(seen)["patrons"][1].endswith("set messages to the codes that work")
    assert '"63"' in fitting_toml({}, [seen]).split("messages = ")[1]


def test_a_63_that_is_never_answered_although_bx_has_it() -> None:
    """A door would wait for nothing."""
    only_23 = exchange("23", b"24              00020260310    120000AEAnna|BLY|")
    seen = Seen(ACCOUNT, (WORKS,), card=(Exchange("63", b"1", failure=Verdict.CLOSED), only_23))
    assert said(seen)["patrons"][1].endswith("set messages without 63")
    messages = fitting_toml({}, [seen]).split("messages = ")[1]
    assert '"23"' in messages
    assert '"63"' not in messages


def test_an_answer_with_the_number_of_another_card() -> None:
    """C151: a user name was asked, AA is the card number. Who is not known there has none."""
    asked = asked_by(b"6300020260310    120000          AOTOWN|AAanna|AC|")
    seen = Seen(ACCOUNT, (WORKS,), card=(replace(exchange("63", ANNA), asked=asked),))
    assert said(seen)["card"][1].endswith("set aliases = true")
    assert "aliases = true\n" in fitting_toml({}, [seen])
    knows = replace(seen, account=replace(ACCOUNT, aliases=True))
    assert "card" not in said(knows)
    nobody = exchange("63", ANNA.replace(b"BLY", b"BLN"))
    unknown = replace(seen, card=(replace(nobody, asked=asked),))
    assert "aliases" not in fitting_toml({}, [unknown])


def test_the_flags_of_a_patron_are_named() -> None:
    flagged = exchange("63", b"64YY        Y   " + ANNA[16:])
    seen = Seen(ACCOUNT, (WORKS,), card=(flagged,))
    shown = "0 charge denied, 1 renewal denied, 10 excessive fines"
    assert said(seen)["patron flags"] == ("ok", shown)


@pytest.mark.parametrize(
    ("fields", "presets"),
    [
        ({"PB": "19800501", "PC": "ADULT"}, ["koha"]),
        ({"PB": "19800501", "PA": "20261231", "PC": "Patrons", "AQ": "BR1"}, ["evergreen"]),
        ({"PD": "", "PA": "20261231    235900", "PC": "ADULT", "AQ": "MAIN"}, ["symphony"]),
        ({"PB": "19800501", "PE": "20261231    235900staff", "ZY": "a", "AQ": "1"}, ["horizon"]),
        # PB is a card number here, and PC an internal one.
        (
            {"BC": "19800501    000000", "PX": "20261231    235959", "PA": "1", "PB": "21234000",
             "PC": "77", "PE": "BR"},
            ["polaris"],
        ),
        ({"FU": "staff"}, ["folio"]),
        ({"AE": "x"}, ["none"]),
        ({}, ["none"]),
    ],
)  # fmt: skip
def test_the_preset_that_fits(fields: dict[str, str], presets: list[str]) -> None:
    assert fitting_presets(fields) == presets


def test_shapes_hide_letters_and_digits_of_every_script() -> None:
    assert shape("Zoë-Ann O'Neil 12٣") == "xxx-xxx x'xxxx 999"


# To paste ---------------------------------------------------------------------------------------


def test_what_is_pasted_keeps_the_file_and_never_has_a_password() -> None:
    written = {
        "address": "ils.example:6001",
        "login": "gateway",
        "password": "canary",
        "facts": {"birth_date": {"field": "PB"}},
        "accounts": {
            "east": {"login": "e", "password_file": "east.secret"},
            "west": {"login": "w", "password": "canary"},
        },
    }
    as_written = deepcopy(written)
    other_order = attempt("status_first", True, STATUS, LOGGED_IN)
    east = Seen(replace(ACCOUNT, name="east"), (other_order,))
    west = Seen(replace(ACCOUNT, name="west"), (attempt("login", True, REFUSED),))
    default = Seen(ACCOUNT, (WORKS,), card=(exchange("63", ANNA),))
    assert preset_of(default) == "koha"
    assert (
        fitting_toml(written, [west, east, default])
        == """\
[backend]
kind = "sip2"
[backend.sip2]
address = "ils.example:6001"
login = "gateway"
password = ""  # write yours in; it is not shown here
institution = "TOWN"
encoding = "cp850"
checksums = false
login_order = "login"
preset = "koha"
[backend.sip2.facts]
birth_date = { field = "PB" }
[backend.sip2.accounts.east]
login = "e"
password_file = "east.secret"
login_order = "status_first"
[backend.sip2.accounts.west]
login = "w"
password = ""  # write yours in; it is not shown here
"""
    )
    assert written == as_written


def test_nothing_shows_secrets_or_people() -> None:
    seen = about_card(b"AEAnna Claes|")
    assert "Anna" not in repr(seen)
    assert "canary" not in repr(seen)
    assert "Anna" not in repr(seen.card)
