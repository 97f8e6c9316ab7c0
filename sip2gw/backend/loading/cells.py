"""What a cell of a table says in the library data format (B69)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from msgspec import UNSET, inspect

from sip2gw.backend.loading.format import Written
from sip2gw.policy.moments import reads_a_day

Read = Callable[[str], Any]
"""Turns a cell into a value of the format.

Raises:
    ValueError: it does not fit; the text says what is expected, and not what was there.
"""

SEPARATOR = ","
"""Between the entries of a list, unless the map names another."""

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_AMOUNT_EXAMPLE = re.compile(r"1(?P<group>[., ']?)234(?P<decimal>[.,])56")
_HAS_TIME = re.compile(r"%[HIcX]")


def reader(
    kind: inspect.Type,
    form: str | None = None,
    words: Mapping[str, Any] = MappingProxyType({}),
    otherwise: Any = UNSET,
) -> Read:
    """How a cell that is not empty is read for a key of this `kind`.

    Args:
        kind: of `inspect.type_info`.
        form: the `format` of the map.
        words: its `map`; "" there says that the cell is as good as empty.
        otherwise: its `default`, which other words stand for; UNSET refuses them.

    Raises:
        ValueError: `form` does not go with `kind`; the text says what would.
    """
    kind, says = _plain(kind)
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        entry = _of_words(words, otherwise) if words else str
        return partial(_list, _first_key(kind.item_type), form or SEPARATOR, entry)
    if isinstance(kind, inspect.DateType) or says is Written.MOMENT:
        day = str if form is None else _day_reader(form, with_time=says is Written.MOMENT)
        return lambda cell: words[cell] if cell in words else day(cell)
    if words and form is None:
        return _of_words(words, otherwise)
    if says is Written.AMOUNT:
        return str if form is None else _amount_reader(form)
    if form is not None:
        raise ValueError("`format` is only for dates, times, amounts and lists")
    return _yes_or_no if isinstance(kind, inspect.BoolType) else str


def is_list(kind: inspect.Type) -> bool:
    """Whether a key of this `kind` takes several entries."""
    return isinstance(_plain(kind)[0], inspect.ListType | inspect.VarTupleType)


def _plain(kind: inspect.Type) -> tuple[inspect.Type, Written | None]:
    """`kind` without its limits and without None, and what its texts say."""
    says = None
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            says = (kind.extra or {}).get("says", says)
            kind = kind.type
        else:
            kind = next(one for one in kind.types if not isinstance(one, _NOTHING))
    return kind, says


_NOTHING = (inspect.NoneType, inspect.CustomType)
"""Besides None: that a list is not given at all."""


def _first_key(item: inspect.Type) -> str | None:
    """The key of an entry that a cell can say; None for an entry that is a text."""
    item, _ = _plain(item)
    return item.fields[0].encode_name if isinstance(item, inspect.StructType) else None


def _list(key: str | None, separator: str, read: Read, cell: str) -> list[Any]:
    entries = [read(entry.strip()) for entry in cell.split(separator) if entry.strip()]
    return [entry if key is None else {key: entry} for entry in entries if entry != ""]


def _of_words(words: Mapping[str, Any], otherwise: Any) -> Read:
    def read(cell: str) -> Any:
        found = words.get(cell, otherwise)
        if found is UNSET:
            raise ValueError(
                f"must be one of {', '.join(words)}; add the word to the map, or give a `default`"
            )
        return found

    return read


def _yes_or_no(cell: str) -> bool:
    try:
        return _WORDS[cell.lower()]
    except KeyError:
        raise ValueError(f"must be one of {', '.join(_WORDS)}") from None


def _amount_reader(example: str) -> Read:
    found = _AMOUNT_EXAMPLE.fullmatch(example)
    if found is None or found["group"] == found["decimal"]:
        raise ValueError(
            '`format` shows how 1234.56 is written, such as "1.234,56", "1,234.56" or "1234,56"'
        )
    group, decimal = re.escape(found["group"]), re.escape(found["decimal"])
    form = re.compile(rf"-?([0-9]+|[0-9]{{1,3}}({group}[0-9]{{3}})+)({decimal}[0-9]+)?", re.ASCII)

    def read(cell: str) -> str:
        if not form.fullmatch(cell):
            raise ValueError(f"must be an amount written like {example}")
        return cell.replace(found["group"], "").replace(found["decimal"], ".")

    return read


def _day_reader(form: str, *, with_time: bool) -> Read:
    if not reads_a_day(form):
        raise ValueError('`format` does not read a whole date; write it as "%d/%m/%Y"')

    def read(cell: str) -> str:
        try:
            moment = datetime.strptime(cell, form)  # noqa: DTZ007 -- local, unless the cell says
        except ValueError:
            raise ValueError(f"must be a date in the format {form}") from None
        return moment.isoformat() if with_time and has_time else moment.date().isoformat()

    has_time = _HAS_TIME.search(form) is not None
    return read
