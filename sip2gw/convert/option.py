"""One option of another server, and how its value is converted."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from sip2gw.config import json_schema
from sip2gw.config.schema import Node, describe_node, node_at
from sip2gw.config.tables.branches import BranchTable
from sip2gw.config.tables.profiles import ProfileTable
from sip2gw.config.tables.sections import InstitutionSection
from sip2gw.config.tables.server import ServerSection
from sip2gw.config.tables.terminals import TerminalTable
from sip2gw.config.types import Section

Reader = Callable[[Any], Any]


class NotCarriedError(Exception):
    """An option, or a value of it, without an equivalent here; the text is the reason."""


class RefusedError(NotCarriedError):
    """An option that contradicts a rule (C86)."""


class _AsHere:
    """A reader returns this when the gateway always does so and no entry is needed."""


AS_HERE = _AsHere()


class Option(Struct, frozen=True):
    """A row of the table: an option of theirs, our key, and how to read its value."""

    name: str
    key: str = ""
    """Our key, `TABLE.KEY` with X for any name; it need not exist yet. Empty: no key."""
    read: Reader = str
    """Converts their value into ours; raises `NotCarriedError`."""
    why: str = ""
    """For the page of options: why there is no key, or what differs."""


def not_carried(name: str, why: str) -> Option:
    """An option without an equivalent."""

    def read(_raw: Any) -> Any:
        raise NotCarriedError(why)

    return Option(name, read=read, why=why)


def by_hand(name: str, key: str, why: str) -> Option:
    """An option with an equivalent, whose value only a person can translate."""
    return Option(name, key, not_carried(name, why).read, why)


def always_so(name: str, why: str) -> Option:
    """An option whose every value matches what the gateway does anyway."""
    return Option(name, read=lambda _raw: AS_HERE, why=why)


def refused_when(name: str, wrong: bool, why: str) -> Option:
    """A flag that contradicts a rule when it is `wrong`, and otherwise matches the gateway."""

    def read(raw: Any) -> Any:
        if flag(raw) is wrong:
            raise RefusedError(why)
        return AS_HERE

    return Option(name, read=read, why=f"refused when {'set' if wrong else 'not set'}: {why}")


# Values -----------------------------------------------------------------------------------------

_YES, _NO = {"1", "true", "yes", "y", "on", "enabled"}, {"", "0", "false", "no", "n", "off"}
_NO |= {"disabled"}


def flag(raw: Any) -> bool:
    """Yes or no, in any usual spelling."""
    text = str(raw).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise NotCarriedError("must be yes or no")


def flag_as(yes: Any, no: Any = AS_HERE) -> Reader:
    """A flag with other values here."""
    return lambda raw: yes if flag(raw) else no


def number(raw: Any) -> int:
    """A whole number."""
    text = str(raw).strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise NotCarriedError("is not a whole number")
    return int(text)


def filled(raw: Any) -> Any:
    """A text; an empty one means nothing."""
    return str(raw).strip() or AS_HERE


def words(raw: Any) -> Any:
    """A list with commas or bars between its members."""
    return [word.strip() for word in re.split(r"[,|~]", str(raw)) if word.strip()] or AS_HERE


def choice(**allowed: Any) -> Reader:
    """One of several spellings, regardless of case and punctuation."""

    def read(raw: Any) -> Any:
        text = re.sub(r"[^a-z0-9]", "", str(raw).lower())
        if not text:
            return AS_HERE
        if text not in allowed:
            raise NotCarriedError(f"has no equivalent; known values: {', '.join(allowed)}")
        return allowed[text]

    return read


read_encoding = choice(
    utf8="utf-8", ascii="ascii", usascii="ascii", cp850="cp850", ibm850="cp850", cp1252="cp1252",
    windows1252="cp1252", latin1="latin-1", iso88591="latin-1",
)  # fmt: skip


# What the configuration takes ---------------------------------------------------------------------

_TABLES: dict[str, tuple[type[Section], dict[str, Any]]] = {
    "institution": (InstitutionSection, {"id": "X"}),
    "server": (ServerSection, {}),
    "branches.X": (BranchTable, {}),
    "profiles.X": (ProfileTable, {"kind": "selfcheck"}),
    "terminals.X": (TerminalTable, {"profile": "X", "password": "X"}),
}
"""The tables of a draft, and the keys that each needs besides the one that is tried."""


def exists(key: str) -> bool:
    """Whether this version's configuration has `key`."""
    table, _, name = key.rpartition(".")
    return name in _TABLES[table][0].model_fields


@cache
def _schema() -> Node:
    return json_schema()


def problem_with(key: str, value: Any) -> str | None:
    """Why `key` cannot be `value`; None when it can."""
    if not exists(key):
        return f"its key {key} does not exist in this version"
    table, _, name = key.rpartition(".")
    model, others = _TABLES[table]
    try:
        model.model_validate({**others, name: value})
    except ValidationError as error:
        schema = _schema()
        allowed = describe_node(node_at(schema, key.split(".")), schema)
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        reason = reason.removeprefix("Value error, ").removeprefix("Input ")
        return f"{key} does not accept it: {reason}; allowed: {allowed}"
    return None
