"""Checks of staged rows against stored rows: references, cards, families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from sip2gw.backend.database import Connection
from sip2gw.backend.sql.members.memberships import definition
from sip2gw.backend.sql.queries import RELATIONSHIP_COLUMNS, RELATIONSHIPS, fill
from sip2gw.backend.sql.records import relationship
from sip2gw.policy.relationships import structure_problems

Problem = tuple[int, str]
"""The number of a line and the problem with it."""

_REFERENCES = (
    ("membership", "subsequent_membership", "membership", "code"),
    ("patron", "membership_code", "membership", "code"),
    ("badge_assignment", "badge_code", "badge", "code"),
    ("relationship", "from_id", "patron", "id"),
    ("relationship", "to_id", "patron", "id"),
    ("loan", "item_id", "item", "id"),
    ("loan", "patron_id", "patron", "id"),
    ("hold", "patron_id", "patron", "id"),
    ("hold", "item_id", "item", "id"),
    ("fee", "patron_id", "patron", "id"),
    ("fee", "item_id", "item", "id"),
)
"""The table and column of a reference, and the table and key that it refers to."""

_MISSING = """
    SELECT s.src, s.{column} FROM stage_{table} s WHERE s.{column} IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM stage_{target} n WHERE n.{key} = s.{column})
      AND NOT EXISTS (SELECT 1 FROM {target} t WHERE t.{key} = s.{column})
    ORDER BY s.src LIMIT 100"""

_CARDS_OF_OTHERS = """
    SELECT s.src, s.number, c.patron_id FROM stage_card s JOIN card c ON c.number = s.number
    WHERE c.patron_id <> s.patron_id
      AND NOT EXISTS (SELECT 1 FROM patron o
                      WHERE o.id = s.patron_id AND o.merged_into = c.patron_id)
      AND NOT EXISTS (SELECT 1 FROM stage_patron p WHERE p.id = c.patron_id)
    ORDER BY s.src LIMIT 100"""

_STUBS = """
    SELECT s.src, s.id FROM stage_patron s JOIN patron p ON p.id = s.id
    WHERE p.forgotten_on IS NOT NULL ORDER BY s.src LIMIT 100"""
_MERGED = """
    SELECT s.src, s.{column}, p.merged_into FROM stage_{table} s JOIN patron p ON p.id = s.{column}
    WHERE p.merged_into IS NOT NULL ORDER BY s.src LIMIT 100"""

_STAGED_RELATIONS = fill(
    "SELECT {columns}, src FROM stage_relationship ORDER BY src", columns=RELATIONSHIP_COLUMNS
)

_INVALID_PARTIES = """
    SELECT r.src, r.{side} FROM stage_relationship r
    LEFT JOIN stage_patron s ON s.id = r.{side} LEFT JOIN patron p ON p.id = r.{side}
    WHERE CASE WHEN s.id IS NOT NULL
        THEN s.membership_code IS NULL OR s.membership_from > ? OR s.membership_until < ?
        ELSE p.membership_code IS NULL OR p.membership_from > ? OR p.membership_until < ? END
    ORDER BY r.src"""


def reference_problems(
    connection: Connection, seen: Mapping[str, Mapping[Any, int]]
) -> Iterator[Problem]:
    """References to records that are neither imported nor stored.

    `seen` names what is in the files, even on lines that were refused for another reason.
    """
    for table, column, target, key in _REFERENCES:
        statement = fill(_MISSING, table=table, column=column, target=target, key=key)
        for src, value in connection.execute(statement):
            if value not in seen.get(target, ()):
                yield src, f"unknown {target} {value}, neither in these files nor in the store"


def linked_problems(
    connection: Connection, linked: Iterable[Problem], seen: Mapping[Any, int]
) -> Iterator[Problem]:
    """Memberships in lists that are neither imported nor stored; `seen` has those of the files."""
    for src, code in linked:
        if code not in seen and definition(connection, code) is None:
            yield src, f"unknown membership {code}"


def merged_problems(connection: Connection) -> Iterator[Problem]:
    """Patrons who were merged into another, and what refers to them."""
    named = [("patron", "id")]
    named += [(table, column) for table, column, target, _ in _REFERENCES if target == "patron"]
    for table, column in named:
        for src, former, lasting in connection.execute(fill(_MERGED, table=table, column=column)):
            yield (
                src,
                (
                    f"patron {former} was merged into patron {lasting}; join them in your library"
                    f" system too, and name {lasting} here"
                ),
            )


def state_problems(connection: Connection) -> Iterator[Problem]:
    """Conflicts between cards and between relationships, stored and staged."""
    for src, number in connection.execute(_STUBS):
        yield src, f"{number} stands for a patron who was forgotten; nobody can have that id"
    for src, number, holder in connection.execute(_CARDS_OF_OTHERS):
        yield src, f"card {number} already belongs to patron {holder}"
    staged = {
        relationship(row[:-1]): row[-1] for row in connection.execute(_STAGED_RELATIONS).fetchall()
    }
    if staged:
        stored = map(relationship, connection.execute(RELATIONSHIPS))
        for relation, problem in structure_problems(stored, staged):
            yield staged[relation], problem


def sleeping_relations(connection: Connection, today: date) -> Iterator[Problem]:
    """Relationships of a patron without a valid membership: loaded, but not in force (C3)."""
    day = today.isoformat()
    for side in ("from_id", "to_id"):
        rows = connection.execute(fill(_INVALID_PARTIES, side=side), (day,) * 4)
        for src, patron_id in rows:
            yield (
                src,
                f"patron {patron_id} has no valid membership; the relationship is loaded"
                " but not in force",
            )


def pin_hashes(connection: Connection, patron_ids: Sequence[str]) -> Iterator[str | None]:
    """The stored hash of each patron; None without a PIN or without such a patron."""
    for patron_id in patron_ids:
        row = connection.execute(
            "SELECT pin_hash FROM patron WHERE id = ?", (patron_id,)
        ).fetchone()
        yield None if row is None else row[0]
