"""`/badges`: the badges, who has them, and who gave them (B22, B65, C57, C165).

`/badge-holders` and `/badge-history` are beside them and not below: a badge may have any code.
"""

from __future__ import annotations

from datetime import UTC
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from sip2gw.model import Badge, BadgeHolder
from sip2gw.model.badges import BadgeEvent, BadgeTerms, BadgeWish, Deed
from sip2gw.policy.members.badges import AssignmentPlan, expiring
from sip2gw.staff.members import badges
from sip2gw.staff.members.badge_file import known_branches
from sip2gw.staff.members.badges import (
    AssignedJson,
    BadgeEventJson,
    BadgeJson,
    HolderJson,
    ListedBadgeJson,
    badge_json,
    event_json,
    find_badge,
    holder_json,
    listed_badge_json,
)
from sip2gw.staff.members.patrons import PatronBadgeJson, find_patron, patron_badge_json
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.editing import IfMatch, insist_on, show_etag
from sip2gw.web.api.naming import NUMBER_CHARACTERS_MAX, Day, Number, PatronId, Words
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.problems import ProblemError
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("badges")

CODE_CHARACTERS_MAX = 10
PATRONS_MAX = 10_000
"""Of one list."""
DAYS_MAX = 36_500

Code = Annotated[str, Path(max_length=CODE_CHARACTERS_MAX, description="Code of the badge.")]
MaybeCode = Annotated[
    str | None, Query(max_length=CODE_CHARACTERS_MAX, description="Only this badge.")
]
Reason = Annotated[Words, Field(description="Reason, for staff; the history shows it.")]


_CLASS: JsonDict = {
    "patrons": [{"patron": "P1001"}, {"patron": "P1002", "until": "2027-06-30"}],
    "reason": "class 3b",
}


class BadgeValues(BaseModel):
    """What a badge is to be like."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Words, Field(examples=["Hours without staff"])]
    description: Words = ""
    active: bool = True
    valid_from: Annotated[
        Day | None,
        Field(alias="from", description="First day; null: none; left out: as it was."),
    ] = None
    valid_until: Annotated[
        Day | None,
        Field(alias="until", description="Last day; null: none; left out: as it was."),
    ] = None


class Terms(BaseModel):
    """When and where a badge counts for a patron."""

    model_config = ConfigDict(extra="forbid")

    valid_from: Annotated[
        Day | None, Field(alias="from", description="First day; null: at once.")
    ] = None
    valid_until: Annotated[
        Day | None, Field(alias="until", description="Last day; null: no end.")
    ] = None
    branches: Annotated[
        list[str],
        Field(max_length=1_000, description="Where it counts; none: wherever the badge does."),
    ] = []


class PatronTerms(Terms):
    """When, where and why a patron is to have a badge."""

    reason: Reason = ""


class ListedPatron(Terms):
    """A patron who is to have a badge."""

    patron: Number


class ListedPatrons(BaseModel):
    """All who are to have a badge."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_CLASS]})

    patrons: Annotated[list[ListedPatron], Field(min_length=1, max_length=PATRONS_MAX)]
    reason: Reason = ""
    dry_run: Annotated[bool, Field(description="Only tell what would change.")] = False


# The badges -------------------------------------------------------------------------------------


@resources.get("/badges", "badge list")
def list_badges(asked: Asks, limit: Limit = 1_000, cursor: Cursor = None) -> Page[ListedBadgeJson]:
    """List all badges, by code."""
    found = asked.store.badges()
    return page(found, limit, cursor, key=lambda one: (one.code,), told=listed_badge_json)


@resources.get("/badges/{code}", "badge list")
def show_badge(asked: Asks, code: Code, response: Response) -> BadgeJson:
    """Show a badge, its purpose, and the days on which anybody has it."""
    return _told(asked, code, response)


def _told(asked: Asked, code: str, response: Response) -> BadgeJson:
    told = badge_json(find_badge(asked.store, code))
    show_etag(response, told)
    return told


@resources.put("/badges/{code}", "badge define")
def define_badge(
    asked: Asks, code: Code, values: BadgeValues, response: Response, if_match: IfMatch = None
) -> BadgeJson:
    """Define a badge, or change an existing one.

    Its holders and the branches where it counts stay the same, and its first and last day unless
    you name them.
    """
    seen = None
    if if_match is not None:
        seen = find_badge(asked.store, code)
        insist_on(if_match, badge_json(seen))
    days = {"valid_from": values.valid_from, "valid_until": values.valid_until}
    wanted = Badge(code, values.name, values.active, values.description, **days)
    kept = days.keys() - values.model_fields_set
    asked.run(asked.store.define_badge(wanted, kept, seen))
    return _told(asked, code, response)


@resources.post("/badges/{code}/activate", "badge activate")
def activate_badge(asked: Asks, code: Code, response: Response) -> BadgeJson:
    """Show a badge to terminals, from their next request on."""
    asked.run(asked.store.set_badge_active(code, True))
    return _told(asked, code, response)


@resources.post("/badges/{code}/deactivate", "badge deactivate")
def deactivate_badge(asked: Asks, code: Code, response: Response) -> BadgeJson:
    """Hide a badge from terminals. Its holders keep it."""
    asked.run(asked.store.set_badge_active(code, False))
    return _told(asked, code, response)


# Who has them -----------------------------------------------------------------------------------


@resources.get("/patrons/{patron_id}/badges", "patron show")
def list_badges_of(
    asked: Asks, patron_id: PatronId, limit: Limit = 100, cursor: Cursor = None
) -> Page[PatronBadgeJson]:
    """List the badges of a patron, by code."""
    record = asked.run(find_patron(asked.store, patron_id))
    found = sorted(record.badges, key=lambda one: one.code)
    return page(found, limit, cursor, key=lambda one: (one.code,), told=patron_badge_json)


@resources.put("/patrons/{patron_id}/badges/{code}", "badge assign")
def assign_badge(asked: Asks, patron_id: PatronId, code: Code, terms: PatronTerms) -> AssignedJson:
    """Give a badge to a patron. This replaces the days and branches of one who has it already."""
    whose = asked.run(find_patron(asked.store, patron_id)).id
    return _assigned(asked, code, [_wish(asked, whose, terms)], terms.reason, dry_run=False)


@resources.post("/badges/{code}/assign", "badge assign")
def assign_badge_to_all(asked: Asks, code: Code, wanted: ListedPatrons) -> AssignedJson:
    """Give a badge to everybody in a list, or, if an entry has an error, to nobody.

    This replaces the days and branches of patrons who have it already. Doing it again changes
    nothing.
    """
    wishes = [
        _wish(asked, one.patron, one, f"body.patrons.{place}")
        for place, one in enumerate(wanted.patrons)
    ]
    return _assigned(asked, code, wishes, wanted.reason, dry_run=wanted.dry_run)


def _wish(asked: Asked, patron: str, terms: Terms, place: str = "body") -> BadgeWish:
    """What an entry says; one that says nothing that can be done, with its problem."""
    try:
        branches = known_branches(terms.branches, asked.config.branches)
    except ValueError as error:
        return BadgeWish(patron, place=place, problem=str(error))
    return BadgeWish(patron, BadgeTerms(terms.valid_from, terms.valid_until, branches), place)


def _assigned(
    asked: Asked, code: str, wishes: list[BadgeWish], reason: str, *, dry_run: bool
) -> AssignedJson:
    deed = _deed(asked, reason)
    plan = asked.run(badges.assign_badge(asked.store, code, wishes, deed, dry_run=dry_run))
    _refuse(plan)
    return badges.assigned_json(plan, dry_run)


def _refuse(plan: AssignmentPlan) -> None:
    """Each problem begins with its place."""
    if plan.problems:
        told = [problem.partition(": ") for problem in plan.problems]
        raise ProblemError(
            409,
            "nothing was changed; see the problems",
            problems=[{"where": where, "problem": problem} for where, _, problem in told],
        )


def _deed(asked: Asked, reason: str) -> Deed:
    return Deed(asked.caller.token.name, asked.now, reason)


@resources.delete("/patrons/{patron_id}/badges/{code}", "badge unassign", status=204)
def unassign_badge(
    asked: Asks,
    patron_id: PatronId,
    code: Code,
    reason: Annotated[str, Query(max_length=2_000, description="Reason, for staff.")] = "",
) -> None:
    """Take a badge from a patron."""
    asked.run(asked.store.unassign_badge(code, patron_id, _deed(asked, reason)))


@resources.get("/badge-holders", "badge report")
def list_holders(
    asked: Asks,
    code: MaybeCode = None,
    expiring_days: Annotated[
        int | None,
        Query(
            alias="expiring",
            ge=0,
            le=DAYS_MAX,
            description="Only badges that end today or within so many days.",
        ),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[HolderJson]:
    """List the patrons who have a badge, also those whose badge has expired; by code and patron.

    The first and last day are those on which both the patron's and the badge's own days allow it.
    """
    today = asked.now.astimezone(asked.zone).date()
    found = asked.store.badge_holders(code)
    if expiring_days is not None:
        found = expiring(found, today, expiring_days)
    return page(found, limit, cursor, key=_whose, told=lambda one: holder_json(one, today))


def _whose(holder: BadgeHolder) -> tuple[str, str]:
    return holder.code, holder.patron_id


@resources.get("/badge-history", "badge history")
def list_history(
    asked: Asks,
    code: MaybeCode = None,
    patron: Annotated[
        str | None,
        Query(max_length=NUMBER_CHARACTERS_MAX, description="Only of this patron (any card)."),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[BadgeEventJson]:
    """List who assigned, changed or took away which badge, when and why; oldest first.

    Imports are listed too, one entry for each assignment that they changed.
    """
    found = asked.store.badge_history(code, patron)
    return page(found, limit, cursor, key=_moment, told=lambda one: event_json(one, asked.zone))


def _moment(event: BadgeEvent) -> tuple[str, ...]:
    time = event.time.astimezone(UTC).isoformat(timespec="microseconds")
    return time, event.id, event.change.patron_id, event.change.code
