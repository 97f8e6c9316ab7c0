"""`/relationships`: families and authorisations (B49, B50, C57)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from sip2gw.model import Relationship, RelationshipType
from sip2gw.staff.members.relationships import RelationshipJson, add_relationship, relationship_json
from sip2gw.web.api.naming import NUMBER_CHARACTERS_MAX, Number, PatronId
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("relationships")

Kind = Annotated[RelationshipType, Path(description="What it is.")]

_FAMILIES_FIRST = {RelationshipType.HEAD_OF_FAMILY: "0", RelationshipType.AUTHORISATION: "1"}


def _each_once(value: object, read: ValidatorFunctionWrapHandler) -> frozenset[str]:
    functions: frozenset[str] = read(value)
    if isinstance(value, list) and len(functions) < len(value):
        raise ValueError("name each function once")
    return functions


EachOnce = WrapValidator(_each_once)
"""A list that names one twice is refused, as its description says."""


class NewRelationship(BaseModel):
    """A relationship between the holders of two cards."""

    model_config = ConfigDict(extra="forbid")

    type: RelationshipType
    from_card: Annotated[Number, Field(alias="from", description="Head or authoriser.")]
    to_card: Annotated[Number, Field(alias="to", description="Child or authorised person.")]
    functions: Annotated[
        frozenset[Literal["renew", "pay"]],
        EachOnce,
        Field(description="What an authorisation allows.", examples=[["pay"]]),
    ] = frozenset()
    confirmed: Annotated[bool, Field(description="False: not in force until staff confirm it.")] = (
        True
    )


@resources.get("/relationships", "relationship list")
def list_relationships(
    asked: Asks,
    patron: Annotated[
        str | None,
        Query(
            max_length=NUMBER_CHARACTERS_MAX,
            description="Only those of this patron (any card), on either side.",
        ),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[RelationshipJson]:
    """List relationships, families first."""
    found = asked.store.relationships(patron)
    return page(found, limit, cursor, key=_key, told=relationship_json)


def _key(relation: Relationship) -> tuple[str, ...]:
    return _FAMILIES_FIRST[relation.type], relation.from_id, relation.to_id


@resources.post("/relationships", "relationship add", status=201)
def add(asked: Asks, new: NewRelationship) -> RelationshipJson:
    """Make a patron head of family of a child, or authorise a patron.

    A child has one head of family, nobody can be both head and child, and each function is given to
    one person only. Both patrons need a valid membership. This replaces a relationship of the same
    type between the same two. 409 says which rule forbids it.
    """
    wanted = Relationship(new.type, new.from_card, new.to_card, new.functions, new.confirmed)
    added = asked.run(add_relationship(asked.store, asked.config, wanted, asked.now))
    return relationship_json(added)


@resources.post("/relationships/{type}/{from_card}/{to_card}/confirm", "relationship confirm")
def confirm(asked: Asks, type: Kind, from_card: PatronId, to_card: PatronId) -> RelationshipJson:
    """Confirm a relationship, which puts it in force."""
    confirmed = asked.run(asked.store.confirm_relationship(type, from_card, to_card))
    return relationship_json(confirmed)


@resources.delete("/relationships/{type}/{from_card}/{to_card}", "relationship remove", status=204)
def remove(asked: Asks, type: Kind, from_card: PatronId, to_card: PatronId) -> None:
    """End a relationship."""
    asked.run(asked.store.remove_relationship(type, from_card, to_card))
