"""Families and authorisations (B49, B50, C57)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from datetime import datetime

    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model import Relationship


RelationshipJson = TypedDict(
    "RelationshipJson",
    {
        "type": str,
        "from": str,
        "to": str,
        "functions": list[str],
        "confirmed": bool,
        "proposed_by": Literal["from", "to", "staff"],
    },
)
"""A relationship between two patrons, by their ids (C21), and which of them, or whether staff,
proposed it (B50)."""


async def add_relationship(
    store: Library, config: Config, wanted: Relationship, now: datetime
) -> Relationship:
    """Make `wanted` between the holders of two cards, if the library's rules allow it (B49).

    Raises:
        RefusedError: the rules forbid it; the text says why.
    """
    today = now.astimezone(config.zone).date()
    return await store.add_relationship(wanted, config.relationship_rules, today)


def relationship_json(relation: Relationship) -> RelationshipJson:
    """A relationship with the keys of C21."""
    return {
        "type": str(relation.type),
        "from": relation.from_id,
        "to": relation.to_id,
        "functions": sorted(relation.functions),
        "confirmed": relation.confirmed,
        "proposed_by": relation.proposed_by.value,
    }
