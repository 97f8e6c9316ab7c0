"""What is wrong with a line of an import, in the words of the data format (B69)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import structs

from sip2gw.backend.loading.format import IN_WORDS, AnyLine, Line
from sip2gw.foundation.words import meant

KINDS: dict[str, type[Line]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyLine)}
"""The kinds of records and what they look like."""

_TYPES = {
    "str": "a text in quotes",
    "int": "a whole number without quotes",
    "float": "a number without quotes",
    "bool": "true or false without quotes",
    "array": "a list [ … ]",
    "object": "an object { … }",
    "date": "a date YYYY-MM-DD in quotes",
}
"""What msgspec calls the types of JSON."""
_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_NOT_ALLOWED = re.compile(r"Invalid enum value .*")
_EXPECTED = re.compile(r"Expected (?P<wanted>.*?)(?:, got (?P<given>`\w+`))?")


def misfit(line: bytes, error: msgspec.MsgspecError) -> str:
    """What does not fit the format in `line`, and what is allowed instead."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return f"{_json_problem(str(error))}; write one JSON object on each line, as `export` does"
    name = record.get("kind")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is not None:
        return misfit_of(kind, error)
    allowed = f"allowed: {', '.join(KINDS)}"
    if not isinstance(name, str):
        return f"`kind` is required, and a text in quotes; {allowed}"
    return f"unknown kind {name!r}{meant(name, KINDS)}; {allowed}"


def misfit_of(kind: type[Line], error: msgspec.MsgspecError) -> str:
    """The same for a record of this kind."""
    text = str(error)
    place = _AT.search(text)
    path = place["path"].lstrip("$.") if place else ""
    text = _AT.sub("", text)
    where = f"`{_counted_from_1(path)}` " if path else ""
    if found := _UNKNOWN.fullmatch(text):
        keys = _keys(kind, path)
        unknown = f"unknown key `{found['name']}`{meant(found['name'], keys)}"
        return f"{where}{unknown}; allowed: {', '.join(keys)}"
    if found := _MISSING.fullmatch(text):
        return f"{where}`{found['name']}` is required"
    if text == "Invalid RFC3339 encoded date":
        return f"{where}must be a date YYYY-MM-DD in quotes"
    if _NOT_ALLOWED.fullmatch(text):
        given = text.removeprefix("Invalid enum value ")
        return f"{where}must not be {given}; allowed: {', '.join(_choices(_type_at(kind, path)))}"
    if found := _EXPECTED.fullmatch(text):
        given = f", not {_worded(found['given'])}" if found["given"] else ""
        return f"{where}must be {_worded(found['wanted'])}{given}"
    return f"{where}{_worded(text)}"


def _json_problem(text: str) -> str:
    told = text.replace("Input data was truncated", "the line ends too early")
    return re.sub(r"\(byte (\d+)\)", lambda byte: f"(byte {int(byte[1]) + 1})", told)


def _counted_from_1(path: str) -> str:
    """`cards[0].state` as `cards.1.state`: entries count from 1, as lines do."""
    counted = re.sub(r"\[(\d+)\]", lambda index: f".{int(index[1]) + 1}", path)
    return counted.lstrip(".")


def _type_at(kind: type[Line], path: str) -> Any:
    """The type of the value at `path` in a record of this kind."""
    found: Any = kind
    for name in re.findall(r"[A-Za-z_]\w*", path):
        fields = next(_structs_in(found), found)
        found = {one.encode_name: one.type for one in structs.fields(fields)}[name]
    return found


def _keys(kind: type[Line], path: str) -> list[str]:
    """The keys of the object at `path`."""
    found = next(_structs_in(_type_at(kind, path)))
    names = [one.encode_name for one in structs.fields(found)]
    return ["kind", *names] if found is kind else names


def _structs_in(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for part in get_args(annotation):
        yield from _structs_in(part)


def _choices(annotation: Any) -> Iterator[str]:
    """The values of the enumeration or of the literals in `annotation`."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(one.value) for one in annotation)
    for part in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield str(part)
        else:
            yield from _choices(part)


def _worded(text: str) -> str:
    for pattern, words in IN_WORDS.items():
        text = text.replace(f"`str` matching regex {pattern!r}", words)
    return re.sub(r"`([a-z]+(?: \| [a-z]+)*)`", _types, text)


def _types(found: re.Match[str]) -> str:
    names = found[1].split(" | ")
    wanted = [_TYPES.get(name, name) for name in names if name != "null" or len(names) == 1]
    return " or ".join(wanted)
