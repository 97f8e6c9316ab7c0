"""`/review`: loans and returns that need a person's attention (B57, C106, C165)."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from sip2gw.backend.base import BackendError
from sip2gw.model.items import Review
from sip2gw.staff.reviews import (
    ListedReviewJson,
    ReviewJson,
    find_review,
    listed_review_json,
    review_json,
)
from sip2gw.staff.support import follow_up
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.editing import IfMatch, insist_on, show_etag
from sip2gw.web.api.paging import Cursor, Key, Limit, Page, page
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("review")

ReviewId = Annotated[str, Path(max_length=100, description="Id of the entry.")]


class Closing(BaseModel):
    """How an entry is closed."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[
        str,
        Field(
            max_length=2_000,
            description="What you found or did.",
            examples=["stands on the shelf"],
        ),
    ] = ""


@resources.get("/review", "review list")
def list_reviews(
    asked: Asks,
    only_open: Annotated[
        bool, Query(alias="open", description="Only entries that nobody has closed yet.")
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ListedReviewJson]:
    """List what happened off line or had an unknown outcome, oldest first.

    `offline` was done as the terminal reported it, and nothing spoke against it. `conflict` was
    refused, or done although something spoke against it. `unknown` may or may not have been done.
    Each entry stays open until somebody closes it.
    """
    found = asked.store.reviews(state="open" if only_open else None)
    return page(
        found, limit, cursor, key=_key, told=lambda one: listed_review_json(one, asked.zone)
    )


def _key(entry: Review) -> Key:
    return entry.time.astimezone(UTC).isoformat(timespec="microseconds"), entry.id


@resources.get("/review/{review_id}", "review show")
def show_review(asked: Asks, review_id: ReviewId, response: Response) -> ReviewJson:
    """Show an entry: its outcome, what spoke against it, and who closed it when."""
    return _shown(asked, review_id, response)


@resources.post("/review/{review_id}/close", "review close", object="review_id")
def close_review(
    asked: Asks,
    review_id: ReviewId,
    closing: Closing,
    response: Response,
    if_match: IfMatch = None,
) -> ReviewJson:
    """Close an entry that you have looked at; the name of your token is kept with it.

    Closing changes nothing about the item or the patron. Closing it again is a 409. The message of
    customer support about the entry is closed with it.
    """
    insist_on(if_match, review_json(find_review(asked.store, review_id), asked.zone))
    with suppress(BackendError):  # what has no message yet gets one later
        asked.run(follow_up(asked.store, asked.config, asked.now))
    who = asked.caller.token.name
    asked.run(asked.store.close_reviews([review_id], closing.note, who, asked.now))
    return _shown(asked, review_id, response)


def _shown(asked: Asked, review_id: str, response: Response) -> ReviewJson:
    told = review_json(find_review(asked.store, review_id), asked.zone)
    show_etag(response, told)
    return told
