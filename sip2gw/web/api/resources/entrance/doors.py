"""`/door`: decisions at doors, who was inside, a decision by HTTP (B42, C57, C76, C140)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from typing_extensions import TypedDict

from sip2gw.control.messages import Decide, Decided
from sip2gw.foundation.hashing import PIN_CHARACTERS_MAX
from sip2gw.monitoring.telemetry import Redactor
from sip2gw.policy.hours.stays import Stay
from sip2gw.staff.entrance import doors
from sip2gw.staff.entrance.doors import DecisionJson, HourJson, RevealJson, StayJson
from sip2gw.web.api.moments import Since, Until, since_of, until_of
from sip2gw.web.api.paging import (
    Cursor,
    Key,
    Limit,
    Page,
    cursor_of,
    page,
    place_of,
    time_key,
)
from sip2gw.web.api.problems import ProblemError
from sip2gw.web.api.resource import Asks, Resources
from sip2gw.web.api.resources.entrance.branches import branch_of

resources = Resources("doors")

DECIDE_WITHIN_S = 8.0
"""A request has ten seconds in all."""

BranchCode = Annotated[str | None, Query(max_length=100, description="Only this branch.")]


class DoorQuestion(BaseModel):
    """Somebody who wants to pass a door."""

    model_config = ConfigDict(extra="forbid")

    terminal: Annotated[
        str,
        Field(min_length=1, max_length=100, description="Name of the door.", examples=["door-1"]),
    ]
    card: Annotated[
        str,
        Field(
            max_length=100,
            description="Card number as scanned; empty for a button at an exit.",
            examples=["20001003"],
        ),
    ]
    pin: Annotated[
        SecretStr | None,
        Field(max_length=PIN_CHARACTERS_MAX, description="As typed; null: none was asked for."),
    ] = None
    direction: Annotated[
        Literal["in", "out"] | None,
        Field(description="Where they want to go; 409 if the door leads the other way."),
    ] = None


class VerdictJson(TypedDict):
    """What the door does (C140)."""

    decision: Literal["granted", "refused"]
    reason: str
    """One of the door log's, or `not_allowed`; for the controller's own log."""
    text: str
    """For whoever stands there, in their language; it may say less than the reason."""


@resources.post("/door/decide", "door decide")
def decide(asked: Asks, question: DoorQuestion) -> VerdictJson:
    """Let a door decide, for a door controller that speaks HTTP and no SIP2.

    The decision, the door log, the count of wrong PINs and all numbers are those of a SIP2 door.
    Asking again asks again: a wrong PIN counts twice. Open the door only if `decision` is
    `granted`; without an answer, or with any other status, it stays shut.
    """
    pin = None if question.pin is None else question.pin.get_secret_value()
    put = Decide(question.terminal, question.card, pin, question.direction)
    with asked.desk.asking_apart(put, DECIDE_WITHIN_S) as (_, answer):
        assert isinstance(answer, Decided)
    return {"decision": answer.decision, "reason": answer.reason, "text": answer.text}


@resources.get("/door/log", "door log")
def list_decisions(
    asked: Asks,
    branch: BranchCode = None,
    reason: Annotated[str | None, Query(max_length=100, description="Only this reason.")] = None,
    patron: Annotated[
        str | None,
        Query(max_length=100, description="Only about this patron (any card); needs `staff`."),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 1_000,
    cursor: Cursor = None,
) -> Page[DecisionJson]:
    """List door decisions, newest last: the first page has the newest, `next` leads to older ones.

    A patron appears under the pseudonym used in the log.
    """
    found = asked.store.access_rows(
        branch=branch,
        reason=reason,
        patron=asked.run(doors.patron_in_log(asked.store, patron, None)),
        since=since_of(since, asked.zone),
        until=until_of(until, asked.zone),
        before=place_of(cursor),
        limit=limit + 1,
    )
    redactor = Redactor(asked.store.pin_secret)
    shown = found[-limit:]
    return {
        "items": [doors.decision_json(row, asked.zone, redactor) for row in shown],
        "next": cursor_of(time_key(shown[0].time, shown[0].id)) if len(found) > limit else None,
    }


@resources.get("/door/stats", "door stats")
def count_decisions(
    asked: Asks,
    branch: BranchCode = None,
    direction: Annotated[
        Literal["in", "out"] | None,
        Query(description="Only doors that lead in, or only doors that lead out."),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 1_000,
    cursor: Cursor = None,
) -> Page[HourJson]:
    """Count door decisions by branch, hour and reason. Hours follow the branch's clock."""
    counts = asked.store.door_counts(
        branch=branch,
        direction=direction,
        since=since_of(since, asked.zone),
        until=until_of(until, asked.zone),
    )
    return page(
        doors.counts_by_hour(counts, asked.config),
        limit,
        cursor,
        key=lambda one: (one["branch"], one["hour"], one["reason"]),
        told=lambda one: one,
    )


@resources.get("/door/inside", "door inside")
def list_people_inside(
    asked: Asks,
    branch: Annotated[str, Query(max_length=100, description="The branch.")],
    start: Annotated[
        str,
        Query(
            alias="from",
            max_length=40,
            description="Its start, as `since`.",
        ),
    ],
    end: Annotated[
        str,
        Query(alias="to", max_length=40, description="Its end, as `until`."),
    ],
    reveal: Annotated[
        bool,
        Query(description="Show ids and names. The store keeps for good that you asked."),
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[StayJson]:
    """List the people who were inside a branch at any moment of a time span, as they came in.

    A stay begins with a granted passage in and ends with the person's next passage out. Without one
    it ends at closing time, or at midnight if the branch does not close within a day
    (`seen_leaving` is false).
    """
    place = branch_of(asked, branch)
    first, last = since_of(start, place.zone, "query.from"), until_of(end, place.zone, "query.to")
    if first is None or last is None or first >= last:
        raise ProblemError(422, "from must come before to")
    redactor = Redactor(asked.store.pin_secret)
    stays = doors.stays_between(asked.store, place, first, last)
    if reveal:
        who = asked.caller.token.name
        span = first, last
        asked.run(doors.write_down_reveal(asked.store, stays, place, span, who, asked.now))
    shown: list[Stay] = []

    def told(stay: Stay) -> StayJson:
        shown.append(stay)
        return doors.stay_json(stay, place, redactor)

    def key(stay: Stay) -> Key:
        # Under the pseudonym: a cursor can be read.
        entered = stay.entered.isoformat(timespec="microseconds")
        return entered, redactor.pseudonym(stay.patron_id)

    listed = page(sorted(stays, key=key), limit, cursor, key=key, told=told)
    if reveal:
        asked.run(doors.put_names(asked.store, shown, listed["items"]))
    return listed


@resources.get("/door/reveals", "door reveals")
def list_reveals(asked: Asks, limit: Limit = 1_000, cursor: Cursor = None) -> Page[RevealJson]:
    """List who asked for the names of those inside, and for how many people; oldest first."""
    # None is ever removed and only new ones are added, so their numbers stay.
    found = enumerate(asked.store.reveals())
    return page(
        found,
        limit,
        cursor,
        key=lambda it: (f"{it[0]:09}",),
        told=lambda it: doors.reveal_json(it[1], asked.zone),
    )
