"""In which line of the file each key is, for messages that name it (B66)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import count

_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r]+|\#[^\n]*)
    |(?P<string>\"\"\"(?:\\.|[^\\])*?\"{3,5}|'''.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    |(?P<sign>[\n\[\]{}=,.])
    |(?P<bare>[^\s\[\]{}=,."'\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_Token = tuple[str, int]
"""A piece of the file and its line."""
_END: _Token = ("", 0)


def lines_of_keys(text: str) -> Mapping[str, int]:
    """The line, counted from 1, of each key and table of `text`, which is valid TOML.

    The keys are full, as messages have them: `server.listen`, `branches.MAIN.hours.1.from`. The
    entries of a list are counted from 1, too.
    """
    reader = _Reader(text)
    reader.read()
    return reader.lines


def line_of(lines: Mapping[str, int], key: str) -> int | None:
    """The line of `key`, or else of the nearest table around it that the file has."""
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key)


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines: dict[str, int] = {}
        self._tokens = _tokens(text)
        self._at = 0

    def read(self) -> None:
        table = ""
        while (token := self._next()) != _END:
            if token[0] == "[":
                table = self._header(token[1])
            elif token[0] != "\n":
                self._at -= 1
                self._pair(table)

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token != _END
        return token

    def _header(self, line: int) -> str:
        is_list = self._peek() == "["
        self._at += is_list
        name = self._key("", line)
        self._at += 1 + is_list
        if is_list:
            name = next(entry for n in count(1) if (entry := f"{name}.{n}") not in self.lines)
        self.lines[name] = line
        return name

    def _key(self, above: str, line: int) -> str:
        """The key that begins here, with the tables `above` it; each part may be a new table."""
        key = above
        while True:
            name = _unquoted(self._next()[0])
            key = f"{key}.{name}" if key else name
            self.lines.setdefault(key, line)
            if self._peek() != ".":
                return key
            self._at += 1

    def _pair(self, table: str) -> None:
        line = self._tokens[self._at][1]
        key = self._key(table, line)
        self._at += 1  # =
        self._value(key)

    def _value(self, key: str) -> None:
        opening = self._peek()
        if opening == "[":
            self._list(key)
        elif opening == "{":
            self._inline_table(key)
        else:
            while self._peek() not in ("\n", ",", "]", "}", ""):
                self._at += 1

    def _list(self, key: str) -> None:
        self._at += 1
        number = 1
        while self._peek() != "]":
            if self._peek() in ("\n", ","):
                self._at += 1
                continue
            entry = f"{key}.{number}"
            self.lines[entry] = self._tokens[self._at][1]
            self._value(entry)
            number += 1
        self._at += 1

    def _inline_table(self, key: str) -> None:
        self._at += 1
        while self._peek() != "}":
            if self._peek() in ("\n", ","):
                self._at += 1
                continue
            self._pair(key)
        self._at += 1


def _tokens(text: str) -> list[_Token]:
    found = []
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "skip":
            found.append((match[0], line))
        line += match[0].count("\n")
    return [*found, _END]


def _unquoted(key: str) -> str:
    if key.startswith('"'):
        return str(json.loads(re.sub(r"\\U0*([0-9A-Fa-f]{1,8})", _short_escape, key)))
    return key.strip("'")


def _short_escape(match: re.Match[str]) -> str:
    return json.dumps(chr(int(match[1], 16)))[1:-1]
