"""The stored form of membership definitions (B62, C82): a column for each key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from sip2gw.backend.database import Connection
from sip2gw.backend.sql.queries import fill
from sip2gw.model import MembershipDefinition, Minor

Definition: TypeAlias = MembershipDefinition[Minor]

COLUMNS = MembershipDefinition.__struct_fields__
"""In the order of `row_of`."""

_FIELDS = msgspec.structs.fields(Definition)
_LISTS = frozenset(field.name for field in _FIELDS if field.default == ())
_SELECT = fill("SELECT {columns} FROM membership", columns=", ".join(COLUMNS))
_DEFINITIONS = f"{_SELECT} ORDER BY sorting_position, code"
_DEFINITION = f"{_SELECT} WHERE code = ?"

_ADD = fill(
    "INSERT INTO membership ({columns}) VALUES ({values})",
    columns=", ".join(COLUMNS),
    values=", ".join("?" * len(COLUMNS)),
)
_PUT = fill(
    "UPDATE membership SET {assignments} WHERE code = ?",
    assignments=", ".join(f"{name} = ?" for name in COLUMNS),
)

_encode = msgspec.json.Encoder().encode


def row_of(definition: Definition) -> tuple[Any, ...]:
    """The values of `COLUMNS`: lists as JSON, flags as 0 and 1, no fee as 0."""
    return tuple(_stored(name, getattr(definition, name)) for name in COLUMNS)


def _stored(name: str, value: Any) -> Any:
    if name in _LISTS:
        return _encode(value).decode()
    if name == "fee":
        return value or 0
    return int(value) if isinstance(value, bool) else value


def definition_of(row: Sequence[Any]) -> Definition:
    """The definition behind values of `COLUMNS`."""
    values = {
        name: msgspec.json.decode(value) if name in _LISTS else value
        for name, value in zip(COLUMNS, row, strict=True)
        if value is not None
    }
    values["fee"] = values["fee"] or None
    return msgspec.convert(values, Definition, strict=False)


def definitions(connection: Connection) -> list[Definition]:
    """All membership definitions, by position and code."""
    return list(map(definition_of, connection.execute(_DEFINITIONS)))


def definition(connection: Connection, code: str) -> Definition | None:
    """The membership definition with this code, or None."""
    row = connection.execute(_DEFINITION, (code,)).fetchone()
    return None if row is None else definition_of(row)


def references(definition: Definition) -> Iterator[str]:
    """The codes of the other memberships that `definition` names."""
    if definition.subsequent_membership is not None:
        yield definition.subsequent_membership
    yield from definition.linked_memberships


def add(connection: Connection, new: Collection[Definition]) -> None:
    """Store new definitions, which may follow each other in a circle."""
    alone = (msgspec.structs.replace(one, subsequent_membership=None) for one in new)
    connection.executemany(_ADD, map(row_of, alone))
    for one in new:
        if one.subsequent_membership is not None:
            put(connection, one)


def put(connection: Connection, definition: Definition) -> None:
    """Store a known definition as it is now."""
    connection.execute(_PUT, (*row_of(definition), definition.code))
