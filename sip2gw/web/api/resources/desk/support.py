"""`/support`: messages of customer support (B64, C145, C164). Their tables: `support_tables`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sip2gw.control.messages import FollowUp
from sip2gw.model.support import SupportFilter, SupportStatus
from sip2gw.staff.support import (
    FullMessageJson,
    MessageJson,
    full_message_json,
    message_json,
    opening_days,
    read_message_id,
)
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.editing import IfMatch, insist_on, show_etag
from sip2gw.web.api.naming import NUMBER_CHARACTERS_MAX, Number, Words
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.problems import ProblemError
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("support")

CODE_CHARACTERS_MAX = 10
MESSAGES_MAX = 1_000
"""That are closed with one request."""

MessageId = Annotated[
    str, Path(max_length=15, description="Id of the message: a number.", examples=["1"])
]
MaybeCode = Annotated[str | None, Query(max_length=CODE_CHARACTERS_MAX, description="Only these.")]
Code = Annotated[str, Field(max_length=CODE_CHARACTERS_MAX)]
Note = Annotated[Words, Field(description="What you found or did.")]


class NewMessage(BaseModel):
    """A message to be opened."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[Code, Field(description="Code of the type.", examples=["QU"])]
    category: Annotated[Code, Field(description="Code of the category.", examples=["LOAN"])]
    text: Annotated[Words, Field(examples=["Where is my book?"])]
    patron: Annotated[Number | None, Field(description="Whom it is about.")] = None
    branch: Annotated[
        str | None, Field(max_length=50, description="Branch whose opening days count.")
    ] = None


class Answer(BaseModel):
    """An answer to the patron."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "It is on your shelf."}]}
    )

    text: Words | None = None
    default: Annotated[Code | None, Field(description="Code of a default message instead.")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Answer:
        if (self.text is None) == (self.default is None):
            raise ValueError("give either text or default")
        return self


class NewStatus(BaseModel):
    """What a message is to become."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"to": "D", "note": "Asked the till."}]}
    )

    to: SupportStatus
    note: Note = ""


class Closing(BaseModel):
    """Messages to be closed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"messages": ["1", "2"], "note": "Gave it back."}]},
    )

    messages: Annotated[
        list[Annotated[str, Field(max_length=15)]], Field(min_length=1, max_length=MESSAGES_MAX)
    ]
    note: Note = ""


@resources.get("/support", "support list")
def list_messages(
    asked: Asks,
    open: Annotated[bool, Query(description="Only messages in A, B, C or D.")] = False,
    overdue: Annotated[bool, Query(description="Only open ones, due before today.")] = False,
    type: MaybeCode = None,
    category: MaybeCode = None,
    department: MaybeCode = None,
    unit: MaybeCode = None,
    patron: Annotated[
        str | None,
        Query(max_length=NUMBER_CHARACTERS_MAX, description="Of this patron: id or any card."),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[MessageJson]:
    """List the messages, in the order in which they were opened."""
    _look(asked)
    wanted = SupportFilter(
        only_open=open,
        overdue_on=asked.now.astimezone(asked.zone).date() if overdue else None,
        type=type,
        category=category,
        department=department,
        unit=unit,
        patron_id=None if patron is None else _patron_id(asked, patron),
    )
    return page(
        asked.store.support_messages(wanted),
        limit,
        cursor,
        key=lambda one: (str(one.id).zfill(20),),
        told=lambda one: message_json(one, asked.zone),
    )


def _patron_id(asked: Asked, card: str) -> str:
    """The id of the patron who has `card`; what nobody has may stand in an old message."""
    known = asked.run(asked.store.find_by_card(card))
    return card if known is None else known.id


def _look(asked: Asked) -> None:
    """Let the gateway open the messages that are missing; without it, those there are are told."""
    with suppress(ProblemError):
        asked.ask(FollowUp())


@resources.get("/support/{message_id}", "support show")
def show_message(asked: Asks, message_id: MessageId, response: Response) -> FullMessageJson:
    """Show a message with its history: who did what when, notes and answers."""
    _look(asked)
    return _told(asked, read_message_id(message_id), response)


@resources.post("/support", "support open", status=201, is_once=True)
def open_message(asked: Asks, new: NewMessage, response: Response) -> FullMessageJson:
    """Open a message, for example for a question at the desk. The processing rule routes it."""
    if new.branch is not None and new.branch not in asked.config.branches:
        detail = f"there is no branch {new.branch}"
        raise ProblemError(422, detail, problems=[{"where": "body.branch", "problem": detail}])
    number = asked.run(
        asked.store.open_support_message(
            new.type,
            new.category,
            new.text,
            asked.caller.token.name,
            asked.now,
            opening_days(asked.config),
            card=new.patron,
            branch=new.branch,
        )
    )
    return _told(asked, number, response)


@resources.post("/support/{message_id}/answer", "support answer", is_once=True)
def answer_message(
    asked: Asks,
    message_id: MessageId,
    answer: Answer,
    response: Response,
    if_match: IfMatch = None,
) -> FullMessageJson:
    """Answer an open message.

    A message of a patron then waits for the customer (C). Nothing is sent: the answer stands in
    the message.
    """
    number = _seen(asked, message_id, if_match)
    asked.run(
        asked.store.answer_support_message(
            number, answer.text, asked.caller.token.name, asked.now, default=answer.default
        )
    )
    return _told(asked, number, response)


@resources.post("/support/{message_id}/status", "support status", is_once=True)
def set_message_status(
    asked: Asks,
    message_id: MessageId,
    wanted: NewStatus,
    response: Response,
    if_match: IfMatch = None,
) -> FullMessageJson:
    """Give a message another status; 409 says which may follow.

    Closing a message about an entry for review closes that entry, too.
    """
    number = _seen(asked, message_id, if_match)
    who, days = asked.caller.token.name, opening_days(asked.config)
    asked.run(asked.store.set_support_status(number, wanted.to, wanted.note, who, asked.now, days))
    return _told(asked, number, response)


@resources.post("/support/close", "support close", is_once=True)
def close_messages(asked: Asks, closing: Closing) -> list[FullMessageJson]:
    """Close messages as the library (X): all of them or none."""
    numbers = list(dict.fromkeys(map(read_message_id, closing.messages)))
    who, days = asked.caller.token.name, opening_days(asked.config)
    asked.run(asked.store.close_support_messages(numbers, closing.note, who, asked.now, days))
    return [_document(asked, number) for number in numbers]


def _seen(asked: Asked, message_id: str, if_match: str | None) -> int:
    """The number of a message that is still as the client saw it."""
    number = read_message_id(message_id)
    if if_match is not None:
        insist_on(if_match, _document(asked, number))
    return number


def _told(asked: Asked, number: int, response: Response) -> FullMessageJson:
    told = _document(asked, number)
    show_etag(response, told)
    return told


def _document(asked: Asked, number: int) -> FullMessageJson:
    message, history = asked.store.support_message(number)
    return full_message_json(message, history, asked.zone)
