"""`/branches`: close a branch now, or open it, for all gateways on the store (C139)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from sip2gw.config import Branch
from sip2gw.policy.hours.calendar import OpeningState
from sip2gw.staff.entrance import calendar
from sip2gw.staff.entrance.calendar import BranchJson, PastChangeJson
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.editing import IfMatch, insist_on, show_etag
from sip2gw.web.api.moments import until_of
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.problems import ProblemError
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("branches")

Code = Annotated[str, Path(max_length=100, description="Code of the branch.")]


class NewHours(BaseModel):
    """Until when a branch is closed, or open without staff, and why."""

    model_config = ConfigDict(extra="forbid")

    until: Annotated[
        str | None,
        Field(
            max_length=40,
            description="HH:MM of today, a date (all of that day) or a time; null: the end of"
            " today.",
            examples=["18:00"],
        ),
    ] = None
    reason: Annotated[
        str,
        Field(
            max_length=1_000,
            description="For staff, never sent to a terminal.",
            examples=["storm"],
        ),
    ] = ""


@resources.get("/branches", "branch list")
def list_branches(asked: Asks, limit: Limit = 1_000, cursor: Cursor = None) -> Page[BranchJson]:
    """List the branches by code: what each is now, until when it is open, what staff changed."""
    found = asked.run(calendar.branches(asked.store, asked.config, asked.now))
    listed = sorted(found, key=lambda one: one["branch"])
    return page(listed, limit, cursor, key=lambda one: (one["branch"],), told=lambda one: one)


@resources.get("/branches/{branch}", "branch list")
def show_branch(asked: Asks, branch: Code, response: Response) -> BranchJson:
    """Show one branch."""
    return _shown(asked, branch, response)


@resources.get("/branches/{branch}/changes", "branch list")
def list_changes(
    asked: Asks, branch: Code, limit: Limit = 1_000, cursor: Cursor = None
) -> Page[PastChangeJson]:
    """List all changes of a branch's hours that staff ever made, oldest first."""
    changes = enumerate(calendar.changes_json(asked.store, branch_of(asked, branch)))
    # Only new ones are added, so their numbers stay.
    return page(changes, limit, cursor, key=lambda it: (f"{it[0]:09}",), told=lambda it: it[1])


@resources.post("/branches/{branch}/close", "branch close")
def close_branch(
    asked: Asks, branch: Code, hours: NewHours, response: Response, if_match: IfMatch = None
) -> BranchJson:
    """Close a branch now: its doors let nobody in but cards with a pass.

    This goes before the hours of the configuration and before any earlier `close` or `open`, and
    ends by itself. All gateways on the store know it within a second.
    """
    _change(asked, branch, OpeningState.CLOSED, hours, if_match)
    return _shown(asked, branch, response)


@resources.post("/branches/{branch}/open", "branch open")
def open_branch(
    asked: Asks, branch: Code, hours: NewHours, response: Response, if_match: IfMatch = None
) -> BranchJson:
    """Open a branch without staff now: its doors decide as in unstaffed hours.

    This goes before the hours of the configuration and before any earlier `close` or `open`, and
    ends by itself. All gateways on the store know it within a second.
    """
    _change(asked, branch, OpeningState.UNSTAFFED, hours, if_match)
    return _shown(asked, branch, response)


@resources.post("/branches/{branch}/reset", "branch reset")
def reset_branch(
    asked: Asks, branch: Code, response: Response, if_match: IfMatch = None
) -> BranchJson:
    """Take back a `close` or `open`: the hours of the configuration hold again."""
    place = branch_of(asked, branch)
    insist_on(if_match, _told(asked, branch))
    who = asked.caller.token.name
    asked.run(calendar.end_change(asked.store, place.code, who, asked.now.astimezone(place.zone)))
    return _shown(asked, branch, response)


def _change(
    asked: Asked, code: str, state: OpeningState, hours: NewHours, if_match: str | None
) -> None:
    place = branch_of(asked, code)
    insist_on(if_match, _told(asked, code))
    now = asked.now.astimezone(place.zone)
    span = now, _end(hours.until, place, now)
    change = calendar.new_change(place, state, span, hours.reason, asked.caller.token.name)
    asked.run(calendar.change_hours(asked.store, change))


def _end(text: str | None, place: Branch, now: datetime) -> datetime:
    """The moment at which a change ends; by default the end of today (C34)."""
    try:
        clock = calendar.today_at(text, now) if text is not None else None
    except ValueError as error:
        problem = f"until: {error}"
        raise ProblemError(
            422, problem, problems=[{"where": "body.until", "problem": str(error)}]
        ) from None
    end = clock or until_of(text or now.date().isoformat(), place.zone, "body.until")
    assert end is not None
    return end


def branch_of(asked: Asked, code: str) -> Branch:
    """The configured branch.

    Raises:
        ProblemError: there is none with this code.
    """
    known = asked.config.branches.get(code)
    if known is None:
        raise ProblemError(404, "no branch has this code; see /api/v1/branches")
    return known


def _told(asked: Asked, code: str) -> BranchJson:
    branch_of(asked, code)
    found = asked.run(calendar.branches(asked.store, asked.config, asked.now))
    return next(one for one in found if one["branch"] == code)


def _shown(asked: Asked, code: str, response: Response) -> BranchJson:
    told = _told(asked, code)
    show_etag(response, told)
    return told
