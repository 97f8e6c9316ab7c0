"""The file that says who gets a badge: CSV with a header, or one patron or card a line (C165)."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from itertools import zip_longest
from pathlib import Path

from msgspec.structs import replace

from sip2gw.model.badges import BadgeTerms, BadgeWish

COLUMNS = ("patron", "from", "until", "branches")
FILE_BYTES_MAX = 64 * 1024 * 1024

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_BETWEEN_BRANCHES = re.compile(r"[,;\s]+")


class BadgeFileError(ValueError):
    """The file cannot be read as a whole; the text names it and says what to do."""


def read_day(text: str) -> date:
    """The day that `text` names.

    Raises:
        ValueError: it is not a date YYYY-MM-DD.
    """
    if not _DAY.fullmatch(text):
        raise ValueError(f"{text}: not a date YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text}: there is no such day") from None


def read_branches(text: str, known: Collection[str]) -> tuple[str, ...]:
    """The branches in `text`, separated by commas, semicolons or blanks.

    Raises:
        ValueError: one of them is not configured.
    """
    return known_branches(filter(None, _BETWEEN_BRANCHES.split(text)), known)


def known_branches(names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """These branches, each once.

    Raises:
        ValueError: one of them is not configured.
    """
    codes = tuple(dict.fromkeys(names))
    unknown = next((code for code in codes if code not in known), None)
    if unknown is not None:
        raise ValueError(f"no branch {unknown}; configured: {', '.join(known) or 'none'}")
    return codes


def read_badge_file(path: Path, given: BadgeTerms, branches: Collection[str]) -> list[BadgeWish]:
    """Who gets a badge, as the file at `path` says; a wrong line is a wish with its problem.

    Args:
        path: the file, UTF-8.
        given: the terms that the command names; they hold where the file has no such column.
        branches: the branches that are configured.

    Raises:
        BadgeFileError: it is too long, not UTF-8, or its header is not understood.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise BadgeFileError(f"{path}: longer than {FILE_BYTES_MAX} bytes; split the file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = len(content[: error.start].splitlines()) or 1
        raise BadgeFileError(f"{path}:{number}: not UTF-8; save the file as UTF-8") from None
    if "\0" in text:
        raise BadgeFileError(f"{path}: not a text file; save the list as CSV") from None
    return _read(str(path), text.splitlines(), given, branches)


def _read(
    name: str, lines: list[str], given: BadgeTerms, branches: Collection[str]
) -> list[BadgeWish]:
    wishes = [_wish(place, cells, given, branches) for place, cells in _rows(name, lines)]
    if not wishes:
        raise BadgeFileError(f"{name}: names nobody")
    return wishes


def _rows(name: str, lines: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and cells of each line that is not blank."""
    start = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    first = lines[start] if start < len(lines) else ""
    delimiter = next((mark for mark in ";\t" if mark in first and "," not in first), ",")
    header = [cell.lower() for cell in _cells(next(csv.reader([first], delimiter=delimiter), []))]
    if header != ["patron"] and delimiter not in first:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{name}:{number}", {"patron": line.strip().strip('"').strip()}
        return
    _insist_on_columns(f"{name}:{start + 1}", header)
    reader = csv.reader(lines[start + 1 :], delimiter=delimiter, strict=True)
    while True:
        number = start + 2 + reader.line_num
        try:
            cells = _cells(next(reader))
        except StopIteration:
            return
        except csv.Error:
            raise BadgeFileError(
                f"{name}:{number}: put quotation marks around a whole value, or none"
            ) from None
        if cells:
            yield f"{name}:{number}", _named(header, cells)


def _cells(cells: list[str]) -> list[str]:
    """Without blanks around each, and without the empty ones at the end: a spreadsheet writes or
    leaves out those as it likes."""
    stripped = [cell.strip() for cell in cells]
    while stripped and not stripped[-1]:
        stripped.pop()
    return stripped


def _insist_on_columns(place: str, header: list[str]) -> None:
    if "patron" not in header:
        raise BadgeFileError(
            f"{place}: no column is called patron; name the columns in the first line, or write"
            " nothing but one patron or card on each line"
        )
    if not set(header) <= set(COLUMNS) or len(set(header)) < len(header):
        raise BadgeFileError(
            f"{place}: the columns are {', '.join(header)}; use each of {', '.join(COLUMNS)} at"
            " most once"
        )


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) > len(header):
        return {"": ""}
    return dict(zip_longest(header, cells, fillvalue=""))


def _wish(
    place: str, cells: dict[str, str], given: BadgeTerms, branches: Collection[str]
) -> BadgeWish:
    card = cells.get("patron", "")
    try:
        return BadgeWish(card, _terms(cells, given, branches), place)
    except ValueError as error:
        return BadgeWish(card, given, place, str(error))


def _terms(cells: dict[str, str], given: BadgeTerms, branches: Collection[str]) -> BadgeTerms:
    if "" in cells:
        raise ValueError("more values than columns; put several branches in quotes")
    if not cells["patron"]:
        raise ValueError("no patron")
    terms = given
    if "from" in cells:
        terms = replace(terms, valid_from=_day_if(cells["from"]))
    if "until" in cells:
        terms = replace(terms, valid_until=_day_if(cells["until"]))
    if "branches" in cells:
        terms = replace(terms, branches=read_branches(cells["branches"], branches))
    return terms


def _day_if(text: str) -> date | None:
    return read_day(text) if text else None
