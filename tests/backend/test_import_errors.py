"""An import with an error changes nothing and names file and line (B69, C52)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sip2gw.backend.library import Library
from sip2gw.backend.loading import json_lines as reading_module
from sip2gw.backend.loading.importing import import_files
from sip2gw.foundation.hashing import secret_fingerprint
from sip2gw.policy.relationships import RelationshipRules

from .library import LIBRARY, SETTINGS, content, load, stream_of

MEMBERSHIP = {"kind": "membership", "code": "300", "description": "New", "type": 3}
PATRON = {"kind": "patron", "id": "P9", "name": "New"}
FEE = {"kind": "fee", "id": "F9", "patron": "P1", "amount": "1.00", "created": "2026-01-01"}
LOAN = {
    "kind": "loan",
    "item": "I2",
    "patron": "P1",
    "checked_out": "2026-01-01",
    "due": "2026-02-01",
}
HOLD = {"kind": "hold", "id": "H9", "patron": "P1", "item": "I1", "placed": "2026-01-01"}
FAMILY = {"kind": "relationship", "type": "head_of_family"}
AUTHORISATION = {"kind": "relationship", "type": "authorisation", "functions": ["pay"]}
PIN_HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA"

REFUSED: list[tuple[dict[str, Any] | str | bytes, str]] = [
    # the line
    ("{", "the line ends too early; write one JSON object on each line"),
    ("[]", "not a JSON object; write one record on each line, as `export` does"),
    ("id;name", "not a JSON object; write one record on each line"),
    (b'{"kind": "badge", "code": "A", "name": "\xff"}', "UTF-8"),
    ('{"kind": "badge", "code": "A", "name": "\\u0000"}', "NUL"),
    ('{"kind":' + "[" * 100_000, "nests|malformed|truncated|Expected"),
    ({"kind": "nonsense"}, "unknown kind 'nonsense'; allowed: membership, badge, patron"),
    ({**PATRON, "kind": "patrons"}, "unknown kind 'patrons'; did you mean patron?; allowed: "),
    (
        {**PATRON, "cards": [{"number": "X", "stat": "lost"}]},
        "`cards.1` unknown key `stat`; did",
    ),
    ({**PATRON, "badges": [{"code": "ONBE", "form": "2026-01-01"}]}, "allowed: code, from, until"),
    (
        {**AUTHORISATION, "functions": ["buy"]},
        "must not be 'buy'; allowed: renew, pay",
    ),
    ({"code": "A", "name": "B"}, "kind"),
    ({**PATRON, "nick": "x"}, "unknown key `nick`; allowed: kind, id, name, pin,"),
    ({"kind": "patron", "id": "P9"}, "`name` is required"),
    # values
    ({**PATRON, "id": ""}, "id"),
    ({**PATRON, "id": "a|b"}, "`id` must be a text without control characters"),
    ({**PATRON, "id": " P9"}, "id"),
    ({**PATRON, "id": "x" * 65}, "id"),
    ({**PATRON, "birth_date": "1980-02-30"}, "birth_date"),
    ({**PATRON, "birth_date": "01-02-1980"}, "`birth_date` must be a date YYYY-MM-DD"),
    ({**PATRON, "status": 10}, "status"),
    ({**PATRON, "fee_limit": "-1"}, "must not be negative"),
    (
        {**PATRON, "fee_limit": 5},
        "`fee_limit` must be a text in quotes, not a whole number",
    ),
    ({**PATRON, "pin": ""}, "`pin`: must have"),
    ({**PATRON, "pin": "1", "pin_hash": PIN_HASH}, "not both"),
    ({**PATRON, "pin_hash": "1234"}, "bcrypt"),
    ({**PATRON, "pin_hash": "$2b$16$" + "a" * 53}, "cost of 04 to 14"),
    (
        {**PATRON, "cards": [{"number": "X", "state": "eaten"}]},
        "`cards.1.state` must not be 'eaten'; allowed: active, blocked",
    ),
    ({**PATRON, "cards": [{"number": "X"}, {"number": "X"}]}, "card X is listed twice"),
    ({**PATRON, "badges": ["ONBE", {"code": "ONBE"}]}, "badge ONBE is listed twice"),
    ({**PATRON, "badges": [{"code": "ONBE", "until": "soon"}]}, "`until`: not a date"),
    ({**PATRON, "blocks": [{"type": "whim"}]}, "whim"),
    ({**FEE, "amount": "1.005"}, "`amount`: EUR has 2 decimals"),
    ({**FEE, "amount": "1,00"}, "`amount`: not an amount"),
    ({**FEE, "paid": "1.001"}, "`paid`: EUR has 2 decimals"),
    ({**FEE, "amount": "-1.001"}, "`amount`: EUR has 2 decimals"),
    ({**FEE, "created": "2026-W01-1"}, "`created`: not a date"),
    ({**FEE, "created": "0001-01-01T00:00:00+23:59"}, "`created`"),
    ({**FEE, "type": "10"}, "`type` must be 01 to 09"),
    ({**PATRON, "language": "Dutch"}, "`language` must be 2 or 3 small letters, such as nl"),
    (
        {"kind": "membership", "code": "12", "description": "x", "type": 0},
        "`code` must be 3 digits",
    ),
    ({"kind": "badge", "code": "", "name": "x"}, "a text without control characters"),
    ({**FEE, "status": "X"}, "X"),
    ({**HOLD, "item": None}, "needs `item` or `title_id`"),
    ({**LOAN, "renewals": -1}, "renewals"),
    # memberships (C47)
    ({**MEMBERSHIP, "code": "30"}, "code"),
    ({**MEMBERSHIP, "type": 9}, "type"),
    ({**MEMBERSHIP, "type": 0, "fee": "1.00"}, "type 0 cannot have a fee"),
    ({**MEMBERSHIP, "type": 1, "minimum_age": 3}, "needs minimum_age and maximum_age"),
    ({**MEMBERSHIP, "minimum_age": 9, "maximum_age": 8}, "above maximum_age"),
    ({**MEMBERSHIP, "renewal_type": 2}, "must be one of 0, 1, 3, 4, 5, 9"),
    ({**MEMBERSHIP, "renewal_type": 3}, "only with type 6"),
    ({**MEMBERSHIP, "renewal_type": 1}, "only with type 1 or 2"),
    (
        {**MEMBERSHIP, "alert_amount": "6", "max_fees_self_service": "5"},
        "alert_amount must not be above",
    ),
    ({**MEMBERSHIP, "subsequent_membership": "999"}, "unknown membership 999"),
    # references
    ({**PATRON, "membership": "999"}, "unknown membership 999"),
    ({**PATRON, "badges": ["NONE"]}, "unknown badge NONE"),
    ({**PATRON, "cards": [{"number": "C1"}]}, "card C1 already belongs to patron P1"),
    ({**PATRON, "id": "C1"}, "card C1 already belongs to patron P1"),
    ({**FEE, "patron": "nobody"}, "unknown patron nobody"),
    ({**FEE, "item": "none"}, "unknown item none"),
    ({**LOAN, "item": "none"}, "unknown item none"),
    ({**LOAN, "patron": "nobody"}, "unknown patron nobody"),
    ({**HOLD, "item": "none"}, "unknown item none"),
    # relationships (B49)
    ({**FAMILY, "from": "P3", "to": "P3"}, "with themselves"),
    ({**FAMILY, "from": "P3", "to": "nobody"}, "unknown patron nobody"),
    ({**FAMILY, "from": "P3", "to": "P2"}, "already has a head of family: P1"),
    ({**FAMILY, "from": "P2", "to": "P3"}, "P2 is a child"),
    ({**FAMILY, "from": "P3", "to": "P1"}, "P1 is a head of family"),
    (
        {**FAMILY, "from": "P1", "to": "P3", "functions": ["pay"]},
        "is allowed only with an authorisation",
    ),
    ({**AUTHORISATION, "from": "P1", "to": "P3", "functions": []}, "needs `functions`"),
    ({**AUTHORISATION, "from": "P3", "to": "P2"}, "P3 has already given pay to P1"),
]


def test_what_is_refused(library: Library) -> None:
    """All at one store, of which nothing changes: making one for each took most of the time."""
    before = content(library)
    for line, message in REFUSED:
        report = load(library, {"kind": "badge", "code": "GOOD", "name": "Good"}, line)
        assert not report.applied, message
        assert any(error.startswith("data.jsonl:2: ") for error in report.errors), message
        assert any(_says(error, message) for error in report.errors), (message, report.errors)
    assert content(library) == before


def _says(error: str, message: str) -> bool:
    return any(part in error for part in message.split("|"))


def test_a_dry_run_finds_the_same_and_changes_nothing(library: Library) -> None:
    """C52."""
    before = content(library)
    bad = load(library, {**FEE, "patron": "nobody"}, dry_run=True)
    good = load(library, PATRON, dry_run=True)
    assert bad.errors == (
        "data.jsonl:1: unknown patron nobody, neither in these files nor in the store",
    )
    assert (good.errors, good.applied, good.counts) == ((), False, {"patron": 1})
    assert content(library) == before


def test_the_same_key_twice_names_both_lines(library: Library) -> None:
    """C16, over files too."""
    files = [("a.jsonl", stream_of("", PATRON)), ("b.jsonl", stream_of(FEE, PATRON))]
    report = import_files(library, files, settings=SETTINGS)
    assert report.errors == ("b.jsonl:2: patron P9 is already in a.jsonl:2",)


@pytest.mark.parametrize(
    "record",
    [MEMBERSHIP, FEE, LOAN, HOLD, {**AUTHORISATION, "from": "P2", "to": "P3"}, LIBRARY[2]],
)
def test_every_kind_has_a_key(library: Library, record: dict[str, Any]) -> None:
    (error,) = load(library, record, record).errors
    assert error.startswith("data.jsonl:2: ")
    assert error.endswith("is already in data.jsonl:1")


def test_two_patrons_cannot_have_one_card(library: Library) -> None:
    cards = {"cards": [{"number": "X"}]}
    (error,) = load(library, {**PATRON, **cards}, {**PATRON, "id": "P8", **cards}).errors
    assert error == "data.jsonl:2: card X is already in data.jsonl:1"


def test_all_errors_are_named_in_order_up_to_a_hundred(library: Library) -> None:
    """C52."""
    report = load(library, {**FEE, "patron": "nobody"}, "{", {**PATRON, "membership": "999"})
    assert [error.split(": ")[0] for error in report.errors] == [
        "data.jsonl:1",
        "data.jsonl:2",
        "data.jsonl:3",
    ]
    assert len(load(library, *["{"] * 300).errors) == 100


def test_a_refused_line_still_counts_as_a_reference(library: Library) -> None:
    """Its own error is enough; what refers to it is not complained of."""
    report = load(library, {**PATRON, "fee_limit": "x"}, {**FEE, "patron": "P9"})
    assert len(report.errors) == 1


def test_blank_lines_carriage_returns_and_byte_order_marks_are_no_errors(library: Library) -> None:
    report = load(library, b"\xef\xbb\xbf", b"", b"  ", b'{"kind":"badge","code":"A","name":"B"}\r')
    assert (report.errors, report.applied) == ((), True)


def test_a_line_has_a_limit(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "LINE_BYTES_MAX", 100)
    report = load(library, b"x" * 1000, PATRON, b"y" * 101)
    assert [error.split(": ")[0] for error in report.errors] == ["data.jsonl:1", "data.jsonl:3"]


def test_structure_is_judged_within_one_file_too(library: Library) -> None:
    report = load(
        library,
        PATRON,
        {**FAMILY, "from": "P1", "to": "P9"},
        {**FAMILY, "from": "P3", "to": "P9"},
    )
    assert report.errors == ("data.jsonl:3: patron P9 already has a head of family: P1",)


def test_switched_off_relationships_are_loaded_and_sleep(library: Library) -> None:
    """An import refuses breaches of structure only (B49, C3)."""
    settings = replace(SETTINGS, relationships=RelationshipRules(frozenset()))
    report = load(library, {**FAMILY, "from": "P1", "to": "P3"}, settings=settings)
    assert report.applied
    (warning,) = report.warnings
    assert warning == (
        "data.jsonl:1: warning: relationships of type head_of_family"
        " are switched off; this one is loaded but not in force"
    )


def test_a_relation_without_valid_membership_is_loaded_with_a_warning(library: Library) -> None:
    """C3."""
    report = load(library, PATRON, {**FAMILY, "from": "P1", "to": "P9"})
    assert report.applied
    (warning,) = report.warnings
    assert warning.startswith("data.jsonl:2: warning: patron P9 has no valid membership")


def test_hashes_of_another_secret_are_refused(library: Library) -> None:
    """C61, C95: wherever the fingerprint stands; without hashes it does not matter."""
    theirs = {"kind": "pin_secret", "fingerprint": "0000"}
    ours = {"kind": "pin_secret", "fingerprint": secret_fingerprint(library.pin_secret)}
    hashed = {**PATRON, "pin_hash": PIN_HASH}
    (error,) = load(library, hashed, theirs).errors
    assert "another PIN secret" in error
    assert load(library, PATRON, theirs).applied
    assert load(library, hashed, ours).applied


@pytest.mark.parametrize(
    "line",
    [
        {**PATRON, "pin": "canary-4711", "nick": 1},
        {**PATRON, "pin": "canary-4711", "status": "x"},
        {**PATRON, "pin": "canary-4711", "pin_hash": "canary-4711"},
        {**PATRON, "pin": "canary-4711" * 20},
        {**PATRON, "pin": ["canary-4711"]},
        '{"kind": "patron", "pin": "canary-4711',
    ],
)
def test_no_error_shows_a_pin(library: Library, line: Any) -> None:
    """B16."""
    report = load(library, line)
    assert report.errors
    assert "canary" not in repr(report)


def test_a_missing_file_is_an_error_of_the_system(library: Library, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        import_files(library, [tmp_path / "none.jsonl"], settings=SETTINGS)
