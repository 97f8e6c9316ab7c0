"""`/self/{patron}`: what a library's own website does for a patron that it has signed in (B50).

Nothing here says anything about another patron but what both have agreed on.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from sip2gw.model import Relationship
from sip2gw.staff.members import self_service
from sip2gw.staff.members.patrons import find_patron
from sip2gw.staff.members.relationships import RelationshipJson, relationship_json
from sip2gw.staff.members.self_service import (
    HouseRulesJson,
    OwnMessageJson,
    TooManyGuessesError,
    own_message_json,
)
from sip2gw.staff.support import opening_days
from sip2gw.web.api.naming import NUMBER_CHARACTERS_MAX, Day, PatronId, Words
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.problems import too_fast
from sip2gw.web.api.resource import Asks, Resources
from sip2gw.web.api.resources.desk.support import Code
from sip2gw.web.api.resources.members.relationships import EachOnce

resources = Resources("self")

Other = Annotated[
    str,
    Path(max_length=NUMBER_CHARACTERS_MAX, description="The other, by the id in the list."),
]


Functions = Annotated[
    frozenset[Literal["renew", "pay"]],
    Field(min_length=1),
    EachOnce,
    Field(examples=[["pay"]]),
]


class Proposal(BaseModel):
    """Whom a patron wants to authorise, and to what."""

    model_config = ConfigDict(extra="forbid")

    card: Annotated[
        str,
        Field(
            min_length=1,
            max_length=NUMBER_CHARACTERS_MAX,
            description="Card of the one who is to be authorised.",
            examples=["20001002"],
        ),
    ]
    birth_date: Annotated[Day, Field(description="Theirs.", examples=["1984-05-23"])]
    functions: Annotated[Functions, Field(description="What they may do.")]


class Consent(BaseModel):
    """What a patron says yes to."""

    model_config = ConfigDict(extra="forbid")

    functions: Annotated[
        Functions | None,
        Field(description="What the patron saw: 409 if it is something else now."),
    ] = None


class OwnQuestion(BaseModel):
    """What a patron asks."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[Code, Field(description="Code of the type.", examples=["QU"])]
    category: Annotated[Code, Field(description="Code of the category.", examples=["LOAN"])]
    text: Annotated[Words, Field(examples=["Where is my book?"])]


@resources.get("/self/{patron}/authorisations", "self authorisations")
def list_own_authorisations(
    asked: Asks, patron: PatronId, limit: Limit = 100, cursor: Cursor = None
) -> Page[RelationshipJson]:
    """List the authorisations that the patron gave or got, and those that wait for a yes."""
    whose = asked.run(find_patron(asked.store, patron))
    found = sorted(self_service.authorisations_of(asked.store, whose.id), key=_key)
    return page(found, limit, cursor, key=_key, told=relationship_json)


def _key(relation: Relationship) -> tuple[str, str]:
    return relation.from_id, relation.to_id


@resources.post("/self/{patron}/authorisations", "self propose", status=201)
def propose_authorisation(asked: Asks, patron: PatronId, wanted: Proposal) -> RelationshipJson:
    """Let the patron authorise another, whose card and birth date they know.

    It is in force once the other has confirmed it. Other functions than before end what was in
    force at once, and wait for a new yes; the same ones change nothing. 409 says why it cannot be;
    a card that nobody has and a wrong birth date are the same. 429 after too many of them, by this
    patron or about this card's holder.
    """
    whose = asked.run(find_patron(asked.store, patron))
    try:
        proposed = asked.run(
            self_service.propose(
                asked.store,
                asked.config,
                whose,
                wanted.card,
                wanted.birth_date,
                wanted.functions,
                asked.now,
            )
        )
    except TooManyGuessesError as error:
        # Who waits so long is not refused again for a part of a second.
        raise too_fast(ceil(error.wait.total_seconds()), str(error)) from None
    return relationship_json(proposed)


@resources.post("/self/{patron}/authorisations/from/{other}/confirm", "self confirm")
def confirm_authorisation(
    asked: Asks, patron: PatronId, other: Other, consent: Consent | None = None
) -> RelationshipJson:
    """Let the patron say yes to what the other wants to let them do. It is in force from now on.

    Send the `functions` that the patron saw: the other may have proposed more since. 409 if they
    are others now, or if it was not the other who proposed it: what staff have left open, staff
    confirm.
    """
    whose = asked.run(find_patron(asked.store, patron))
    seen = consent.functions if consent is not None else None
    return relationship_json(asked.run(self_service.confirm(asked.store, whose, other, seen)))


@resources.delete("/self/{patron}/authorisations/from/{other}", "self withdraw", status=204)
def renounce_authorisation(asked: Asks, patron: PatronId, other: Other) -> None:
    """Let the patron do without what the other has authorised them to, or say no to it."""
    whose = asked.run(find_patron(asked.store, patron))
    asked.run(self_service.withdraw(asked.store, whose, other, whose.id))


@resources.delete("/self/{patron}/authorisations/to/{other}", "self withdraw", status=204)
def withdraw_authorisation(asked: Asks, patron: PatronId, other: Other) -> None:
    """Let the patron take back what they have authorised the other to, or have only proposed."""
    whose = asked.run(find_patron(asked.store, patron))
    asked.run(self_service.withdraw(asked.store, whose, whose.id, other))


@resources.get("/self/{patron}/messages", "self messages")
def list_own_messages(
    asked: Asks, patron: PatronId, limit: Limit = 100, cursor: Cursor = None
) -> Page[OwnMessageJson]:
    """List what the patron asked, and what the library answered; not what staff noted."""
    whose = asked.run(find_patron(asked.store, patron))
    return page(
        self_service.own_messages(asked.store, whose),
        limit,
        cursor,
        key=lambda one: (str(one[0].id).zfill(20),),
        told=lambda one: own_message_json(one, asked.zone),
    )


@resources.post("/self/{patron}/messages", "self ask", status=201, is_once=True)
def ask_support(asked: Asks, patron: PatronId, question: OwnQuestion) -> OwnMessageJson:
    """Let the patron ask customer support. The answer is in the list of messages."""
    self_service.insist_on_own_type(question.type)
    whose = asked.run(find_patron(asked.store, patron))
    number = asked.run(
        asked.store.open_support_message(
            question.type,
            question.category,
            question.text,
            asked.caller.token.name,
            asked.now,
            opening_days(asked.config),
            card=whose.id,
        )
    )
    return own_message_json(asked.store.support_message(number), asked.zone)


@resources.put("/self/{patron}/house-rules", "self house-rules")
def accept_house_rules(asked: Asks, patron: PatronId) -> HouseRulesJson:
    """Note that the patron has accepted the house rules, today."""
    whose = asked.run(find_patron(asked.store, patron))
    today = asked.now.astimezone(asked.zone).date()
    asked.run(asked.store.accept_house_rules(whose.id, today))
    return {"house_rules_accepted": today.isoformat()}
