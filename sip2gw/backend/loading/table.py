"""Tables as records: files with a header and one record in each row (B69)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from typing import Any, BinaryIO

import msgspec
from msgspec import UNSET

from sip2gw.backend.loading.columns import DELIMITERS, Column, ColumnMap, Layout
from sip2gw.backend.loading.format import LINES, AnyLine, LineError, Take
from sip2gw.backend.loading.misfits import misfit_of

LINE_CHARACTERS_MAX = 256 * 1024

_ABOUT_KEY = re.compile(r"`(?P<key>[a-z_]+)[\w.]*`:? (?P<said>.*)")
"""How a message says which key it is about."""
_QUOTES = re.compile(" (in|without) quotes")
"""What a message says of JSON, which has nothing to do with a cell."""


def records(stream: BinaryIO, start: int, columns: ColumnMap) -> Iterator[tuple[int, Take]]:
    """The records of a table, with their lines, numbered from `start` + 1.

    A record of several lines has the number of its first. What makes the rest unreadable is the
    last record.
    """
    rows = _rows(stream, columns.layout)
    at = 1
    try:
        at, header = next(rows, (1, []))
        places = _places(header, columns)
        for at, row in rows:
            yield start + at, partial(_record, row, len(header), places, columns)
    except LineError as error:
        yield start + _line_of(error, at), partial(_fail, error)


def named(columns: ColumnMap, message: str) -> str:
    """`message` about a key of ours, with the column that the key is in."""
    found = _ABOUT_KEY.fullmatch(message)
    for column in columns.columns:
        if found and column.key == found["key"]:
            return _about(column.key, column.name, _QUOTES.sub("", found["said"]))
    return message


def _about(key: str, column: str | None, said: str) -> str:
    return f"`{key}`: {said}" if column is None else f'column "{column}" (`{key}`): {said}'


class _UnreadableError(LineError):
    """Nothing after this line can be read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _line_of(error: LineError, otherwise: int) -> int:
    return error.line if isinstance(error, _UnreadableError) else otherwise


def _fail(error: LineError) -> Any:
    raise error


def _rows(stream: BinaryIO, layout: Layout) -> Iterator[tuple[int, Sequence[str]]]:
    """Rows with something in them, and the line on which each begins."""
    lines = _lines(stream, layout)
    first = next(lines, "")
    delimiter = layout.delimiter or max(DELIMITERS, key=first.count)
    found = csv.reader(
        _again(first, lines),
        delimiter=delimiter,
        quotechar=layout.quote or None,
        quoting=csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE,
        strict=True,
    )
    at = 1
    try:
        for row in found:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield at, cells
            at = found.line_num + 1
    except csv.Error as error:
        raise _UnreadableError(at, _not_csv(error, layout)) from None


def _not_csv(error: csv.Error, layout: Layout) -> str:
    if "unexpected end" in str(error) or "field limit" in str(error):
        return f"a quotation mark {layout.quote} opens here and is never closed"
    return (
        f"cannot be read: {error}; inside a quoted text write {layout.quote} twice, or set"
        ' `file = { quote = "" }` if nothing is quoted'
    )


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _lines(stream: BinaryIO, layout: Layout) -> Iterator[str]:
    """The lines of text, without a byte order mark.

    Raises:
        LineError: one is too long, or in another encoding.
    """
    text = io.TextIOWrapper(stream, layout.encoding, errors="surrogateescape", newline="")
    number = 0
    try:
        while line := text.readline(LINE_CHARACTERS_MAX + 1):
            number += 1
            yield _sound(line.removeprefix("\ufeff") if number == 1 else line, number, layout)
    except UnicodeError:
        raise _UnreadableError(number + 1, _other_encoding(layout)) from None
    finally:
        with suppress(ValueError):  # the file was closed because of too many errors
            text.detach()


def _sound(line: str, number: int, layout: Layout) -> str:
    if len(line) > LINE_CHARACTERS_MAX:
        raise _UnreadableError(number, f"the line is longer than {LINE_CHARACTERS_MAX} characters")
    if any(map(_is_undecoded, () if line.isascii() else line)):
        raise _UnreadableError(number, _other_encoding(layout))
    if "\0" in line:
        raise _UnreadableError(number, f"a NUL character is not allowed; {_other_encoding(layout)}")
    return line


def _is_undecoded(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _other_encoding(layout: Layout) -> str:
    return (
        f"the file is not {layout.encoding}; name its encoding in the map, as in"
        ' `file = { encoding = "cp1252" }` or "utf-16"'
    )


def _places(header: Sequence[str], columns: ColumnMap) -> Mapping[str, int]:
    """Where each column of the map is.

    Raises:
        LineError: one is not there, or twice.
    """
    places = {}
    for column in columns.columns:
        if column.name is None:
            continue
        if column.name not in header:
            near = get_close_matches(column.name, header, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(header)}"
            raise LineError(f'no column "{column.name}" (`{column.key}`) in the header; {hint}')
        if header.count(column.name) > 1:
            raise LineError(f'the header has column "{column.name}" twice')
        places[column.name] = header.index(column.name)
    return places


def _record(
    row: Sequence[str], width: int, places: Mapping[str, int], columns: ColumnMap
) -> AnyLine:
    if len(row) != width:
        raise LineError(
            f"has {len(row)} columns, and the header {width}; is a text with the delimiter in it"
            " not quoted?"
        )
    values = {}
    for column in columns.columns:
        value = _value(column, "" if column.name is None else row[places[column.name]])
        if value is not UNSET:
            values[column.key] = value
        elif column.key in columns.required:
            raise LineError(_about(column.key, column.name, "must not be empty"))
    kind = LINES[columns.kind]
    try:
        record: AnyLine = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise LineError(misfit_of(kind, error)) from None
    return record


def _value(column: Column, cell: str) -> Any:
    try:
        return column.value(cell)
    except ValueError as error:
        raise LineError(_about(column.key, column.name, str(error))) from None
