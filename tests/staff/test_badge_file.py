"""The file that says who gets a badge (C165)."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from sip2gw.model.badges import BadgeTerms, BadgeWish
from sip2gw.staff.members.badge_file import BadgeFileError, read_badge_file

GIVEN = BadgeTerms(valid_until=date(2026, 12, 31), branches=("EAST",))
ALWAYS = BadgeTerms()
MAY = date(2026, 5, 1)


def read(tmp_path: Path, content: str | bytes, given: BadgeTerms = ALWAYS) -> list[BadgeWish]:
    path = tmp_path / "f.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_badge_file(path, given, ("MAIN", "EAST"))


def wishes(found: list[BadgeWish]) -> list[tuple[str, BadgeTerms, int]]:
    assert not any(one.problem for one in found)
    return [(one.card, one.terms, int(one.place.rpartition(":")[2])) for one in found]


def test_one_patron_or_card_a_line(tmp_path: Path) -> None:
    assert wishes(read(tmp_path, "\ufeffP1\r\n\r\n  P2 \n", GIVEN)) == [
        ("P1", GIVEN, 1),
        ("P2", GIVEN, 3),
    ]


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_columns_with_a_header(tmp_path: Path, between: str) -> None:
    """As spreadsheets write them, in any order and with empty lines between."""
    lines = ["Until,PATRON", "2026-05-01,P1", "", ",P2"]
    content = "\n".join(lines).replace(",", between)
    assert wishes(read(tmp_path, content)) == [
        ("P1", BadgeTerms(valid_until=MAY), 2),
        ("P2", ALWAYS, 4),
    ]


def test_what_a_spreadsheet_adds_or_leaves_out(tmp_path: Path) -> None:
    """A byte order mark, quotes, blanks, empty columns at the end, and no empty cells there."""
    content = '\ufeff"Patron"; until ;;\r\n"P1";2026-05-01;;\r\n;;;\r\nP2\r\n\u00a0P3 ;\r\n'
    assert wishes(read(tmp_path, content, GIVEN)) == [
        ("P1", BadgeTerms(valid_until=MAY, branches=("EAST",)), 2),
        ("P2", BadgeTerms(branches=("EAST",)), 4),
        ("P3", BadgeTerms(branches=("EAST",)), 5),
    ]


@pytest.mark.parametrize("content", ["patron\nP1\nP2", '"P1"\n"P2"\n', "P1\rP2\r", "P1\n\n P2"])
def test_a_list_with_one_column(tmp_path: Path, content: str) -> None:
    assert [card for card, terms, _ in wishes(read(tmp_path, content, GIVEN))] == ["P1", "P2"]


def test_a_column_of_the_file_goes_before_what_the_command_names(tmp_path: Path) -> None:
    """Even where it is empty; what the file has no column for is as the command says."""
    assert wishes(read(tmp_path, "patron,until\nP1,2026-05-01\nP2,\n", GIVEN)) == [
        ("P1", BadgeTerms(valid_until=MAY, branches=("EAST",)), 2),
        ("P2", BadgeTerms(branches=("EAST",)), 3),
    ]


@pytest.mark.parametrize("cell", ['"MAIN,EAST"', "MAIN EAST", "MAIN;EAST", '"MAIN, EAST,MAIN"'])
def test_several_branches(tmp_path: Path, cell: str) -> None:
    found = read(tmp_path, f"patron,from,branches\nP1,2026-05-01,{cell}")
    assert found[0].terms == BadgeTerms(MAY, None, ("MAIN", "EAST"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("P1,1/05/2026,", "1/05/2026: not a date YYYY-MM-DD"),
        ("P1,20260501,", "20260501: not a date YYYY-MM-DD"),
        ("P1,2026-02-30,", "2026-02-30: there is no such day"),
        ("P1,,WEST", "no branch WEST; configured: MAIN, EAST"),
        (",2026-05-01,", "no patron"),
        ("P1,,MAIN,EAST", "more values than columns; put several branches in quotes"),
    ],
)
def test_a_problem_names_its_line(tmp_path: Path, line: str, problem: str) -> None:
    good, bad = read(tmp_path, f"patron,until,branches\nP2\n{line}\n")
    assert (good.card, good.problem) == ("P2", "")
    assert (bad.place, bad.problem) == (f"{tmp_path}/f.csv:3", problem)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "names nobody"),
        (b"\n\n", "names nobody"),
        (b"patron\n", "names nobody"),
        (b"P1\r\nP2\nR\xe9mi", "csv:3: not UTF-8; save the file as UTF-8"),
        (b"\xe9", "csv:1: not UTF-8; save the file as UTF-8"),
        (b"\xff\xfeP\x001\x00", "csv:1: not UTF-8; save the file as UTF-8"),
        (b"PK\x03\x04\x00\x00", "not a text file; save the list as CSV"),
        (b"patron,name\nP1,Ann", r"1: the columns are patron, name; use each of patron, from,"),
        (b"patron,patron\nP1,P2", r"1: the columns are patron, patron; use each of"),
        (b"kaart;tot\nP1;2026-05-01", "csv:1: no column is called patron; name the columns in"),
        (b"\nP1;2026-05-01", "csv:2: no column is called patron; name the columns in"),
        (b"sep=;\npatron;until", "csv:1: no column is called patron"),
        (b'patron,branches\nP1,"MAIN', "2: put quotation marks around a whole value, or none"),
        (b'patron,branches\nP1,"MA"IN', "2: put quotation marks around a whole value, or none"),
    ],
)
def test_a_file_that_is_not_understood(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(BadgeFileError, match=problem):
        read(tmp_path, content)


def test_a_file_without_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sip2gw.staff.members.badge_file.FILE_BYTES_MAX", 4)
    assert read(tmp_path, "P1\nP")[1] == BadgeWish("P", place=f"{tmp_path}/f.csv:2")
    with pytest.raises(BadgeFileError, match="longer than 4 bytes"):
        read(tmp_path, "P1\nP2")
