"""The map of a table: which key of ours is in which column of theirs (B69).

A file in TOML, `our key = "their column"`, or a table with `column`, `format`, `map`, `default`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, inspect

from sip2gw.backend.loading import cells
from sip2gw.backend.loading.format import LINES

FILE_KEY = "file"
"""The key of the map that is about the whole file; no record has a key of this name."""

DELIMITERS = (",", ";", "\t")
Plain = str | int | bool


class MapError(ValueError):
    """A map that cannot be used; the text says why, without the name of its file."""


class Layout(Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is written."""

    encoding: str = "utf-8"
    delimiter: str = ""
    """Empty: the one of `DELIMITERS` that the header has most often."""
    quote: str = '"'
    """Around texts with the delimiter in them; empty: nothing is quoted."""


class _Entry(Struct, forbid_unknown_fields=True):
    """What the map says about a key."""

    column: str | None = None
    format: str | None = None
    map: dict[str, Plain] = {}
    default: Plain | UnsetType = UNSET


class Column(Struct, frozen=True):
    """How one key is filled."""

    key: str
    name: str | None
    """Of the column; None: the default fills all rows."""
    read: cells.Read
    default: Any
    """What an empty cell says; UNSET: nothing."""

    def value(self, cell: str) -> Any:
        """What `cell` says; UNSET for nothing.

        Raises:
            ValueError: it does not fit; the text says what would.
        """
        found = self.read(cell) if cell else ""
        return self.default if found in ("", []) else found


class ColumnMap(Struct, frozen=True):
    """How the rows of a table become records."""

    kind: str
    layout: Layout
    columns: tuple[Column, ...]
    required: frozenset[str]


def read_map(text: bytes, kind: str) -> ColumnMap:
    """The map in `text` for records of this `kind`, one of `LINES`.

    Raises:
        MapError: it cannot be used.
    """
    try:
        table = tomllib.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise MapError("is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise MapError(f"is no TOML: {error}") from None
    layout = _layout(table.pop(FILE_KEY, {}))
    described = inspect.type_info(LINES[kind])
    assert isinstance(described, inspect.StructType)
    known = {it.encode_name: it for it in described.fields}
    columns = tuple(_column(key, value, known, kind) for key, value in table.items())
    required = frozenset(key for key, it in known.items() if it.required)
    for key in known:
        if key in required and key not in table:
            raise MapError(f"`{key}` is missing; every {kind} has one")
    return ColumnMap(kind, layout, columns, required)


def _layout(given: Any) -> Layout:
    layout: Layout = _converted(FILE_KEY, given, Layout)
    try:
        "".encode(layout.encoding)
    except (LookupError, ValueError):  # the latter from the encoding "undefined", and a NUL
        raise MapError(
            f"`{FILE_KEY}`: `encoding`: no such encoding; try utf-8, cp1252, latin-1 or utf-16"
        ) from None
    if layout.delimiter not in ("", *DELIMITERS, "|"):
        raise MapError(f'`{FILE_KEY}`: `delimiter` must be ",", ";", "\\t" or "|"')
    if len(layout.quote) > 1 or layout.quote.isspace() or layout.quote in (*DELIMITERS, "|"):
        raise MapError(
            f"`{FILE_KEY}`: `quote` must be one character that is no blank and no delimiter, or"
            " empty"
        )
    return layout


def _column(key: str, given: Any, known: Mapping[str, inspect.Field], kind: str) -> Column:
    if key not in known:
        near = get_close_matches(key, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
        raise MapError(f"`{key}` is no key of a {kind}; {hint}")
    given = {"column": given} if isinstance(given, str) else given
    entry = _converted(key, given, _Entry)
    if entry.column is None and entry.default is UNSET:
        raise MapError(f"`{key}`: name a `column`, or give a `default` for all")
    described = known[key].type
    try:
        read = cells.reader(described, entry.format, entry.map, entry.default)
    except ValueError as error:
        raise MapError(f"`{key}`: {error}") from None
    default: Any = entry.default
    if cells.is_list(described):
        # A list that a column is named for is complete: an empty cell is a list of nothing.
        default = [] if default is UNSET else cells.reader(described, entry.format)(str(default))
    return Column(key, entry.column, read, default)


def _converted(key: str, given: Any, into: type[Any]) -> Any:
    try:
        return msgspec.convert(given, into)
    except msgspec.ValidationError as error:
        raise MapError(f"`{key}`: {error}") from None
