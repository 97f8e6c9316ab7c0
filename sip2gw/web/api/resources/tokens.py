"""`/tokens`: named tokens (B83)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from sip2gw.model.rights import Role
from sip2gw.staff import tokens
from sip2gw.staff.tokens import TokenJson, token_json
from sip2gw.web.api.moments import until_of
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("tokens")

Name = Annotated[str, Path(max_length=100, description="Name of the token.")]


class NewToken(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,50}$", examples=["website"])]
    role: Role
    expires: Annotated[
        str | None,
        Field(max_length=40, description="Last day, or a time.", examples=["2027-12-31"]),
    ] = None
    networks: Annotated[
        list[str],
        Field(max_length=100, description="Where it may come from.", examples=[["10.0.0.0/8"]]),
    ] = []


class MadeToken(TypedDict):
    """A new token, told this once."""

    name: str
    token: str


@resources.get("/tokens", "token list")
def list_tokens(asked: Asks, limit: Limit = 100, cursor: Cursor = None) -> Page[TokenJson]:
    """List the tokens, by name, without themselves."""
    found = tokens.all_tokens(asked.store, asked.config)
    return page(
        found,
        limit,
        cursor,
        key=lambda one: (one.name,),
        told=lambda one: token_json(one, asked.zone),
    )


@resources.post("/tokens", "token add", status=201)
def add_token(asked: Asks, new: NewToken) -> MadeToken:
    """Make a token; it is told this once."""
    made = asked.run(
        tokens.make_token(
            asked.store,
            asked.config,
            new.name,
            new.role,
            asked.now,
            expires=until_of(new.expires, asked.zone, "body.expires"),
            networks=new.networks,
        )
    )
    return {"name": new.name, "token": made}


@resources.delete("/tokens/{name}", "token revoke", status=204)
def revoke_token(asked: Asks, name: Name) -> None:
    """Let a token not be good any more, from the next request on."""
    asked.run(tokens.revoke_token(asked.store, asked.config, name))
