"""What staff do with membership definitions, inside the caller's transaction (B62, C47, C62)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from sip2gw.backend.base import NotFoundError, RefusedError, insist_unchanged
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql.members import memberships
from sip2gw.backend.sql.members.memberships import Definition, references
from sip2gw.backend.sql.queries import BUMP_VERSION
from sip2gw.policy.members.definitions import definition_problems

Problem = tuple[int, str]
"""The number of a line and the problem with it."""


def add(connection: Connection, wanted: Mapping[int, Definition]) -> WriteResult[list[Problem]]:
    """Make the definitions in `wanted`, by the number of their line: all of them, or none.

    Returns:
        Why nothing was written: codes that exist already, and unknown ones that are referred to.
    """
    known = {definition.code for definition in memberships.definitions(connection)}
    codes = known | {definition.code for definition in wanted.values()}
    problems: list[Problem] = []
    for number, definition in wanted.items():
        if definition.code in known:
            problems.append(
                (number, f"membership {definition.code} exists; see `membership change`")
            )
        problems += ((number, sentence) for sentence in _unknown(definition, codes))
    if not problems:
        memberships.add(connection, wanted.values())
        _tell_everybody(connection)
    return WriteResult(problems)


def change(
    connection: Connection, code: str, values: Mapping[str, Any], seen: Definition | None = None
) -> WriteResult[bool]:
    """Give the definition with this code other `values`; whether that changed anything. `seen` is
    how it must still be.

    Raises:
        NotFoundError: there is no such definition.
        ChangedError: it is not as it was `seen`.
        RefusedError: it must not be like that.
    """
    before = memberships.definition(connection, code)
    if before is None:
        raise unknown_membership(code)
    insist_unchanged(seen, before)
    after = msgspec.structs.replace(before, **values)
    if after == before:
        return WriteResult(False)
    codes = {definition.code for definition in memberships.definitions(connection)}
    problems = (*definition_problems(after), *_unknown(after, codes))
    if problems:
        raise RefusedError("; ".join(problems))
    memberships.put(connection, after)
    _tell_everybody(connection)
    return WriteResult(True)


def unknown_membership(code: str) -> NotFoundError:
    """That nobody knows `code`."""
    return NotFoundError(f"there is no membership {code}; see `membership list`")


def _unknown(definition: Definition, codes: Collection[str]) -> Iterator[str]:
    missing: Iterable[str] = (code for code in references(definition) if code not in codes)
    return (f"unknown membership {code}" for code in missing)


def _tell_everybody(connection: Connection) -> None:
    """Make all gateways, this one too, read their patrons again (C62).

    A hundred thousand members are not touched one by one.
    """
    connection.execute(BUMP_VERSION)
