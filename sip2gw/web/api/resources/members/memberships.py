"""`/memberships`: the definitions that patrons belong to (B62, C82)."""

from __future__ import annotations

from types import GenericAlias
from typing import Annotated, Any

from fastapi import Body, Path, Response
from pydantic import WithJsonSchema

from sip2gw.backend.base import RefusedError
from sip2gw.model import MembershipDefinition, Minor
from sip2gw.staff.members.memberships import (
    add_membership_records,
    find_membership,
    membership_document,
    membership_json,
    membership_schema,
    read_values,
)
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.editing import IfMatch, insist_on, show_etag
from sip2gw.web.api.paging import Cursor, Limit, Page, page, page_of
from sip2gw.web.api.problems import FieldProblem, ProblemError
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("memberships")

MembershipJson = membership_document()

Code = Annotated[
    str,
    Path(max_length=10, description="Code of the membership, three digits.", examples=["201"]),
]
NewMembership = Annotated[
    dict[str, Any], WithJsonSchema({**membership_schema(), "title": "NewMembership"})
]
Changes = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            **membership_schema(changes=True),
            "title": "MembershipChanges",
            "minProperties": 1,
            "examples": [{"max_items": 10, "info": None}],
        }
    ),
]
_NEW = {"code": "301", "description": "Visitor", "type": 5, "fee": "5.00"}


@resources.get("/memberships", "membership list", answers=page_of(MembershipJson))
def list_memberships(asked: Asks, limit: Limit = 1_000, cursor: Cursor = None) -> Page[Any]:
    """List the membership definitions, hidden ones too, with all keys of the library data.

    The order is that of `sorting_position`, then of the codes.
    """
    return page(
        sorted(asked.store.memberships(), key=_key),
        limit,
        cursor,
        key=_key,
        told=lambda one: membership_json(one, _currency(asked)),
    )


def _key(definition: MembershipDefinition[Minor]) -> tuple[str, str]:
    return str(definition.sorting_position).zfill(9), definition.code


@resources.get("/memberships/{code}", "membership show", answers=MembershipJson)
def show_membership(asked: Asks, code: Code, response: Response) -> Any:
    """Show one membership definition."""
    return _told(asked, code, response)


@resources.post(
    "/memberships",
    "membership add",
    answers=GenericAlias(list, (MembershipJson,)),
    status=201,
    is_once=True,
)
def add_memberships(
    asked: Asks,
    new: Annotated[list[NewMembership], Body(min_length=1, max_length=1_000, examples=[[_NEW]])],
) -> Any:
    """Add new membership definitions: all of the list, or none if there is an error.

    409 if a code exists already, or one that a definition refers to does not.
    """
    added = asked.run(add_membership_records(asked.store, new, _currency(asked)))
    for status, errors in ((422, added.misread), (409, added.refused)):
        if errors:
            raise _unchanged(status, *errors)
    return [_found(asked, code) for code in added.codes]


@resources.patch("/memberships/{code}", "membership change", answers=MembershipJson)
def change_membership(
    asked: Asks,
    code: Code,
    changes: Annotated[Changes, Body(min_length=1)],
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Change keys of a membership definition, all of them or none; null clears a key.

    What an import would refuse is refused here too. Terminals follow the new values from their next
    request on.
    """
    seen = find_membership(asked.store, code)
    insist_on(if_match, membership_json(seen, _currency(asked)))
    try:
        values = read_values(changes, _currency(asked))
    except (KeyError, RefusedError) as error:
        raise _unchanged(422, str(error.args[0])) from None
    expected = None if if_match is None else seen
    asked.run(asked.store.change_membership(code, values, expected))
    return _told(asked, code, response)


@resources.post("/memberships/{code}/hide", "membership hide", answers=MembershipJson)
def hide_membership(asked: Asks, code: Code, response: Response) -> Any:
    """Mark a membership definition as one not to be given to new patrons.

    Those who have it keep it, and nothing changes for them.
    """
    asked.run(asked.store.change_membership(code, {"hidden": True}))
    return _told(asked, code, response)


def _unchanged(status: int, *errors: str) -> ProblemError:
    told: list[FieldProblem] = [{"where": "body", "problem": error} for error in errors]
    return ProblemError(status, "nothing was changed; see the problems", problems=told)


def _told(asked: Asked, code: str, response: Response) -> Any:
    told = _found(asked, code)
    show_etag(response, told)
    return told


def _found(asked: Asked, code: str) -> dict[str, Any]:
    return membership_json(find_membership(asked.store, code), _currency(asked))


def _currency(asked: Asked) -> str:
    return asked.config.institution.currency
