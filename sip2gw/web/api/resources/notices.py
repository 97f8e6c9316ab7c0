"""`/outbox`, `/observe/report`: notices to patrons, and what was only observed (B63, B78, C126)."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from sip2gw.model import ObservedCount
from sip2gw.model.notices import KeptNotice
from sip2gw.staff.observing import (
    ObservedJson,
    differences_first,
    observed_json,
    observed_order,
)
from sip2gw.staff.outbox import NoticeJson, SentJson, find_channel, notice_json, send_within
from sip2gw.web.api.moments import Since, Until, since_of, until_of
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("notices")

SENDING_S = 6.0
"""A request has ten seconds in all."""
_COUNT_MAX = 10**15


class Sending(BaseModel):
    """Which notices are to be sent."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"again": True}]})

    again: Annotated[
        bool, Field(description="Also those that failed or had no address.", strict=True)
    ] = False


@resources.get("/outbox", "outbox list")
def list_notices(
    asked: Asks,
    reveal: Annotated[bool, Query(description="Show the whole addresses.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[NoticeJson]:
    """List the notices to patrons, oldest first.

    `waiting` is to be sent, for the first time or again; `sent` was handed over; `failed` was not
    taken for too long; `undeliverable` has no address to go to.
    """
    channel = asked.config.outbox.channel
    return page(
        asked.store.notices(),
        limit,
        cursor,
        key=_key,
        told=lambda one: notice_json(one, asked.zone, channel, reveal=reveal),
    )


def _key(notice: KeptNotice) -> tuple[str, str]:
    return notice.created.astimezone(UTC).isoformat(timespec="microseconds"), notice.id


@resources.post("/outbox/send", "outbox send", is_once=True)
def send_notices(asked: Asks, sending: Sending) -> SentJson:
    """Deliver the notices that wait, now and each once; 409 if no way to do so is configured."""
    channel = find_channel(asked.config)
    return asked.run(
        send_within(
            asked.store,
            asked.config,
            channel,
            asked.now,
            again=sending.again,
            within_s=SENDING_S,
        )
    )


@resources.get("/observe/report", "observe report")
def report_observed(
    asked: Asks,
    terminal: Annotated[str | None, Query(max_length=100, description="At this terminal.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 1_000,
    cursor: Cursor = None,
) -> Page[ObservedJson]:
    """Count what the library system said where we only observe, and what we would have said.

    Where the two differ comes first.
    """
    found = asked.store.observed_counts(
        terminal=terminal,
        since=since_of(since, asked.zone),
        until=until_of(until, asked.zone),
    )
    return page(differences_first(found), limit, cursor, key=_place, told=observed_json)


def _place(one: ObservedCount) -> tuple[str, ...]:
    """`observed_order` as texts."""
    agrees, less, *rest = observed_order(one)
    return str(int(agrees)), str(_COUNT_MAX + less).zfill(16), *map(str, rest)
