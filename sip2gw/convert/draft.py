"""The configuration in the making: its tables, and the options that could not be carried over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from sip2gw.convert.option import (
    AS_HERE,
    NotCarriedError,
    Option,
    RefusedError,
    problem_with,
)
from sip2gw.foundation.toml import toml_key, toml_value
from sip2gw.protocol.structs import Discreet, Hidden

Values = dict[str, Any]


PLACES_SHOWN = 3


class Note(Struct, frozen=True):
    """An option that was not carried over, with all places where that has the same reason."""

    places: tuple[str, ...]
    name: str
    """Of the option; empty when it is the place itself."""
    reason: str
    refused: bool = False
    """It contradicts a rule (C86)."""

    def __str__(self) -> str:
        shown = ", ".join(self.places[:PLACES_SHOWN])
        more = len(self.places) - PLACES_SHOWN
        where = f"{shown} and {more} more" if more > 0 else shown
        parts = (where, self.name, f"{'refused: ' if self.refused else ''}{self.reason}")
        return ": ".join(filter(None, parts))


class Draft(Discreet, Struct):
    """Tables by their path, in the order of the file. `repr` shows no password hash."""

    tables: Hidden[dict[tuple[str, ...], Values]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    """Decisions where the other file says nothing, for the head of ours."""
    _noted: dict[tuple[str, str, bool], dict[str, None]] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[Note, ...]:
        """The options that were not carried over, in the order in which they were found."""
        return tuple(
            Note(tuple(places), name, reason, refused)
            for (name, reason, refused), places in self._noted.items()
        )

    def note(self, where: str, reason: str, *, refused: bool = False) -> None:
        """Record that the option at `where` (`PLACE: NAME`, or a name) was not carried over."""
        place, _, name = _one_line(where).rpartition(": ")
        key = (name, _one_line(reason), refused)
        self._noted.setdefault(key, {})[place] = None

    def keep_notes(self, wanted: Callable[[str], bool]) -> None:
        """Forget the notes about options whose name is not wanted."""
        self._noted = {key: places for key, places in self._noted.items() if wanted(key[0])}

    def read(self, where: str, option: Option, raw: Any) -> Any:
        """The value of `option` here, or `AS_HERE` when it needs no entry."""
        try:
            value = option.read(raw)
        except NotCarriedError as error:
            self.note(where, str(error), refused=isinstance(error, RefusedError))
            return AS_HERE
        if value is AS_HERE:
            return AS_HERE
        problem = problem_with(option.key, value)
        if problem is not None:
            self.note(where, problem)
            return AS_HERE
        return value

    def read_all(
        self, where: str, options: Iterable[Option], raw: Mapping[str, Any], unknown: str
    ) -> dict[str, Any]:
        """The values of `raw` by our keys; `unknown` is the reason given for options without a
        row.
        """
        rows = {option.name: option for option in options}
        found: dict[str, Any] = {}
        for name, given in raw.items():
            row = rows.get(name)
            if row is None:
                self.note(f"{where}{name}", unknown)
                continue
            value = self.read(f"{where}{name}", row, given)
            if value is not AS_HERE:
                before = found.get(row.key)
                if isinstance(before, list) and isinstance(value, list):
                    value = [*before, *value]
                    problem = problem_with(row.key, value)
                    if problem is not None:
                        self.note(f"{where}{name}", problem)
                        continue
                found[row.key] = value
        return found

    def put(self, found: Mapping[str, Any], table: str) -> None:
        """Write the values of `found` that belong to the general `table`."""
        for key, value in found.items():
            if key.rpartition(".")[0] == table:
                self.tables.setdefault((table,), {})[key.rpartition(".")[2]] = value

    def toml(self, title: str) -> str:
        """The text of the file."""
        lines = [
            f"# {_one_line(title)}",
            *(f"# {_one_line(text)}".rstrip() for text in self.remarks),
        ]
        if self.notes:
            lines += ["#", "# Not carried over:", *(f"# - {note}" for note in self.notes)]
        for path, values in self.tables.items():
            lines += ["", f"[{'.'.join(map(toml_key, path))}]"]
            lines += [f"{toml_key(name)} = {toml_value(value)}" for name, value in values.items()]
        return "\n".join(lines) + "\n"


def of_table(found: Mapping[str, Any], table: str) -> Values:
    """The values of `found` that belong to `table`, by the last part of their names."""
    split = ((key.rpartition("."), value) for key, value in found.items())
    return {name: value for (where, _, name), value in split if where == table}


def _one_line(text: str) -> str:
    """`text` without characters that could end a comment or disturb a terminal."""
    return "".join(_shown(text))[:500]


def _shown(text: str) -> Iterator[str]:
    for character in text:
        yield character if character.isprintable() else " "
