"""Problems of a configuration file, in words that help a person to correct them (B66)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from sip2gw.config.lines import line_of, lines_of_keys
from sip2gw.config.schema import (
    Node,
    describe_node,
    is_secret,
    node_at,
    table_in,
    tables_of,
)
from sip2gw.foundation.words import meant

_SHOWN_CHARACTERS_MAX = 80
_TABLES_MAX = 2
"""A key of more tables than this is such a common word that to name them helps nobody."""
_OWN_WORDS = {
    "literal_error": "unknown value",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "missing": "is required",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number without quotes",
    "float_type": "must be a number without quotes",
    "bool_type": "must be true or false without quotes",
    "extra_forbidden": "unknown key",
}
"""Our own words in place of pydantic's sentences, which speak of Python."""
_AT = re.compile(r" \(at line (\d+), column (\d+)\)")
_PYDANTICS_SUBJECT = re.compile("^(?:Input|String|Tuple|Dictionary) (?=should )")


class ConfigError(Exception):
    """The configuration cannot be used; the text has one line per problem and no secrets."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@cache
def _schema_of(model: type[BaseModel]) -> Node:
    return model.model_json_schema()


class Problems:
    """Collects the problems of one file."""

    text = ""
    """What stands in the file, once that is known to be TOML."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: list[str] = []

    @cached_property
    def _lines_of_keys(self) -> Mapping[str, int]:
        return lines_of_keys(self.text)

    def _place(self, where: str) -> str:
        """The file, the line if the key or a table around it is in the file, and the key."""
        line = line_of(self._lines_of_keys, where) if where else None
        place = self._file if line is None else f"{self._file}:{line}"
        return f"{place}: {where}" if where else place

    def add(self, where: str, message: str, *, got: object = None, allowed: str = "") -> None:
        """Note that the key `where` (empty: the file) is wrong; `got` must not be a secret."""
        line = f"{self._place(where)}: {message}"
        if got is not None:
            line += f"; got {_shown(got)}"
        if allowed:
            line += f"; allowed: {allowed}"
        if line not in self._lines:  # several accounts share a key
            self._lines.append(line)

    def not_toml(self, message: str) -> None:
        """Note that the file is not TOML; `message` names the line, unless that is the last one."""
        place = _AT.search(message)
        line, column = place.groups() if place else ("", "")
        where = f":{line}" if line else ""
        told = _AT.sub(f" (column {column})", message)
        self._lines.append(f"{self._file}{where}: is not valid TOML: {told}")

    def add_validation(self, error: ValidationError, model: type[BaseModel]) -> None:
        """Note every problem that `model` found."""
        schema = _schema_of(model)
        for detail in error.errors(include_url=False, include_context=False):
            self._add_detail(detail, schema)

    def _add_detail(self, detail: Mapping[str, Any], schema: Node) -> None:
        path = tuple(detail["loc"])
        node, kind, value = node_at(schema, path), detail["type"], detail["input"]
        message = _message(kind, detail["msg"])
        if kind == "extra_forbidden":
            # Never with its value: a misspelt password is a password.
            node, value = {}, None
            known = table_in(node_at(schema, path[:-1]), schema)["properties"]
            # A key of another table is known exactly; one that it resembles may be far from it.
            message += _belongs(str(path[-1]), schema) or meant(str(path[-1]), known)
            allowed = ", ".join(known)
        elif kind == "value_error" and node.get("type") == "object":
            allowed = ""
        else:
            allowed = describe_node(node, schema)
        self.add(
            ".".join(map(_name, path)).replace(".[key]", ""),
            message,
            got=value if _may_show(value, node) else None,
            allowed=allowed,
        )

    def raise_if_any(self) -> None:
        """Raise an error if there are problems."""
        if self._lines:
            raise self.error()

    def error(self) -> ConfigError:
        """The error with all problems noted so far."""
        return ConfigError(tuple(self._lines))


def _name(part: str | int) -> str:
    """A part of a key as a person counts: the first entry of a list is 1, like the first line."""
    return str(part + 1) if isinstance(part, int) else part


def _belongs(key: str, schema: Node) -> str:
    """`; it belongs in …` with the tables that have this key, else nothing."""
    tables = [f"[{table}]" for table, keys in tables_of(schema, schema) if key in keys]
    return f"; it belongs in {' or '.join(tables)}" if 0 < len(tables) <= _TABLES_MAX else ""


def _may_show(value: object, node: Node) -> bool:
    """Whether `value` may be shown: it is no secret and cannot contain one, as a table or an
    address can.
    """
    if is_secret(node) or node.get("type") == "object":
        return False
    return isinstance(value, str | int | float | bool) and not any(
        sign in str(value) for sign in ("@", "password=")
    )


def _message(kind: str, text: str) -> str:
    """pydantic's sentence in the words of the file."""
    if kind in _OWN_WORDS:
        return _OWN_WORDS[kind]
    return _PYDANTICS_SUBJECT.sub("", text.removeprefix("Value error, "))


def _shown(value: object) -> str:
    """`value` as the file would have it."""
    if isinstance(value, str):
        shown = repr(value)
    elif isinstance(value, bool):
        shown = str(value).lower()
    else:
        shown = f"{value:.10g}" if isinstance(value, float) else str(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS_MAX else shown[:_SHOWN_CHARACTERS_MAX] + "…"
