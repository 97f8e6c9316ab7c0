"""Tables that libraries have: which column says what, and what is wrong with a cell (B69)."""

from __future__ import annotations

import io
import json
from datetime import date
from typing import Any

import pytest

from sip2gw.backend.library import Library
from sip2gw.backend.loading.columns import MapError, read_map
from sip2gw.backend.loading.format import LINES
from sip2gw.backend.loading.importing import ImportReport, Table, import_files

from .library import LIBRARY, SETTINGS, content, load

PATRONS = """\
id = "card"
name = "surname"
"""


def imported(library: Library, map_: str, rows: bytes | str, kind: str = "patron") -> ImportReport:
    data = rows if isinstance(rows, bytes) else rows.encode()
    table = Table(("their.csv", io.BytesIO(data)), read_map(map_.encode(), kind))
    return import_files(library, [table], settings=SETTINGS)


def errors_of(library: Library, map_: str, rows: bytes | str, kind: str = "patron") -> list[str]:
    before = content(library)
    report = imported(library, map_, rows, kind)
    assert not report.applied
    assert content(library) == before
    return list(report.errors)


async def name_of(library: Library, patron_id: str) -> str | None:
    record = await library.find_patron(patron_id)
    return None if record is None else record.name


# How files are written


WRITTEN: list[tuple[str, bytes | str]] = [
    ("", "card,surname\nX1,Müller\n"),
    ("", "\ufeffcard;surname\r\nX1;Müller\r\n"),
    ("", "card\tsurname\nX1\tMüller"),
    ("", " card , surname \n\n X1 , Müller \n,\n"),
    ("", 'card,surname\n"X1","Müller"\n'),
    ('file = { encoding = "cp1252" }', "card,surname\nX1,Müller\n".encode("cp1252")),
    ('file = { encoding = "utf-16" }', "card\tsurname\nX1\tMüller\n".encode("utf-16")),
    ('file = { delimiter = "|" }', "card|surname\nX1|Müller\n"),
]


async def test_files_of_many_programs(library: Library) -> None:
    for number, (file, rows) in enumerate(WRITTEN):
        load(library, {"kind": "patron", "id": "X1", "name": f"Before {number}"})
        report = imported(library, f"{file}\n{PATRONS}", rows)
        assert (report.errors, report.counts) == ((), {"patron": 1}), rows
        assert await name_of(library, "X1") == "Müller", rows


async def test_a_quoted_text_has_delimiters_quotes_and_lines(library: Library) -> None:
    rows = 'card,surname,note\nX1,"Claes, Anna ""An""","two\nlines"\nX2,Dirk,\n'
    assert imported(library, PATRONS, rows).errors == ()
    assert await name_of(library, "X1") == 'Claes, Anna "An"'
    rows = 'card,surname,note\nX1,Anna,"two\nlines"\nX2,,\n'
    assert errors_of(library, PATRONS, rows) == [
        'their.csv:4: column "surname" (`name`): must not be empty'
    ]


async def test_where_nothing_is_quoted_a_quote_is_a_letter(library: Library) -> None:
    map_ = f"file = {{ quote = '' }}\n{PATRONS}"
    assert imported(library, map_, 'card\tsurname\nX1\t"t Hooft\n').errors == ()
    assert await name_of(library, "X1") == '"t Hooft'


UNREADABLE: list[tuple[bytes | str, str]] = [
    ("card,surname\nX1,Müller\n".encode("cp1252"), ":2: the file is not utf-8; name its"),
    (b"\xff\xfec\0a\0", ":1: the file is not utf-8; name its encoding"),
    (b"card,surname\nX1,A\0nna\n", ":2: a NUL character is not allowed"),
    ('card,surname\nX1,A\nX2,"Anna\nX3,B\n', ':3: a quotation mark " opens here and is never'),
    ('card,surname\nX1,"Anna" An\n', ":2: cannot be read: "),
    ("card,surname\nX1,Claes, Anna\n", ":2: has 3 columns, and the header 2; is a text"),
    ("card,surname\nX1\n", ":2: has 1 columns"),
    (
        "card,name\nX1,A\n",
        ':1: no column "surname" (`name`) in the header; did you mean "name"',
    ),
    ("card,surnam\n", ':1: no column "surname" (`name`) in the header; did you mean "surnam"?'),
    ("card,surname,card\nX1,A,X2\n", ':1: the header has column "card" twice'),
    ("", ':1: no column "card" (`id`) in the header'),
    ("card,surname\n" + "x" * 300_000, ":2: the line is longer than 262144 characters"),
    ("card,surname\nX1,A\nX1,B\n", ":3: patron X1 is already in their.csv:2"),
]


def test_a_file_that_cannot_be_read_says_where_and_what_to_do(library: Library) -> None:
    for rows, said in UNREADABLE:
        errors = errors_of(library, PATRONS, rows)
        assert [error[: len(said) + 9] for error in errors] == [f"their.csv{said}"], errors


# What cells say


async def test_each_kind_of_value_in_the_words_of_another_system(library: Library) -> None:
    map_ = """
    file = { delimiter = ";" }
    id = "barcode"
    name = "name"
    birth_date = { column = "dob", format = "%d/%m/%Y", map = { "00/00/0000" = "" } }
    membership = { column = "category", map = { PT = "201", J = "101" }, default = "101" }
    status = { default = 3 }
    language = "lang"
    cards = { column = "other cards", format = "+" }
    badges = { column = "groups", map = { night = "ONBE", none = "" } }
    blocks = { column = "bar", map = { Y = "general", N = "" } }
    fee_limit = { column = "limit", format = "1.234,56" }
    """
    rows = """\
barcode;name;dob;category;lang;other cards;groups;bar;limit
X1;Anna;31/01/1980;PT;nl;X1A + X1B;night,none;Y;1.234,50
X2;Dirk;00/00/0000;VISITOR;;;;N;
"""
    assert imported(library, map_, rows).errors == ()
    anna, dirk = await library.find_patron("X1"), await library.find_patron("X2")
    assert anna is not None
    assert dirk is not None
    assert (anna.birth_date, dirk.birth_date) == (date(1980, 1, 31), None)
    assert (anna.membership and anna.membership.code) == "201"
    assert (dirk.membership and dirk.membership.code) == "101"
    assert (anna.status, anna.language, anna.fee_limit) == (3, "nl", 123450)
    assert {card.number for card in anna.cards} == {"X1", "X1A", "X1B"}
    assert [badge.code for badge in anna.badges] == ["ONBE"]
    assert [block.type for block in anna.blocks] == ["general"]
    assert (dirk.blocks, dirk.badges, dirk.fee_limit) == ((), (), None)


async def test_a_day_may_be_in_a_column_of_times(library: Library) -> None:
    map_ = f'{PATRONS}birth_date = {{ column = "dob", format = "%d/%m/%Y %H:%M" }}'
    assert imported(library, map_, "card,surname,dob\nX1,Ann,31/01/1980 00:00\n").errors == ()
    record = await library.find_patron("X1")
    assert record is not None
    assert record.birth_date == date(1980, 1, 31)


async def test_an_empty_cell_of_a_list_is_an_empty_list(library: Library) -> None:
    """C70: without a column the badges stay, with one they are what it says."""
    assert imported(library, PATRONS, "card,surname\nP1,Ann\n").errors == ()
    record = await library.find_patron("P1")
    assert record is not None
    assert len(record.badges) == 2
    imported(library, f'{PATRONS}badges = "groups"', "card,surname,groups\nP1,Ann,\n")
    record = await library.find_patron("P1")
    assert record is not None
    assert record.badges == ()


async def test_a_default_fills_lists_too(library: Library) -> None:
    map_ = f'{PATRONS}badges = {{ column = "groups", default = "ONBE,STUD" }}'
    imported(library, map_, "card,surname,groups\nX1,Ann,\nX2,Dirk,STUD\n")
    found = [await library.find_patron(it) for it in ("X1", "X2")]
    assert [{badge.code for badge in it.badges} for it in found if it] == [
        {"ONBE", "STUD"},
        {"STUD"},
    ]


async def test_fees_with_times_and_amounts(library: Library) -> None:
    map_ = """
    id = "nr"
    patron = "card"
    amount = { column = "amount", format = "1,234.56" }
    created = { column = "when", format = "%d.%m.%Y %H:%M" }
    type = { default = "01" }
    """
    rows = 'nr,card,amount,when\nX1,P3,"1,234.50",31.01.2026 10:15\n'
    assert imported(library, map_, rows, "fee").errors == ()
    record = await library.find_patron("P3")
    assert record is not None
    (fee,) = [fee for fee in record.fees if fee.id == "X1"]
    assert (fee.owed, fee.type) == (123450, "01")
    assert fee.created.isoformat() in ("2026-01-31T09:15:00+00:00", "2026-01-31T10:15:00+01:00")


async def test_a_time_that_says_its_zone(library: Library) -> None:
    map_ = 'id = "nr"\npatron = "card"\namount = "amount"\ncreated = "when"'
    rows = "nr,card,amount,when\nX1,P3,2.50,2026-01-31 10:15:00+01:00\n"
    assert imported(library, map_, rows, "fee").errors == ()


async def test_items_with_yes_and_no(library: Library) -> None:
    map_ = """
    id = "barcode"
    title = "title"
    for_loan = { column = "notforloan", map = { "0" = true, "-1" = false } }
    magnetic = "strip"
    loan_days = "days"
    status = { column = "lost", map = { "0" = "available", "1" = "lost" }, default = "missing" }
    """
    rows = "barcode,title,notforloan,strip,days,lost\nB1,Dune,0,Yes,14,1\nB2,Emma,-1,0,,7\n"
    assert imported(library, map_, rows, "item").errors == ()
    with library.snapshot() as connection:
        found = connection.execute(
            "SELECT id, for_loan, magnetic, loan_days, status FROM item"
            " WHERE id IN ('B1', 'B2') ORDER BY id"
        ).fetchall()
    assert [tuple(map(str, row)) for row in found] == [
        ("B1", "1", "1", "14", "lost"),
        ("B2", "0", "0", "21", "missing"),
    ]


WRONG_CELLS = [
    ('birth_date = "x"', "31/01/80", 'column "x" (`birth_date`): must be a date YYYY-MM-DD'),
    (
        'birth_date = { column = "x", format = "%d/%m/%Y" }',
        "1980-01-31",
        'column "x" (`birth_date`): must be a date in the format %d/%m/%Y',
    ),
    (
        'membership = { column = "x", map = { A = "201", B = "101" } }',
        "C",
        'column "x" (`membership`): must be one of A, B; add the word to the map, or give a'
        " `default`",
    ),
    ('status = "x"', "12", 'column "x" (`status`): must be a whole number <= 9'),
    ('status = "x"', "five", 'column "x" (`status`): must be a whole number, not a text'),
    ('language = "x"', "Dutch", 'column "x" (`language`): must be 2 or 3 small letters'),
    (
        'fee_limit = { column = "x", format = "1.234,56" }',
        "12.50",
        'column "x" (`fee_limit`): must be an amount written like 1.234,56',
    ),
    ('fee_limit = "x"', "12,50", 'column "x" (`fee_limit`): '),
    (
        'badges = { column = "x", map = { night = "ONBE" } }',
        "night,day",
        'column "x" (`badges`): must be one of night',
    ),
    ('blocks = "x"', "general,bad", 'column "x" (`blocks`): must not be '),
    ('pin_hash = "x"', "1234", 'column "x" (`pin_hash`): must be one that `export` wrote'),
    ('pin = { column = "x" }\npin_hash = { default = "y" }', "1", "give `pin` or `pin_hash`"),
]


def test_a_wrong_cell_is_told_with_line_column_and_what_is_allowed(library: Library) -> None:
    for more, cell, said in WRONG_CELLS:
        rows = f'card,surname,x\nX0,Zoë,\nX1,Ann,"{cell}"\n'
        error = errors_of(library, PATRONS + more, rows)[-1]
        assert error.startswith(f"their.csv:3: {said}"), error


def test_yes_and_no_have_few_words(library: Library) -> None:
    map_ = 'id = "a"\ntitle = "b"\nfor_loan = "c"'
    (error,) = errors_of(library, map_, "a,b,c\nB1,Dune,maybe\n", "item")
    assert (
        error == 'their.csv:2: column "c" (`for_loan`): must be one of true, yes, 1, false, no, 0'
    )


def test_a_hundred_wrong_rows_are_enough(library: Library) -> None:
    rows = "card,surname\n" + ",x\n" * 150
    assert len(errors_of(library, PATRONS, rows)) == 100


# Maps


@pytest.mark.parametrize(
    ("map_", "said"),
    [
        ('id = "a"', "`name` is missing; every patron has one"),
        (f'{PATRONS}brith_date = "x"', "`brith_date` is no key of a patron; did you mean"),
        (f'{PATRONS}xyz = "x"', "`xyz` is no key of a patron; there are id, name, pin, "),
        (f"{PATRONS}status = 5", "`status`: Expected `object`, got `int`"),
        (f"{PATRONS}status = {{ }}", "`status`: name a `column`, or give a `default` for all"),
        (f'{PATRONS}status = {{ colum = "x" }}', "`status`: Object contains unknown field `colum`"),
        (f'{PATRONS}status = {{ column = "x", format = "%d" }}', "`status`: `format` is only for"),
        (
            f'{PATRONS}birth_date = {{ column = "x", format = "%d/%m" }}',
            "`birth_date`: `format` does not read a whole date",
        ),
        (
            f'{PATRONS}fee_limit = {{ column = "x", format = "," }}',
            "`fee_limit`: `format` shows how 1234.56 is written",
        ),
        (f'file = {{ encoding = "klingon" }}\n{PATRONS}', "`file`: `encoding`: no such encoding"),
        (f'file = {{ encoding = "zlib" }}\n{PATRONS}', "`file`: `encoding`: no such encoding"),
        (f'file = {{ delimiter = ", " }}\n{PATRONS}', "`file`: `delimiter` must be"),
        (f'file = {{ encoding = "undefined" }}\n{PATRONS}', "`file`: `encoding`: no such encoding"),
        (f'file = {{ encoding = "a\\u0000" }}\n{PATRONS}', "`file`: `encoding`: no such encoding"),
        (f'file = {{ quote = "<>" }}\n{PATRONS}', "`file`: `quote` must be one character"),
        (f'file = {{ quote = "," }}\n{PATRONS}', "`file`: `quote` must be one character"),
        (f'file = {{ quote = "\\n" }}\n{PATRONS}', "`file`: `quote` must be one character"),
        ("id = ", "is no TOML: "),
    ],
)
def test_a_map_that_cannot_be_used_says_why(map_: str, said: str) -> None:
    with pytest.raises(MapError) as error:
        read_map(map_.encode(), "patron")
    assert str(error.value).startswith(said)


def test_a_map_in_another_encoding_is_refused() -> None:
    with pytest.raises(MapError, match="is not UTF-8"):
        read_map('id = "Nº"'.encode("cp1252"), "patron")


@pytest.mark.parametrize("kind", LINES)
def test_every_kind_can_come_from_a_table(empty_library: Library, kind: str) -> None:
    """Each record of the sample whose values a cell can say, and the same again changes nothing."""
    load(empty_library, *LIBRARY)
    lines = [line for line in LIBRARY if line["kind"] == kind and is_flat(line)]
    assert lines or kind in ("hold", "loan", "relationship", "membership"), kind
    for line in lines:
        keys = [key for key in line if key != "kind"]
        map_ = "\n".join(f"{key} = {json.dumps(key.upper())}" for key in keys)
        row = ";".join(cell_of(line[key]) for key in keys)
        rows = f"{';'.join(map(str.upper, keys))}\n{row}\n"
        report = imported(empty_library, map_, rows, kind)
        assert (report.errors, report.rows_changed) == ((), 0), line


def is_flat(line: dict[str, Any]) -> bool:
    return not any(isinstance(entry, dict) for value in line.values() for entry in as_list(value))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def cell_of(value: Any) -> str:
    return ",".join(map(str, as_list(value)))
